/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_events mayfly_queues mayfly_store mayfly_functions mayfly_core mayfly_base
// mayfly_pkg_sqlite

/* What follows from the outcome of a try, and whose turn it is. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/events/event_internal.h"
#include "mayfly/clock.h"

#define SECOND USEC_PER_SEC

/* -- policy -- */

static const struct event_policy lambda = {
	.max_retries = EVENT_RETRIES_DEFAULT,
	.retry_first_us = EVENT_RETRY_FIRST_DEFAULT,
	.delay_first_us = EVENT_DELAY_FIRST_DEFAULT,
	.delay_max_us = EVENT_DELAY_MAX_DEFAULT,
	.max_age_us = EVENT_MAX_AGE_DEFAULT,
};

static void test_a_function_error_is_tried_again_twice(void **state _unused_)
{
	struct event_record record = { .received_us = 5 * SECOND, .delays = 7 };
	int64_t now_us = 100 * SECOND;

	assert_int_equal(event_decide(&lambda, &record, EVENT_FAILED, now_us), EVENT_GOES_ON);
	assert_int_equal(record.due_us, now_us + 60 * SECOND);
	assert_int_equal(record.delays, 0);
	assert_int_equal(event_decide(&lambda, &record, EVENT_FAILED, now_us), EVENT_GOES_ON);
	assert_int_equal(record.due_us, now_us + 120 * SECOND);
	assert_int_equal(event_decide(&lambda, &record, EVENT_FAILED, now_us),
			 EVENT_RETRIES_EXHAUSTED);
	assert_int_equal(record.errors, 3);
}

static void test_no_retries(void **state _unused_)
{
	struct event_policy policy = lambda;
	struct event_record record = { 0 };

	policy.max_retries = 0;
	assert_int_equal(event_decide(&policy, &record, EVENT_FAILED, SECOND),
			 EVENT_RETRIES_EXHAUSTED);
}

static void test_a_throttle_uses_no_try_up(void **state _unused_)
{
	static const int64_t waits_s[] = { 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300 };
	struct event_record record = { .errors = 1 };
	int64_t now_us = SECOND;

	for (size_t i = 0; i < ARRAY_SIZE(waits_s); i++) {
		assert_int_equal(event_decide(&lambda, &record, EVENT_HELD_UP, now_us),
				 EVENT_GOES_ON);
		assert_int_equal(record.due_us - now_us, waits_s[i] * SECOND);
		now_us = record.due_us;
	}
	assert_int_equal(record.errors, 1);
}

static void test_the_greatest_age(void **state _unused_)
{
	struct event_record record = { .received_us = 0, .delays = 20 };
	int64_t end_us = lambda.max_age_us;

	assert_int_equal(event_decide(&lambda, &record, EVENT_HELD_UP, end_us - 10 * SECOND),
			 EVENT_GOES_ON);
	assert_int_equal(record.due_us, end_us);
	assert_int_equal(event_decide(&lambda, &record, EVENT_FAILED, end_us - SECOND),
			 EVENT_GOES_ON);
	assert_int_equal(record.due_us, end_us);
	assert_false(event_is_too_old(&lambda, &record, end_us - 1));
	assert_true(event_is_too_old(&lambda, &record, end_us));
	assert_int_equal(event_decide(&lambda, &record, EVENT_HELD_UP, end_us), EVENT_AGE_EXCEEDED);
	assert_int_equal(event_decide(&lambda, &record, EVENT_SUCCEEDED, end_us), EVENT_SUCCESS);
}

static void test_ends(void **state _unused_)
{
	struct event_record record = { 0 };

	assert_int_equal(event_decide(&lambda, &record, EVENT_SUCCEEDED, 1), EVENT_SUCCESS);
	assert_int_equal(event_decide(&lambda, &record, EVENT_NO_RIGHT, 1),
			 EVENT_ZERO_RESERVED_CONCURRENCY);
	assert_int_equal(event_decide(&lambda, &record, EVENT_NO_FUNCTION, 1), EVENT_FUNCTION_GONE);
	assert_int_equal(record.errors, 0);
	assert_string_equal(event_end_name(EVENT_ZERO_RESERVED_CONCURRENCY),
			    "ZeroReservedConcurrency");
	assert_string_equal(event_end_name(EVENT_RETRIES_EXHAUSTED), "RetriesExhausted");
	assert_string_equal(event_end_name(EVENT_RECURSION), "RecursiveInvocation");
	assert_string_equal(event_end_name(EVENT_AGE_EXCEEDED), "EventAgeExceeded");
}

/* -- the shelf -- */

static void test_tenants_take_turns(void **state _unused_)
{
	struct shelf_item items[] = { { "a", 3, NULL }, { "a", 1, NULL }, { "a", 2, NULL },
				      { "b", 4, NULL }, { "b", 5, NULL }, { "c", 99, NULL } };
	static const unsigned order[] = { 1, 3, 2, 4, 0 };
	struct event_shelf shelf = { 0 };

	assert_int_equal(event_shelf_reserve(&shelf, ARRAY_SIZE(items)), 0);
	assert_int_equal(event_shelf_next_us(&shelf), INT64_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		event_shelf_put(&shelf, &items[i]);
	assert_int_equal(event_shelf_next_us(&shelf), 1);
	assert_null(event_shelf_take(&shelf, 0));
	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		assert_ptr_equal(event_shelf_take(&shelf, 10), &items[order[i]]);
	assert_null(event_shelf_take(&shelf, 10));
	assert_int_equal(event_shelf_next_us(&shelf), 99);
	assert_ptr_equal(event_shelf_take(&shelf, 99), &items[5]);
	event_shelf_free(&shelf);
}

static void test_the_earliest_comes_first(void **state _unused_)
{
	struct shelf_item items[500];
	struct event_shelf shelf = { 0 };
	int64_t last = -1;

	for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
		items[i] = (struct shelf_item){ "a", (int64_t)(i * 7919 % 500), NULL };
		assert_int_equal(event_shelf_reserve(&shelf, i + 1), 0);
		event_shelf_put(&shelf, &items[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
		int64_t now = event_shelf_next_us(&shelf);
		struct shelf_item *item = event_shelf_take(&shelf, now);

		assert_non_null(item);
		assert_int_equal(item->due_us, now);
		assert_true(now > last);
		last = now;
	}
	event_shelf_free(&shelf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_function_error_is_tried_again_twice),
		cmocka_unit_test(test_no_retries),
		cmocka_unit_test(test_a_throttle_uses_no_try_up),
		cmocka_unit_test(test_the_greatest_age),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_tenants_take_turns),
		cmocka_unit_test(test_the_earliest_comes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
