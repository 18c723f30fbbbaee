/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_pool

/* Shares of CPU time, against a host that gives all to whom it likes best. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/pool/cpu_balance.h"
#include "mayfly/cleanup.h"

#define ALL_US  500000 /* two CPUs in a quarter of a second */
#define TENANTS 4

struct host {
	uint64_t wants_us[TENANTS]; /* in each step */
	struct cpu_claim claims[TENANTS];
	struct cpu_balance balance;
	size_t count;
	uint64_t outside_us; /* used by others, who come first */
	bool greedy;         /* they take also what is left */
	uint64_t sum_us[TENANTS];
	uint64_t idle_us;
};

static struct host make(size_t count)
{
	struct host host = { .count = count };

	for (size_t i = 0; i < count; i++) {
		host.claims[i].weight = 100;
		host.claims[i].limit_us = CPU_NO_LIMIT;
		host.wants_us[i] = ALL_US;
	}
	return host;
}

/* The first takes what it wants and may, then the second. */
static void step(struct host *host)
{
	uint64_t left_us = ALL_US - host->outside_us;

	for (size_t i = 0; i < host->count; i++) {
		uint64_t gets_us = host->wants_us[i];

		if (gets_us > host->claims[i].limit_us)
			gets_us = host->claims[i].limit_us;
		if (gets_us > left_us)
			gets_us = left_us;
		left_us -= gets_us;
		host->claims[i].used_us = gets_us;
		host->sum_us[i] += gets_us;
	}
	host->idle_us = left_us = host->greedy ? 0 : left_us;
	cpu_balance_step(&host->balance, host->claims, host->count, ALL_US, left_us);
}

static void steps(struct host *host, unsigned count)
{
	memset(host->sum_us, 0, sizeof(host->sum_us));
	while (count-- > 0)
		step(host);
}

static void assert_share(const struct host *host, size_t tenant, double share)
{
	double sum = 0, had;

	for (size_t i = 0; i < host->count; i++)
		sum += (double)host->sum_us[i];
	had = (double)host->sum_us[tenant] / sum;
	if (had < share * 0.93 || had > share * 1.07)
		fail_msg("tenant %zu had %.3f and not %.3f", tenant, had, share);
}

static void the_strong_leave_the_weak_their_shares(void **state _unused_)
{
	struct host host = make(3);

	host.claims[0].weight = 50;
	host.claims[2].weight = 150;
	steps(&host, 4);
	steps(&host, 100);
	assert_share(&host, 0, 50. / 300);
	assert_share(&host, 1, 100. / 300);
	assert_share(&host, 2, 150. / 300);
}

static void whoever_is_alone_has_all(void **state _unused_)
{
	struct host host = make(1);

	steps(&host, 20);
	assert_int_equal(host.sum_us[0], 20 * ALL_US);
	assert_true(host.claims[0].limit_us == CPU_NO_LIMIT);
}

static void nobody_is_limited_while_there_is_enough(void **state _unused_)
{
	struct host host = make(2);

	host.wants_us[0] = ALL_US / 10 * 8;
	host.wants_us[1] = ALL_US / 10;
	steps(&host, 20);
	assert_int_equal(host.sum_us[0], 20 * (ALL_US / 10 * 8));
	assert_true(host.claims[0].limit_us == CPU_NO_LIMIT);
	assert_false(host.balance.limiting);
}

/* Who has microVMs that wait for something else keeps nobody from working. */
static void what_one_does_not_use_others_get(void **state _unused_)
{
	struct host host = make(3);

	host.wants_us[1] = ALL_US / 20;
	steps(&host, 10);
	steps(&host, 80);
	/* But for the probes, in which all have their shares alone. */
	assert_true(host.sum_us[1] >= 80 * (ALL_US / 20) * 9 / 10);
	assert_true(host.sum_us[0] >= 80ULL * ALL_US * 40 / 100);
	assert_true(host.sum_us[2] >= 80ULL * ALL_US * 40 / 100);
	assert_true(host.sum_us[0] + host.sum_us[1] + host.sum_us[2] >= 80ULL * ALL_US * 93 / 100);
}

/* The host gives it nothing as long as others may take all. */
static void who_wakes_up_gets_its_share(void **state _unused_)
{
	struct host host = make(3);

	host.wants_us[2] = 0;
	steps(&host, 40);
	assert_int_equal(host.sum_us[2], 0);
	host.wants_us[2] = ALL_US;
	steps(&host, 2 * CPU_BALANCE_PROBES);
	assert_true(host.sum_us[2] > 0);
	steps(&host, 80);
	assert_share(&host, 2, 1. / 3);
	assert_share(&host, 0, 1. / 3);
}

/* What others on the host take, beside all tenants, is nobody's share; and it comes back. */
static void shares_are_of_what_there_is(void **state _unused_)
{
	struct host host = make(2);

	steps(&host, 10);
	host.outside_us = ALL_US / 2;
	steps(&host, 4);
	steps(&host, 80);
	assert_share(&host, 0, 0.5);
	assert_true(host.sum_us[0] + host.sum_us[1] >= 80ULL * ALL_US / 2 * 97 / 100);
	host.outside_us = 0;
	steps(&host, 4);
	steps(&host, 80);
	assert_share(&host, 0, 0.5);
	assert_true(host.sum_us[0] + host.sum_us[1] >= 80ULL * ALL_US * 95 / 100);
}

/* And though nothing is ever idle. */
static void shares_grow_back_against_others(void **state _unused_)
{
	struct host host = make(2);

	host.greedy = true;
	steps(&host, 10);
	host.outside_us = ALL_US / 4 * 3;
	steps(&host, 4);
	host.outside_us = 0;
	steps(&host, 120);
	steps(&host, 10);
	assert_true(host.sum_us[0] + host.sum_us[1] >= 10ULL * ALL_US * 95 / 100);
}

static void limits_end_with_the_need(void **state _unused_)
{
	struct host host = make(2);

	steps(&host, 10);
	assert_true(host.balance.limiting);
	assert_true(host.claims[0].limit_us != CPU_NO_LIMIT);
	host.wants_us[0] = host.wants_us[1] = ALL_US / 10;
	steps(&host, CPU_BALANCE_CALM + 1);
	assert_false(host.balance.limiting);
	assert_true(host.claims[0].limit_us == CPU_NO_LIMIT);
	assert_true(host.claims[1].limit_us == CPU_NO_LIMIT);
	/* And with the company. */
	host.wants_us[0] = host.wants_us[1] = ALL_US;
	steps(&host, 10);
	assert_true(host.claims[0].limit_us != CPU_NO_LIMIT);
	host.count = 1;
	step(&host);
	assert_true(host.claims[0].limit_us == CPU_NO_LIMIT);
}

static void nobody_s_limit_is_nothing(void **state _unused_)
{
	struct host host = make(2);

	host.claims[0].weight = 1;
	host.claims[1].weight = 10000;
	host.outside_us = ALL_US;
	steps(&host, 20);
	assert_true(host.claims[0].limit_us >= CPU_LIMIT_MIN_US);
	assert_true(host.claims[1].limit_us >= CPU_LIMIT_MIN_US);
	host.outside_us = 0;
	steps(&host, 200);
	assert_true(host.sum_us[0] > 0);
	assert_true(host.sum_us[1] >= 100ULL * ALL_US);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_strong_leave_the_weak_their_shares),
		cmocka_unit_test(whoever_is_alone_has_all),
		cmocka_unit_test(nobody_is_limited_while_there_is_enough),
		cmocka_unit_test(what_one_does_not_use_others_get),
		cmocka_unit_test(who_wakes_up_gets_its_share),
		cmocka_unit_test(shares_are_of_what_there_is),
		cmocka_unit_test(shares_grow_back_against_others),
		cmocka_unit_test(limits_end_with_the_need),
		cmocka_unit_test(nobody_s_limit_is_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
