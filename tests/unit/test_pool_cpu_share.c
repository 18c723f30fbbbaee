/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_pool mayfly_logs mayfly_functions mayfly_image mayfly_core mayfly_base

/* Who is limited when, while microVMs of tenants run on CPUs that are never idle. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/pool_harness.h"

#define STRONG "111111111111"
#define WEAK   "222222222222"

/* In jobs; of the strong and the weak. */
static atomic_uint reads[2];
static atomic_ullong limits[2];
static atomic_uint limits_set;
static atomic_int limit_result;

static unsigned index_of(const char *cpu_group)
{
	return strcmp(cpu_group, STRONG) == 0 ? 0 : 1;
}

/* The strong one uses all CPUs, as if nobody were limited, the weak one nearly nothing. */
static int read_group(const char *cpu_group, uint64_t *ret_us)
{
	unsigned index = index_of(cpu_group);
	uint64_t all_us = (uint64_t)clock_monotonic_us() * (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);

	reads[index]++;
	*ret_us = index == 0 ? all_us : all_us / 1000;
	return 0;
}

static int limit_group(const char *cpu_group, uint64_t thousandths)
{
	limits[index_of(cpu_group)] = thousandths;
	limits_set++;
	return limit_result;
}

static unsigned weight_of(const char *tenant, void *arg _unused_)
{
	return strcmp(tenant, WEAK) == 0 ? 300 : 100;
}

static void make_sharing_pool(struct fixture *f, const char *cgroup_mode)
{
	for (unsigned i = 0; i < 2; i++)
		reads[i] = limits[i] = 0;
	limits_set = 0;
	limit_result = 0;
	host_info.cgroup_mode = cgroup_mode;
	f->read_group = read_group;
	f->limit_group = limit_group;
	f->config.tenant_weight = weight_of;
	f->config.keep_alive_us = 3600 * USEC_PER_SEC;
	make_pool(f);
}

static void ask_as(struct fixture *f, struct asker *asker, const char *tenant)
{
	struct function function = function_make(f, "f");
	int r;

	function.tenant = (char *)(uintptr_t)tenant;
	*asker = (struct asker){ .demand.events = &events };
	r = pool_acquire(f->pool, &function, &asker->demand, &asker->sandbox, NULL);
	assert_true(r >= 0);
	asker->bound = r > 0;
	RUN_UNTIL(f, asker->bound);
}

static void tenants_that_run_are_held_to_their_shares(void **state)
{
	struct fixture *f = *state;
	struct asker strong, weak;
	unsigned long long all = 1000ULL * (unsigned long long)sysconf(_SC_NPROCESSORS_ONLN);

	make_sharing_pool(f, "v2");
	ask_as(f, &strong, STRONG);
	ask_as(f, &weak, WEAK);
	RUN_UNTIL(f, limits[0] && limits[1]);
	/* A quarter by weight, three; and a little more, for the clock is read at different times.
	 */
	assert_in_range(limits[0], all / 4 * 9 / 10, all / 4 * 12 / 10);
	assert_in_range(limits[1], all / 4 * 3 * 9 / 10, all / 4 * 3 * 12 / 10);
	/* One stops: the other one's limit goes, and nobody looks any more. */
	release(&weak);
	RUN_UNTIL(f, !limits[0] && !limits[1] && !f->pool->cpu.under_way);
	assert_false(f->pool->cpu.balance.limiting);
	release(&strong);
}

static void who_is_alone_is_not_looked_at(void **state)
{
	struct fixture *f = *state;
	struct asker strong, weak;

	make_sharing_pool(f, "v2");
	ask_as(f, &strong, STRONG);
	assert_false(f->pool->cpu.under_way);
	release(&strong);
	/* One after the other is alone, too. */
	ask_as(f, &weak, WEAK);
	assert_false(f->pool->cpu.under_way);
	assert_int_equal(f->pool->cpu.tenants, 1);
	release(&weak);
	assert_int_equal(f->pool->cpu.tenants, 0);
	assert_int_equal(reads[0] + reads[1], 0);
}

static void without_cgroups_nothing_is_done(void **state)
{
	struct fixture *f = *state;
	struct asker strong, weak;

	make_sharing_pool(f, "none");
	ask_as(f, &strong, STRONG);
	ask_as(f, &weak, WEAK);
	assert_false(f->pool->cpu.under_way);
	release(&strong);
	release(&weak);
}

/* As by cgroups of version 1, when a microVM has a limit of its own. */
static void a_limit_that_cannot_be_set_stops_nothing(void **state)
{
	struct fixture *f = *state;
	struct asker strong, weak;
	unsigned before;

	make_sharing_pool(f, "v1");
	limit_result = -EINVAL;
	ask_as(f, &strong, STRONG);
	ask_as(f, &weak, WEAK);
	RUN_UNTIL(f, limits_set >= 2);
	before = limits_set;
	RUN_UNTIL(f, limits_set >= before + 2);
	release(&strong);
	release(&weak);
}

static void a_tenant_may_go_while_it_is_limited(void **state)
{
	struct fixture *f = *state;
	struct function function = function_make(f, "f");
	struct asker strong, weak;

	make_sharing_pool(f, "v2");
	ask_as(f, &strong, STRONG);
	ask_as(f, &weak, WEAK);
	RUN_UNTIL(f, limits[1]);
	sandbox_release(weak.sandbox, "it goes");
	function.tenant = (char *)(uintptr_t)WEAK;
	pool_function_deleted(f->pool, &function);
	RUN_UNTIL(f, HASH_COUNT(f->pool->tenants) == 1);
	RUN_UNTIL(f, !limits[0] && !f->pool->cpu.under_way);
	release(&strong);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tenants_that_run_are_held_to_their_shares),
		TEST(who_is_alone_is_not_looked_at),
		TEST(without_cgroups_nothing_is_done),
		TEST(a_limit_that_cannot_be_set_stops_nothing),
		TEST(a_tenant_may_go_while_it_is_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
