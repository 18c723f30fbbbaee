/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_invoke mayfly_base

/* What is counted, in which row, and how many rows there are. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/invoke/metrics.h"

#define TENANT "123456789012"
#define OTHER  "210987654321"

static struct metrics *metrics;

static int tear_down(void **state _unused_)
{
	metrics = metrics_free(metrics);
	return 0;
}

static void make(unsigned max_functions)
{
	assert_int_equal(metrics_new(max_functions, &metrics), 0);
}

static void count(const char *tenant, const char *name, int64_t duration_us, bool error)
{
	const struct metrics_sample sample = { .tenant = tenant,
					       .function_name = name,
					       .duration_us = duration_us,
					       .function_error = error,
					       .start = error ? METRICS_RESTORE : METRICS_WARM,
					       .phases_us[METRICS_SPAWN] = error ? 60000 : 0 };

	metrics_count_invocation(metrics, &sample);
}

struct wanted {
	const char *tenant, *name;
	const struct function_metrics *found;
	unsigned rows;
};

static void look(const struct function_metrics *row, void *arg)
{
	struct wanted *wanted = arg;

	wanted->rows++;
	if (strcmp(row->tenant, wanted->tenant) == 0 &&
	    strcmp(row->function_name, wanted->name) == 0)
		wanted->found = row;
}

static const struct function_metrics *row(const char *tenant, const char *name)
{
	struct wanted wanted = { .tenant = tenant, .name = name };

	metrics_each(metrics, look, &wanted);
	return wanted.found;
}

static unsigned rows(void)
{
	struct wanted wanted = { .tenant = "", .name = "" };

	metrics_each(metrics, look, &wanted);
	return wanted.rows;
}

static void a_function_is_counted_by_itself(void **state _unused_)
{
	make(10);
	count(TENANT, "a", 900, false);
	count(TENANT, "a", 1000, false);
	count(TENANT, "a", 1001, true);
	count(TENANT, "b", 1000000000, false);
	count(OTHER, "a", 5, false);
	metrics_count_throttle(metrics, TENANT, "b");
	assert_int_equal(rows(), 3);
	assert_int_equal(row(TENANT, "a")->invocations, 3);
	assert_int_equal(row(TENANT, "a")->errors, 1);
	assert_int_equal(row(TENANT, "a")->starts[METRICS_WARM], 2);
	assert_int_equal(row(TENANT, "a")->starts[METRICS_RESTORE], 1);
	/* A bound belongs to its bucket. */
	assert_int_equal(row(TENANT, "a")->duration.counts[0], 2);
	assert_int_equal(row(TENANT, "a")->duration.counts[1], 1);
	assert_int_equal(row(TENANT, "a")->duration.count, 3);
	assert_int_equal(row(TENANT, "a")->duration.sum_us, 2901);
	assert_int_equal(row(TENANT, "b")->duration.counts[METRICS_BUCKETS - 1], 1);
	assert_int_equal(row(TENANT, "b")->throttles, 1);
	assert_int_equal(row(TENANT, "b")->invocations, 1);
	assert_int_equal(row(OTHER, "a")->invocations, 1);
	assert_int_equal(metrics_phase(metrics, METRICS_SPAWN)->count, 1);
	assert_int_equal(metrics_phase(metrics, METRICS_PLACE)->count, 0);
}

static void rows_are_bounded(void **state _unused_)
{
	make(2);
	count(TENANT, "a", 1, false);
	count(OTHER, "b", 1, false);
	count(TENANT, "c", 1, false);
	metrics_count_throttle(metrics, TENANT, "d");
	count(OTHER, "c", 1, true);
	count(TENANT, "a", 1, false);
	assert_int_equal(rows(), 4);
	assert_int_equal(row(TENANT, "a")->invocations, 2);
	assert_null(row(TENANT, "c"));
	assert_int_equal(row(TENANT, METRICS_OTHERS)->invocations, 1);
	assert_int_equal(row(TENANT, METRICS_OTHERS)->throttles, 1);
	assert_int_equal(row(OTHER, METRICS_OTHERS)->errors, 1);
	/* A deleted function makes room. */
	metrics_forget(metrics, TENANT, "a");
	metrics_forget(metrics, TENANT, "never");
	count(TENANT, "c", 1, false);
	assert_int_equal(row(TENANT, "c")->invocations, 1);
	assert_null(row(TENANT, "a"));
}

static void none_may_have_a_row(void **state _unused_)
{
	make(0);
	count(TENANT, "a", 1, false);
	assert_int_equal(rows(), 1);
	assert_int_equal(row(TENANT, METRICS_OTHERS)->invocations, 1);
}

static void what_happens_to_events_is_counted(void **state _unused_)
{
	make(1);
	metrics_count_event(metrics, TENANT, "a", METRICS_EVENT_DROPPED);
	metrics_count_event(metrics, TENANT, "a", METRICS_EVENT_DROPPED);
	metrics_count_event(metrics, TENANT, "a", METRICS_DEAD_LETTER_FAILED);
	metrics_count_event(metrics, TENANT, "b", METRICS_RECURSION_DROPPED); /* has no row */
	assert_int_equal(row(TENANT, "a")->events[METRICS_EVENT_DROPPED], 2);
	assert_int_equal(row(TENANT, "a")->events[METRICS_DEAD_LETTER_FAILED], 1);
	assert_int_equal(row(TENANT, "a")->events[METRICS_DESTINATION_FAILED], 0);
	assert_null(row(TENANT, "b"));
	assert_int_equal(row(TENANT, METRICS_OTHERS)->events[METRICS_RECURSION_DROPPED], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(what_happens_to_events_is_counted, tear_down),
		cmocka_unit_test_teardown(a_function_is_counted_by_itself, tear_down),
		cmocka_unit_test_teardown(rows_are_bounded, tear_down),
		cmocka_unit_test_teardown(none_may_have_a_row, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
