/* SPDX-License-Identifier: Apache-2.0 */

/* How many sandboxes of a version are kept without anybody waiting for them, and how long: fixed,
 * as configured, or by its arrivals (arrivals.h). A start policy that was set is followed as it is.
 */

#include "agent/pool/pool_internal.h"
#include "mayfly/clock.h"

#define AGAIN_MIN_US (100 * USEC_PER_MSEC)

static bool is_adaptive(const struct version *version)
{
	return version->pool->config.adaptive && version->policy == POOL_POLICY_DEFAULT;
}

static struct arrivals_bounds bounds_of(const struct pool *pool)
{
	return (struct arrivals_bounds){
		.keep_min_us = pool->config.keep_alive_min_us,
		.keep_max_us = pool->config.keep_alive_us,
		.worth_us = pool->config.cold_start_worth_us,
		.start_us = pool->config.start_lead_us,
	};
}

static void plan_of(const struct version *version, struct arrivals_plan *ret)
{
	struct arrivals_bounds bounds = bounds_of(version->pool);

	arrivals_plan(&version->arrivals, &bounds, clock_monotonic_us(),
		      version->busy + version->waiting, ret);
}

/* -- events -- */

static void on_plan_time(void *arg)
{
	struct version *version = arg;

	version->plan_at_us = 0;
	version_mark_dirty(version);
}

void scaling_begin(struct version *version)
{
	struct arrivals_bounds bounds = bounds_of(version->pool);

	arrivals_begin(&version->arrivals, &bounds, clock_monotonic_us(),
		       version->busy + version->waiting + 1);
}

void scaling_end(struct version *version)
{
	arrivals_end(&version->arrivals, clock_monotonic_us());
}

/* Its time is only ever brought forward: one that comes too early looks again. */
void scaling_arm(struct version *version)
{
	struct arrivals_plan plan;

	if (!is_adaptive(version) || !version->current || version->pool->draining)
		return;
	plan_of(version, &plan);
	if (plan.again_us == INT64_MAX ||
	    (version->plan_at_us > 0 && version->plan_at_us <= plan.again_us))
		return;
	version->plan_at_us = plan.again_us;
	if (timer_arm(&version->plan_timer, version->pool->loop, plan.again_us, on_plan_time,
		      version) < 0)
		version->plan_at_us = 0; /* no memory: the next event tries again */
}

/* -- answers -- */

unsigned scaling_spares(const struct version *version)
{
	const struct pool_config *config = &version->pool->config;
	unsigned least = version_is_active(version) ? config->spares : 0;
	struct arrivals_plan plan;

	if (!is_adaptive(version) || version->arrivals.last_us == 0)
		return least;
	plan_of(version, &plan);
	return arrivals_spares(&plan, version->idle_used, least, config->spares_max);
}

static int64_t idle_us_of(const struct sandbox *sandbox)
{
	return clock_monotonic_us() - sandbox->idle_since_us;
}

int64_t scaling_keep_us(const struct sandbox *sandbox)
{
	const struct pool_config *config = &sandbox->pool->config;

	return is_adaptive(sandbox->version) ? config->keep_alive_min_us : config->keep_alive_us;
}

static bool keeps_as_configured(const struct sandbox *sandbox, int64_t *ret_until_us)
{
	const struct version *version = sandbox->version;

	if (sandbox->invocations > 0 || !version_is_active(version) ||
	    version->spares_ready > version_spare_target(version))
		return false;
	*ret_until_us = version->policy == POOL_POLICY_SPARE
				? clock_monotonic_us() + sandbox->pool->config.keep_alive_us
				: version->active_until_us;
	return true;
}

bool scaling_keeps(const struct sandbox *sandbox, int64_t *ret_until_us)
{
	const struct version *version = sandbox->version;
	struct arrivals_bounds bounds = bounds_of(version->pool);
	int64_t now_us = clock_monotonic_us();
	struct arrivals_plan plan;

	if (!is_adaptive(version) || version->arrivals.last_us == 0)
		return keeps_as_configured(sandbox, ret_until_us);
	plan_of(version, &plan);
	*ret_until_us = now_us + bounds.keep_min_us;
	if (sandbox->invocations > 0) {
		if (!arrivals_keeps_used(&plan, &bounds, version->idle_used,
					 now_us - idle_us_of(sandbox), now_us, ret_until_us))
			return false;
	} else if (version->spares_ready > scaling_spares(version)) {
		return false;
	}
	if (plan.again_us < *ret_until_us)
		*ret_until_us = plan.again_us;
	if (*ret_until_us < now_us + AGAIN_MIN_US)
		*ret_until_us = now_us + AGAIN_MIN_US;
	return true;
}

int64_t scaling_worth(const struct sandbox *sandbox)
{
	const struct version *version = sandbox->version;
	struct arrivals_plan plan;

	if (!is_adaptive(version) || version->arrivals.last_us == 0)
		return -idle_us_of(sandbox);
	plan_of(version, &plan);
	if (version->idle_used + version->spares_ready > plan.ready)
		return INT64_MIN / 2 - idle_us_of(sandbox); /* beyond all that are expected */
	return -arrivals_expected_wait_us(&version->arrivals, clock_monotonic_us());
}
