/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_pool mayfly_logs mayfly_functions mayfly_core mayfly_base

/* Sandboxes from function templates, and when the pool lets go of such a template. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pool_harness.h"

static void snap_start_skips_init(void **state)
{
	struct fixture *f = *state;
	struct function function = function_make(f, "f");
	struct asker a = { .demand.events = &events };
	struct sandbox_facts facts;

	make_pool(f);
	the_kind = TEMPLATE_FUNCTION;
	function.config.snap_start = SNAP_START_LATEST;
	assert_int_equal(pool_acquire(f->pool, &function, &a.demand, &a.sandbox, NULL), 0);
	f->starting = 0;
	RUN_UNTIL(f, a.bound == 1);
	sandbox_get_facts(a.sandbox, &facts);
	assert_int_equal(facts.origin, SANDBOX_FROM_SNAPSHOT);
	assert_int_equal(facts.init_sent_us, 0);
	release(&a);
}

static void templates_nobody_needs_are_dropped(void **state)
{
	struct fixture *f = *state;
	struct function function = function_make(f, "f");
	struct asker a = { .demand.events = &events };

	make_pool(f);
	the_kind = TEMPLATE_FUNCTION;
	function.config.snap_start = SNAP_START_LATEST;
	assert_int_equal(pool_acquire(f->pool, &function, &a.demand, &a.sandbox, NULL), 0);
	RUN_UNTIL(f, a.bound == 1);
	release(&a);
	list_template(f->function_template, "f");
	list_template("123456789012-f-older", "f");
	list_template("123456789012-g-other", "g");

	/* Which one an update will need is open until it is done. */
	function.update_status = UPDATE_IN_PROGRESS;
	pool_function_changed(f->pool, &function);
	assert_false(listed[0].dropped || listed[1].dropped || listed[2].dropped);

	function.update_status = UPDATE_SUCCESSFUL;
	pool_function_changed(f->pool, &function);
	assert_true(listed[1].dropped);
	assert_false(listed[0].dropped || listed[2].dropped);

	pool_function_deleted(f->pool, "123456789012", "f");
	assert_true(listed[0].dropped);
	assert_false(listed[2].dropped);
}

static const struct function *find_only_f(const char *tenant _unused_, const char *name, void *arg)
{
	return strcmp(name, "f") == 0 ? arg : NULL;
}

static void a_start_drops_what_a_former_agent_left(void **state)
{
	struct fixture *f = *state;
	struct function function = function_make(f, "f");

	make_pool(f);
	list_template("123456789012-f-no-longer-snap-start", "f");
	list_template("123456789012-gone-1", "gone");
	function.state = FUNCTION_PENDING;
	pool_collect_templates(f->pool, find_only_f, &function);
	assert_false(listed[0].dropped);
	assert_true(listed[1].dropped);
	function.state = FUNCTION_ACTIVE;
	pool_collect_templates(f->pool, find_only_f, &function);
	assert_true(listed[0].dropped);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(snap_start_skips_init),
		TEST(templates_nobody_needs_are_dropped),
		TEST(a_start_drops_what_a_former_agent_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
