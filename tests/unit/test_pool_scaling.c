/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_pool mayfly_logs mayfly_functions mayfly_core mayfly_base

/* What the pool keeps of a function whose arrivals it knows; what follows from which arrivals is in
 * test_arrivals.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pool_harness.h"

#define BURST 3

static void make_adaptive_pool(struct fixture *f, int64_t keep_min_ms, int64_t keep_ms)
{
	f->config.adaptive = true;
	f->config.max_starts = 4;
	f->config.keep_alive_min_us = keep_min_ms * USEC_PER_MSEC;
	f->config.keep_alive_us = keep_ms * USEC_PER_MSEC;
	make_pool(f);
}

static struct version *version_of(struct fixture *f, const char *name)
{
	struct version *version = version_find(f->pool, "123456789012", name, 0);

	assert_non_null(version);
	return version;
}

/* So many at once. */
static void burst(struct fixture *f, const char *name)
{
	struct asker askers[BURST];

	for (unsigned i = 0; i < BURST; i++)
		assert_true(ask(f, &askers[i], name) >= 0);
	for (unsigned i = 0; i < BURST; i++)
		RUN_UNTIL(f, askers[i].bound == 1);
	for (unsigned i = 0; i < BURST; i++)
		release(&askers[i]);
}

static void ended(unsigned count _unused_, unsigned spares_ready _unused_,
		  const struct error *error _unused_, void *arg)
{
	*(bool *)arg = true;
}

static void end_idle(struct fixture *f, const char *name, enum pool_policy policy)
{
	struct function function = function_make(f, name);
	bool done = false;

	assert_int_equal(pool_set_policy(f->pool, &function, policy, 0, true, ended, &done, NULL),
			 0);
	RUN_UNTIL(f, done);
}

static void spares_follow_a_burst_and_go(void **state)
{
	struct fixture *f = *state;

	make_adaptive_pool(f, 50, 1000);
	burst(f, "f");
	settle(f);
	assert_int_equal(gauges(f).spare, 0); /* used ones are as good */
	end_idle(f, "f", POOL_POLICY_DEFAULT);
	RUN_UNTIL(f, gauges(f).spare == BURST);
	RUN_UNTIL(f, gauges(f).total == 0);
	settle(f);
	assert_int_equal(f->cloned, 2 * BURST);
}

static void spares_have_a_limit(void **state)
{
	struct fixture *f = *state;

	f->config.spares_max = 2;
	make_adaptive_pool(f, 50, 3600 * 1000);
	burst(f, "f");
	end_idle(f, "f", POOL_POLICY_DEFAULT);
	RUN_UNTIL(f, gauges(f).spare == 2 && gauges(f).starting == 0);
	settle(f);
	assert_int_equal(gauges(f).total, 2);
}

static void what_is_known_goes_over_to_the_next_generation(void **state)
{
	struct fixture *f = *state;

	make_adaptive_pool(f, 50, 3600 * 1000);
	burst(f, "f");
	struct function function = function_make(f, "f");
	function.generation = ++f->generation;
	pool_function_changed(f->pool, &function);
	RUN_UNTIL(f, gauges(f).spare == BURST && gauges(f).total == BURST);
}

static void a_policy_that_was_set_is_followed(void **state)
{
	struct fixture *f = *state;

	make_adaptive_pool(f, 50, 3600 * 1000);
	burst(f, "f");
	end_idle(f, "f", POOL_POLICY_RESTORE);
	settle(f);
	assert_int_equal(gauges(f).total, 0);
	assert_int_equal(f->cloned, BURST);
}

/* Ends after its least time, and is there again before it is expected, without being asked for. */
static void what_is_expected_is_ready(void **state)
{
	struct fixture *f = *state;
	struct function function = function_make(f, "f");
	struct arrivals *arrivals;

	make_adaptive_pool(f, 30, 1000);
	(void)use(f, &function);
	arrivals = &version_of(f, "f")->arrivals;
	arrivals->known = UINT16_MAX;
	arrivals->keep_us = 30 * USEC_PER_MSEC;
	arrivals->warm_us = 200 * USEC_PER_MSEC;
	arrivals->until_us = 600 * USEC_PER_MSEC;
	version_mark_dirty(version_of(f, "f"));
	RUN_UNTIL(f, gauges(f).total == 0);
	RUN_UNTIL(f, gauges(f).spare == 1);
	assert_true(clock_monotonic_us() >= arrivals->last_us + arrivals->warm_us);
	RUN_UNTIL(f, gauges(f).total == 0);
	assert_int_equal(f->cloned, 2);
}

static void the_one_expected_last_is_evicted(void **state)
{
	struct fixture *f = *state;
	struct function soon = function_make(f, "soon"), late = function_make(f, "late");
	struct asker a;

	f->config.memory_budget_bytes = 203ULL << 20; /* two */
	make_adaptive_pool(f, 50, 3600 * 1000);
	(void)use(f, &soon);
	(void)use(f, &late);
	/* All idle times of one were short, of the other beyond all that is counted. */
	version_of(f, "soon")->arrivals.known = version_of(f, "late")->arrivals.known = UINT16_MAX;
	version_of(f, "soon")->arrivals.keep_us = version_of(f, "late")->arrivals.keep_us =
		3600 * USEC_PER_SEC;
	version_of(f, "soon")->arrivals.gaps[0] = 1000;
	version_of(f, "late")->arrivals.gaps[ARRIVALS_BINS] = 1000;
	assert_int_equal(ask(f, &a, "third"), 0);
	RUN_UNTIL(f, a.bound == 1);
	assert_int_equal(gauges(f).evictions, 1);
	assert_true(TAILQ_EMPTY(&version_of(f, "late")->sandboxes));
	assert_false(TAILQ_EMPTY(&version_of(f, "soon")->sandboxes));
	release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(spares_follow_a_burst_and_go),
		TEST(spares_have_a_limit),
		TEST(what_is_known_goes_over_to_the_next_generation),
		TEST(a_policy_that_was_set_is_followed),
		TEST(what_is_expected_is_ready),
		TEST(the_one_expected_last_is_evicted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
