/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pool/share.h"

#include "agent/functions/tenant.h"
#include "agent/pool/memory.h"
#include "agent/pool/pool_internal.h"

#define PASS_OF_A_START (1ULL << 32) /* by a weight of one */

/* -- who -- */

struct pool_tenant *share_get(struct pool *pool, const char *id)
{
	struct pool_tenant *tenant;

	HASH_FIND_STR(pool->tenants, id, tenant);
	if (!tenant) {
		tenant = calloc(1, sizeof(*tenant));
		if (!tenant)
			return NULL;
		(void)snprintf(tenant->id, sizeof(tenant->id), "%s", id);
		HASH_ADD_STR(pool->tenants, id, tenant);
	}
	tenant->versions++;
	return tenant;
}

void share_put(struct pool *pool, struct pool_tenant *tenant)
{
	if (--tenant->versions > 0)
		return;
	HASH_DEL(pool->tenants, tenant);
	free(tenant);
}

unsigned share_weight(const struct pool_tenant *tenant, const struct pool *pool)
{
	unsigned weight =
		pool->config.tenant_weight
			? pool->config.tenant_weight(tenant->id, pool->config.tenant_weight_arg)
			: TENANT_WEIGHT_DEFAULT;

	return weight > 0 ? weight : 1;
}

static uint64_t weight_of(const struct pool *pool, const struct pool_tenant *tenant)
{
	return share_weight(tenant, pool);
}

void share_check_cpu(const struct sandbox *sandbox)
{
	const struct pool_tenant *tenant = sandbox->version->owner;
	const struct pool *pool = sandbox->pool;
	unsigned weight = share_weight(tenant, pool);

	if (weight != sandbox->cpu_weight)
		pool->driver->set_cpu_weight(pool->host, tenant->id, weight);
}

void pool_tenant_changed(struct pool *pool, const char *id)
{
	const struct pool_tenant *tenant;

	HASH_FIND_STR(pool->tenants, id, tenant);
	if (!tenant)
		return;
	pool->driver->set_cpu_weight(pool->host, id, share_weight(tenant, pool));
	pool_mark_dirty(pool);
}

void share_take(struct version *version)
{
	version->owner->sandboxes++;
	version->owner->bytes += version->cost_bytes;
}

void share_give_back(struct version *version)
{
	version->owner->sandboxes--;
	version->owner->bytes -= version->cost_bytes;
}

/* -- shares of the room -- */

/* Of those who have or want something now. */
static uint64_t all_weights(const struct pool *pool)
{
	uint64_t sum = 0;

	for (const struct pool_tenant *tenant = pool->tenants; tenant; tenant = tenant->hh.next)
		if (tenant->sandboxes > 0 || tenant->starved > 0)
			sum += weight_of(pool, tenant);
	return sum;
}

/* Whether it is within its share with so much more. */
static bool is_within(const struct pool *pool, const struct pool_tenant *tenant, uint64_t weights,
		      uint64_t more_bytes, unsigned more_sandboxes)
{
	uint64_t weight = weight_of(pool, tenant);

	return (tenant->bytes + more_bytes) / weight <=
		       pool->config.memory_budget_bytes / weights &&
	       (tenant->sandboxes + more_sandboxes) * weights <=
		       pool->config.max_sandboxes * weight;
}

static bool may_take(const struct version *version, uint64_t weights)
{
	return is_within(version->pool, version->owner, weights, version->cost_bytes, 1);
}

static bool has_too_much(const struct version *version, uint64_t weights)
{
	return !is_within(version->pool, version->owner, weights, 0, 0);
}

bool share_must_yield(const struct sandbox *sandbox)
{
	const struct pool *pool = sandbox->pool;
	const struct version *version;
	uint64_t weights;

	if (TAILQ_EMPTY(&pool->starved_versions))
		return false;
	weights = all_weights(pool);
	if (!has_too_much(sandbox->version, weights))
		return false;
	TAILQ_FOREACH (version, &pool->starved_versions, starved_link)
		if (version->owner != sandbox->version->owner && version->waiting > 0 &&
		    may_take(version, weights) && !memory_will_fit(pool, version->cost_bytes))
			return true;
	return false;
}

bool share_may_evict(const struct sandbox *sandbox, const struct version *version)
{
	const struct pool *pool = sandbox->pool;
	int64_t idle_us = clock_monotonic_us() - sandbox->idle_since_us;
	uint64_t weights;

	if (sandbox->version->owner == version->owner || idle_us >= pool->config.share_idle_us)
		return true;
	weights = all_weights(pool);
	return may_take(version, weights) || has_too_much(sandbox->version, weights);
}

/* -- turns -- */

/* Who has waited for nothing brings no claims from that time. */
void share_enter(struct pool *pool, struct pool_tenant *tenant)
{
	if (tenant->starved++ == 0 && tenant->pass < pool->pass)
		tenant->pass = pool->pass;
}

void share_leave(struct pool_tenant *tenant)
{
	tenant->starved--;
}

struct version *share_pick(struct pool *pool)
{
	uint64_t weights = all_weights(pool);
	struct version *version, *best = NULL;
	bool best_within = false;

	TAILQ_FOREACH (version, &pool->starved_versions, starved_link) {
		bool within = may_take(version, weights);

		if (best && within < best_within)
			continue;
		if (best && within == best_within && version->owner->pass >= best->owner->pass)
			continue;
		best = version;
		best_within = within;
	}
	return best;
}

void share_count_start(struct version *version)
{
	struct pool *pool = version->pool;
	struct pool_tenant *tenant = version->owner;

	if (pool->pass < tenant->pass)
		pool->pass = tenant->pass;
	tenant->pass += PASS_OF_A_START / weight_of(pool, tenant);
}
