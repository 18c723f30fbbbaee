/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_pool mayfly_logs mayfly_functions mayfly_core mayfly_base

/* Sandboxes that a version is to have initialised at any time. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pool_harness.h"

static struct function version_make(struct fixture *f)
{
	struct function function = function_make(f, "f");

	function.version = 1;
	return function;
}

static void provision(struct fixture *f, unsigned provisioned)
{
	struct function function = version_make(f);

	assert_int_equal(pool_set_provisioned(f->pool, &function, provisioned), 0);
}

static struct pool_provision provided(struct fixture *f)
{
	struct function function = version_make(f);
	struct pool_provision provision;

	pool_get_provision(f->pool, &function, &provision);
	return provision;
}

static bool is_at_hand(struct fixture *f)
{
	struct function function = version_make(f);
	unsigned wanted;

	return pool_has_provisioned(f->pool, &function, &wanted);
}

static int ask_version(struct fixture *f, struct asker *asker)
{
	struct function function = version_make(f);
	int r;

	*asker = (struct asker){ .demand.events = &events };
	r = pool_acquire(f->pool, &function, &asker->demand, &asker->sandbox, NULL);
	asker->bound = r > 0;
	return r;
}

static unsigned of_type[4];
static unsigned last_init_ms;

static bool note_type(struct vm *vm _unused_, const Mayfly__Guest__V1__HostMessage *message)
{
	if (message->kind_case == MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_INITIALIZE) {
		of_type[message->initialize->initialization_type]++;
		last_init_ms = message->initialize->init_timeout_ms;
	}
	return false;
}

static void they_are_there_before_a_demand(void **state)
{
	struct fixture *f = *state;
	struct asker a;

	of_type[2] = 0;
	f->on_send = note_type;
	make_pool(f);
	provision(f, 3);
	assert_int_equal(provided(f).wanted, 3);
	assert_int_equal(provided(f).available, 0);
	RUN_UNTIL(f, provided(f).available == 3);
	assert_int_equal(provided(f).allocated, 3);
	assert_null(provided(f).failure);
	assert_int_equal(of_type[2], 3);
	assert_int_equal(last_init_ms, 130000);
	/* Busy ones are available all the same; nothing is started for them. */
	assert_true(is_at_hand(f));
	assert_int_equal(ask_version(f, &a), 1);
	assert_int_equal(a.sandbox->invocations, 1);
	settle(f);
	assert_int_equal(provided(f).available, 3);
	assert_int_equal(f->cloned, 3);
	release(&a);
}

static const char *because(const char *tenant, void *arg)
{
	assert_string_equal(tenant, "123456789012");
	return arg;
}

static void none_for_a_tenant_that_may_not_run(void **state)
{
	struct fixture *f = *state;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct function function;
	struct asker a = { .demand.events = &events };

	f->config.why_not_run = because;
	f->config.why_not_run_arg = (void *)(uintptr_t) "Not here.";
	f->config.spares = 2;
	f->config.spares_on_deploy = true;
	make_pool(f);
	function = function_make(f, "f");
	pool_function_changed(f->pool, &function);
	provision(f, 3);
	settle(f);
	assert_int_equal(f->cloned + f->booted + f->templates_asked, 0);
	assert_int_equal(provided(f).wanted, 3);
	assert_string_equal(provided(f).failure, "Not here.");
	assert_true(pool_acquire(f->pool, &function, &a.demand, &a.sandbox, &error) < 0);
	assert_int_equal(error.code, ERROR_ACCESS_DENIED);
	assert_string_equal(error_text(&error), "Not here.");
}

static void they_stay_and_come_back(void **state)
{
	struct fixture *f = *state;
	struct asker a;

	f->config.keep_alive_us = 1000;
	make_pool(f);
	provision(f, 2);
	RUN_UNTIL(f, gauges(f).frozen == 2);
	assert_int_equal(ask_version(f, &a), 1);
	sandbox_release(TAKE_PTR(a.sandbox), "timed out");
	RUN_UNTIL(f, f->cloned == 3 && gauges(f).frozen == 2);
	/* An ordinary one ends by the keep-alive, these do not. */
	assert_int_equal(ask(f, &a, "g"), 0);
	RUN_UNTIL(f, a.bound == 1);
	release(&a);
	RUN_UNTIL(f, gauges(f).total == 2);
	assert_int_equal(provided(f).available, 2);
}

static void beyond_them_is_on_demand(void **state)
{
	struct fixture *f = *state;
	struct asker a, b, c;

	make_pool(f);
	provision(f, 1);
	RUN_UNTIL(f, provided(f).available == 1);
	assert_int_equal(ask_version(f, &a), 1);
	assert_false(is_at_hand(f));
	assert_int_equal(ask_version(f, &b), 0);
	RUN_UNTIL(f, b.bound == 1);
	assert_false(b.sandbox->provisioned);
	release(&a);
	release(&b);
	/* The provisioned one first, although the other was used later. */
	assert_int_equal(ask_version(f, &c), 1);
	assert_true(c.sandbox->provisioned);
	release(&c);
}

static void they_are_not_evicted(void **state)
{
	struct fixture *f = *state;
	struct asker a, b;

	f->config.memory_budget_bytes = 203ULL << 20; /* two */
	make_pool(f);
	provision(f, 1);
	RUN_UNTIL(f, provided(f).available == 1);
	assert_int_equal(ask(f, &a, "g"), 0);
	RUN_UNTIL(f, a.bound == 1);
	assert_int_equal(ask(f, &b, "h"), 0);
	settle(f);
	assert_int_equal(b.bound, 0);
	release(&a);
	RUN_UNTIL(f, b.bound == 1);
	assert_int_equal(gauges(f).evictions, 1);
	assert_int_equal(provided(f).available, 1);
	release(&b);
}

static void without_room_it_fails_and_says_so(void **state)
{
	struct fixture *f = *state;

	f->config.memory_budget_bytes = 203ULL << 20; /* two */
	make_pool(f);
	provision(f, 3);
	RUN_UNTIL(f, provided(f).failure);
	RUN_UNTIL(f, provided(f).available == 2);
	assert_string_equal(provided(f).failure,
			    "The node has no memory left for so many sandboxes.");
	provision(f, 2);
	assert_null(provided(f).failure);
	assert_int_equal(provided(f).available, 2);
}

static void a_failing_init_is_told(void **state)
{
	struct fixture *f = *state;
	struct asker a;

	f->manner = MANNER_FAILS_INIT;
	make_pool(f);
	provision(f, 1);
	RUN_UNTIL(f, provided(f).failure);
	RUN_UNTIL(f, gauges(f).total == 0);
	assert_string_equal(provided(f).failure, "FUNCTION_ERROR_INIT_FAILURE");
	assert_int_equal(gauges(f).start_failures, 0);
	/* Demands are served as ever. */
	assert_int_equal(ask_version(f, &a), 0);
	RUN_UNTIL(f, a.bound == 1);
	release(&a);
}

static void what_is_taken_back_ends(void **state)
{
	struct fixture *f = *state;
	struct asker a;

	make_pool(f);
	provision(f, 3);
	RUN_UNTIL(f, provided(f).available == 3);
	assert_int_equal(ask_version(f, &a), 1);
	provision(f, 1);
	RUN_UNTIL(f, gauges(f).total == 1);
	assert_non_null(a.sandbox);
	provision(f, 0);
	settle(f);
	assert_int_equal(gauges(f).total, 1);
	release(&a);
	RUN_UNTIL(f, gauges(f).total == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(they_are_there_before_a_demand),
		TEST(they_stay_and_come_back),
		TEST(none_for_a_tenant_that_may_not_run),
		TEST(beyond_them_is_on_demand),
		TEST(they_are_not_evicted),
		TEST(without_room_it_fails_and_says_so),
		TEST(a_failing_init_is_told),
		TEST(what_is_taken_back_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
