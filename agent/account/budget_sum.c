/* SPDX-License-Identifier: Apache-2.0 */

/* What was used of a budget in its period, from the ledger's sums: of a new one, and whenever its
 * period has become another one. That is most often a new one of which nothing was used yet; but it
 * may as well be one that was begun before, when the clock was set. */

#include <errno.h>
#include <string.h>
#include <utlist.h>

#include "agent/account/budget_internal.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

struct budget_sum {
	struct lane_job job;
	struct account_wait wait;
	struct account *account;
	struct ledger_budget rule;
	uint64_t id; /* of the budget: one that was deleted and made anew is another */
	int64_t begins_us;
	struct ledger_row sums;
	uint64_t through;
	int result;
	struct error error;
	struct budget_sum *prev, *next;
};

struct ledger_filter budget_filter(const struct ledger_budget *rule, int64_t begins_us)
{
	struct ledger_filter filter = { .from_us = begins_us, .to_us = INT64_MAX - LEDGER_HOUR_US };

	(void)snprintf(filter.tenant, sizeof(filter.tenant), "%s", rule->tenant);
	(void)snprintf(filter.function, sizeof(filter.function), "%s", rule->function);
	return filter;
}

int64_t budget_used_of(const struct ledger_row *sums, enum ledger_measure measure)
{
	return sums
		->figures[measure == LEDGER_MEASURE_REQUESTS ? LEDGER_INVOCATIONS : LEDGER_MB_MS];
}

static void sum_work(struct job *job)
{
	struct budget_sum *sum =
		container_of(container_of(job, struct lane_job, job), struct budget_sum, job);
	const struct ledger_filter filter = budget_filter(&sum->rule, sum->begins_us);

	sum->result = ledger_sum(sum->account->config.ledger, &filter, &sum->sums, &sum->through,
				 &sum->error);
}

static void on_committed(struct account_wait *wait)
{
	struct budget_sum *sum = container_of(wait, struct budget_sum, wait);

	sum->job.key = sum->rule.tenant;
	lane_submit(&sum->account->reading, &sum->job);
}

/* A new one is answered with all that was answered before; others hear of each record later. */
static void start(struct budget_sum *sum, const struct budget *budget)
{
	if (budget->is_new)
		account_wait(sum->account, &sum->wait);
	else
		on_committed(&sum->wait);
}

/* Records that became durable meanwhile are in the sums up to `through`. */
static void load(struct budget *budget, const struct budget_sum *sum)
{
	budget->state.used = budget_used_of(&sum->sums, budget->state.rule.measure);
	for (size_t i = 0; i < budget->late_count; i++)
		if (budget->late[i].sequence > sum->through)
			budget->state.used += budget->late[i].amount;
	budget->summed_through = sum->through;
	budget->is_unknown = false;
}

static void free_sum(struct budget_sum *sum)
{
	DL_DELETE(sum->account->budgets.sums, sum);
	error_clear(&sum->error);
	free(sum);
}

/* Its outcome is that of a period which is over: once more. */
static bool is_outdated(const struct budget *budget, const struct budget_sum *sum)
{
	return budget->state.begins_us != sum->begins_us;
}

static void sum_done(struct lane_job *job)
{
	struct budget_sum *sum = container_of(job, struct budget_sum, job);
	struct account *account = sum->account;
	struct budget *budget = budget_find(&account->budgets, &sum->rule);

	if (budget && budget->id != sum->id)
		budget = NULL;
	if (budget && is_outdated(budget, sum)) {
		sum->begins_us = budget->state.begins_us;
		error_clear(&sum->error);
		start(sum, budget);
		return;
	}
	/* One that is unknown stays so, and is summed again when it is looked at. */
	if (budget && sum->result == 0)
		load(budget, sum);
	else if (budget && !budget->is_unknown)
		log_warning("What was used of a budget until now is not known: %s",
			    error_log_text(&sum->error));
	free_sum(sum);
	if (budget) {
		budget->is_summing = false;
		free(TAKE_PTR(budget->late));
		budget->late_count = 0;
		budget_look(account, budget);
		budget_summed(account, budget);
	}
	account_finish_flush(account);
}

int budget_sum(struct account *account, struct budget *budget)
{
	struct budget_sum *sum;

	if (budget->is_summing)
		return 0; /* it will see that the period is another */
	sum = calloc(1, sizeof(*sum));
	if (!sum)
		return -ENOMEM;
	*sum = (struct budget_sum){
		.job = { .job.work = sum_work, .done = sum_done },
		.wait.fn = on_committed,
		.account = account,
		.rule = budget->state.rule,
		.id = budget->id,
		.begins_us = budget->state.begins_us,
	};
	DL_APPEND(account->budgets.sums, sum);
	budget->is_summing = true;
	start(sum, budget);
	return 0;
}

void budgets_drop_sums(struct account *account)
{
	while (account->budgets.sums)
		free_sum(account->budgets.sums);
}

/* -- periods -- */

static void period_of(enum ledger_period period, int64_t now_us, int64_t *ret_begins_us,
		      int64_t *ret_ends_us)
{
	time_t now = now_us / USEC_PER_SEC;
	struct tm utc;

	(void)gmtime_r(&now, &utc);
	utc.tm_hour = utc.tm_min = utc.tm_sec = 0;
	if (period == LEDGER_PERIOD_MONTH)
		utc.tm_mday = 1;
	*ret_begins_us = timegm(&utc) * USEC_PER_SEC;
	if (period == LEDGER_PERIOD_MONTH)
		utc.tm_mon++;
	else
		utc.tm_mday++;
	*ret_ends_us = timegm(&utc) * USEC_PER_SEC;
}

void budget_begin(struct budget *budget, int64_t now_us)
{
	period_of(budget->state.rule.period, now_us, &budget->state.begins_us,
		  &budget->state.ends_us);
	budget->state.used = 0;
	budget->late_count = 0;
	budget->clock_offset_us = now_us - clock_monotonic_us();
}

/* Whether the clock went on by itself since it was looked at last. */
static bool has_passed(const struct budget *budget, int64_t offset_us)
{
	int64_t step_us = offset_us - budget->clock_offset_us;

	return step_us > -BUDGET_CLOCK_SLACK_US && step_us < BUDGET_CLOCK_SLACK_US;
}

void budget_roll(struct account *account, struct budget *budget, int64_t now_us)
{
	struct account_budget *state = &budget->state;
	int64_t offset_us = now_us - clock_monotonic_us();
	bool is_same = now_us >= state->begins_us && now_us < state->ends_us;
	bool is_next = now_us >= state->ends_us && has_passed(budget, offset_us);

	budget->clock_offset_us = offset_us;
	if (is_same && !budget->is_unknown)
		return;
	if (!is_same) {
		budget->is_unknown |= !is_next;
		budget_begin(budget, now_us);
	}
	if (budget_sum(account, budget) < 0)
		budget->is_unknown = true; /* and tried again */
}
