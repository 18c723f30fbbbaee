/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_pool mayfly_logs mayfly_functions mayfly_core mayfly_base

/* A node that is full for long: what tenants of different weights get of it, while one of them
 * wants many times as much as all others. The pool is the real one, the microVMs are the test's. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pool_harness.h"

#define TENANTS  3
#define WAITING  60 /* demands of each other tenant, at any time */
#define GREED    5  /* times as many of the first */
#define COST_MB  102
#define ROOM     32 /* sandboxes that fit */
#define STEPS    640
#define SETTLING 200 /* steps until each has its part, from all having been the first one's */

struct slot {
	struct asker asker;
	uint64_t bound_at; /* the order of those that run; 0: waits */
};

struct load {
	const char *tenant;
	unsigned weight;
	unsigned slots;
	struct slot *slot; /* owned */
	unsigned ended;    /* invocations, since counting began */
	unsigned running_steps;
};

static struct load loads[TENANTS];
static uint64_t order;

static unsigned weight_of(const char *tenant, void *arg _unused_)
{
	for (unsigned i = 0; i < TENANTS; i++)
		if (strcmp(loads[i].tenant, tenant) == 0)
			return loads[i].weight;
	return 1;
}

static void ask_for(struct fixture *f, struct load *load, unsigned i)
{
	struct function function = function_make(f, "f");
	struct slot *slot = &load->slot[i];
	int r;

	function.tenant = (char *)(uintptr_t)load->tenant;
	*slot = (struct slot){ .asker.demand.events = &events };
	r = pool_acquire(f->pool, &function, &slot->asker.demand, &slot->asker.sandbox, NULL);
	assert_true(r >= 0);
	slot->asker.bound = r > 0;
}

/* Those that were bound since the last time are as old as now. */
static unsigned note_running(struct load *load)
{
	unsigned running = 0;

	for (unsigned i = 0; i < load->slots; i++) {
		struct slot *slot = &load->slot[i];

		if (!slot->asker.sandbox)
			continue;
		running++;
		if (slot->bound_at == 0)
			slot->bound_at = ++order;
	}
	return running;
}

/* All take the same time, so the one that began first ends first. Its place in the queue is taken
 * at once. `with_sandbox`: the next one needs another. */
static void end_oldest(struct fixture *f, bool with_sandbox)
{
	struct load *of = NULL;
	unsigned oldest = 0;

	for (unsigned t = 0; t < TENANTS; t++)
		for (unsigned i = 0; i < loads[t].slots; i++) {
			const struct slot *slot = &loads[t].slot[i];

			if (slot->bound_at > 0 &&
			    (!of || slot->bound_at < of->slot[oldest].bound_at)) {
				of = &loads[t];
				oldest = i;
			}
		}
	assert_non_null(of);
	sandbox_release(of->slot[oldest].asker.sandbox, with_sandbox ? "used once" : NULL);
	of->ended++;
	ask_for(f, of, oldest);
}

static unsigned all_running(void)
{
	unsigned running = 0;

	for (unsigned t = 0; t < TENANTS; t++)
		running += note_running(&loads[t]);
	return running;
}

static void begin(struct fixture *f, unsigned of_first, unsigned of_second, unsigned of_third)
{
	static const char *const tenants[] = { "111111111111", "222222222222", "333333333333" };
	const unsigned weights[] = { of_first, of_second, of_third };

	order = 0;
	for (unsigned t = 0; t < TENANTS; t++) {
		loads[t] = (struct load){ .tenant = tenants[t],
					  .weight = weights[t],
					  .slots = t == 0 ? GREED * WAITING : WAITING };
		loads[t].slot = calloc(loads[t].slots, sizeof(*loads[t].slot));
	}
	f->config.memory_budget_bytes = (uint64_t)ROOM * COST_MB << 20;
	f->config.max_starts = 2;
	f->config.tenant_weight = weight_of;
	make_pool(f);
}

/* What a function's first start has to read is read, so that from now on it depends on turns alone.
 */
static void know(struct fixture *f)
{
	for (unsigned t = 0; t < TENANTS; t++) {
		struct slot *slot = &loads[t].slot[0];

		ask_for(f, &loads[t], 0);
		RUN_UNTIL(f, slot->asker.bound == 1);
		sandbox_release(slot->asker.sandbox, "it was only asked for once");
		RUN_UNTIL(f, gauges(f).total == 0);
		*slot = (struct slot){ 0 };
	}
}

/* The first comes first, and has all of the node when the others come. */
static void overload(struct fixture *f, bool with_sandbox)
{
	know(f);
	for (unsigned t = 0; t < TENANTS; t++) {
		for (unsigned i = 0; i < loads[t].slots; i++)
			ask_for(f, &loads[t], i);
		RUN_UNTIL(f, all_running() == ROOM);
		settle(f);
	}
	for (unsigned step = 0; step < SETTLING + STEPS; step++) {
		if (step == SETTLING)
			for (unsigned t = 0; t < TENANTS; t++)
				loads[t].ended = 0;
		end_oldest(f, with_sandbox);
		RUN_UNTIL(f, all_running() == ROOM);
		for (unsigned t = 0; t < TENANTS && step >= SETTLING; t++)
			loads[t].running_steps += note_running(&loads[t]);
	}
}

static void assert_share(unsigned value, unsigned of_all, const struct load *load)
{
	unsigned weights = 0;
	double wanted;

	for (unsigned t = 0; t < TENANTS; t++)
		weights += loads[t].weight;
	wanted = (double)of_all * load->weight / weights;
	print_message("tenant of weight %u of %u: %u of %u, %.3f of its share\n", load->weight,
		      weights, value, of_all, value / wanted);
	assert_true(value >= 0.9 * wanted && value <= 1.1 * wanted);
}

static void end(struct fixture *f)
{
	for (unsigned t = 0; t < TENANTS; t++) {
		for (unsigned i = 0; i < loads[t].slots; i++)
			if (!loads[t].slot[i].asker.sandbox)
				pool_cancel(f->pool, &loads[t].slot[i].asker.demand);
		for (unsigned i = 0; i < loads[t].slots; i++)
			if (loads[t].slot[i].asker.sandbox)
				release(&loads[t].slot[i].asker);
	}
	settle(f);
	for (unsigned t = 0; t < TENANTS; t++)
		free(loads[t].slot);
}

static void check(struct fixture *f)
{
	unsigned running = 0;

	for (unsigned t = 0; t < TENANTS; t++)
		running += loads[t].running_steps;
	assert_int_equal(running, STEPS * ROOM);
	for (unsigned t = 0; t < TENANTS; t++) {
		assert_share(loads[t].ended, STEPS, &loads[t]);
		assert_share(loads[t].running_steps, running, &loads[t]);
	}
	end(f);
}

/* Sandboxes are used again: invocations, and the time that they run, go by the room. */
static void invocations_go_by_weight(void **state)
{
	struct fixture *f = *state;

	begin(f, 100, 200, 500);
	overload(f, false);
	check(f);
}

/* Each needs a new one: restores go by turns. */
static void restores_go_by_weight(void **state)
{
	struct fixture *f = *state;

	begin(f, 100, 200, 500);
	overload(f, true);
	check(f);
}

/* The greedy one may also be the heaviest. */
static void the_lightest_does_not_starve(void **state)
{
	struct fixture *f = *state;

	begin(f, 1000, 500, 100);
	overload(f, false);
	check(f);
}

static void equals_are_equal(void **state)
{
	struct fixture *f = *state;

	begin(f, 100, 100, 100);
	overload(f, true);
	check(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(invocations_go_by_weight),
		TEST(restores_go_by_weight),
		TEST(the_lightest_does_not_starve),
		TEST(equals_are_equal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
