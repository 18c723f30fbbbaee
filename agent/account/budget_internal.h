/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of budgets share: budget.c counts and decides, budget_sum.c knows the periods and
 * what was used in them, budget_rules.c changes and keeps the rules. Loop thread. */

#include "agent/account/account_internal.h"
#include "agent/account/budget.h"

/* A record that became durable while the sums were read. */
struct budget_late {
	uint64_t sequence;
	int64_t amount;
};

struct budget {
	struct account_budget state; /* `running` is the scope's */
	uint64_t id;                 /* no other one had it */
	bool is_new;     /* its Put is not answered yet: nothing is told, and nothing refused */
	bool is_summing; /* a job does; `used` is what is known without it */
	bool is_unknown; /* the clock was set, and nothing is admitted before the sums are there */
	int64_t clock_offset_us; /* wall clock less monotonic, when it was looked at last */
	uint64_t summed_through; /* the sums had records up to here */
	struct budget_late *late;
	size_t late_count;
};

/* A tenant, or one of its functions, while it has budgets or invocations that know it. */
struct budget_scope {
	struct account *account;
	struct ledger_budget key; /* but tenant and function all zero */
	struct budget *budgets[_LEDGER_MEASURES][_LEDGER_PERIODS]; /* owned */
	unsigned count;                                            /* of them */
	int64_t running;                                           /* requests */
	UT_hash_handle hh;
};

#define BUDGET_SCOPE_KEY_BYTES (LEDGER_TENANT_BYTES + LEDGER_FUNCTION_BYTES)

/* budget.c */
struct budget_scope *budget_find_scope(struct account_budgets *budgets, const char *tenant,
				       const char *function);
struct budget *budget_find(struct account_budgets *budgets, const struct ledger_budget *key);
/* Known from now on; NULL: no memory. */
struct budget *budget_add(struct account *account, const struct ledger_budget *rule);
void budget_remove(struct account *account, const struct ledger_budget *key);
int64_t budget_amount(enum ledger_measure measure, const struct ledger_record *record);
/* Tells what was reached and not told in this period. */
void budget_look(struct account *account, struct budget *budget);

/* budget_sum.c */
/* The period of now begins, with nothing used. */
void budget_begin(struct budget *budget, int64_t now_us);
/* The same if another one was, with what the ledger has of it. That takes a moment: of a period
 * that has come by the passing of time nothing is known to be used meanwhile. */
#define BUDGET_CLOCK_SLACK_US (60 * USEC_PER_SEC) /* by which clocks may go apart between looks */
void budget_roll(struct account *account, struct budget *budget, int64_t now_us);
/* Has a job sum up what was used; budget_summed() follows, later. 0 or -ENOMEM. */
int budget_sum(struct account *account, struct budget *budget) _must_use_;
struct ledger_filter budget_filter(const struct ledger_budget *rule, int64_t begins_us);
int64_t budget_used_of(const struct ledger_row *sums, enum ledger_measure measure);

/* budget_rules.c */
/* Answers the Put that waits for it. */
void budget_summed(struct account *account, struct budget *budget);
/* Makes it durable that a limit's reaching was told. */
void budget_write_told(struct account *account, const struct ledger_budget *key);
