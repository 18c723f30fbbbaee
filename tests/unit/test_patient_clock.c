/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_core mayfly_base

/* The time by which old things are deleted, with clocks that the test turns. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/core/patient_clock.h"
#include "mayfly/fs.h"
#include "mayfly/log.h"
#include "tests/unit/clock_double.h"

#define HOUR_US (3600 * USEC_PER_SEC)
#define DAY_US  (24 * HOUR_US)
#define THEN_US (20000 * DAY_US)

struct fixture {
	char folder[64];
	char path[96];
	struct loop *loop;
	struct patient_clock *clock;
};

static void quiet(int priority _unused_, const struct log_fields *fields _unused_,
		  const char *text _unused_, void *user _unused_)
{
}

static void open_clock(struct fixture *f)
{
	assert_int_equal(loop_new(1, &f->loop), 0);
	assert_int_equal(patient_clock_open(f->path, f->loop, &f->clock, NULL), 0);
}

static void close_clock(struct fixture *f)
{
	loop_exit_when_idle(f->loop, 0);
	assert_int_equal(loop_run(f->loop), 0);
	f->clock = patient_clock_close(f->clock);
	f->loop = loop_free(f->loop);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	log_set_sink(quiet, NULL);
	clock_double_passed_us = 0;
	clock_double_realtime_us = THEN_US;
	(void)snprintf(f->folder, sizeof(f->folder), "/tmp/mayfly-clock-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	(void)snprintf(f->path, sizeof(f->path), "%s/clock", f->folder);
	open_clock(f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	close_clock(f);
	assert_int_equal(fs_remove_tree(f->folder), 0);
	free(f);
	return 0;
}

/* Against the machine's, an hour later. */
static int64_t lag_after_an_hour(struct fixture *f)
{
	clock_double_passed_us += HOUR_US;
	return clock_realtime_us() - patient_clock_now_us(f->clock);
}

static void time_that_passes_is_believed(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(lag_after_an_hour(f), 0);
	/* So is a small step, and any back. */
	clock_double_realtime_us += HOUR_US / 2;
	assert_int_equal(lag_after_an_hour(f), 0);
	clock_double_realtime_us -= 100 * DAY_US;
	assert_int_equal(lag_after_an_hour(f), 0);
}

static void a_clock_that_is_ahead_for_a_while_is_not(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(lag_after_an_hour(f), 0);
	clock_double_realtime_us += 40 * DAY_US;
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(lag_after_an_hour(f), 40 * DAY_US);
	clock_double_realtime_us -= 40 * DAY_US;
	assert_int_equal(lag_after_an_hour(f), 0);
	/* The next time it has to wait anew. */
	clock_double_realtime_us += 40 * DAY_US;
	for (unsigned i = 0; i < 24; i++)
		assert_int_equal(lag_after_an_hour(f), 40 * DAY_US);
	assert_int_equal(lag_after_an_hour(f), 0);
	assert_int_equal(lag_after_an_hour(f), 0);
}

/* An agent that starts with a wrong clock knows what its last life knew, and how long it waited. */
static void a_restart_changes_nothing(void **state)
{
	struct fixture *f = *state;
	unsigned hours = 0;

	assert_int_equal(lag_after_an_hour(f), 0);
	clock_double_realtime_us += 400 * DAY_US;
	do {
		close_clock(f);
		open_clock(f);
		assert_true(hours < 100);
		hours += 6;
		for (unsigned i = 0; i < 6 && lag_after_an_hour(f) > 0; i++)
			;
	} while (lag_after_an_hour(f) > 0);
	assert_in_range(hours, 24, 30);
	close_clock(f);
	open_clock(f);
	assert_int_equal(lag_after_an_hour(f), 0);
}

static void a_file_that_is_none_is_no_reason_to_fail(void **state)
{
	static const char *const bad[] = {
		"",       "x",      "1",       "1 2",
		"-1 0\n", "1 -1\n", "1 0 0\n", "99999999999999999999999999999999999999 0\n"
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		close_clock(f);
		assert_int_equal(fs_write_file_atomic(f->path, slice_from_string(bad[i]), 0600), 0);
		open_clock(f);
		assert_int_equal(lag_after_an_hour(f), 0);
	}
}

#define CLOCK_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLOCK_TEST(time_that_passes_is_believed),
		CLOCK_TEST(a_clock_that_is_ahead_for_a_while_is_not),
		CLOCK_TEST(a_restart_changes_nothing),
		CLOCK_TEST(a_file_that_is_none_is_no_reason_to_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
