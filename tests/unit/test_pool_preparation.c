/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_pool mayfly_logs mayfly_functions mayfly_image mayfly_core mayfly_base

/* What the pool does for a configuration before it serves. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/compile_harness.h"

/* How a preparation ended. */
struct outcome {
	unsigned count;
	bool failed;
};

static void on_prepared(const struct error *error, void *arg)
{
	struct outcome *outcome = arg;

	outcome->count++;
	outcome->failed = error != NULL;
}

static void prepare(struct fixture *f, struct outcome *outcome)
{
	struct function function = function_make(f, "f");

	*outcome = (struct outcome){ 0 };
	pool_prepare_function(f->pool, &function, &function.config, on_prepared, outcome);
	assert_int_equal(outcome->count, 0);
}

static void assert_prepared(struct fixture *f)
{
	struct outcome outcome;

	prepare(f, &outcome);
	RUN_UNTIL(f, outcome.count == 1);
	assert_false(outcome.failed);
	settle(f);
	assert_int_equal(outcome.count, 1);
	assert_int_equal(gauges(f).total, 0);
	assert_int_equal(gauges(f).memory_committed_bytes, 0);
}

static void with_base(struct fixture *f)
{
	make_code_pool(f);
	(void)list_base(128, 0);
}

static void a_clone_that_serves_nobody_compiles(void **state)
{
	struct fixture *f = *state;

	with_base(f);
	assert_prepared(f);
	assert_int_equal(heard_count, 1);
	assert_int_equal(heard[0].compiles, 1);
	assert_int_equal(heard[0].initializes, 0);
	/* Before the answer: who serves next finds it. */
	assert_true(is_kept(KEPT_BYTECODE));
	serve_once(f);
	assert_heard(1, 0, FILES, SOURCES);
	assert_int_equal(gauges(f).start_failures, 0);
	/* The same package again, under whatever name: nothing is left to do. */
	assert_prepared(f);
	assert_int_equal(f->cloned, 2);
}

static void a_base_is_not_made_for_it(void **state)
{
	struct fixture *f = *state;
	unsigned other, building;

	make_code_pool(f);
	other = list_base(256, 0);
	building = list_base(128, 0);
	listed[building].state = TEMPLATE_BUILDING;
	assert_prepared(f);
	assert_int_equal(f->templates_asked, 0);
	assert_int_equal(heard_count, 0);
	/* The first one that serves compiles. */
	serve_once(f);
	assert_heard(0, 1, 0, SOURCES);
	assert_int_equal(listed[other].memory_mb, 256);
}

static void a_base_that_goes_meanwhile_is_no_failure(void **state)
{
	struct fixture *f = *state;

	with_base(f);
	f->manner = MANNER_NO_TEMPLATE;
	assert_prepared(f);
	assert_int_equal(f->templates_asked, 1);
	assert_int_equal(f->cloned, 0);
}

static const char *because(const char *tenant _unused_, void *arg)
{
	return arg;
}

/* Nothing of it runs, to compile neither; a snapshot cannot be without. */
static void not_for_a_tenant_that_may_not_run(void **state)
{
	struct fixture *f = *state;
	struct function function = function_make(f, "f");
	struct outcome outcome = { 0 };

	f->config.why_not_run = because;
	f->config.why_not_run_arg = (void *)(uintptr_t) "Not here.";
	with_base(f);
	assert_prepared(f);
	function.version = 1;
	function.config.snap_start = SNAP_START_PUBLISHED_VERSIONS;
	pool_prepare_function(f->pool, &function, &function.config, on_prepared, &outcome);
	assert_int_equal(outcome.count, 0);
	RUN_UNTIL(f, outcome.count == 1);
	assert_true(outcome.failed);
	assert_int_equal(f->cloned + f->templates_asked, 0);
}

static void what_goes_wrong_is_no_failure(void **state)
{
	struct fixture *f = *state;

	f->config.start_timeout_us = 300 * USEC_PER_MSEC;
	with_base(f);
	compiler.status = STATUS(TIMEOUT);
	assert_prepared(f);
	compiler.status = STATUS(OK);
	compiler.paths[1] = "data.txt";
	assert_prepared(f);
	compiler.manner = DIES;
	assert_prepared(f);
	compiler.manner = HOLDS;
	assert_prepared(f);
	assert_int_equal(heard_count, 4);
	f->manner = MANNER_REFUSES_CLONE;
	assert_prepared(f);
	f->manner = MANNER_DIES_LOADING;
	assert_prepared(f);
	assert_false(is_kept(KEPT_BYTECODE));
	assert_int_equal(f->damaged, 0);
}

static void other_languages_and_big_packages_need_nothing(void **state)
{
	struct fixture *f = *state;

	make_pool(f);
	(void)list_base(128, 0);
	assert_prepared(f);
	save_files((const char *const[]){ "a.py" }, 1);
	f->runtime = "nodejs20.x";
	assert_prepared(f);
	assert_int_equal(f->cloned, 0);
}

static void it_takes_its_turn_among_starts(void **state)
{
	struct fixture *f = *state;
	struct outcome outcome;
	struct asker a;

	f->config.max_starts = 1;
	with_base(f);
	f->manner = MANNER_SILENT;
	assert_int_equal(ask(f, &a, "g"), 0);
	RUN_UNTIL(f, heard_count == 1);
	prepare(f, &outcome);
	RUN_UNTIL(f, f->templates_asked == 2);
	settle(f);
	assert_int_equal(f->cloned, 1);
	f->manner = MANNER_GOOD;
	say(heard[0].vm, GUEST_KIND(RESTORED));
	RUN_UNTIL(f, a.bound == 1 && outcome.count == 1);
	assert_int_equal(f->most_starting, 1);
	assert_true(is_kept(KEPT_BYTECODE));
	release(&a);
}

static void without_room_nothing_is_evicted_for_it(void **state)
{
	struct fixture *f = *state;
	struct outcome outcome;
	struct asker a;

	f->config.memory_budget_bytes = 150ULL << 20; /* one sandbox's */
	with_base(f);
	f->runtime = "nodejs20.x";
	assert_int_equal(ask(f, &a, "g"), 0);
	RUN_UNTIL(f, a.bound == 1);
	release(&a);
	f->runtime = "python3.13";
	prepare(f, &outcome);
	RUN_UNTIL(f, outcome.count == 1);
	assert_false(outcome.failed);
	assert_int_equal(f->cloned, 1);
	assert_int_equal(gauges(f).total, 1);
	assert_int_equal(gauges(f).evictions, 0);
}

static void a_stopping_node_does_not_begin(void **state)
{
	struct fixture *f = *state;
	struct outcome outcome;
	bool drained = false;

	with_base(f);
	prepare(f, &outcome);
	pool_drain(f->pool, 0, set_done, &drained);
	RUN_UNTIL(f, drained && outcome.count == 1);
	assert_int_equal(f->cloned, 0);
}

static void a_stopping_node_ends_the_compiler(void **state)
{
	struct fixture *f = *state;
	struct outcome outcome;
	bool drained = false;

	with_base(f);
	compiler.manner = HOLDS;
	prepare(f, &outcome);
	RUN_UNTIL(f, heard_count == 1 && heard[0].compiles == 1);
	pool_drain(f->pool, 0, set_done, &drained);
	RUN_UNTIL(f, drained && outcome.count == 1);
	assert_int_equal(f->alive, 0);
}

#define CODE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_code, tear_down_code)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CODE_TEST(a_clone_that_serves_nobody_compiles),
		CODE_TEST(a_base_is_not_made_for_it),
		CODE_TEST(a_base_that_goes_meanwhile_is_no_failure),
		CODE_TEST(not_for_a_tenant_that_may_not_run),
		CODE_TEST(what_goes_wrong_is_no_failure),
		CODE_TEST(other_languages_and_big_packages_need_nothing),
		CODE_TEST(it_takes_its_turn_among_starts),
		CODE_TEST(without_room_nothing_is_evicted_for_it),
		CODE_TEST(a_stopping_node_does_not_begin),
		CODE_TEST(a_stopping_node_ends_the_compiler),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
