/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_pool mayfly_logs mayfly_functions mayfly_core mayfly_base

/* Which sandbox a demand gets, and when: from the first start to the drain. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pool_harness.h"

#define DEMANDS 16

/* -- the states -- */

static void every_step_is_in_the_matrix_or_refused(void **state)
{
	/* Rows: from; columns: to, in order of the enum. */
	static const char *const matrix[_SANDBOX_STATE_MAX] = {
		[SANDBOX_NEW] = ".R......",          [SANDBOX_RESTORING] = "..IR..S.",
		[SANDBOX_INITIALIZING] = "...R..S.", [SANDBOX_READY] = "....BFS.",
		[SANDBOX_BUSY] = "...R.FS.",         [SANDBOX_FROZEN] = "...RB.S.",
		[SANDBOX_STOPPING] = ".......G",     [SANDBOX_GONE] = "........",
	};

	(void)state;
	for (unsigned from = 0; from < _SANDBOX_STATE_MAX; from++)
		for (unsigned to = 0; to < _SANDBOX_STATE_MAX; to++)
			if (state_may_follow(&sandbox_states, from, to) !=
			    (matrix[from][to] != '.'))
				fail_msg("%s to %s", state_name(&sandbox_states, from),
					 state_name(&sandbox_states, to));
}

static void the_setter_refuses(void **state)
{
	struct fixture *f = *state;
	struct asker a;

	make_pool(f);
	assert_int_equal(ask(f, &a, "f"), 0);
	RUN_UNTIL(f, a.bound == 1);
	assert_int_equal(sandbox_set_state(a.sandbox, SANDBOX_RESTORING), -EINVAL);
	assert_int_equal(a.sandbox->state, SANDBOX_BUSY);
	release(&a);
}

/* -- serving -- */

static void a_demand_gets_a_restored_sandbox_and_the_next_a_warm_one(void **state)
{
	struct fixture *f = *state;
	struct sandbox_facts facts;
	struct sandbox *first;
	struct asker a;

	make_pool(f);
	assert_int_equal(ask(f, &a, "f"), 0);
	RUN_UNTIL(f, a.bound == 1);
	first = a.sandbox;
	sandbox_get_facts(first, &facts);
	assert_int_equal(facts.state, SANDBOX_BUSY);
	assert_int_equal(facts.origin, SANDBOX_FROM_BASE);
	assert_int_equal(facts.init, SANDBOX_INIT_OK);
	assert_true(facts.requested_us <= facts.restored_us);
	assert_true(facts.restored_us <= facts.init_sent_us);
	assert_true(facts.init_done_us <= facts.ready_us);
	assert_int_equal(facts.invocations, 1);
	release(&a);
	assert_int_equal(ask(f, &a, "f"), 1);
	assert_ptr_equal(a.sandbox, first);
	release(&a);
	/* Frozen, it is thawed for the next. */
	RUN_UNTIL(f, first->state == SANDBOX_FROZEN);
	assert_false(first->vm->running);
	assert_int_equal(ask(f, &a, "f"), 1);
	assert_true(first->vm->running);
	RUN_UNTIL(f, first->resume_done_us > 0);
	release(&a);
	assert_int_equal(f->cloned, 1);
}

static void a_burst_starts_no_more_than_it_needs(void **state)
{
	struct fixture *f = *state;
	struct asker askers[DEMANDS];
	unsigned answered = 0;

	make_pool(f);
	for (unsigned i = 0; i < DEMANDS; i++)
		assert_int_equal(ask(f, &askers[i], "f"), 0);
	assert_int_equal(gauges(f).waiting, DEMANDS);
	for (int64_t limit_us = clock_monotonic_us() + LIMIT_US;
	     answered < DEMANDS && clock_monotonic_us() < limit_us;) {
		turn(f);
		for (unsigned i = 0; i < DEMANDS; i++)
			if (askers[i].sandbox && askers[i].bound == 1) {
				release(&askers[i]);
				answered++;
			}
	}
	assert_int_equal(answered, DEMANDS);
	assert_true(f->cloned <= DEMANDS);
	assert_true(f->most_starting <= 2);
	assert_int_equal(gauges(f).waiting, 0);
}

/* One that falls free is taken before the one that is being restored. */
static void a_freed_sandbox_comes_before_a_restore_in_flight(void **state)
{
	struct fixture *f = *state;
	struct sandbox *first;
	struct asker a, b;

	make_pool(f);
	assert_int_equal(ask(f, &a, "f"), 0);
	RUN_UNTIL(f, a.bound == 1);
	first = a.sandbox;
	f->manner = MANNER_SILENT;
	assert_int_equal(ask(f, &b, "f"), 0);
	settle(f);
	assert_int_equal(f->cloned, 2);
	assert_int_equal(b.bound, 0);
	release(&a);
	RUN_UNTIL(f, b.bound == 1);
	assert_ptr_equal(b.sandbox, first);
	assert_int_equal(f->cloned, 2);
	release(&b);
}

static void who_is_cancelled_hears_nothing(void **state)
{
	struct fixture *f = *state;
	struct asker a;

	make_pool(f);
	assert_int_equal(ask(f, &a, "f"), 0);
	assert_int_equal(gauges(f).waiting, 1);
	pool_cancel(f->pool, &a.demand);
	pool_cancel(f->pool, &a.demand); /* it does not wait */
	assert_int_equal(gauges(f).waiting, 0);
	settle(f);
	assert_int_equal(a.bound + a.failed, 0);
}

/* -- generations -- */

static void a_new_generation_takes_over(void **state)
{
	struct fixture *f = *state;
	struct function function;
	struct asker busy, waiting;
	struct sandbox *old;

	make_pool(f);
	assert_int_equal(ask(f, &busy, "f"), 0);
	RUN_UNTIL(f, busy.bound == 1);
	old = busy.sandbox;
	f->manner = MANNER_SILENT;
	assert_int_equal(ask(f, &waiting, "f"), 0);
	settle(f);
	assert_int_equal(gauges(f).total, 2);
	f->manner = MANNER_GOOD;
	f->generation = 2;
	function = function_make(f, "f");
	pool_function_changed(f->pool, &function);
	/* The restore of the old one is given up, the demand gets a new one. */
	RUN_UNTIL(f, waiting.bound == 1);
	assert_ptr_not_equal(waiting.sandbox, old);
	assert_int_equal(waiting.sandbox->version->generation, 2);
	/* The busy one serves to its end, then goes. */
	assert_int_equal(old->state, SANDBOX_BUSY);
	release(&busy);
	RUN_UNTIL(f, gauges(f).total == 1);
	release(&waiting);
}

/* Versions of one function have sandboxes, generations and an end of their own. */
static void versions_do_not_disturb_each_other(void **state)
{
	struct fixture *f = *state;
	struct function latest = function_make(f, "f"), one = latest;
	struct sandbox *of_latest, *of_one;
	struct sandbox_facts facts;

	make_pool(f);
	one.version = 1;
	of_latest = use(f, &latest);
	of_one = use(f, &one);
	assert_ptr_not_equal(of_latest, of_one);
	assert_int_equal(gauges(f).total, 2);
	sandbox_get_facts(of_one, &facts);
	assert_string_equal(facts.version, "1");
	assert_non_null(strstr(facts.log_stream_name, "/[1]"));
	sandbox_get_facts(of_latest, &facts);
	assert_string_equal(facts.version, "$LATEST");

	latest.generation++;
	pool_function_changed(f->pool, &latest);
	RUN_UNTIL(f, gauges(f).total == 1);
	assert_ptr_equal(use(f, &one), of_one);
	pool_function_deleted(f->pool, &one);
	RUN_UNTIL(f, gauges(f).total == 0);
	assert_int_equal(version_find(f->pool, one.tenant, one.name, 0)->generation,
			 latest.generation);
	assert_null(version_find(f->pool, one.tenant, one.name, 1));
}

static void deletion_fails_what_waits(void **state)
{
	struct fixture *f = *state;
	const struct function function = function_make(f, "f");
	struct asker a;

	make_pool(f);
	f->manner = MANNER_SILENT;
	assert_int_equal(ask(f, &a, "f"), 0);
	settle(f);
	pool_function_deleted(f->pool, &function);
	assert_int_equal(a.failed, 1);
	assert_int_equal(a.code, ERROR_NOT_FOUND);
	RUN_UNTIL(f, gauges(f).total == 0);
}

/* -- draining -- */

static void draining_serves_what_waits(void **state)
{
	struct fixture *f = *state;
	struct asker a, b;
	bool drained = false;

	make_pool(f);
	assert_int_equal(ask(f, &a, "f"), 0);
	pool_drain(f->pool, LIMIT_US, set_done, &drained);
	assert_true(ask(f, &b, "f") < 0);
	RUN_UNTIL(f, a.bound == 1);
	assert_false(drained);
	release(&a);
	RUN_UNTIL(f, drained);
	assert_int_equal(f->alive, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_step_is_in_the_matrix_or_refused),
		TEST(the_setter_refuses),
		TEST(a_demand_gets_a_restored_sandbox_and_the_next_a_warm_one),
		TEST(a_burst_starts_no_more_than_it_needs),
		TEST(a_freed_sandbox_comes_before_a_restore_in_flight),
		TEST(who_is_cancelled_hears_nothing),
		TEST(a_new_generation_takes_over),
		TEST(versions_do_not_disturb_each_other),
		TEST(deletion_fails_what_waits),
		TEST(draining_serves_what_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
