/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of this room share. Loop thread, but for what jobs carry. */

#include <uthash.h>

#include "agent/account/account.h"
#include "agent/account/budget.h"
#include "agent/core/lane.h"
#include "agent/store/ledger_journal.h"

/* Tenant, function and version of a row, whose rest is zero in keys. */
#define ACCOUNT_KEY_BYTES (offsetof(struct ledger_row, version) + LEDGER_VERSION_BYTES)

/* What was recorded of one version of a function since the start. */
struct account_counter {
	struct ledger_row row; /* its texts are the key */
	int64_t former;        /* invocations among them that ran in a former life, as the next */
	int64_t former_billed_ms;
	UT_hash_handle hh;
};

/* A batch on its way to the disk. */
struct account_commit {
	struct lane_job job;
	struct ledger_record *first; /* NULL: none is under way; its entries are owned */
	struct ledger_record *last;
	int result;
	struct error error;
	bool wal_is_long;
	uint64_t last_sequence;
};

/* Retention and checkpoints. */
struct account_upkeep {
	struct timer timer;
	struct lane_job trim;
	int64_t now_us;
	bool more_days;
	unsigned deleted;
	uint64_t trimmed;
	int trim_result;
	struct error trim_error;
	struct lane_job checkpoint;
	bool checkpointing;
	int checkpoint_result;
	struct error checkpoint_error;
};

/* Runs once all that was recorded before is committed, or could not be. Of its caller's struct. */
struct account_wait {
	void (*fn)(struct account_wait *wait);
	struct account_wait *next;
};

struct meter;

/* What is billed by its time. */
struct account_meters {
	struct meter *meters;
	struct ledger_accrual *closed; /* pieces that have ended and are not durable; owned */
	struct timer timer;
	struct lane_job job;
	bool writing;
	bool again;                   /* there is more than the job under way has */
	bool failing;                 /* the last job did; it was said */
	struct ledger_accrual *batch; /* of the job: closed ones, then copies of open ones; owned */
	struct ledger_accrual *batch_open; /* where the latter begin */
	int result;
	struct error error;
};

struct account_budgets {
	struct budget_scope *scopes;
	size_t count; /* of budgets */
	uint64_t last_id;
	struct budget_write *writes; /* the first is under way; owned */
	struct budget_sum *sums;     /* all are under way; owned */
	struct account_budget_counts counts;
	account_budget_listener *listener;
	void *listener_arg;
};

struct account {
	struct account_config config;
	struct loop *loop;
	struct lane writing;
	struct lane reading; /* tenants take turns, and who reads of all has one */
	struct lane checkpoints;

	struct ledger_record *first; /* gathered for the next commit; entries are owned */
	struct ledger_record *last;
	uint64_t gathered;
	uint64_t answers_waiting; /* of those gathered: how many are not in the journal */
	struct timer gathering;   /* until those in the journal are committed */
	bool is_gathering;
	struct account_commit commit;

	struct ledger_journal *journal;  /* NULL: answers wait for the commit */
	struct account_entry *journaled; /* their answers may go; not owned */
	struct account_entry **journaled_end;
	struct dirty releases;
	struct account_wait *after_commit; /* what wants to see the records that are in it */
	struct account_wait *after_next;   /* … that are gathered; both are their callers' */
	struct error failure;              /* of the last commit; ERROR_NONE: it succeeded */
	struct timer tick; /* while something waits: retries, and answers that wait too long */
	bool ticking;

	struct account_counter *counters;
	uint64_t counted;
	uint64_t start_sequence; /* the newest record of the former lives */
	uint64_t last_sequence;  /* that the counters know of */
	uint64_t trimmed;

	account_listener *listener;
	void *listener_arg;
	loop_fn *flushed;
	void *flushed_arg;
	struct account_upkeep upkeep;
	struct account_meters meters;
	struct account_budgets budgets;
};

/* account.c. `fn` may run at once. */
void account_wait(struct account *account, struct account_wait *wait);
/* To the others that the next commit will take. */
void account_gather(struct account *account, struct account_entry *entry);

/* journaled.c: whose records are in the journal need not wait for their commit. All do nothing
 * without one. */
int account_start_journal(struct account *account, struct error *error) _must_use_;
void account_stop_journal(struct account *account);
/* `false`: it is not there, so that its answer has to wait. */
bool account_put_in_journal(struct account *account, struct account_entry *entry);
/* A commit of all that was gathered begins; the one under way succeeded. */
void account_turn_journal(struct account *account);
void account_clear_journal(struct account *account);
/* Answers those whose records are in it. */
void account_release_journaled(struct account *account);

/* account.c: the end, if it was asked for and nothing is under way any more. */
void account_finish_flush(struct account *account);

/* budget.c, budget_rules.c, budget_sum.c */
/* With what was used, from the ledger. Blocks. */
int budgets_load(struct account *account, struct error *error) _must_use_;
/* What a former life left in the journal counts as running until it is in the ledger. */
void budgets_reserve_journaled(struct account *account);
/* The record is in the ledger. */
void budgets_count(struct account *account, const struct ledger_record *record);
/* It does not run any more. */
void budgets_release(struct account_entry *entry);
void budgets_clear(struct account *account);
void budgets_drop_writes(struct account *account);
void budgets_drop_sums(struct account *account);

/* meter.c */
/* Ends all pieces, and writes them. */
void meters_flush(struct account *account);
/* When no job is under way. */
void meters_clear(struct account *account);

/* upkeep.c */
int account_start_upkeep(struct account *account) _must_use_;
void account_stop_upkeep(struct account *account);
/* The log of what was committed grew long. */
void account_checkpoint(struct account *account);
