/* SPDX-License-Identifier: Apache-2.0 */

/* What limits, budgets, metrics and the ledger cost an invocation together, on the way that every
 * one takes: a place, a record, the answer released by its commit, the place given back; and room
 * to wait in, which not all need. Functions are an echo within this process, so that nothing else
 * is measured; the baseline is the same loop with the echo alone.
 *
 * usage: mayfly-bench-control [FOLDER]     (default /var/tmp; the disk under it is part of the
 * figures) */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/account/budget.h"
#include "agent/functions/function.h"
#include "agent/invoke/concurrency.h"
#include "agent/invoke/metrics.h"
#include "agent/invoke/waiting_room.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"
#include "mayfly/id.h"

#define INVOCATIONS 100000U
#define FUNCTIONS   1000U
#define TENANTS     100U

struct run {
	struct loop *loop;
	struct concurrency *concurrency; /* NULL: the baseline */
	struct waiting_room *room;
	struct metrics *metrics;
	struct account *account;
	unsigned begun, ended;
};

/* One on its way. */
struct echo {
	struct run *run;
	struct concurrency_grant grant;
	struct waiter waiter;
	struct account_entry *entry;
	char tenant[TENANT_ID_DIGITS + 1];
	char function[32];
};

static void die(const char *doing, const struct error *error)
{
	(void)fprintf(stderr, "mayfly-bench-control: cannot %s: %s\n", doing, error_text(error));
	exit(1);
}

static int64_t cpu_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * USEC_PER_SEC + now.tv_nsec / 1000;
}

static void begin(void *arg);

static void end(struct echo *echo)
{
	struct run *run = echo->run;

	if (++run->ended == INVOCATIONS)
		loop_exit_when_idle(run->loop, 0);
	else if (run->begun < INVOCATIONS)
		loop_post(run->loop, begin, echo);
}

static void on_recorded(const struct error *error, void *arg)
{
	struct echo *echo = arg;
	const struct metrics_sample sample = { .tenant = echo->tenant,
					       .function_name = echo->function,
					       .duration_us = 1000,
					       .phases_us[METRICS_PLACE] = 1 };

	if (error)
		die("record", error);
	metrics_count_invocation(echo->run->metrics, &sample);
	concurrency_give_back(echo->run->concurrency, &echo->grant);
	end(echo);
}

static void fill(const struct echo *echo, struct ledger_record *record)
{
	*record = (struct ledger_record){
		.version = "$LATEST",
		.started_us = clock_realtime_us(),
		.duration_us = 1000,
		.init_us = -1,
		.restore_us = -1,
		.billed_restore_ms = -1,
		.billed_ms = 1,
		.memory_mb = 128,
		.max_memory_mb = 36,
		.event_bytes = 20,
		.answer_bytes = 20,
		.storage_mb = LEDGER_STORAGE_FREE_MB,
	};
	uuid_generate(record->request_id);
	(void)snprintf(record->tenant, sizeof(record->tenant), "%s", echo->tenant);
	(void)snprintf(record->function, sizeof(record->function), "%s", echo->function);
}

/* The way of invoker_submit() and of the end of an invocation, less the sandbox. */
static void begin(void *arg)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct echo *echo = arg;
	struct run *run = echo->run;
	unsigned function = run->begun++ * 7919U % FUNCTIONS;

	(void)snprintf(echo->tenant, sizeof(echo->tenant), "%012u", function % TENANTS);
	(void)snprintf(echo->function, sizeof(echo->function), "function-%u", function);
	if (!run->concurrency) {
		end(echo);
		return;
	}
	if (concurrency_take(run->concurrency, echo->tenant, echo->function, 1,
			     clock_monotonic_us(), &echo->grant, &error) < 0)
		die("take a place", &error);
	if (account_check_budgets(run->account, echo->tenant, echo->function, &error) < 0)
		die("be within budgets", &error);
	if (account_admit(run->account, &echo->entry, &error) < 0)
		die("be admitted", &error);
	account_reserve_budgets(run->account, echo->entry, echo->tenant, echo->function);
	if (waiting_room_enter(run->room, echo->tenant, 20, &echo->waiter) < 0)
		die("wait", &error);
	waiting_room_leave(run->room, &echo->waiter);
	fill(echo, &echo->entry->record);
	account_record(run->account, TAKE_PTR(echo->entry), on_recorded, echo);
}

/* CPU per invocation with so many under way, in microseconds. */
static double measure(struct run *run, unsigned under_way, int64_t *ret_wall_us)
{
	struct echo *echoes = calloc(under_way, sizeof(*echoes));
	int64_t cpu, wall;

	if (!echoes)
		exit(1);
	run->begun = run->ended = 0;
	cpu = cpu_us();
	wall = clock_monotonic_us();
	for (unsigned i = 0; i < under_way; i++) {
		echoes[i].run = run;
		loop_post(run->loop, begin, &echoes[i]);
	}
	if (loop_run(run->loop) < 0)
		exit(1);
	*ret_wall_us = clock_monotonic_us() - wall;
	cpu = cpu_us() - cpu;
	free(echoes);
	return (double)cpu / INVOCATIONS;
}

static void new_loop(struct run *run)
{
	if (loop_new(2, &run->loop) < 0)
		exit(1);
}

/* Two of each tenant, and two of every second function up to the node's limit. */
static void put_budgets(struct ledger *ledger)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct ledger_budget budget = { .soft = -1, .hard = INT64_MAX / 2 };
	unsigned count = 0;

	for (unsigned i = 0; i < TENANTS + FUNCTIONS && count < ACCOUNT_BUDGETS_MAX; i++) {
		unsigned function = i < TENANTS ? i : (i - TENANTS) * 2 % FUNCTIONS;

		(void)snprintf(budget.tenant, sizeof(budget.tenant), "%012u", function % TENANTS);
		if (i >= TENANTS)
			(void)snprintf(budget.function, sizeof(budget.function), "function-%u",
				       function);
		for (int m = 0; m < _LEDGER_MEASURES && count < ACCOUNT_BUDGETS_MAX; m++, count++) {
			budget.measure = (enum ledger_measure)m;
			budget.period = LEDGER_PERIOD_MONTH;
			if (ledger_put_budget(ledger, &budget, &error) < 0)
				die("put a budget", &error);
		}
	}
}

static void with_control(const char *folder, unsigned under_way, double baseline)
{
	const struct concurrency_limits limits = { .tenant = 1000000,
						   .requests = 1000,
						   .scaling = 1000000 };
	const struct waiting_room_config room = { .max_waiting = 10000, .max_bytes = 256U << 20 };
	_cleanup_error_ struct error error = ERROR_INIT;
	char state[256], path[300], journal[300];
	struct run run = { 0 };
	struct ledger *ledger;
	int64_t wall_us;
	double cpu;

	(void)snprintf(state, sizeof(state), "%s/mayfly-control-XXXXXX", folder);
	if (!mkdtemp(state))
		exit(1);
	(void)snprintf(path, sizeof(path), "%s/ledger.db", state);
	(void)snprintf(journal, sizeof(journal), "%s/ledger.journal", state);
	new_loop(&run);
	if (ledger_open(path, false, &ledger, &error) < 0)
		die("open the ledger", &error);
	put_budgets(ledger);
	const struct account_config config = { .ledger = ledger,
					       .journal_path = journal,
					       .journal_answers = true,
					       .answer_wait_us = 30 * USEC_PER_SEC,
					       .raw_keep_us = 35 * 86400 * USEC_PER_SEC };
	if (account_new(&config, run.loop, &run.account, &error) < 0)
		die("open the account", &error);
	if (concurrency_new(&limits, &run.concurrency) < 0 ||
	    waiting_room_new(&room, &run.room) < 0 ||
	    metrics_new(METRICS_FUNCTIONS_DEFAULT, &run.metrics) < 0)
		exit(1);
	cpu = measure(&run, under_way, &wall_us);
	(void)printf("%4u under way  %6.1f us of CPU each, %.1f of them the echo; %6.0f a second\n",
		     under_way, cpu, baseline, INVOCATIONS * 1e6 / (double)wall_us);
	loop_end_jobs(run.loop);
	account_free(run.account);
	ledger_close(ledger);
	concurrency_free(run.concurrency);
	waiting_room_free(run.room);
	metrics_free(run.metrics);
	(void)loop_free(run.loop);
	if (fs_remove_tree(state) < 0)
		exit(1);
}

int main(int argc, char **argv)
{
	static const unsigned under_way[] = { 1, 10, 100 };
	const char *folder = argc > 1 ? argv[1] : "/var/tmp";
	struct run baseline = { 0 };
	int64_t wall_us;
	double echo;

	new_loop(&baseline);
	echo = measure(&baseline, 1, &wall_us);
	(void)loop_free(baseline.loop);
	(void)printf("%u invocations of %u functions of %u tenants\n", INVOCATIONS, FUNCTIONS,
		     TENANTS);
	for (size_t i = 0; i < ARRAY_SIZE(under_way); i++)
		with_control(folder, under_way[i], echo);
	return 0;
}
