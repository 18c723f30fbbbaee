/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_pool mayfly_logs mayfly_functions mayfly_image mayfly_core mayfly_base

/* A function's own tenants: no two of them ever have the same sandbox. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pool_harness.h"

static struct function isolated(struct fixture *f)
{
	struct function function = function_make(f, "f");

	function.config.tenancy = TENANCY_PER_TENANT;
	return function;
}

static int ask_for(struct fixture *f, struct asker *asker, const char *end_tenant)
{
	struct function function = isolated(f);
	int r;

	*asker = (struct asker){ .demand.events = &events, .demand.end_tenant = end_tenant };
	r = pool_acquire(f->pool, &function, &asker->demand, &asker->sandbox, NULL);
	asker->bound = r > 0;
	return r;
}

/* One invocation; answers with its sandbox. */
static struct sandbox *use_for(struct fixture *f, const char *end_tenant)
{
	struct sandbox *sandbox;
	struct asker a;

	assert_true(ask_for(f, &a, end_tenant) >= 0);
	RUN_UNTIL(f, a.bound == 1);
	sandbox = a.sandbox;
	assert_string_equal(sandbox->end_tenant->id, end_tenant);
	release(&a);
	return sandbox;
}

static void a_sandbox_is_one_end_tenants(void **state)
{
	struct fixture *f = *state;
	struct sandbox *of_blue, *of_green;
	struct asker a;

	make_pool(f);
	of_blue = use_for(f, "blue");
	of_green = use_for(f, "green");
	assert_ptr_not_equal(of_blue, of_green);
	for (unsigned i = 0; i < 3; i++) {
		assert_ptr_equal(use_for(f, "blue"), of_blue);
		assert_ptr_equal(use_for(f, "green"), of_green);
	}
	assert_int_equal(gauges(f).starts, 2);
	/* While it is busy, its end-tenant gets a second one. */
	assert_int_equal(ask_for(f, &a, "blue"), 1);
	assert_ptr_equal(a.sandbox, of_blue);
	assert_ptr_not_equal(use_for(f, "blue"), of_blue);
	release(&a);
	/* What names nobody is refused by the invoker; here it is the last guard. */
	assert_int_equal(ask_for(f, &a, ""), -EINVAL);
}

static void a_spare_is_nobodys_until_it_serves(void **state)
{
	struct fixture *f = *state;
	struct function function = isolated(f);
	struct sandbox *sandbox;

	f->config.spares = 1;
	make_pool(f);
	pool_function_changed(f->pool, &function);
	(void)use_for(f, "blue");
	RUN_UNTIL(f, gauges(f).spare == 1);
	sandbox = TAILQ_FIRST(&version_find(f->pool, function.tenant, "f", 0)->idle);
	assert_null(sandbox->end_tenant);
	assert_ptr_equal(use_for(f, "green"), sandbox);
	RUN_UNTIL(f, gauges(f).spare == 1);
	assert_ptr_equal(use_for(f, "green"), sandbox);
}

static void who_waits_gets_its_own_or_a_new_one(void **state)
{
	struct fixture *f = *state;
	struct asker blue, blue_too, green;
	struct sandbox *of_blue;

	f->config.max_starts = 1;
	make_pool(f);
	of_blue = use_for(f, "blue");
	assert_int_equal(ask_for(f, &blue, "blue"), 1);
	assert_int_equal(ask_for(f, &green, "green"), 0);
	assert_int_equal(ask_for(f, &blue_too, "blue"), 0);
	/* The sandbox that falls free is of no use to the one who waited first. */
	release(&blue);
	RUN_UNTIL(f, blue_too.bound);
	assert_ptr_equal(blue_too.sandbox, of_blue);
	RUN_UNTIL(f, green.bound);
	assert_ptr_not_equal(green.sandbox, of_blue);
	release(&green);
	release(&blue_too);
}

static void one_who_is_at_hand_passes_those_who_wait(void **state)
{
	struct fixture *f = *state;
	struct asker green, blue;
	struct sandbox *of_blue;

	make_pool(f);
	of_blue = use_for(f, "blue");
	f->manner = MANNER_SILENT; /* none is restored any more */
	assert_int_equal(ask_for(f, &green, "green"), 0);
	assert_int_equal(ask_for(f, &blue, "blue"), 1);
	assert_ptr_equal(blue.sandbox, of_blue);
	release(&blue);
	pool_cancel(f->pool, &green.demand);
	assert_int_equal(green.bound + green.failed, 0);
	assert_int_equal(gauges(f).waiting, 0);
}

#define COST_MB 102

static void idle_ones_of_others_make_room(void **state)
{
	struct fixture *f = *state;
	const char *names[] = { "a", "b", "c" };
	struct sandbox *of_c;

	f->config.memory_budget_bytes = 2ULL * COST_MB << 20;
	make_pool(f);
	(void)use_for(f, names[0]);
	(void)use_for(f, names[1]);
	of_c = use_for(f, names[2]); /* in place of a's, the longest idle */
	assert_int_equal(gauges(f).evictions, 1);
	RUN_UNTIL(f, f->alive == 2);
	(void)use_for(f, names[1]); /* b's is still there */
	assert_ptr_equal(use_for(f, names[2]), of_c);
	assert_int_equal(gauges(f).starts, 3);
}

/* One keeps the only place there is busy; the other's turn comes all the same. */
static void a_busy_one_does_not_starve_another(void **state)
{
	struct fixture *f = *state;
	struct asker busy[8], green;

	f->config.memory_budget_bytes = (uint64_t)COST_MB << 20;
	make_pool(f);
	(void)use_for(f, "blue");
	assert_int_equal(ask_for(f, &busy[0], "blue"), 1);
	assert_int_equal(ask_for(f, &busy[1], "blue"), 0);
	assert_int_equal(ask_for(f, &green, "green"), 0);
	for (unsigned i = 2; i < 8; i++)
		assert_int_equal(ask_for(f, &busy[i], "blue"), 0);
	settle(f);
	release(&busy[0]); /* this one of blue has waited for longer than green */
	RUN_UNTIL(f, busy[1].bound);
	assert_false(green.bound);
	release(&busy[1]); /* these have not */
	RUN_UNTIL(f, green.bound);
	assert_false(busy[2].bound);
	assert_int_equal(f->alive, 1);
	release(&green);
	RUN_UNTIL(f, busy[2].bound);
	for (unsigned i = 2; i < 8; i++) {
		RUN_UNTIL(f, busy[i].bound);
		release(&busy[i]);
	}
}

/* Those who wait go on to a newer generation, in their own names. */
static void a_newer_generation_takes_over(void **state)
{
	struct fixture *f = *state;
	struct asker blue, green, old;
	struct function function;
	struct sandbox *of_blue;

	make_pool(f);
	of_blue = use_for(f, "blue");
	assert_int_equal(ask_for(f, &old, "blue"), 1);
	f->manner = MANNER_SILENT;
	assert_int_equal(ask_for(f, &blue, "blue"), 0);
	assert_int_equal(ask_for(f, &green, "green"), 0);
	settle(f);
	f->manner = MANNER_GOOD;
	f->generation = 2;
	function = isolated(f);
	pool_function_changed(f->pool, &function);
	RUN_UNTIL(f, blue.bound && green.bound);
	assert_ptr_not_equal(blue.sandbox, of_blue);
	assert_ptr_not_equal(blue.sandbox, green.sandbox);
	release(&old);
	release(&blue);
	release(&green);
	/* And fail with the function. */
	f->manner = MANNER_SILENT;
	assert_int_equal(ask_for(f, &old, "red"), 0);
	pool_function_deleted(f->pool, &function);
	assert_int_equal(old.failed, 1);
	assert_int_equal(old.code, ERROR_NOT_FOUND);
}

/* -- a crowd, at random -- */

#define CROWD  6
#define ROUNDS 2000

static void none_of_a_crowd_is_mixed_with_another(void **state)
{
	struct fixture *f = *state;
	const char *names[CROWD] = { "t0", "t1", "t2", "t3", "t4", "t5" };
	/* By sandbox id: whose it was seen to be. */
	struct {
		char id[HEX_ID_BYTES];
		const char *name;
	} seen[ROUNDS];
	struct asker askers[16] = { 0 };
	unsigned count = 0, served = 0;

	f->config.memory_budget_bytes = 4ULL * COST_MB << 20;
	f->config.spares = 1;
	make_pool(f);
	(void)use_for(f, names[0]); /* what the first start has to read is read */
	srandom(20260101);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct asker *asker = &askers[random() % 16];
		struct sandbox_facts facts;
		unsigned i;

		if (!asker->demand.events) {
			assert_true(ask_for(f, asker, names[random() % CROWD]) >= 0);
		} else if (asker->sandbox) {
			sandbox_get_facts(asker->sandbox, &facts);
			for (i = 0; i < count && strcmp(seen[i].id, facts.id) != 0; i++)
				;
			if (i == count) {
				memcpy(seen[count].id, facts.id, HEX_ID_BYTES);
				seen[count++].name = asker->demand.end_tenant;
			}
			assert_ptr_equal(seen[i].name, asker->demand.end_tenant);
			served++;
			sandbox_release(asker->sandbox, random() % 8 ? NULL : "a test ends it");
			*asker = (struct asker){ 0 };
		} else if (random() % 32 == 0) {
			pool_cancel(f->pool, &asker->demand);
			*asker = (struct asker){ 0 };
		}
		if (random() % 2)
			settle(f);
	}
	assert_true(served > ROUNDS / 10);
	/* Whoever still waits is served in the end. */
	for (unsigned left = 16; left > 0;) {
		left = 0;
		for (unsigned i = 0; i < 16; i++) {
			if (askers[i].sandbox) {
				release(&askers[i]);
				askers[i] = (struct asker){ 0 };
			}
			left += askers[i].demand.events != NULL;
		}
		if (left > 0)
			turn(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_sandbox_is_one_end_tenants),
		TEST(a_spare_is_nobodys_until_it_serves),
		TEST(who_waits_gets_its_own_or_a_new_one),
		TEST(one_who_is_at_hand_passes_those_who_wait),
		TEST(idle_ones_of_others_make_room),
		TEST(a_busy_one_does_not_starve_another),
		TEST(a_newer_generation_takes_over),
		TEST(none_of_a_crowd_is_mixed_with_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
