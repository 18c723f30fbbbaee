/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_account mayfly_store mayfly_core mayfly_base mayfly_pkg_sqlite

/* What is billed by its time, with clocks that the test turns: sums are what units, memory and time
 * come to, whatever comes and goes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/account/account_internal.h"
#include "tests/unit/clock_double.h"
#include "tests/unit/ledger_harness.h"

#define MINUTE_US (60 * USEC_PER_SEC)
#define MB        128

struct fixture {
	struct ledger_place place;
	struct loop *loop;
	struct account *account;
};

static void open_account(struct fixture *f)
{
	const struct account_config config = { .ledger = f->place.ledger,
					       .answer_wait_us = MINUTE_US,
					       .raw_keep_us = 1 };

	assert_int_equal(account_new(&config, f->loop, &f->account, NULL), 0);
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

/* Until no job is under way. */
static void settle(struct fixture *f)
{
	for (int turns = 0; f->account->meters.writing && turns < 1000; turns++)
		assert_true(sd_event_run(loop_event(f->loop), 10000) >= 0);
	assert_false(f->account->meters.writing);
}

/* The minute's timer, without its wait. */
static void tick(struct fixture *f)
{
	f->account->meters.timer.fn(f->account);
	settle(f);
}

static void meter_kind(struct fixture *f, enum ledger_accrual_kind kind, unsigned wanted,
		       unsigned available, bool old)
{
	assert_int_equal(
		account_meter(f->account, &(struct account_metered){ .kind = kind,
								     .tenant = TENANT,
								     .function = "f",
								     .version = "1",
								     .memory_mb = wanted ? MB : 0,
								     .wanted = wanted,
								     .available = available,
								     .old = old }),
		0);
	settle(f);
}

static void meter(struct fixture *f, unsigned wanted, unsigned available)
{
	meter_kind(f, LEDGER_ALLOCATION, wanted, available, false);
}

static int keep(const struct ledger_row *row, void *arg)
{
	*(struct ledger_row *)arg = *row;
	return 0;
}

static int64_t sum(struct fixture *f, enum ledger_figure figure, int64_t from_us, int64_t to_us)
{
	const struct ledger_query query = { .filter = { .from_us = from_us, .to_us = to_us },
					    .limit = 1 };
	struct ledger_row row = { 0 };

	assert_int_equal(ledger_query(f->place.ledger, &query, keep, &row, NULL), 0);
	return row.figures[figure];
}

/* In unit-seconds. */
static int64_t allocated(struct fixture *f)
{
	return sum(f, LEDGER_ALLOCATED_MB_MS, 0, INT64_MAX / 2) / MB / 1000;
}

/* -- tests -- */

static void only_what_is_there_is_billed(void **state)
{
	struct fixture *f = *state;

	meter(f, 3, 0);
	clock_double_passed_us += 10 * USEC_PER_SEC;
	meter(f, 3, 2);
	clock_double_passed_us += 400 * USEC_PER_SEC;
	meter(f, 3, 3);
	clock_double_passed_us += 400 * USEC_PER_SEC;
	meter(f, 3, 1); /* two crashed, which is not giving back */
	clock_double_passed_us += 5 * USEC_PER_SEC;
	meter(f, 3, 3);
	clock_double_passed_us += 7 * USEC_PER_SEC;
	meter(f, 0, 0);
	assert_int_equal(allocated(f), 2 * 400 + 3 * 400 + 5 + 3 * 7);
	assert_null(f->account->meters.meters);
}

static void a_minimum_is_due_for_the_youngest_that_go(void **state)
{
	struct fixture *f = *state;

	meter(f, 2, 2);
	clock_double_passed_us += 200 * USEC_PER_SEC;
	meter(f, 5, 5);
	clock_double_passed_us += 50 * USEC_PER_SEC;
	/* Three of 50 seconds and one of 250 go. */
	meter(f, 1, 5);
	assert_int_equal(allocated(f), 2 * 200 + 5 * 50 + 3 * 250 + 50);
	clock_double_passed_us += 100 * USEC_PER_SEC;
	/* The last one has been there for long enough. */
	meter(f, 0, 0);
	assert_int_equal(allocated(f), 2 * 200 + 5 * 50 + 3 * 250 + 50 + 100);
}

static void a_snapshot_is_kept_for_three_hours_at_least(void **state)
{
	struct fixture *f = *state;

	meter_kind(f, LEDGER_CACHE, 1, 1, false);
	clock_double_passed_us += 60 * USEC_PER_SEC;
	meter_kind(f, LEDGER_CACHE, 0, 0, false);
	assert_int_equal(sum(f, LEDGER_CACHED_MB_MS, 0, INT64_MAX / 2), 3LL * 3600 * 1000 * MB);
	assert_int_equal(allocated(f), 0);
}

static void what_was_there_before_the_start_owes_no_minimum(void **state)
{
	struct fixture *f = *state;

	meter_kind(f, LEDGER_ALLOCATION, 2, 0, true);
	clock_double_passed_us += USEC_PER_SEC;
	meter(f, 2, 2);
	clock_double_passed_us += 10 * USEC_PER_SEC;
	meter(f, 3, 3); /* this one is new */
	clock_double_passed_us += 10 * USEC_PER_SEC;
	meter(f, 0, 0);
	assert_int_equal(allocated(f), 2 * 10 + 3 * 10 + 290);
}

/* A kill loses what the last minute brought, and no more. */
static void a_minute_makes_it_durable(void **state)
{
	struct fixture *f = *state;

	meter(f, 2, 2);
	clock_double_passed_us += 59 * USEC_PER_SEC;
	assert_int_equal(allocated(f), 0);
	clock_double_passed_us += USEC_PER_SEC;
	tick(f);
	assert_int_equal(allocated(f), 2 * 60);
	clock_double_passed_us += MINUTE_US;
	tick(f);
	assert_int_equal(allocated(f), 2 * 120);
	clock_double_passed_us += 59 * USEC_PER_SEC;
	/* Killed. */
	account_free(f->account);
	ledger_reopen(&f->place);
	open_account(f);
	assert_int_equal(allocated(f), 2 * 120);
}

static void an_hour_ends_a_piece(void **state)
{
	struct fixture *f = *state;

	clock_double_passed_us = 3590 * USEC_PER_SEC;
	meter(f, 1, 1);
	clock_double_passed_us += 10 * USEC_PER_SEC;
	tick(f);
	clock_double_passed_us += 20 * USEC_PER_SEC;
	meter(f, 0, 0);
	assert_int_equal(sum(f, LEDGER_ALLOCATED_MB_MS, NOON_US, NOON_US + LEDGER_HOUR_US),
			 10LL * 1000 * MB);
	/* With the rest of the minimum. */
	assert_int_equal(sum(f, LEDGER_ALLOCATED_MB_MS, NOON_US + LEDGER_HOUR_US,
			     NOON_US + 2 * LEDGER_HOUR_US),
			 (20 + 270) * 1000LL * MB);
}

static void a_full_disk_only_delays_it(void **state)
{
	struct fixture *f = *state;

	meter(f, 1, 1);
	clock_double_passed_us += 500 * USEC_PER_SEC;
	ledger_limit_files(4096);
	meter(f, 2, 2);
	assert_true(f->account->meters.failing);
	clock_double_passed_us += 10 * USEC_PER_SEC;
	tick(f);
	assert_true(f->account->meters.failing);
	ledger_limit_files(0);
	clock_double_passed_us += 10 * USEC_PER_SEC;
	tick(f);
	assert_false(f->account->meters.failing);
	assert_int_equal(allocated(f), 500 + 2 * 20);
}

static void on_flushed(void *arg)
{
	*(bool *)arg = true;
}

static void the_end_loses_nothing(void **state)
{
	struct fixture *f = *state;
	bool flushed = false;

	meter(f, 2, 2);
	clock_double_passed_us += 3 * USEC_PER_SEC;
	account_flush(f->account, on_flushed, &flushed);
	for (int turns = 0; !flushed && turns < 1000; turns++)
		assert_true(sd_event_run(loop_event(f->loop), 10000) >= 0);
	assert_true(flushed);
	/* To stop is not to give back. */
	assert_int_equal(allocated(f), 2 * 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(only_what_is_there_is_billed),
		TEST(a_minimum_is_due_for_the_youngest_that_go),
		TEST(a_snapshot_is_kept_for_three_hours_at_least),
		TEST(what_was_there_before_the_start_owes_no_minimum),
		TEST(a_minute_makes_it_durable),
		TEST(an_hour_ends_a_piece),
		TEST(a_full_disk_only_delays_it),
		TEST(the_end_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
