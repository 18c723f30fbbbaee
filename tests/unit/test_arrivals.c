/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_trace_model mayfly_base

/* What the policy of scaling makes of arrivals, in virtual time: the plan alone, and replayed over
 * recorded patterns against a fixed keep-alive. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <math.h>

#include <cmocka.h>

#include "mayfly/clock.h"
#include "tests/bench/trace_model.h"

#define S      USEC_PER_SEC
#define MINUTE (60 * S)
#define HOUR   (60 * MINUTE)

static const struct arrivals_bounds bounds = {
	.keep_min_us = MINUTE,
	.keep_max_us = 10 * MINUTE,
	.worth_us = 10 * MINUTE,
	.start_us = 2 * S,
};

/* The same numbers in every run. */
static uint64_t seed;

static unsigned draw(unsigned below)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)((seed >> 33) % below);
}

/* -- the plan -- */

static struct arrivals_plan plan_at(const struct arrivals *arrivals, int64_t now_us,
				    unsigned in_use)
{
	struct arrivals_plan plan;

	arrivals_plan(arrivals, &bounds, now_us, in_use, &plan);
	return plan;
}

static void use(struct arrivals *arrivals, int64_t now_us)
{
	arrivals_begin(arrivals, &bounds, now_us, 1);
	arrivals_end(arrivals, now_us + S);
}

static void nothing_is_known_of_the_unused(void **state)
{
	struct arrivals arrivals = { 0 };
	struct arrivals_plan plan = plan_at(&arrivals, HOUR, 0);

	(void)state;
	assert_int_equal(plan.ready, 0);
	assert_true(plan.again_us == INT64_MAX);
	use(&arrivals, HOUR);
	plan = plan_at(&arrivals, HOUR + S, 0);
	assert_int_equal(plan.ready, 1);
	assert_true(plan.recent);
	assert_true(plan.again_us == HOUR + S + bounds.keep_max_us);
	assert_int_equal(plan_at(&arrivals, plan.again_us - 1, 0).ready, 1);
	assert_int_equal(plan_at(&arrivals, plan.again_us, 0).ready, 0);
	assert_true(arrivals_expected_wait_us(&arrivals, HOUR + S + 7 * MINUTE) == 7 * MINUTE);
}

static void what_is_periodic_is_ready_before_its_time(void **state)
{
	struct arrivals arrivals = { 0 };
	struct arrivals_plan plan;
	int64_t now_us = HOUR;

	(void)state;
	for (unsigned i = 0; i < 6; i++, now_us += HOUR)
		use(&arrivals, now_us);
	now_us -= HOUR - S; /* the last end */
	assert_int_equal(plan_at(&arrivals, now_us + 30 * S, 0).ready, 1);
	plan = plan_at(&arrivals, now_us + 2 * MINUTE, 0);
	assert_int_equal(plan.ready, 0);
	assert_true(plan.again_us < now_us + HOUR - 2 * S && plan.again_us > now_us + 50 * MINUTE);
	plan = plan_at(&arrivals, plan.again_us, 0);
	assert_int_equal(plan.ready, 1);
	assert_false(plan.recent);
	assert_true(plan.again_us > now_us + HOUR && plan.again_us < now_us + 66 * MINUTE);
	plan = plan_at(&arrivals, plan.again_us, 0);
	assert_int_equal(plan.ready, 0);
	assert_true(plan.again_us == INT64_MAX);
	assert_in_range(arrivals_expected_wait_us(&arrivals, now_us + 20 * MINUTE) / MINUTE, 35,
			45);
}

static void as_many_as_of_late(void **state)
{
	struct arrivals arrivals = { 0 };
	int64_t now_us = HOUR;

	(void)state;
	for (unsigned i = 1; i <= 8; i++)
		arrivals_begin(&arrivals, &bounds, now_us, i);
	assert_int_equal(plan_at(&arrivals, now_us, 8).ready, 0);
	assert_int_equal(plan_at(&arrivals, now_us, 3).ready, 5);
	/* One at a time from now on: remembered for five to ten minutes. */
	for (unsigned i = 0; i < 9; i++)
		use(&arrivals, now_us += 33 * S);
	assert_int_equal(plan_at(&arrivals, now_us, 0).ready, 8);
	for (unsigned i = 0; i < 11; i++)
		use(&arrivals, now_us += 33 * S);
	assert_int_equal(plan_at(&arrivals, now_us, 0).ready, 1);
	/* Time alone, in which nothing was asked for, does not lower it. */
	for (unsigned i = 1; i <= 8; i++)
		arrivals_begin(&arrivals, &bounds, now_us, i);
	arrivals_end(&arrivals, now_us);
	use(&arrivals, now_us + HOUR);
	assert_int_equal(plan_at(&arrivals, now_us + HOUR, 0).ready, 8);
}

static void spares_are_bounded(void **state)
{
	const struct arrivals_plan recent = { .ready = 10, .recent = true }, later = { .ready = 3 };

	(void)state;
	assert_int_equal(arrivals_spares(&recent, 0, 1, 16), 10);
	assert_int_equal(arrivals_spares(&recent, 0, 1, 4), 4);
	assert_int_equal(arrivals_spares(&recent, 8, 1, 16), 2);
	assert_int_equal(arrivals_spares(&recent, 12, 1, 16), 1);
	assert_int_equal(arrivals_spares(&recent, 12, 0, 16), 0);
	assert_int_equal(arrivals_spares(&later, 0, 1, 16), 3);
	assert_int_equal(arrivals_spares(&later, 3, 1, 16), 0);
}

static void any_time_is_taken(void **state)
{
	static const int64_t gaps[] = { 1, S, 59 * S, MINUTE, HOUR, 24 * HOUR, 10000 * HOUR };
	struct arrivals arrivals = { 0 };
	int64_t now_us = 1;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		now_us += gaps[draw(7)];
		arrivals_begin(&arrivals, &bounds, now_us, draw(70000));
		assert_true(arrivals.until_us == 0 || arrivals.until_us > arrivals.warm_us);
		assert_true(arrivals.until_us - arrivals.warm_us <= bounds.keep_max_us);
		assert_true(arrivals.keep_us <= bounds.keep_max_us);
		assert_true(arrivals_expected_wait_us(&arrivals, now_us + gaps[i % 7]) >= 0);
	}
	assert_true(sizeof(arrivals) < 300);
}

/* -- replays against a fixed keep-alive -- */

#define EVENTS_MAX 20000

struct pattern {
	int64_t at_us[EVENTS_MAX];
	size_t n;
	int64_t end_us;
};

static void add(struct pattern *pattern, int64_t at_us, unsigned count)
{
	while (count-- > 0 && pattern->n < EVENTS_MAX)
		pattern->at_us[pattern->n++] = at_us;
	pattern->end_us = at_us + HOUR;
}

static double uniform(void)
{
	return ((double)draw(1U << 30) + 1) / ((1U << 30) + 1.0);
}

static struct model_result replay(const struct pattern *pattern, enum model_kind kind,
				  int64_t keep_us)
{
	const struct model_costs costs = {
		.cold_us = 150000, .spare_us = 5000, .warm_us = 1000, .duration_us = S
	};
	struct model_policy policy = { .kind = kind, .bounds = bounds, .spares_max = 16 };
	struct model_result result = { 0 };

	policy.bounds.keep_max_us = keep_us;
	model_run(&policy, &costs, pattern->at_us, pattern->n, pattern->end_us, &result);
	assert_int_equal(result.invocations, pattern->n);
	return result;
}

/* Idle time, and each cold start as what it is worth. */
static int64_t price_of(const struct model_result *result)
{
	return result->idle_us + (int64_t)result->cold * bounds.worth_us;
}

struct pair {
	struct model_result fixed, adaptive;
};

static struct pair compare(const struct pattern *pattern)
{
	struct pair pair = { .fixed = replay(pattern, MODEL_FIXED, 10 * MINUTE),
			     .adaptive = replay(pattern, MODEL_ADAPTIVE, 10 * MINUTE) };

	print_message("fixed: %llu cold, %lld idle s; adaptive: %llu cold, %lld idle s\n",
		      (unsigned long long)pair.fixed.cold, (long long)(pair.fixed.idle_us / S),
		      (unsigned long long)pair.adaptive.cold,
		      (long long)(pair.adaptive.idle_us / S));
	free(pair.fixed.slowdowns);
	free(pair.adaptive.slowdowns);
	return pair;
}

static struct pattern *new_pattern(void **state)
{
	struct pattern *pattern = *state;

	*pattern = (struct pattern){ 0 };
	seed = 1;
	return pattern;
}

/* As few cold starts, a quarter of the memory. */
static void periodic_10_minutes(void **state)
{
	struct pattern *pattern = new_pattern(state);

	for (unsigned i = 1; i <= 144; i++)
		add(pattern, i * 10 * MINUTE, 1);
	struct pair pair = compare(pattern);
	assert_int_equal(pair.fixed.cold, 1);
	assert_int_equal(pair.adaptive.cold, 1);
	assert_true(pair.adaptive.idle_us * 4 < pair.fixed.idle_us);
}

/* A fixed keep-alive has its idle time and the cold start as well. */
static void periodic_half_an_hour(void **state)
{
	struct pattern *pattern = new_pattern(state);

	for (unsigned i = 1; i <= 48; i++) /* with a few seconds of jitter */
		add(pattern, i * 30 * MINUTE + (int64_t)(uniform() * 5e6), 1);
	struct pair pair = compare(pattern);
	assert_int_equal(pair.fixed.cold, 48);
	assert_true(pair.adaptive.cold <= 8);
	assert_true(pair.adaptive.idle_us * 2 < pair.fixed.idle_us);
}

static void periodic_burst(void **state)
{
	struct pattern *pattern = new_pattern(state);

	for (unsigned i = 1; i <= 96; i++)
		add(pattern, i * 15 * MINUTE, 10);
	struct pair pair = compare(pattern);
	assert_int_equal(pair.fixed.cold, 960);
	assert_true(pair.adaptive.cold <= 60);
	assert_true(pair.adaptive.idle_us * 2 < pair.fixed.idle_us);
}

/* Nothing can be foreseen, so nothing is lost by trying; and where most are longer than it is worth
 * to wait, that is not done. */
static void poisson(void **state)
{
	static const double means_s[] = { 20, 120, 300, 600, 1800 };
	struct pattern *pattern = new_pattern(state);

	for (unsigned k = 0; k < 5; k++) {
		int64_t now_us = HOUR;

		pattern = new_pattern(state);
		for (unsigned i = 0; i < 500; i++)
			add(pattern, now_us += (int64_t)(-log(uniform()) * means_s[k] * 1e6), 1);
		struct pair pair = compare(pattern);
		assert_true(price_of(&pair.adaptive) <= price_of(&pair.fixed) / 1000 * 1015);
		if (means_s[k] > 1000)
			assert_true(price_of(&pair.adaptive) < price_of(&pair.fixed) / 4 * 3);
	}
}

static void single(void **state)
{
	struct pattern *pattern = new_pattern(state);

	add(pattern, HOUR, 1);
	struct pair pair = compare(pattern);
	assert_int_equal(pair.adaptive.cold, 1);
	assert_true(pair.adaptive.idle_us == pair.fixed.idle_us);
}

/* Who was in a burst is as good as any other for as long as one waits without knowing. */
static void one_burst_in_a_trickle(void **state)
{
	struct pattern *pattern = new_pattern(state);

	for (unsigned i = 0; i < 240; i++)
		add(pattern, HOUR + i * 30 * S, i == 100 ? 40 : 1);
	struct pair pair = compare(pattern);
	assert_int_equal(pair.adaptive.cold, pair.fixed.cold);
	assert_true(pair.adaptive.idle_us <= pair.fixed.idle_us);
}

/* Three days: one in ten minutes at night, one in ten seconds at noon. As poisson(): no worse. */
static void diurnal(void **state)
{
	struct pattern *pattern = new_pattern(state);

	for (int64_t now_us = S; now_us < 72 * HOUR;) {
		double hour = fmod((double)now_us / (double)HOUR, 24);
		double noon = (1 - cos(hour / 24 * 2 * M_PI)) / 2;
		double mean_s = exp(log(600) + (log(10) - log(600)) * noon);

		add(pattern, now_us += (int64_t)(-log(uniform()) * mean_s * 1e6), 1);
	}
	struct pair pair = compare(pattern);
	assert_true(price_of(&pair.adaptive) <= price_of(&pair.fixed) / 1000 * 1015);
}

/* Pairs close together, far from each other: no window holds both. */
static void pairs(void **state)
{
	struct pattern *pattern = new_pattern(state);

	for (unsigned i = 1; i <= 100; i++) {
		add(pattern, i * 2 * HOUR + (int64_t)(uniform() * (double)HOUR), 1);
		add(pattern, pattern->at_us[pattern->n - 1] + 100 * S, 1);
	}
	struct pair pair = compare(pattern);
	assert_in_range(pair.adaptive.cold, pair.fixed.cold, pair.fixed.cold + 2);
	assert_true(pair.adaptive.idle_us * 3 < pair.fixed.idle_us);
}

static int set_up(void **state)
{
	*state = malloc(sizeof(struct pattern));
	return *state ? 0 : -1;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_known_of_the_unused),
		cmocka_unit_test(what_is_periodic_is_ready_before_its_time),
		cmocka_unit_test(as_many_as_of_late),
		cmocka_unit_test(spares_are_bounded),
		cmocka_unit_test(any_time_is_taken),
		cmocka_unit_test(periodic_10_minutes),
		cmocka_unit_test(periodic_half_an_hour),
		cmocka_unit_test(periodic_burst),
		cmocka_unit_test(poisson),
		cmocka_unit_test(single),
		cmocka_unit_test(one_burst_in_a_trickle),
		cmocka_unit_test(diurnal),
		cmocka_unit_test(pairs),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
