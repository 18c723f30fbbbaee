/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_pool mayfly_logs mayfly_functions mayfly_core mayfly_base

/* What a demand hears, and what becomes of the sandbox, when something fails. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pool_harness.h"

static void a_failed_init_serves_all_the_same(void **state)
{
	struct fixture *f = *state;
	struct asker a;

	make_pool(f);
	f->manner = MANNER_FAILS_INIT;
	assert_int_equal(ask(f, &a, "f"), 0);
	RUN_UNTIL(f, a.bound == 1);
	assert_int_equal(a.sandbox->init, SANDBOX_INIT_FAILED);
	assert_int_equal(f->warmed, 0);
	release(&a);
}

static void starts_that_fail_end_in_an_error_and_are_tried_again(void **state)
{
	static const enum manner manners[] = { MANNER_DIES_LOADING, MANNER_REFUSES_CLONE,
					       MANNER_NO_TEMPLATE };
	struct fixture *f = *state;
	struct asker a;

	make_pool(f);
	for (unsigned i = 0; i < ARRAY_SIZE(manners); i++) {
		char name[8];

		(void)snprintf(name, sizeof(name), "f%u", i);
		f->manner = manners[i];
		assert_int_equal(ask(f, &a, name), 0);
		RUN_UNTIL(f, a.failed == 1);
		assert_int_equal(a.code, ERROR_INTERNAL);
		/* For a while nobody waits in vain. */
		assert_true(ask(f, &a, name) < 0);
		f->manner = MANNER_GOOD;
		RUN_UNTIL(f, version_find(f->pool, "123456789012", name, 0)->retry_at_us == 0);
		assert_int_equal(ask(f, &a, name), 0);
		RUN_UNTIL(f, a.bound == 1);
		release(&a);
	}
	assert_true(f->damaged >= 1);
}

/* Such as a package image that is damaged: other functions share the template. */
static void the_template_of_a_vm_that_never_ran_is_kept(void **state)
{
	struct fixture *f = *state;
	struct asker a;

	make_pool(f);
	f->manner = MANNER_NEVER_RUNS;
	assert_int_equal(ask(f, &a, "f"), 0);
	RUN_UNTIL(f, a.failed == 1);
	assert_true(f->cloned > 1);
	assert_int_equal(f->damaged, 0);
}

static void a_silent_restore_is_ended(void **state)
{
	struct fixture *f = *state;
	struct asker a;

	f->config.start_timeout_us = 20 * USEC_PER_MSEC;
	make_pool(f);
	f->manner = MANNER_SILENT;
	assert_int_equal(ask(f, &a, "f"), 0);
	RUN_UNTIL(f, a.failed == 1);
	assert_int_equal(gauges(f).start_failures, START_FAILURES_MAX);
	RUN_UNTIL(f, gauges(f).total == 0);
}

static void a_lost_sandbox_is_told_with_what_it_saw(void **state)
{
	struct fixture *f = *state;
	struct sandbox *sandbox;
	struct asker a;

	make_pool(f);
	assert_int_equal(ask(f, &a, "f"), 0);
	RUN_UNTIL(f, a.bound == 1);
	driver_end(a.sandbox->vm, "killed");
	RUN_UNTIL(f, a.lost == 1);
	assert_true(a.delivered);
	/* A frozen one whose vCPUs never went again saw nothing. */
	assert_int_equal(ask(f, &a, "f"), 0);
	RUN_UNTIL(f, a.bound == 1);
	sandbox = a.sandbox;
	release(&a);
	RUN_UNTIL(f, sandbox->state == SANDBOX_FROZEN);
	f->hold_resumes = true;
	assert_int_equal(ask(f, &a, "f"), 1);
	driver_end(sandbox->vm, "killed");
	RUN_UNTIL(f, a.lost == 1);
	assert_false(a.delivered);
	assert_int_equal(a.told_delivered, 0);
	f->hold_resumes = false;
}

static bool is_delivered(const struct sandbox *sandbox)
{
	struct sandbox_facts facts;

	sandbox_get_facts(sandbox, &facts);
	return facts.delivered;
}

/* That the guest may have seen what was sent is known at once of one that runs; of a frozen one
 * when its thaw is confirmed or it speaks, whatever comes first; and of one that was told to stop
 * and perhaps has not yet, at once too. */
static void delivery_is_told_once(void **state)
{
	struct fixture *f = *state;
	struct sandbox *sandbox;
	struct asker a;

	make_pool(f);
	assert_int_equal(ask(f, &a, "f"), 0);
	RUN_UNTIL(f, a.bound == 1);
	sandbox = a.sandbox;
	assert_true(is_delivered(sandbox));
	release(&a);
	RUN_UNTIL(f, sandbox->state == SANDBOX_FROZEN);
	assert_int_equal(ask(f, &a, "f"), 1);
	assert_false(is_delivered(sandbox));
	RUN_UNTIL(f, a.told_delivered == 1);
	assert_true(is_delivered(sandbox));
	release(&a);
	RUN_UNTIL(f, sandbox->state == SANDBOX_FROZEN);
	f->hold_resumes = true;
	assert_int_equal(ask(f, &a, "f"), 1);
	say(sandbox->vm, MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_WARMED);
	RUN_UNTIL(f, a.messages == 1);
	assert_int_equal(a.told_delivered, 1);
	f->hold_resumes = false;
	driver_resume(sandbox->vm, sandbox->vm->resumed, sandbox->vm->resumed_arg);
	RUN_UNTIL(f, sandbox->resume_done_us > 0);
	assert_int_equal(a.told_delivered, 1);
	release(&a);
	RUN_UNTIL(f, sandbox->state == SANDBOX_FROZEN);
	sandbox->vm->running = true;
	assert_int_equal(ask(f, &a, "f"), 1);
	assert_true(is_delivered(sandbox));
	RUN_UNTIL(f, sandbox->resume_done_us > 0);
	assert_int_equal(a.told_delivered, 0);
	release(&a);
}

static void a_message_out_of_turn_ends_the_sandbox(void **state)
{
	struct fixture *f = *state;
	struct sandbox *sandbox;
	struct asker a;

	make_pool(f);
	assert_int_equal(ask(f, &a, "f"), 0);
	RUN_UNTIL(f, a.bound == 1);
	say(a.sandbox->vm, MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_WARMED);
	RUN_UNTIL(f, a.messages == 1); /* the asker judges while it is bound */
	sandbox = a.sandbox;
	release(&a);
	say(sandbox->vm, MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_WARMED);
	RUN_UNTIL(f, gauges(f).total == 0);
}

static void the_host_minds_the_timeout(void **state)
{
	struct fixture *f = *state;
	struct function function = function_make(f, "f");
	struct asker a = { .demand.events = &events };

	f->config.guest_grace_us = 1000;
	make_pool(f);
	function.config.timeout_seconds = 0;
	assert_int_equal(pool_acquire(f->pool, &function, &a.demand, &a.sandbox, NULL), 0);
	RUN_UNTIL(f, a.overdue == 1);
	sandbox_release(a.sandbox, "overdue");
	RUN_UNTIL(f, gauges(f).total == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_failed_init_serves_all_the_same),
		TEST(starts_that_fail_end_in_an_error_and_are_tried_again),
		TEST(the_template_of_a_vm_that_never_ran_is_kept),
		TEST(a_silent_restore_is_ended),
		TEST(a_lost_sandbox_is_told_with_what_it_saw),
		TEST(delivery_is_told_once),
		TEST(a_message_out_of_turn_ends_the_sandbox),
		TEST(the_host_minds_the_timeout),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
