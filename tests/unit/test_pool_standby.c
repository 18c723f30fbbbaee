/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_pool mayfly_logs mayfly_functions mayfly_core mayfly_base

/* Which sandboxes stand by for the next demand, and which must make room. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pool_harness.h"

/* -- spares -- */

static void spares_are_warmed_and_frozen(void **state)
{
	struct fixture *f = *state;
	struct function function = function_make(f, "f");
	struct asker a;

	f->config.spares = 2;
	f->config.spares_on_deploy = true;
	make_pool(f);
	pool_function_changed(f->pool, &function);
	RUN_UNTIL(f, gauges(f).frozen == 2);
	assert_int_equal(gauges(f).spare, 2);
	assert_int_equal(f->warmed, 2);
	assert_int_equal(f->pauses, 2);
	/* A demand takes one, another is made. */
	assert_int_equal(ask(f, &a, "f"), 1);
	assert_int_equal(a.sandbox->invocations, 1);
	RUN_UNTIL(f, gauges(f).spare == 2);
	assert_int_equal(f->cloned, 3);
	release(&a);
}

static void a_function_not_in_use_has_no_spares(void **state)
{
	struct fixture *f = *state;
	struct function function = function_make(f, "f");

	f->config.spares = 2;
	f->config.spares_on_deploy = true;
	f->config.active_window_us = USEC_PER_SEC;
	f->config.keep_alive_us = 50 * USEC_PER_MSEC;
	make_pool(f);
	pool_function_changed(f->pool, &function);
	RUN_UNTIL(f, f->cloned > 0);
	RUN_UNTIL(f, gauges(f).total == 0);
}

/* -- room -- */

static void idle_ones_end_after_the_keep_alive(void **state)
{
	struct fixture *f = *state;
	struct asker a;

	f->config.keep_alive_us = 20 * USEC_PER_MSEC;
	make_pool(f);
	assert_int_equal(ask(f, &a, "f"), 0);
	RUN_UNTIL(f, a.bound == 1);
	release(&a);
	RUN_UNTIL(f, gauges(f).total == 0);
	assert_int_equal(gauges(f).memory_committed_bytes, 0);
}

static void the_longest_idle_is_evicted(void **state)
{
	struct fixture *f = *state;
	struct asker a, b, c;
	struct sandbox *second;

	f->config.memory_budget_bytes = 203ULL << 20; /* two */
	make_pool(f);
	assert_int_equal(ask(f, &a, "f"), 0);
	RUN_UNTIL(f, a.bound == 1);
	assert_int_equal(ask(f, &b, "f2"), 0);
	RUN_UNTIL(f, b.bound == 1);
	second = b.sandbox;
	/* Both busy: the third waits. */
	assert_int_equal(ask(f, &c, "f3"), 0);
	settle(f);
	assert_int_equal(f->cloned, 2);
	release(&a);
	RUN_UNTIL(f, c.bound == 1);
	assert_int_equal(gauges(f).evictions, 1);
	assert_int_equal(second->state, SANDBOX_BUSY);
	assert_true(gauges(f).memory_committed_bytes <= f->config.memory_budget_bytes);
	release(&b);
	release(&c);
}

static void what_can_never_fit_is_refused(void **state)
{
	struct fixture *f = *state;
	struct asker a;

	f->config.memory_budget_bytes = 50ULL << 20;
	make_pool(f);
	assert_int_equal(ask(f, &a, "f"), 0);
	RUN_UNTIL(f, a.failed == 1);
	assert_int_equal(a.code, ERROR_RESOURCE_NOT_READY);
	assert_int_equal(f->cloned, 0);
}

/* -- policy -- */

struct policy_result {
	bool done;
	unsigned ended;
	unsigned spares_ready;
	bool failed;
};

static void on_policy(unsigned ended, unsigned spares_ready, const struct error *error, void *arg)
{
	*(struct policy_result *)arg =
		(struct policy_result){ true, ended, spares_ready, error != NULL };
}

static struct policy_result set_policy(struct fixture *f, enum pool_policy policy, unsigned spares)
{
	struct function function = function_make(f, "f");
	struct policy_result result = { 0 };

	assert_int_equal(
		pool_set_policy(f->pool, &function, policy, spares, true, on_policy, &result, NULL),
		0);
	assert_false(result.done);
	RUN_UNTIL(f, result.done);
	return result;
}

static void policies(void **state)
{
	struct fixture *f = *state;
	struct policy_result result;
	struct asker a;

	f->config.spares = 1;
	make_pool(f);
	result = set_policy(f, POOL_POLICY_SPARE, 3);
	assert_int_equal(result.spares_ready, 3);
	assert_int_equal(ask(f, &a, "f"), 1);
	release(&a);
	result = set_policy(f, POOL_POLICY_BOOT, 0);
	assert_true(result.ended >= 3);
	assert_int_equal(gauges(f).total, 0);
	assert_int_equal(ask(f, &a, "f"), 0);
	RUN_UNTIL(f, a.bound == 1);
	assert_int_equal(f->booted, 1);
	assert_int_equal(a.sandbox->origin, SANDBOX_FROM_BOOT);
	release(&a);
	result = set_policy(f, POOL_POLICY_RESTORE, 0);
	assert_int_equal(result.ended, 1);
	assert_int_equal(ask(f, &a, "f"), 0);
	RUN_UNTIL(f, a.bound == 1);
	settle(f);
	assert_int_equal(gauges(f).total, 1); /* no spare */
	release(&a);
	f->manner = MANNER_DIES_LOADING;
	result = set_policy(f, POOL_POLICY_SPARE, 2);
	assert_true(result.failed);
	f->manner = MANNER_GOOD;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(spares_are_warmed_and_frozen),       TEST(a_function_not_in_use_has_no_spares),
		TEST(idle_ones_end_after_the_keep_alive), TEST(the_longest_idle_is_evicted),
		TEST(what_can_never_fit_is_refused),      TEST(policies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
