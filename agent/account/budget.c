/* SPDX-License-Identifier: Apache-2.0 */

/* What was used, and whether more may be. */

#include "agent/account/budget.h"

#include <errno.h>
#include <string.h>

#include "agent/account/budget_internal.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

#define MB_MS_PER_GB_SECOND (1024 * 1000)

const char *account_measure_name(enum ledger_measure measure)
{
	return measure == LEDGER_MEASURE_REQUESTS ? "requests" : "GB-seconds";
}

const char *account_period_name(enum ledger_period period)
{
	return period == LEDGER_PERIOD_DAY ? "day" : "month";
}

/* -- scopes and budgets -- */

static void fill_scope_key(const char *tenant, const char *function, struct ledger_budget *ret)
{
	memset(ret, 0, sizeof(*ret));
	(void)snprintf(ret->tenant, sizeof(ret->tenant), "%s", tenant);
	(void)snprintf(ret->function, sizeof(ret->function), "%s", function);
}

struct budget_scope *budget_find_scope(struct account_budgets *budgets, const char *tenant,
				       const char *function)
{
	struct budget_scope *scope = NULL;
	struct ledger_budget key;

	fill_scope_key(tenant, function, &key);
	HASH_FIND(hh, budgets->scopes, key.tenant, BUDGET_SCOPE_KEY_BYTES, scope);
	return scope;
}

static struct budget_scope *get_scope(struct account *account, const struct ledger_budget *rule)
{
	struct account_budgets *budgets = &account->budgets;
	struct budget_scope *scope = budget_find_scope(budgets, rule->tenant, rule->function);

	if (scope)
		return scope;
	scope = calloc(1, sizeof(*scope));
	if (!scope)
		return NULL;
	scope->account = account;
	fill_scope_key(rule->tenant, rule->function, &scope->key);
	HASH_ADD(hh, budgets->scopes, key.tenant, BUDGET_SCOPE_KEY_BYTES, scope);
	return scope;
}

static void drop_unused(struct budget_scope *scope)
{
	if (scope->count > 0 || scope->running > 0)
		return;
	HASH_DEL(scope->account->budgets.scopes, scope);
	free(scope);
}

struct budget *budget_find(struct account_budgets *budgets, const struct ledger_budget *key)
{
	struct budget_scope *scope = budget_find_scope(budgets, key->tenant, key->function);

	return scope ? scope->budgets[key->measure][key->period] : NULL;
}

struct budget *budget_add(struct account *account, const struct ledger_budget *rule)
{
	struct budget_scope *scope = get_scope(account, rule);
	struct budget *budget = scope ? calloc(1, sizeof(*budget)) : NULL;

	if (!budget)
		return NULL;
	budget->state.rule = *rule;
	budget->id = ++account->budgets.last_id;
	budget_begin(budget, clock_realtime_us());
	scope->budgets[rule->measure][rule->period] = budget;
	scope->count++;
	account->budgets.count++;
	return budget;
}

static void free_budget(struct budget *budget)
{
	if (budget)
		free(budget->late);
	free(budget);
}

void budget_remove(struct account *account, const struct ledger_budget *key)
{
	struct budget_scope *scope =
		budget_find_scope(&account->budgets, key->tenant, key->function);

	if (!scope || !scope->budgets[key->measure][key->period])
		return;
	free_budget(TAKE_PTR(scope->budgets[key->measure][key->period]));
	scope->count--;
	account->budgets.count--;
	drop_unused(scope);
}

void budgets_clear(struct account *account)
{
	struct budget_scope *scope, *next;

	HASH_ITER (hh, account->budgets.scopes, scope, next) {
		for (unsigned m = 0; m < _LEDGER_MEASURES; m++)
			for (unsigned p = 0; p < _LEDGER_PERIODS; p++)
				free_budget(scope->budgets[m][p]);
		HASH_DEL(account->budgets.scopes, scope);
		free(scope);
	}
	account->budgets.count = 0;
	budgets_drop_writes(account);
	budgets_drop_sums(account);
}

/* -- using -- */

int64_t budget_amount(enum ledger_measure measure, const struct ledger_record *record)
{
	int64_t restore_ms = record->billed_restore_ms > 0 ? record->billed_restore_ms : 0;

	return measure == LEDGER_MEASURE_REQUESTS
		       ? 1
		       : (record->billed_ms + restore_ms) * record->memory_mb;
}

static bool is_reached(int64_t limit, int64_t used)
{
	return limit >= 0 && used >= limit;
}

static void tell(struct account *account, struct budget *budget, bool hard)
{
	struct account_budgets *budgets = &account->budgets;
	struct ledger_budget *rule = &budget->state.rule;

	if (hard) {
		rule->hard_told_us = budget->state.begins_us;
		budgets->counts.hard_reached++;
	} else {
		rule->soft_told_us = budget->state.begins_us;
		budgets->counts.soft_reached++;
	}
	log_write(LOG_NOTICE,
		  &(struct log_fields){ .tenant = rule->tenant, .function = rule->function },
		  "The %s limit of the budget of %s a %s of %s%s is reached%s.",
		  hard ? "hard" : "soft", account_measure_name(rule->measure),
		  account_period_name(rule->period), rule->function[0] ? "function " : "tenant ",
		  rule->function[0] ? rule->function : rule->tenant,
		  hard ? ": nothing more runs until the next" : "");
	if (budgets->listener)
		budgets->listener(&budget->state, hard, budgets->listener_arg);
	budget_write_told(account, rule);
}

void budget_look(struct account *account, struct budget *budget)
{
	const struct account_budget *state = &budget->state;

	if (budget->is_new)
		return;
	if (is_reached(state->rule.soft, state->used) &&
	    state->rule.soft_told_us != state->begins_us)
		tell(account, budget, false);
	if (is_reached(state->rule.hard, state->used) &&
	    state->rule.hard_told_us != state->begins_us)
		tell(account, budget, true);
}

static void keep_late(struct budget *budget, uint64_t sequence, int64_t amount)
{
	struct budget_late *more =
		reallocarray(budget->late, budget->late_count + 1, sizeof(*more));

	if (!more)
		return; /* the next start will know better */
	budget->late = more;
	more[budget->late_count++] = (struct budget_late){ sequence, amount };
}

static void use(struct account *account, struct budget *budget, const struct ledger_record *record)
{
	int64_t amount = budget_amount(budget->state.rule.measure, record);

	if (record->sequence <= budget->summed_through)
		return; /* the sums had it, though its commit was not heard of */
	budget_roll(account, budget, clock_realtime_us());
	if (record->started_us < budget->state.begins_us)
		return; /* of the former period, which is over */
	if (budget->is_summing)
		keep_late(budget, record->sequence, amount);
	budget->state.used += amount;
	budget_look(account, budget);
}

static void use_scope(struct account *account, struct budget_scope *scope,
		      const struct ledger_record *record)
{
	for (unsigned m = 0; scope && m < _LEDGER_MEASURES; m++)
		for (unsigned p = 0; p < _LEDGER_PERIODS; p++)
			if (scope->budgets[m][p])
				use(account, scope->budgets[m][p], record);
}

void budgets_count(struct account *account, const struct ledger_record *record)
{
	if (account->budgets.count == 0)
		return;
	use_scope(account, budget_find_scope(&account->budgets, record->tenant, ""), record);
	use_scope(account, budget_find_scope(&account->budgets, record->tenant, record->function),
		  record);
}

void budgets_release(struct account_entry *entry)
{
	for (size_t i = 0; i < ARRAY_SIZE(entry->budgets); i++) {
		struct budget_scope *scope = TAKE_PTR(entry->budgets[i]);

		if (!scope)
			continue;
		scope->running--;
		drop_unused(scope);
	}
}

void account_reserve_budgets(struct account *account, struct account_entry *entry,
			     const char *tenant, const char *function)
{
	if (account->budgets.count == 0)
		return;
	entry->budgets[0] = budget_find_scope(&account->budgets, tenant, "");
	entry->budgets[1] = budget_find_scope(&account->budgets, tenant, function);
	for (size_t i = 0; i < ARRAY_SIZE(entry->budgets); i++)
		if (entry->budgets[i])
			entry->budgets[i]->running++;
}

void budgets_reserve_journaled(struct account *account)
{
	for (struct ledger_record *record = account->first; record; record = record->next)
		account_reserve_budgets(account, container_of(record, struct account_entry, record),
					record->tenant, record->function);
}

/* -- deciding -- */

static int refuse(struct account *account, const struct account_budget *state, struct error *error)
{
	const struct ledger_budget *rule = &state->rule;
	int64_t limit = rule->measure == LEDGER_MEASURE_REQUESTS ? rule->hard
								 : rule->hard / MB_MS_PER_GB_SECOND;
	char ends[CLOCK_ISO8601_BYTES];
	int r;

	clock_format_iso8601(state->ends_us, ends);
	r = error_set(error, ERROR_TOO_MANY_REQUESTS, NULL,
		      "The budget of %lld %s a %s of the %s%s is used up until %.19sZ.",
		      (long long)limit, account_measure_name(rule->measure),
		      account_period_name(rule->period), rule->function[0] ? "function " : "tenant",
		      rule->function, ends);
	error_set_reason(error, ACCOUNT_BUDGET_EXCEEDED);
	account->budgets.counts.refused++;
	return r;
}

/* For a moment: the sums are being read. */
static int refuse_unknown(struct account *account, struct error *error)
{
	int r = error_set(error, ERROR_TOO_MANY_REQUESTS, NULL,
			  "The clock was set, and what was used of the budget is being summed up.");

	error_set_reason(error, ACCOUNT_BUDGET_EXCEEDED);
	account->budgets.counts.refused++;
	return r;
}

static int check_scope(struct account *account, const struct budget_scope *scope, int64_t now_us,
		       struct error *error)
{
	for (unsigned m = 0; scope && m < _LEDGER_MEASURES; m++)
		for (unsigned p = 0; p < _LEDGER_PERIODS; p++) {
			struct budget *budget = scope->budgets[m][p];
			int64_t more = m == LEDGER_MEASURE_REQUESTS ? scope->running : 0;

			if (!budget || budget->is_new || budget->state.rule.hard < 0)
				continue;
			budget_roll(account, budget, now_us);
			if (budget->is_unknown)
				return refuse_unknown(account, error);
			if (budget->state.used + more >= budget->state.rule.hard)
				return refuse(account, &budget->state, error);
		}
	return 0;
}

int account_check_budgets(struct account *account, const char *tenant, const char *function,
			  struct error *error)
{
	int64_t now_us;
	int r;

	if (account->budgets.count == 0)
		return 0;
	now_us = clock_realtime_us();
	r = check_scope(account, budget_find_scope(&account->budgets, tenant, ""), now_us, error);
	if (r < 0)
		return r;
	return check_scope(account, budget_find_scope(&account->budgets, tenant, function), now_us,
			   error);
}

/* -- news -- */

void account_set_budget_listener(struct account *account, account_budget_listener *fn, void *arg)
{
	account->budgets.listener = fn;
	account->budgets.listener_arg = arg;
}

void account_budget_counts(const struct account *account, struct account_budget_counts *ret)
{
	*ret = account->budgets.counts;
}
