/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Accounts for every invocation that runs a function. The order for each: account_admit() before
 * it runs, then account_record() when it ended, whose callback releases the answer; or
 * account_drop() if no function ran. All calls and callbacks: loop thread; callbacks never run
 * inside the call that asked for them. */

#include "agent/core/loop.h"
#include "agent/store/ledger.h"

struct account;

/* 10^-12 units of money each. */
struct account_prices {
	uint64_t request_pico;
	uint64_t gb_second_pico;
	uint64_t provisioned_run_gb_second_pico; /* in provisioned places; 0: as gb_second_pico */
	uint64_t provisioned_gb_second_pico;     /* of having them */
	uint64_t storage_gb_second_pico;
	uint64_t stream_gb_pico; /* 2^30 bytes */
	uint64_t cache_gb_second_pico;
	uint64_t restore_gb_pico;
};

struct account_config {
	struct ledger *ledger;    /* borrowed for the account's life */
	const char *journal_path; /* its folder exists; borrowed during account_new() */
	/* Answers need not wait for a commit, whose records are in the journal. */
	bool journal_answers;
	int64_t answer_wait_us; /* how long an answer waits for a ledger that cannot be written */
	int64_t raw_keep_us;    /* records are deleted after it; their rollups stay */
	int64_t (*age_now_us)(void *arg); /* the time of that; NULL: clock_realtime_us() */
	void *age_now_arg;
	struct account_prices prices;
};

int account_new(const struct account_config *config, struct loop *loop, struct account **ret,
		struct error *error) _must_use_;
/* After loop_end_jobs(). What still waits is lost; see account_flush(). Copes with NULL. */
struct account *account_free(struct account *account);
DEFINE_CLEANUP(struct account, account_free)

/* Waits until all is written; gives up, with an error in the log, when that fails. Last. */
void account_flush(struct account *account, loop_fn *done, void *arg);

/* -- an invocation -- */

/* NULL: recorded. An error: it could not be in time, and will be as soon as it can. */
typedef void account_recorded_fn(const struct error *error, void *arg);

struct account_entry {
	struct ledger_record record; /* of who was admitted, until account_record() */

	/* Of the account. */
	struct budget_scope *budgets[2]; /* that it counts in while it runs, or NULL */
	account_recorded_fn *done;
	void *arg;
	int64_t since_us;
	bool journaled;
	bool former; /* of a former life: its sandbox is none of those that are counted now */
	struct account_entry *next_journaled;
};

/* May a function run? Then *ret, the caller's, is where its record goes. */
int account_admit(struct account *account, struct account_entry **ret,
		  struct error *error) _must_use_;
/* No function ran. Copes with NULL; returns NULL. */
struct account_entry *account_drop(struct account_entry *entry);
/* Takes the entry. `done` comes exactly once, unless the account is freed before. */
void account_record(struct account *account, struct account_entry *entry, account_recorded_fn *done,
		    void *arg);

/* Hears of each record once it is durable, in order. One listener; NULL: none. */
typedef void account_listener(const struct ledger_record *record, void *arg);
void account_set_listener(struct account *account, account_listener *fn, void *arg);

/* -- what is billed for the time that it is there -- */

/* As Lambda has it: whoever gives units back sooner pays for so long all the same. */
#define ACCOUNT_ALLOCATION_MIN_US (300 * 1000000LL)
#define ACCOUNT_CACHE_MIN_US      (3 * 3600 * 1000000LL)
/* What was metered is durable after so long at the latest; the end of the process at any moment
 * loses no more of it, and what nobody has made durable is not billed. */
#define ACCOUNT_METER_US          (60 * 1000000LL)

/* Strings are borrowed during the call. */
struct account_metered {
	enum ledger_accrual_kind kind;
	const char *tenant;
	const char *function;
	const char *version;
	unsigned memory_mb; /* of each unit; no matter when none is wanted */
	unsigned wanted;    /* 0: it is given back, and forgotten */
	unsigned available; /* there now; only these are billed, and at most `wanted` */
	bool old; /* when first metered: it was wanted before this process began, so that no
		     minimum is due for it any more */
};
/* So from now on. 0 or -ENOMEM, and then as before. */
int account_meter(struct account *account, const struct account_metered *now) _must_use_;

/* -- reading. Results are borrowed during the callback. -- */

struct account_rows {
	const struct error *error; /* set: nothing else is */
	const struct ledger_row *rows;
	size_t count;
	bool more;               /* beyond the query's limit */
	struct ledger_row total; /* of all groups, also those beyond */
};
typedef void account_rows_fn(const struct account_rows *result, void *arg);
int account_query(struct account *account, const struct ledger_query *query, account_rows_fn *fn,
		  void *arg) _must_use_;

struct account_records {
	const struct error *error;
	const struct ledger_record *records;
	size_t count;
	bool more;
};
typedef void account_records_fn(const struct account_records *result, void *arg);
/* At most `limit` after the record `after`; see ledger_read(). */
int account_read(struct account *account, const struct ledger_filter *filter, uint64_t after,
		 uint32_t limit, account_records_fn *fn, void *arg) _must_use_;
/* Records that are not in the ledger yet. */
uint64_t account_waiting(const struct account *account);
/* Records up to this sequence were deleted. */
uint64_t account_trimmed(const struct account *account);

/* A figure that should be what another is. */
struct account_difference {
	struct ledger_row counted; /* of the records */
	struct ledger_row claimed; /* of the rollup, or of the counters since the start */
	bool of_counters;          /* then only the figures that counters have are compared */
};

#define ACCOUNT_DIFFERENCES_MAX 1000

/* CPU time of the sandboxes of one version since the account was made, as the host counts it. */
struct account_host_use {
	char tenant[LEDGER_TENANT_BYTES];
	char function[LEDGER_FUNCTION_BYTES];
	char version[LEDGER_VERSION_BYTES];
	uint64_t sandboxes;
	uint64_t uncounted; /* of them, those in none of the times */
	uint64_t start_us;  /* before they were ready: not compared */
	uint64_t serve_us;  /* from then on */
	uint64_t beside_us; /* so much of that may be of no invocation that has ended */
	unsigned cpus;      /* that one sandbox may use at once */
};

/* The same beside what the records say. */
struct account_host_check {
	struct account_host_use use;
	int64_t invocations;
	int64_t billed_ms;
	uint64_t allowed_us;    /* of serve_us: what was billed and what may be beside it */
	const char *difference; /* what is wrong, in words; NULL: nothing */
};

/* CPU time of the platform's own around each invocation: bringing it, and taking the answer. */
#define ACCOUNT_AROUND_US (5 * 1000)

struct account_reconciled {
	const struct error *error;
	const struct account_difference *differences; /* the first of them */
	size_t count;
	uint64_t total; /* differences in sum */
	struct ledger_reconciled sums;
	uint64_t counted_since_start; /* invocations, by the counters */
	bool counters_compared;       /* no: records since the start were deleted; as the next */
	const struct account_host_check *hosts; /* those that differ foremost, then by serve_us */
	size_t host_count;
	uint64_t host_differences; /* among `total` */
	uint64_t waiting;          /* records not yet durable */
};
typedef void account_reconciled_fn(const struct account_reconciled *result, void *arg);
/* `uses`, which are copied, were read before: what is recorded from then on makes no difference.
 * One for each version that has had sandboxes. */
int account_reconcile(struct account *account, const struct account_host_use *uses, size_t count,
		      account_reconciled_fn *fn, void *arg) _must_use_;

/* -- prices -- */

struct account_money {
	uint64_t units;
	uint64_t picos; /* below 10^12 */
};

const struct account_prices *account_prices(const struct account *account);
/* What a row costs: the sum of its parts, each rounded half up to a pico. */
struct account_money account_cost(const struct account_prices *prices,
				  const int64_t figures[_LEDGER_FIGURES]);
