/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of budgets share: budget.c counts and decides, budget_rules.c changes and keeps
 * the rules. Loop thread. */

#include "agent/account/account_internal.h"
#include "agent/account/budget.h"

/* A record that became durable while the sums were read. */
struct budget_late {
	uint64_t sequence;
	int64_t amount;
};

struct budget {
	struct account_budget state; /* `running` is the scope's */
	bool loading;                /* `used` is not known yet, and nothing is refused */
	uint64_t summed_through;     /* the sums had records up to here */
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
/* The period of now, with nothing used, if another one was. */
void budget_roll(struct budget *budget, int64_t now_us);
int64_t budget_amount(enum ledger_measure measure, const struct ledger_record *record);
/* Tells what was reached and not told in this period. */
void budget_look(struct account *account, struct budget *budget);

/* budget_rules.c */
/* Makes it durable that a limit's reaching was told. */
void budget_write_told(struct account *account, const struct ledger_budget *key);
