/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_pool mayfly_logs mayfly_functions mayfly_image mayfly_core mayfly_base

/* CPU time of sandboxes, as the host counts it: what of it was their start's, what their service's,
 * and that nothing is forgotten when they end. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/pool/cpu_use.h"
#include "tests/unit/pool_harness.h"

struct reading {
	bool done;
	size_t count;
	struct cpu_use use; /* the first */
};

static void on_read(const struct cpu_use *uses, size_t count, int error, void *arg)
{
	struct reading *reading = arg;

	assert_int_equal(error, 0);
	assert_false(reading->done);
	*reading = (struct reading){ .done = true, .count = count };
	if (count > 0)
		reading->use = uses[0];
}

static struct reading read_use(struct fixture *f)
{
	struct reading reading = { 0 };

	assert_int_equal(pool_read_cpu_use(f->pool, on_read, &reading), 0);
	assert_false(reading.done);
	RUN_UNTIL(f, reading.done);
	return reading;
}

static void make_lone_pool(struct fixture *f)
{
	f->config.freeze_after_us = 3600 * USEC_PER_SEC;
	make_pool(f);
}

static void starts_and_service_are_told_apart(void **state)
{
	struct fixture *f = *state;
	struct asker asker;
	struct reading reading;

	make_lone_pool(f);
	assert_int_equal(read_use(f).count, 0);
	f->cpu_us = 300;
	assert_int_equal(ask(f, &asker, "f"), 0);
	RUN_UNTIL(f, asker.bound);
	f->cpu_us = 1000;
	reading = read_use(f);
	assert_int_equal(reading.count, 1);
	assert_string_equal(reading.use.tenant, "123456789012");
	assert_string_equal(reading.use.function_name, "f");
	assert_string_equal(reading.use.version, "$LATEST");
	assert_int_equal(reading.use.sandboxes, 1);
	assert_int_equal(reading.use.uncounted, 0);
	assert_int_equal(reading.use.start_us, 300);
	assert_int_equal(reading.use.serve_us, 700);
	assert_int_equal(reading.use.cpus, 2);
	release(&asker);
}

static void time_of_the_invocation_under_way_is_beside_the_bill(void **state)
{
	struct fixture *f = *state;
	int64_t begun_us;
	struct asker asker;
	struct reading reading;
	uint64_t since_us, idle_us;

	make_lone_pool(f);
	assert_int_equal(ask(f, &asker, "f"), 0);
	RUN_UNTIL(f, asker.bound);
	begun_us = clock_monotonic_us();
	RUN_UNTIL(f, clock_monotonic_us() > begun_us + 20 * USEC_PER_MSEC);
	reading = read_use(f);
	/* Of two threads. */
	assert_true(reading.use.beside_us >= CPU_USE_SANDBOX_US + 2 * 20 * (uint64_t)USEC_PER_MSEC);
	/* It is billed now; what it runs idly still is beside it. */
	begun_us = clock_monotonic_us();
	idle_us = asker.sandbox->cpu.idle_us; /* before it was bound */
	release(&asker);
	reading = read_use(f);
	since_us = (uint64_t)(clock_monotonic_us() - begun_us);
	assert_true(reading.use.beside_us <= CPU_USE_SANDBOX_US + 2 * (idle_us + since_us));
	begun_us = clock_monotonic_us();
	RUN_UNTIL(f, clock_monotonic_us() > begun_us + 20 * USEC_PER_MSEC);
	assert_true(read_use(f).use.beside_us >=
		    CPU_USE_SANDBOX_US + 2 * 20 * (uint64_t)USEC_PER_MSEC);
}

static void a_frozen_sandbox_has_no_time(void **state)
{
	struct fixture *f = *state;
	int64_t begun_us;
	struct asker asker;
	uint64_t beside_us;

	f->config.freeze_after_us = 1;
	make_pool(f);
	assert_int_equal(ask(f, &asker, "f"), 0);
	RUN_UNTIL(f, asker.bound);
	release(&asker);
	RUN_UNTIL(f, gauges(f).frozen == 1);
	beside_us = read_use(f).use.beside_us;
	begun_us = clock_monotonic_us();
	RUN_UNTIL(f, clock_monotonic_us() > begun_us + 20 * USEC_PER_MSEC);
	assert_int_equal(read_use(f).use.beside_us, beside_us);
}

static void what_has_ended_stays_counted(void **state)
{
	struct fixture *f = *state;
	struct function function = function_make(f, "f");
	struct asker asker;
	struct reading reading;

	make_lone_pool(f);
	for (unsigned i = 0; i < 3; i++) {
		f->cpu_us = 100;
		assert_int_equal(ask(f, &asker, "f"), 0);
		RUN_UNTIL(f, asker.bound);
		f->cpu_us = 1000 + i;
		sandbox_release(asker.sandbox, "once is enough");
		RUN_UNTIL(f, gauges(f).total == 0);
	}
	/* Also of a version that is no more. */
	pool_function_deleted(f->pool, &function);
	settle(f);
	reading = read_use(f);
	assert_int_equal(reading.count, 1);
	assert_int_equal(reading.use.sandboxes, 3);
	assert_int_equal(reading.use.start_us, 300);
	assert_int_equal(reading.use.serve_us, 900 + 901 + 902);
}

static void a_start_that_fails_is_a_start(void **state)
{
	struct fixture *f = *state;
	struct asker asker;
	struct reading reading;

	f->manner = MANNER_DIES_LOADING;
	f->cpu_us = 40;
	make_lone_pool(f);
	assert_int_equal(ask(f, &asker, "f"), 0);
	RUN_UNTIL(f, f->cloned >= 1 && f->alive == 0);
	pool_cancel(f->pool, &asker.demand);
	reading = read_use(f);
	assert_true(reading.use.sandboxes >= 1);
	assert_int_equal(reading.use.start_us, 40 * reading.use.sandboxes);
	assert_int_equal(reading.use.serve_us, 0);
}

static void what_no_cgroup_counts_is_said(void **state)
{
	struct fixture *f = *state;
	struct asker asker;
	struct reading reading;

	f->cpu_us = -1;
	make_lone_pool(f);
	assert_int_equal(ask(f, &asker, "f"), 0);
	RUN_UNTIL(f, asker.bound);
	f->cpu_us = 500; /* too late: nobody knows what the start took */
	reading = read_use(f);
	assert_int_equal(reading.use.sandboxes, 1);
	assert_int_equal(reading.use.uncounted, 1);
	assert_int_equal(reading.use.start_us + reading.use.serve_us, 0);
	release(&asker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(starts_and_service_are_told_apart),
		TEST(time_of_the_invocation_under_way_is_beside_the_bill),
		TEST(a_frozen_sandbox_has_no_time),
		TEST(what_has_ended_stays_counted),
		TEST(a_start_that_fails_is_a_start),
		TEST(what_no_cgroup_counts_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
