/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_account mayfly_store mayfly_core mayfly_base mayfly_pkg_sqlite

/* Budgets: what is counted, when it is told, what is refused, and what a restart knows; with clocks
 * that the test turns. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/account/account_internal.h"
#include "tests/unit/clock_double.h"
#include "tests/unit/ledger_harness.h"

#define DAY_US (24 * LEDGER_HOUR_US)
#define OTHER  "999999999999"

struct news {
	unsigned soft, hard;
};

struct fixture {
	struct ledger_place place;
	struct loop *loop;
	struct account *account;
	struct news news;
	unsigned number; /* of the last invocation */
};

static void on_news(const struct account_budget *budget _unused_, bool hard, void *arg)
{
	struct news *news = arg;

	news->soft += !hard;
	news->hard += hard;
}

static void open_account(struct fixture *f)
{
	const struct account_config config = { .ledger = f->place.ledger,
					       .answer_wait_us = 1000 * USEC_PER_SEC,
					       .raw_keep_us = 1 };

	assert_int_equal(account_new(&config, f->loop, &f->account, NULL), 0);
	account_set_budget_listener(f->account, on_news, &f->news);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	clock_double_passed_us = 0;
	clock_double_realtime_us = NOON_US;
	ledger_make(&f->place);
	assert_int_equal(loop_new(1, &f->loop), 0);
	open_account(f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	loop_end_jobs(f->loop);
	account_free(f->account);
	loop_free(f->loop);
	ledger_unmake(&f->place);
	free(f);
	return 0;
}

#define RUN_UNTIL(f, condition)                                                                    \
	do {                                                                                       \
		for (int turns = 0; !(condition) && turns < 1000; turns++)                         \
			assert_true(sd_event_run(loop_event((f)->loop), 10000) >= 0);              \
		assert_true(condition);                                                            \
	} while (0)

/* -- rules -- */

static struct ledger_budget requests(const char *function, int64_t soft, int64_t hard)
{
	struct ledger_budget rule = { .tenant = TENANT,
				      .measure = LEDGER_MEASURE_REQUESTS,
				      .period = LEDGER_PERIOD_DAY,
				      .soft = soft,
				      .hard = hard };

	(void)snprintf(rule.function, sizeof(rule.function), "%s", function);
	return rule;
}

struct answer {
	bool given;
	enum error_code code;
	struct account_budget budget;
};

static void on_budget(const struct account_budget *budget, const struct error *error, void *arg)
{
	struct answer *answer = arg;

	answer->given = true;
	answer->code = error ? error->code : ERROR_NONE;
	if (budget)
		answer->budget = *budget;
}

static struct account_budget put(struct fixture *f, const struct ledger_budget *rule)
{
	struct answer answer = { 0 };

	assert_int_equal(account_put_budget(f->account, rule, on_budget, &answer, NULL), 0);
	assert_false(answer.given);
	RUN_UNTIL(f, answer.given);
	assert_int_equal(answer.code, ERROR_NONE);
	RUN_UNTIL(f, !f->account->budgets.writes);
	return answer.budget;
}

static int64_t used(struct fixture *f, const struct ledger_budget *rule)
{
	struct account_budget budget;

	assert_true(account_get_budget(f->account, rule, &budget));
	return budget.used;
}

/* -- invocations -- */

static void on_recorded(const struct error *error, void *arg)
{
	assert_null(error);
	*(bool *)arg = true;
}

static struct account_entry *admit(struct fixture *f, const char *function)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct account_entry *entry = NULL;

	if (account_check_budgets(f->account, TENANT, function, &error) < 0) {
		assert_int_equal(error.code, ERROR_TOO_MANY_REQUESTS);
		assert_string_equal(error.reason, "BudgetExceeded");
		return NULL;
	}
	assert_int_equal(account_admit(f->account, &entry, NULL), 0);
	account_reserve_budgets(f->account, entry, TENANT, function);
	entry->record = ledger_sample(++f->number, function, clock_realtime_us());
	return entry;
}

static void finish(struct fixture *f, struct account_entry *entry)
{
	bool recorded = false;

	account_record(f->account, entry, on_recorded, &recorded);
	RUN_UNTIL(f, recorded);
	RUN_UNTIL(f, !f->account->budgets.writes);
}

static bool run(struct fixture *f, const char *function)
{
	struct account_entry *entry = admit(f, function);

	if (entry)
		finish(f, entry);
	return entry != NULL;
}

static void restart(struct fixture *f)
{
	account_free(f->account);
	ledger_reopen(&f->place);
	open_account(f);
}

/* -- tests -- */

static void limits_are_told_once_and_kept(void **state)
{
	struct fixture *f = *state;
	const struct ledger_budget rule = requests("", 2, 3);
	struct account_budget_counts counts;

	assert_true(run(f, "f")); /* before there was one */
	assert_int_equal(put(f, &rule).used, 1);
	assert_int_equal(f->news.soft, 0);
	assert_true(run(f, "f"));
	assert_int_equal(f->news.soft, 1);
	assert_true(run(f, "g"));
	assert_false(run(f, "f"));
	assert_false(run(f, "g"));
	assert_int_equal(f->news.soft, 1);
	assert_int_equal(f->news.hard, 1);
	account_budget_counts(f->account, &counts);
	assert_int_equal(counts.refused, 2);
	/* A kill forgets neither what was used nor what was told. */
	restart(f);
	assert_int_equal(used(f, &rule), 3);
	assert_false(run(f, "f"));
	assert_int_equal(f->news.soft, 1);
	assert_int_equal(f->news.hard, 1);
	/* The next day. */
	clock_double_passed_us += DAY_US / 2;
	assert_true(run(f, "f"));
	assert_int_equal(used(f, &rule), 1);
	assert_true(run(f, "f"));
	assert_int_equal(f->news.soft, 2);
}

static void requests_that_run_count(void **state)
{
	struct fixture *f = *state;
	const struct ledger_budget rule = requests("f", -1, 2);
	struct account_entry *a, *b;

	(void)put(f, &rule);
	a = admit(f, "f");
	b = admit(f, "f");
	assert_non_null(a);
	assert_non_null(b);
	assert_null(admit(f, "f"));
	assert_true(run(f, "g")); /* no business of f's */
	/* One did not run after all. */
	account_drop(b);
	b = admit(f, "f");
	assert_non_null(b);
	finish(f, a);
	assert_null(admit(f, "f"));
	finish(f, b);
	assert_null(admit(f, "f"));
	assert_int_equal(used(f, &rule), 2);
	assert_int_equal(f->news.hard, 1);
}

static void billed_gb_seconds_count(void **state)
{
	struct fixture *f = *state;
	struct ledger_budget rule = requests("", -1, 2LL * 128 * 4);
	struct account_entry *entry;

	rule.measure = LEDGER_MEASURE_MB_MS;
	rule.period = LEDGER_PERIOD_MONTH;
	(void)put(f, &rule);
	/* What runs when it is reached goes on: the overshoot. */
	entry = admit(f, "f");
	for (int i = 0; i < 4; i++)
		assert_true(run(f, "f")); /* 2 ms of 128 MB */
	assert_false(run(f, "f"));
	finish(f, entry);
	assert_int_equal(used(f, &rule), 5 * 2 * 128);
	restart(f);
	assert_int_equal(used(f, &rule), 5 * 2 * 128);
	assert_false(run(f, "f"));
	/* Another day does not help, another month does: day 20000 was in October 2024. */
	clock_double_passed_us += 2 * DAY_US;
	assert_false(run(f, "f"));
	clock_double_passed_us += 30 * DAY_US;
	assert_true(run(f, "f"));
}

static void a_limit_that_changes_is_told_anew(void **state)
{
	struct fixture *f = *state;
	struct ledger_budget rule = requests("", 1, -1);
	struct answer answer = { 0 };
	struct account_budget *list;
	size_t count;

	(void)put(f, &rule);
	assert_true(run(f, "f"));
	assert_int_equal(f->news.soft, 1);
	rule.hard = 9;
	(void)put(f, &rule);
	assert_int_equal(f->news.soft, 1);
	rule.soft = 2;
	rule.hard = 0; /* nothing runs */
	(void)put(f, &rule);
	assert_int_equal(f->news.hard, 1);
	assert_false(run(f, "f"));
	rule.hard = -1;
	(void)put(f, &rule);
	assert_true(run(f, "f"));
	assert_int_equal(f->news.soft, 2);
	assert_int_equal(account_list_budgets(f->account, OTHER, &list, &count), 0);
	assert_int_equal(count, 0);
	free(list);
	assert_int_equal(account_list_budgets(f->account, "", &list, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(list[0].used, 2);
	free(list);
	assert_int_equal(account_delete_budget(f->account, &rule, on_budget, &answer, NULL), 0);
	RUN_UNTIL(f, answer.given);
	assert_int_equal(answer.budget.used, 2);
	restart(f);
	assert_int_equal(f->account->budgets.count, 0);
	assert_true(account_delete_budget(f->account, &rule, on_budget, &answer, NULL) < 0);
}

/* Whatever the clock does, what was used in a period was. */
static void a_clock_that_was_wrong_opens_no_budget(void **state)
{
	struct fixture *f = *state;
	const struct ledger_budget rule = requests("", -1, 3);
	unsigned ran = 0;

	(void)put(f, &rule);
	for (unsigned i = 0; i < 3; i++)
		assert_true(run(f, "f"));
	assert_false(run(f, "f"));
	/* Ahead for one look, which nothing is admitted by, and right again. */
	clock_double_realtime_us += 2 * DAY_US;
	assert_false(run(f, "f"));
	assert_int_equal(used(f, &rule), 0);
	clock_double_realtime_us -= 2 * DAY_US;
	for (unsigned i = 0; i < 20; i++)
		ran += run(f, "f");
	RUN_UNTIL(f, !f->account->budgets.sums);
	for (unsigned i = 0; i < 20; i++)
		ran += run(f, "f");
	assert_int_equal(ran, 0);
	assert_int_equal(used(f, &rule), 3);
	/* A day ahead for longer: that day has its own, and this one stays used up. */
	clock_double_realtime_us += DAY_US;
	assert_false(run(f, "f"));
	RUN_UNTIL(f, !f->account->budgets.sums);
	assert_true(run(f, "f"));
	clock_double_realtime_us -= DAY_US;
	assert_false(run(f, "f"));
	RUN_UNTIL(f, !f->account->budgets.sums);
	assert_false(run(f, "f"));
}

static void a_restart_behind_the_time_opens_no_budget(void **state)
{
	struct fixture *f = *state;
	const struct ledger_budget rule = requests("", -1, 3);

	(void)put(f, &rule);
	for (unsigned i = 0; i < 3; i++)
		assert_true(run(f, "f"));
	clock_double_realtime_us -= 2 * DAY_US;
	restart(f);
	assert_false(run(f, "f"));
	clock_double_realtime_us += 2 * DAY_US;
	assert_false(run(f, "f"));
	RUN_UNTIL(f, !f->account->budgets.sums);
	assert_false(run(f, "f"));
	assert_int_equal(used(f, &rule), 3);
}

/* What is not known yet is no reason to let anything through, nor is a ledger that is not read. */
static void a_new_day_begins_without_a_pause(void **state)
{
	struct fixture *f = *state;
	const struct ledger_budget rule = requests("", -1, 2);
	struct account_entry *entry;

	(void)put(f, &rule);
	assert_true(run(f, "f"));
	entry = admit(f, "f");
	assert_non_null(entry);
	assert_null(admit(f, "f"));
	clock_double_passed_us += DAY_US;
	/* What began yesterday still runs, and counts as what runs. */
	assert_true(run(f, "f"));
	assert_null(admit(f, "f"));
	finish(f, entry);
	RUN_UNTIL(f, !f->account->budgets.sums);
	assert_int_equal(used(f, &rule), 1);
	assert_true(run(f, "f"));
	assert_false(run(f, "f"));
}

/* Records that become durable while the sums are read count once. */
static void a_budget_is_exact_from_its_first_moment(void **state)
{
	struct fixture *f = *state;
	const struct ledger_budget rule = requests("", -1, 1000);
	struct answer answer = { 0 };
	bool recorded[60] = { false };

	for (unsigned i = 0; i < ARRAY_SIZE(recorded); i++) {
		account_record(f->account, admit(f, "f"), on_recorded, &recorded[i]);
		if (i == 20)
			assert_int_equal(
				account_put_budget(f->account, &rule, on_budget, &answer, NULL), 0);
		if (i > 20)
			assert_true(sd_event_run(loop_event(f->loop), 0) >= 0);
	}
	RUN_UNTIL(f, answer.given && recorded[59]);
	assert_int_equal(used(f, &rule), 60);
}

static void a_full_disk_changes_no_budget(void **state)
{
	struct fixture *f = *state;
	const struct ledger_budget rule = requests("", -1, 5);
	struct answer answer = { 0 };
	struct account_budget budget;

	ledger_limit_files(4096);
	assert_int_equal(account_put_budget(f->account, &rule, on_budget, &answer, NULL), 0);
	RUN_UNTIL(f, answer.given);
	ledger_limit_files(0);
	assert_int_equal(answer.code, ERROR_UNAVAILABLE);
	assert_false(account_get_budget(f->account, &rule, &budget));
	(void)put(f, &rule);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(limits_are_told_once_and_kept),
		TEST(requests_that_run_count),
		TEST(billed_gb_seconds_count),
		TEST(a_limit_that_changes_is_told_anew),
		TEST(a_clock_that_was_wrong_opens_no_budget),
		TEST(a_restart_behind_the_time_opens_no_budget),
		TEST(a_new_day_begins_without_a_pause),
		TEST(a_budget_is_exact_from_its_first_moment),
		TEST(a_full_disk_changes_no_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
