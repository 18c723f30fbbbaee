/* SPDX-License-Identifier: Apache-2.0 */

/* Budgets are changed one after the other: each is durable before it counts, and what was used
 * until then is summed up before it is answered. */

#include <errno.h>
#include <string.h>

#include "agent/account/budget_internal.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

enum write_kind { WRITE_PUT, WRITE_DELETE, WRITE_TOLD };

struct budget_write {
	struct budget_write *next;
	struct lane_job job;
	struct account *account;
	enum write_kind kind;
	struct ledger_budget rule;
	account_budget_fn *done; /* NULL: nobody waits */
	void *arg;
	int result;
	struct error error;
};

static void start_next(struct account *account);

static void answer(struct budget_write *write, const struct account_budget *budget)
{
	if (write->done)
		write->done(budget, budget ? NULL : &write->error, write->arg);
	else if (write->result < 0)
		log_warning("A budget's news cannot be recorded, and may be told again after a "
			    "restart: %s",
			    error_log_text(&write->error));
}

static void free_write(struct budget_write *write)
{
	error_clear(&write->error);
	free(write);
}

/* The head of the queue is through. */
static void end(struct budget_write *write)
{
	struct account *account = write->account;

	account->budgets.writes = write->next;
	free_write(write);
	start_next(account);
	account_finish_flush(account);
}

static struct account_budget with_running(struct account *account, const struct budget *budget)
{
	struct account_budget state = budget->state;
	const struct budget_scope *scope =
		budget_find_scope(&account->budgets, state.rule.tenant, state.rule.function);

	state.running = scope ? scope->running : 0;
	return state;
}

/* -- writing -- */

static void write_work(struct job *job)
{
	struct budget_write *write =
		container_of(container_of(job, struct lane_job, job), struct budget_write, job);
	struct ledger *ledger = write->account->config.ledger;

	write->result = write->kind == WRITE_DELETE
				? ledger_delete_budget(ledger, &write->rule, &write->error)
				: ledger_put_budget(ledger, &write->rule, &write->error);
}

static void put_done(struct budget_write *write)
{
	struct account *account = write->account;
	struct budget *budget = budget_find(&account->budgets, &write->rule);
	struct account_budget state;

	if (budget) {
		budget->state.rule = write->rule;
		budget_look(account, budget);
		state = with_running(account, budget);
		answer(write, &state);
		end(write);
		return;
	}
	budget = budget_add(account, &write->rule);
	if (!budget) {
		(void)error_set_errno(&write->error, ENOMEM, "Cannot keep the budget");
		answer(write, NULL);
		end(write);
		return;
	}
	/* Once the sums have what was answered before. */
	budget->is_new = true;
	if (budget_sum(account, budget) < 0) {
		budget->is_unknown = true;
		budget_summed(account, budget);
	}
}

void budget_summed(struct account *account, struct budget *budget)
{
	struct budget_write *write = account->budgets.writes;
	struct account_budget state;

	if (!budget->is_new)
		return;
	budget->is_new = false;
	budget_look(account, budget);
	state = with_running(account, budget);
	answer(write, &state);
	end(write);
}

static void write_done(struct lane_job *job)
{
	struct budget_write *write = container_of(job, struct budget_write, job);
	struct account *account = write->account;
	struct budget *budget = budget_find(&account->budgets, &write->rule);
	struct account_budget state = { .rule = write->rule };

	if (write->result == 0 && write->kind == WRITE_PUT) {
		put_done(write);
		return;
	}
	if (write->result == 0 && write->kind == WRITE_DELETE) {
		if (budget)
			state = with_running(account, budget);
		budget_remove(account, &write->rule);
	}
	answer(write, write->result < 0 ? NULL : &state);
	end(write);
}

/* What is known of it when its turn comes. False: there is nothing to do. */
static bool complete(struct budget_write *write)
{
	const struct budget *budget = budget_find(&write->account->budgets, &write->rule);
	const struct ledger_budget *known = budget ? &budget->state.rule : NULL;

	if (write->kind == WRITE_TOLD && known)
		write->rule = *known;
	/* A limit that changes may be reached anew. */
	if (write->kind == WRITE_PUT && known) {
		if (known->soft == write->rule.soft)
			write->rule.soft_told_us = known->soft_told_us;
		if (known->hard == write->rule.hard)
			write->rule.hard_told_us = known->hard_told_us;
	}
	return known || write->kind == WRITE_PUT;
}

static void start_next(struct account *account)
{
	struct budget_write *write;

	while ((write = account->budgets.writes) && !write->job.job.work) {
		if (complete(write)) {
			write->job.job.work = write_work;
			write->job.done = write_done;
			lane_submit(&account->writing, &write->job);
			return;
		}
		account->budgets.writes = write->next;
		if (write->done) {
			(void)error_set(&write->error, ERROR_NOT_FOUND, NULL,
					"There is no such budget any more.");
			answer(write, NULL);
		}
		free_write(write);
	}
}

static int submit(struct account *account, enum write_kind kind, const struct ledger_budget *rule,
		  account_budget_fn *done, void *arg)
{
	struct budget_write *write = calloc(1, sizeof(*write));
	struct budget_write **tail = &account->budgets.writes;

	if (!write)
		return -ENOMEM;
	write->account = account;
	write->kind = kind;
	write->rule = *rule;
	write->done = done;
	write->arg = arg;
	while (*tail)
		tail = &(*tail)->next;
	*tail = write;
	if (account->budgets.writes == write)
		start_next(account);
	return 0;
}

void budget_write_told(struct account *account, const struct ledger_budget *key)
{
	if (submit(account, WRITE_TOLD, key, NULL, NULL) < 0)
		log_warning("A budget's news may be told again after a restart: out of memory");
}

void budgets_drop_writes(struct account *account)
{
	struct budget_write *write;

	while ((write = account->budgets.writes)) {
		account->budgets.writes = write->next;
		free_write(write);
	}
}

/* -- at the start -- */

static int take(const struct ledger_budget *rule, void *arg)
{
	return budget_add(arg, rule) ? 0 : -ENOMEM;
}

static int sum_scope(struct account *account, struct budget_scope *scope, struct error *error)
{
	int r = 0;

	for (unsigned m = 0; m < _LEDGER_MEASURES; m++)
		for (unsigned p = 0; p < _LEDGER_PERIODS && r == 0; p++) {
			struct budget *budget = scope->budgets[m][p];
			struct ledger_filter filter;
			struct ledger_row sums;
			uint64_t through;

			if (!budget)
				continue;
			filter = budget_filter(&budget->state.rule, budget->state.begins_us);
			r = ledger_sum(account->config.ledger, &filter, &sums, &through, error);
			if (r == 0)
				budget->state.used = budget_used_of(&sums, (enum ledger_measure)m);
		}
	return r;
}

int budgets_load(struct account *account, struct error *error)
{
	int r = ledger_each_budget(account->config.ledger, take, account, error);

	if (r == -ENOMEM)
		return error_set_errno(error, r, "Cannot take the budgets");
	for (struct budget_scope *scope = account->budgets.scopes; scope && r == 0;
	     scope = scope->hh.next)
		r = sum_scope(account, scope, error);
	return r;
}

/* -- the door -- */

int account_put_budget(struct account *account, const struct ledger_budget *rule,
		       account_budget_fn *done, void *arg, struct error *error)
{
	struct ledger_budget now = *rule;
	int r;

	if (!budget_find(&account->budgets, rule) && account->budgets.count >= ACCOUNT_BUDGETS_MAX)
		return error_set(error, ERROR_TOO_MANY_REQUESTS, NULL,
				 "The node has %d budgets already.", ACCOUNT_BUDGETS_MAX);
	now.modified_us = clock_realtime_us();
	now.soft_told_us = now.hard_told_us = 0;
	r = submit(account, WRITE_PUT, &now, done, arg);
	return r < 0 ? error_set_errno(error, r, "Cannot keep the budget") : 0;
}

int account_delete_budget(struct account *account, const struct ledger_budget *key,
			  account_budget_fn *done, void *arg, struct error *error)
{
	int r;

	if (!budget_find(&account->budgets, key))
		return error_set(
			error, ERROR_NOT_FOUND, NULL, "There is no budget of %s a %s of %s%s.",
			account_measure_name(key->measure), account_period_name(key->period),
			key->function[0] ? "function " : "tenant ",
			key->function[0] ? key->function : key->tenant);
	r = submit(account, WRITE_DELETE, key, done, arg);
	return r < 0 ? error_set_errno(error, r, "Cannot delete the budget") : 0;
}

bool account_get_budget(struct account *account, const struct ledger_budget *key,
			struct account_budget *ret)
{
	struct budget *budget = budget_find(&account->budgets, key);

	if (!budget)
		return false;
	budget_roll(account, budget, clock_realtime_us());
	*ret = with_running(account, budget);
	return true;
}

static int compare(const void *a, const void *b)
{
	const struct ledger_budget *x = a, *y = b;
	int r = strcmp(x->tenant, y->tenant);

	if (r == 0)
		r = strcmp(x->function, y->function);
	if (r == 0)
		r = (int)x->measure - (int)y->measure;
	return r ? r : (int)x->period - (int)y->period;
}

static void list_scope(struct account *account, const struct budget_scope *scope,
		       struct account_budget *list, size_t *count)
{
	for (unsigned m = 0; m < _LEDGER_MEASURES; m++)
		for (unsigned p = 0; p < _LEDGER_PERIODS; p++) {
			struct budget *budget = scope->budgets[m][p];

			if (!budget)
				continue;
			budget_roll(account, budget, clock_realtime_us());
			list[(*count)++] = with_running(account, budget);
		}
}

int account_list_budgets(struct account *account, const char *tenant, struct account_budget **ret,
			 size_t *ret_count)
{
	struct account_budget *list = calloc(account->budgets.count + 1, sizeof(*list));
	size_t count = 0;

	if (!list)
		return -ENOMEM;
	for (const struct budget_scope *scope = account->budgets.scopes; scope;
	     scope = scope->hh.next)
		if (!tenant[0] || strcmp(scope->key.tenant, tenant) == 0)
			list_scope(account, scope, list, &count);
	/* A state begins with its rule, a rule with its key. */
	qsort(list, count, sizeof(*list), compare);
	*ret = list;
	*ret_count = count;
	return 0;
}
