/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Budgets: what a tenant, or one of its functions, may use in a day or a month (UTC). Reaching the
 * soft limit is told, once in each period; beyond the hard one nothing more is admitted in it. What
 * was used is known from the ledger's sums at the start, and from each record as it becomes durable
 * after that. The check costs two lookups, whatever there is. All calls and callbacks: loop thread;
 * callbacks never run inside the call that asked for them. */

#include "agent/account/account.h"

#define ACCOUNT_BUDGETS_MAX     1000             /* of the node */
#define ACCOUNT_BUDGET_EXCEEDED "BudgetExceeded" /* reason of TooManyRequestsException */

struct account_budget {
	struct ledger_budget rule;
	int64_t begins_us; /* of the period of now */
	int64_t ends_us;
	int64_t used;    /* in the rule's measure */
	int64_t running; /* requests that were admitted and are not in `used` yet */
};

/* -- on the way of an invocation -- */

/* May it run? Refused with ERROR_TOO_MANY_REQUESTS, ACCOUNT_BUDGET_EXCEEDED and which. */
int account_check_budgets(struct account *account, const char *tenant, const char *function,
			  struct error *error) _must_use_;
/* It was admitted, and counts as running until its record is durable or the entry is dropped. */
void account_reserve_budgets(struct account *account, struct account_entry *entry,
			     const char *tenant, const char *function);

/* -- rules -- */

typedef void account_budget_fn(const struct account_budget *budget, const struct error *error,
			       void *arg);

/* Makes or replaces the budget of that key; tells it once it is durable and what was used is known.
 * Refused at once, with a negative errno: when there are too many, or the ledger was not written.
 */
int account_put_budget(struct account *account, const struct ledger_budget *rule,
		       account_budget_fn *done, void *arg, struct error *error) _must_use_;
/* Tells what it was, or ERROR_NOT_FOUND at once. */
int account_delete_budget(struct account *account, const struct ledger_budget *key,
			  account_budget_fn *done, void *arg, struct error *error) _must_use_;
/* As it is now; false: there is none. */
bool account_get_budget(struct account *account, const struct ledger_budget *key,
			struct account_budget *ret);
/* All of a tenant, or of all with "", by key: the caller frees *ret. 0 or -ENOMEM. */
int account_list_budgets(struct account *account, const char *tenant, struct account_budget **ret,
			 size_t *ret_count) _must_use_;

/* -- news: a limit was reached. One listener; NULL: none -- */

typedef void account_budget_listener(const struct account_budget *budget, bool hard, void *arg);
void account_set_budget_listener(struct account *account, account_budget_listener *fn, void *arg);

/* Since the start. */
struct account_budget_counts {
	uint64_t soft_reached;
	uint64_t hard_reached;
	uint64_t refused;
};
void account_budget_counts(const struct account *account, struct account_budget_counts *ret);

const char *account_measure_name(enum ledger_measure measure); /* "requests", "GB-seconds" */
const char *account_period_name(enum ledger_period period);    /* "day", "month" */
