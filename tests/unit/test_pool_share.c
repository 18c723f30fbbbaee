/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_pool mayfly_logs mayfly_functions mayfly_image mayfly_core mayfly_base

/* What tenants get of a node that is full. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pool_harness.h"

/* The wall clock is what a test makes of it. */
static int64_t clock_step_us;

static int64_t read_clock_us(clockid_t id)
{
	struct timespec now;

	(void)clock_gettime(id, &now);
	return (int64_t)now.tv_sec * USEC_PER_SEC + now.tv_nsec / 1000;
}

int64_t clock_monotonic_us(void)
{
	return read_clock_us(CLOCK_MONOTONIC);
}

int64_t clock_realtime_us(void)
{
	return read_clock_us(CLOCK_REALTIME) + clock_step_us;
}

void clock_format_iso8601(int64_t realtime_us, char out[CLOCK_ISO8601_BYTES])
{
	(void)snprintf(out, CLOCK_ISO8601_BYTES, "%lld", (long long)realtime_us);
}

#define GREEDY  "111111111111"
#define MODEST  "222222222222"
#define ASKERS  64
#define COST_MB 102 /* of a sandbox, a little more: the overhead, and a hundredth of 128 MB */

static unsigned greedy_weight;

static unsigned weight_of(const char *tenant, void *arg _unused_)
{
	return strcmp(tenant, GREEDY) == 0 ? greedy_weight : 1;
}

/* Demands of one tenant, in order of asking. */
struct crowd {
	const char *tenant;
	struct asker askers[ASKERS];
	unsigned asked;
};

static void ask_as(struct fixture *f, struct crowd *crowd, const char *name, unsigned count)
{
	struct function function = function_make(f, name);

	function.tenant = (char *)(uintptr_t)crowd->tenant;
	while (count-- > 0) {
		struct asker *asker = &crowd->askers[crowd->asked++];

		*asker = (struct asker){ .demand.events = &events };
		int r = pool_acquire(f->pool, &function, &asker->demand, &asker->sandbox, NULL);
		assert_true(r >= 0);
		asker->bound = r > 0;
	}
}

/* What a function's first start has to read is read, so that from now on it depends on turns alone.
 */
static void know(struct fixture *f, const char *tenant, const char *name)
{
	struct crowd crowd = { .tenant = tenant };

	ask_as(f, &crowd, name, 1);
	RUN_UNTIL(f, crowd.askers[0].bound);
	sandbox_release(crowd.askers[0].sandbox, "it was only asked for once");
	RUN_UNTIL(f, gauges(f).total == 0);
}

static unsigned bound(const struct crowd *crowd)
{
	unsigned n = 0;

	for (unsigned i = 0; i < crowd->asked; i++)
		n += crowd->askers[i].bound;
	return n;
}

static unsigned running(const struct crowd *crowd)
{
	unsigned n = 0;

	for (unsigned i = 0; i < crowd->asked; i++)
		n += crowd->askers[i].sandbox != NULL;
	return n;
}

/* One of its invocations ends. */
static void end_one(struct crowd *crowd)
{
	for (unsigned i = 0; i < crowd->asked; i++)
		if (crowd->askers[i].sandbox) {
			release(&crowd->askers[i]);
			return;
		}
	fail_msg("none of %s runs", crowd->tenant);
}

static void end_all(struct fixture *f, struct crowd *crowd)
{
	for (unsigned i = 0; i < crowd->asked; i++)
		if (!crowd->askers[i].bound)
			pool_cancel(f->pool, &crowd->askers[i].demand);
	while (running(crowd) > 0)
		end_one(crowd);
}

static void make_shared_pool(struct fixture *f, unsigned sandboxes, unsigned starts)
{
	f->config.memory_budget_bytes = (uint64_t)sandboxes * COST_MB << 20;
	f->config.max_starts = starts;
	f->config.tenant_weight = weight_of;
	f->config.keep_alive_us = 3600 * USEC_PER_SEC;
	make_pool(f);
}

/* Both want more starts than there are; counts what the greedy one has when all have had `sum`. */
static unsigned starts_of_greedy(struct fixture *f, unsigned sum)
{
	struct crowd greedy = { .tenant = GREEDY }, modest = { .tenant = MODEST };
	unsigned of_greedy;
	char name[16];

	/* Many functions, each a queue of its own, against one. */
	know(f, MODEST, "m");
	for (unsigned i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "g%u", i);
		know(f, GREEDY, name);
	}
	for (unsigned i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "g%u", i);
		ask_as(f, &greedy, name, 2);
	}
	ask_as(f, &modest, "m", 40);
	RUN_UNTIL(f, bound(&greedy) + bound(&modest) >= sum);
	of_greedy = bound(&greedy);
	end_all(f, &greedy);
	end_all(f, &modest);
	return of_greedy;
}

static void starts_are_dealt_out_in_turns(void **state)
{
	struct fixture *f = *state;

	greedy_weight = 1;
	make_shared_pool(f, 1000, 1);
	assert_in_range(starts_of_greedy(f, 20), 9, 11);
}

static void starts_go_by_weight(void **state)
{
	struct fixture *f = *state;

	greedy_weight = 3;
	make_shared_pool(f, 1000, 1);
	assert_in_range(starts_of_greedy(f, 24), 17, 19);
}

static void who_comes_late_has_no_old_claims(void **state)
{
	struct fixture *f = *state;
	struct crowd greedy = { .tenant = GREEDY }, modest = { .tenant = MODEST };

	greedy_weight = 1;
	make_shared_pool(f, 1000, 1);
	know(f, MODEST, "m");
	know(f, GREEDY, "g");
	ask_as(f, &greedy, "g", 30);
	RUN_UNTIL(f, bound(&greedy) == 10);
	ask_as(f, &modest, "m", 30);
	/* Not ten at once for what it never asked for. */
	RUN_UNTIL(f, bound(&modest) >= 8);
	assert_in_range(bound(&greedy), 16, 20);
	end_all(f, &greedy);
	end_all(f, &modest);
}

/* Ends the greedy one's invocations until the modest one has what it may. */
static void make_way(struct fixture *f, struct crowd *greedy, struct crowd *modest, unsigned wanted)
{
	for (unsigned i = 0; i < 20 && running(modest) < wanted; i++) {
		unsigned before = running(modest);

		if (running(greedy) == 0)
			return;
		end_one(greedy);
		settle(f);
		RUN_UNTIL(f, running(modest) > before || f->starting == 0);
		settle(f);
	}
}

static void room_falls_to_who_has_less(void **state)
{
	struct fixture *f = *state;
	struct crowd greedy = { .tenant = GREEDY }, modest = { .tenant = MODEST };

	greedy_weight = 1;
	f->config.share_idle_us = 50 * USEC_PER_MSEC;
	make_shared_pool(f, 4, 4);
	know(f, MODEST, "m");
	know(f, GREEDY, "g");
	ask_as(f, &greedy, "g", 40);
	RUN_UNTIL(f, running(&greedy) == 4);
	ask_as(f, &modest, "m", 10);
	settle(f);
	assert_int_equal(running(&modest), 0);
	make_way(f, &greedy, &modest, 2);
	assert_int_equal(running(&modest), 2);
	/* And no more than half. */
	for (unsigned i = 0; i < 8; i++) {
		end_one(&greedy);
		settle(f);
		assert_int_equal(running(&modest), 2);
		assert_int_equal(running(&greedy), 2);
	}
	/* Nobody else has used it for a while: all is the greedy one's again. */
	end_all(f, &modest);
	RUN_UNTIL(f, running(&greedy) == 4);
	end_all(f, &greedy);
}

static void room_goes_by_weight(void **state)
{
	struct fixture *f = *state;
	struct crowd greedy = { .tenant = GREEDY }, modest = { .tenant = MODEST };

	greedy_weight = 3;
	make_shared_pool(f, 8, 8);
	know(f, MODEST, "m");
	know(f, GREEDY, "g");
	ask_as(f, &greedy, "g", 50);
	RUN_UNTIL(f, running(&greedy) == 8);
	ask_as(f, &modest, "m", 10);
	make_way(f, &greedy, &modest, 2);
	assert_int_equal(running(&modest), 2);
	end_one(&greedy);
	settle(f);
	assert_int_equal(running(&modest), 2);
	assert_int_equal(running(&greedy), 6);
	end_all(f, &greedy);
	end_all(f, &modest);
}

/* It is asked for whenever it counts, so a change needs no more than to be told to the VMs. */
static void a_change_of_weight_counts_at_once(void **state)
{
	struct fixture *f = *state;
	struct crowd greedy = { .tenant = GREEDY }, modest = { .tenant = MODEST };

	greedy_weight = 3;
	make_shared_pool(f, 1000, 1);
	know(f, MODEST, "m");
	know(f, GREEDY, "g");
	assert_int_equal(f->clone_weight, 3);
	ask_as(f, &greedy, "g", 60);
	ask_as(f, &modest, "m", 60);
	RUN_UNTIL(f, bound(&greedy) + bound(&modest) >= 16);
	assert_in_range(bound(&greedy), 11, 13);
	greedy_weight = 1;
	pool_tenant_changed(f->pool, GREEDY);
	assert_string_equal(f->weighed_group, GREEDY);
	assert_int_equal(f->weighed, 1);
	pool_tenant_changed(f->pool, "333333333333"); /* nobody that the pool knows */
	assert_string_equal(f->weighed_group, GREEDY);
	unsigned before = bound(&greedy), all = before + bound(&modest);
	RUN_UNTIL(f, bound(&greedy) + bound(&modest) >= all + 20);
	assert_in_range(bound(&greedy) - before, 9, 11);
	end_all(f, &greedy);
	end_all(f, &modest);
}

static void idle_ones_within_a_share_are_not_evicted(void **state)
{
	struct fixture *f = *state;
	struct crowd greedy = { .tenant = GREEDY }, modest = { .tenant = MODEST };

	greedy_weight = 1;
	make_shared_pool(f, 4, 4);
	know(f, MODEST, "m");
	know(f, GREEDY, "g");
	know(f, GREEDY, "g2");
	ask_as(f, &modest, "m", 2);
	RUN_UNTIL(f, running(&modest) == 2);
	end_one(&modest);
	end_one(&modest);
	ask_as(f, &greedy, "g", 2);
	RUN_UNTIL(f, running(&greedy) == 2);
	/* The longest idle is the modest one's, which has its half and no more; and it was used a
	 * moment ago, whatever the clock is set to. */
	clock_step_us = 3600 * USEC_PER_SEC;
	ask_as(f, &greedy, "g2", 2);
	settle(f);
	assert_int_equal(gauges(f).evictions, 0);
	end_one(&greedy);
	RUN_UNTIL(f, running(&greedy) == 2);
	assert_int_equal(gauges(f).evictions, 1);
	ask_as(f, &modest, "m", 1);
	assert_int_equal(running(&modest), 1);
	clock_step_us = 0;
	/* What it has beyond its share is anybody's. */
	end_all(f, &greedy);
	end_all(f, &modest);
	RUN_UNTIL(f, gauges(f).busy == 0);
}

#define SHARE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SHARE_TEST(starts_are_dealt_out_in_turns),
		SHARE_TEST(starts_go_by_weight),
		SHARE_TEST(who_comes_late_has_no_old_claims),
		SHARE_TEST(room_falls_to_who_has_less),
		SHARE_TEST(room_goes_by_weight),
		SHARE_TEST(a_change_of_weight_counts_at_once),
		SHARE_TEST(idle_ones_within_a_share_are_not_evicted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
