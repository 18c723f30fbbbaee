/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The ledger: one durable record of every invocation that ran, accruals of what is billed by its
 * time alone, and what they come to by the hour. Both are added in transactions, each together with
 * its part of the rollups, so that both are there or neither. Budgets are kept in the same file.
 * Every call blocks: in jobs, or before the loop runs.
 *
 * Three users may work at once, each alone: who writes (commit, accrue, trim, budgets), who reads
 * (query, read, reconcile, recount), and who checkpoints. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mayfly/cleanup.h"
#include "mayfly/error.h"
#include "mayfly/id.h"

#define LEDGER_TENANT_BYTES    33 /* with NUL, as the next two */
#define LEDGER_FUNCTION_BYTES  65
#define LEDGER_VERSION_BYTES   33
#define LEDGER_HOUR_US         3600000000LL
#define LEDGER_DAY_US          (24 * LEDGER_HOUR_US)

/* /tmp up to so much is not charged for. */
#define LEDGER_STORAGE_FREE_MB 512

/* How a sandbox came to an invocation, and how the invocation ended. On disk: never renumber. */
enum ledger_start {
	LEDGER_START_WARM,
	LEDGER_START_SPARE,
	LEDGER_START_RESTORE,
	LEDGER_START_SNAP_START,
	LEDGER_START_BOOT,
};

enum ledger_result {
	LEDGER_OK,
	LEDGER_FUNCTION_ERROR, /* the function's own, a crash of its runtime among them */
	LEDGER_TIMEOUT,
	LEDGER_SANDBOX_FAILURE,
};

/* One invocation, in the figures of its REPORT line. */
struct ledger_record {
	struct ledger_record *next; /* of those who gather records */
	uint64_t sequence;          /* given by ledger_commit(), in order of durability */
	char request_id[UUID_BYTES];
	uint64_t run; /* random, of each try, where one request id has many; else 0. Not read back.
		       */
	char tenant[LEDGER_TENANT_BYTES];
	char function[LEDGER_FUNCTION_BYTES];
	char version[LEDGER_VERSION_BYTES];
	int64_t started_us; /* Unix time of START */
	int64_t duration_us;
	int64_t init_us; /* negative: the line has none, as the next two */
	int64_t restore_us;
	int64_t billed_restore_ms;
	int64_t billed_ms;
	int64_t memory_mb;
	int64_t max_memory_mb;
	int64_t event_bytes;
	int64_t answer_bytes;
	int64_t streamed_bytes; /* the part of answer_bytes that was streamed */
	int64_t over_bytes;     /* of them, those that are billed for themselves */
	int64_t storage_mb;     /* EphemeralStorage; above LEDGER_STORAGE_FREE_MB it is billed */
	int64_t restored_mb;    /* MemorySize, if a snapshot was restored for it; else 0 */
	enum ledger_start start;
	enum ledger_result result;
	bool provisioned; /* ran in a provisioned place */
	bool withheld;    /* the caller had an error instead of the answer */
};

/* What records are summed up to, by function, version and hour of START. */
enum ledger_figure {
	LEDGER_INVOCATIONS,
	LEDGER_ERRORS, /* all that are not LEDGER_OK */
	LEDGER_TIMEOUTS,
	LEDGER_FAILURES,
	LEDGER_COLD_STARTS,
	LEDGER_WITHHELD,
	LEDGER_DURATION_US,
	LEDGER_INIT_US,
	LEDGER_BILLED_MS, /* with billed restores, as the next */
	LEDGER_MB_MS,     /* billed milliseconds, each times its MemorySize */
	LEDGER_EVENT_BYTES,
	LEDGER_ANSWER_BYTES,
	LEDGER_STREAMED_BYTES,
	LEDGER_MAX_MEMORY_MB,           /* the largest, not the sum */
	LEDGER_PROVISIONED_INVOCATIONS, /* among the invocations */
	LEDGER_PROVISIONED_MB_MS,       /* the part of LEDGER_MB_MS that is theirs */
	LEDGER_STORAGE_MB_MS, /* billed milliseconds, each times /tmp above what is free */
	LEDGER_OVER_BYTES,
	LEDGER_RESTORED_MB,
	LEDGER_ALLOCATED_MB_MS, /* of accruals, as the next */
	LEDGER_CACHED_MB_MS,
	_LEDGER_FIGURES,
};

const char *ledger_figure_name(enum ledger_figure figure);

struct ledger;

/* Opens or makes the file PATH (its folder exists). `full`: commits survive the loss of power, else
 * only the end of this process. Refused with an error that says why: a file that is damaged, not
 * ours, or written by a newer version. */
int ledger_open(const char *path, bool full, struct ledger **ret, struct error *error) _must_use_;
/* Copes with NULL. */
struct ledger *ledger_close(struct ledger *ledger);
DEFINE_CLEANUP(struct ledger, ledger_close)

/* Room below which nothing more should be begun: what runs already can still be recorded. */
#define LEDGER_RESERVE_BYTES (8LL << 20)

/* Whether the disk has room beyond that. Asks the kernel, not the disk: any thread. */
int ledger_check_room(const struct ledger *ledger, struct error *error) _must_use_;

/* -- who writes -- */

struct ledger_state {
	uint64_t last_sequence; /* the newest record's */
	uint64_t trimmed;       /* all records up to here were deleted */
	int64_t days;           /* before this one, since 1970, each is summed up */
};
void ledger_get_state(const struct ledger *ledger, struct ledger_state *ret);

/* All records from `first` on, and their rollups, or nothing. One whose request id and run are
 * there already is left out, and gets sequence 0: so a commit whose outcome is not known may be
 * repeated. True in `ret_wal_is_long`: time to checkpoint. */
int ledger_commit(struct ledger *ledger, struct ledger_record *first, bool *ret_wal_is_long,
		  struct error *error) _must_use_;

/* What is billed from its beginning to its end. On disk: never renumber. */
enum ledger_accrual_kind {
	LEDGER_ALLOCATION, /* provisioned sandboxes that are there */
	LEDGER_CACHE,      /* the snapshot of a version with SnapStart */
};

/* A piece of time in which nothing changed. It belongs to the hour in which it begins. */
struct ledger_accrual {
	struct ledger_accrual *next; /* of those who gather them */
	char tenant[LEDGER_TENANT_BYTES];
	char function[LEDGER_FUNCTION_BYTES];
	char version[LEDGER_VERSION_BYTES];
	enum ledger_accrual_kind kind;
	unsigned slot;     /* tells apart those of one version and kind that begin at once */
	int64_t begins_ms; /* Unix time */
	int64_t ends_ms;   /* known so far */
	int64_t units;
	int64_t memory_mb; /* of each */
};

/* All of them, or nothing. One that is there already ends later from now on, never earlier, and
 * only what is new of it is added to the rollups: so this may be repeated, too. */
int ledger_accrue(struct ledger *ledger, const struct ledger_accrual *first,
		  struct error *error) _must_use_;

/* What a budget limits, and for how long. On disk: never renumber. */
enum ledger_measure {
	LEDGER_MEASURE_REQUESTS,
	LEDGER_MEASURE_MB_MS, /* billed megabyte-milliseconds */
	_LEDGER_MEASURES,
};
enum ledger_period {
	LEDGER_PERIOD_DAY, /* UTC, as the next */
	LEDGER_PERIOD_MONTH,
	_LEDGER_PERIODS,
};

struct ledger_budget {
	/* Key. */
	char tenant[LEDGER_TENANT_BYTES];
	char function[LEDGER_FUNCTION_BYTES]; /* "": all of the tenant's */
	enum ledger_measure measure;
	enum ledger_period period;

	int64_t soft; /* negative: none, as the next */
	int64_t hard;
	int64_t modified_us;
	/* Beginning of the last period in which it was told that the limit was reached; 0: none. */
	int64_t soft_told_us;
	int64_t hard_told_us;
};

/* Makes or replaces it. */
int ledger_put_budget(struct ledger *ledger, const struct ledger_budget *budget,
		      struct error *error) _must_use_;
/* That there is none is no error. */
int ledger_delete_budget(struct ledger *ledger, const struct ledger_budget *key,
			 struct error *error) _must_use_;
/* All, by key. Of who reads. */
typedef int ledger_budget_fn(const struct ledger_budget *budget, void *arg);
int ledger_each_budget(struct ledger *ledger, ledger_budget_fn *fn, void *arg,
		       struct error *error) _must_use_;

/* Deletes the oldest records, at most `limit`, up to the first that began at or after `before_us`.
 * One that began after `now_us`, by a clock that was ahead, goes when the next that did not does.
 * Their rollups stay. */
int ledger_trim(struct ledger *ledger, int64_t before_us, int64_t now_us, unsigned limit,
		unsigned *ret_deleted, struct error *error) _must_use_;

/* Sums up the next day, if it ended before `before_us`, so that queries need not read its hours.
 * What comes for it later is added to both. `ret_more`: there may be another. */
int ledger_sum_day(struct ledger *ledger, int64_t before_us, bool *ret_more,
		   struct error *error) _must_use_;

/* -- who checkpoints: moves what was committed from the log into the file; commits go on -- */
int ledger_checkpoint(struct ledger *ledger, struct error *error) _must_use_;

/* -- who reads -- */

/* "" in a text: all. Times are half open. */
struct ledger_filter {
	char tenant[LEDGER_TENANT_BYTES];
	char function[LEDGER_FUNCTION_BYTES];
	char version[LEDGER_VERSION_BYTES];
	int64_t from_us;
	int64_t to_us;
};

enum ledger_group {
	LEDGER_BY_TENANT = 1 << 0,
	LEDGER_BY_FUNCTION = 1 << 1,
	LEDGER_BY_VERSION = 1 << 2,
	LEDGER_BY_HOUR = 1 << 3,
	LEDGER_BY_DAY = 1 << 4, /* UTC */
};

struct ledger_query {
	struct ledger_filter filter; /* whole hours count: those that begin within its times */
	unsigned groups;             /* LEDGER_BY_…; 0: all in one row */
	/* By key, or the largest of this figure first. */
	bool by_figure;
	enum ledger_figure figure;
	uint64_t offset;
	uint32_t limit;
};

/* What is not grouped by is "" and 0. */
struct ledger_row {
	char tenant[LEDGER_TENANT_BYTES];
	char function[LEDGER_FUNCTION_BYTES];
	char version[LEDGER_VERSION_BYTES];
	int64_t begins_us; /* of the hour or day */
	bool is_day;       /* of reconciliation: it is a day's, else an hour's */
	int64_t figures[_LEDGER_FIGURES];
};

/* Borrowed during the call. A negative result ends it and is returned. */
typedef int ledger_row_fn(const struct ledger_row *row, void *arg);
int ledger_query(struct ledger *ledger, const struct ledger_query *query, ledger_row_fn *fn,
		 void *arg, struct error *error) _must_use_;

/* All in one row, and the newest record that is in it. */
int ledger_sum(struct ledger *ledger, const struct ledger_filter *filter, struct ledger_row *ret,
	       uint64_t *ret_through, struct error *error) _must_use_;

/* At most `limit` records after `after`, in order of sequence. */
typedef int ledger_record_fn(const struct ledger_record *record, void *arg);
int ledger_read(struct ledger *ledger, const struct ledger_filter *filter, uint64_t after,
		uint32_t limit, ledger_record_fn *fn, void *arg, struct error *error) _must_use_;

/* Sums the records (after, through] up anew, by tenant, function and version. */
int ledger_recount(struct ledger *ledger, uint64_t after, uint64_t through, ledger_row_fn *fn,
		   void *arg, struct error *error) _must_use_;

/* Sums all records and accruals up anew, then the hours of each day that is summed up, and tells
 * each hour of a function and version whose rollup says otherwise: `counted` of the records,
 * `rolled` of the rollup. */
typedef int ledger_difference_fn(const struct ledger_row *counted, const struct ledger_row *rolled,
				 void *arg);
struct ledger_reconciled {
	uint64_t records;
	uint64_t rollups; /* compared */
	uint64_t trimmed; /* left out: records of theirs were deleted */
	uint64_t days;    /* sums of days, compared with those of their hours */
};
int ledger_reconcile(struct ledger *ledger, ledger_difference_fn *fn, void *arg,
		     struct ledger_reconciled *ret, struct error *error) _must_use_;
