/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pool/end_tenant_queue.h"

#include <errno.h>

#include "agent/pool/memory.h"
#include "agent/pool/pool_internal.h"
#include "mayfly/log.h"

static bool is_per_tenant(const struct version *version)
{
	return version->config.tenancy == TENANCY_PER_TENANT;
}

/* -- who -- */

static struct end_tenant *end_tenant_get(struct version *version, const char *id)
{
	struct end_tenant *end_tenant;
	size_t bytes = strlen(id) + 1;

	HASH_FIND_STR(version->end_tenants, id, end_tenant);
	if (!end_tenant) {
		end_tenant = calloc(1, sizeof(*end_tenant) + bytes);
		if (!end_tenant)
			return NULL;
		end_tenant->version = version;
		TAILQ_INIT(&end_tenant->demands);
		TAILQ_INIT(&end_tenant->idle);
		memcpy(end_tenant->id, id, bytes);
		HASH_ADD_STR(version->end_tenants, id, end_tenant);
	}
	end_tenant->references++;
	return end_tenant;
}

static void unmatch(struct end_tenant *end_tenant)
{
	if (!end_tenant->matched)
		return;
	end_tenant->matched = false;
	TAILQ_REMOVE(&end_tenant->version->matches, end_tenant, match_link);
}

static void match(struct end_tenant *end_tenant)
{
	if (end_tenant->matched || TAILQ_EMPTY(&end_tenant->demands) ||
	    TAILQ_EMPTY(&end_tenant->idle))
		return;
	end_tenant->matched = true;
	TAILQ_INSERT_TAIL(&end_tenant->version->matches, end_tenant, match_link);
}

static void end_tenant_put(struct end_tenant *end_tenant)
{
	if (--end_tenant->references > 0)
		return;
	unmatch(end_tenant);
	HASH_DEL(end_tenant->version->end_tenants, end_tenant);
	free(end_tenant);
}

/* -- demands -- */

int demand_claim(struct version *version, struct demand *demand)
{
	demand->claim = NULL;
	if (!is_per_tenant(version))
		return 0;
	if (!demand->end_tenant || !demand->end_tenant[0])
		return -EINVAL;
	demand->claim = end_tenant_get(version, demand->end_tenant);
	return demand->claim ? 0 : -ENOMEM;
}

void demand_disclaim(struct demand *demand)
{
	if (demand->claim)
		end_tenant_put(demand->claim);
	demand->claim = NULL;
}

void demand_enqueue(struct version *version, struct demand *demand)
{
	demand->version = version;
	TAILQ_INSERT_TAIL(&version->demands, demand, link);
	version->waiting++;
	if (!demand->claim)
		return;
	TAILQ_INSERT_TAIL(&demand->claim->demands, demand, claim_link);
	match(demand->claim);
}

void demand_dequeue(struct demand *demand)
{
	struct version *version = demand->version;

	TAILQ_REMOVE(&version->demands, demand, link);
	version->waiting--;
	if (demand->claim)
		TAILQ_REMOVE(&demand->claim->demands, demand, claim_link);
	demand->version = NULL;
}

/* -- sandboxes -- */

struct sandbox *end_tenant_find_idle(const struct version *version, const struct demand *demand)
{
	const struct end_tenant *claim = demand->claim;

	if (claim && TAILQ_EMPTY(&claim->demands) && !TAILQ_EMPTY(&claim->idle))
		return TAILQ_FIRST(&claim->idle);
	return version->waiting == 0 ? version_first_idle(version) : NULL;
}

void end_tenant_bind(struct sandbox *sandbox, struct demand *demand)
{
	/* No caller does that; if one did, to go on would show one the other's state. */
	if (is_per_tenant(sandbox->version) != (demand->claim != NULL) ||
	    (sandbox->end_tenant && sandbox->end_tenant != demand->claim)) {
		log_write(LOG_CRIT, &(struct log_fields){ .sandbox = sandbox->id },
			  "A sandbox was to serve an end-tenant whose it is not");
		abort();
	}
	if (sandbox->end_tenant)
		demand_disclaim(demand);
	else
		sandbox->end_tenant = TAKE_PTR(demand->claim);
}

void end_tenant_unbind(struct sandbox *sandbox)
{
	if (sandbox->end_tenant)
		end_tenant_put(sandbox->end_tenant);
	sandbox->end_tenant = NULL;
}

void end_tenant_add_idle(struct sandbox *sandbox)
{
	TAILQ_INSERT_HEAD(&sandbox->end_tenant->idle, sandbox, idle_link);
	match(sandbox->end_tenant);
}

void end_tenant_remove_idle(struct sandbox *sandbox)
{
	TAILQ_REMOVE(&sandbox->end_tenant->idle, sandbox, idle_link);
}

bool end_tenant_next_match(struct version *version, struct demand **ret_demand,
			   struct sandbox **ret_sandbox)
{
	struct end_tenant *end_tenant;

	while ((end_tenant = TAILQ_FIRST(&version->matches))) {
		*ret_demand = TAILQ_FIRST(&end_tenant->demands);
		*ret_sandbox = TAILQ_FIRST(&end_tenant->idle);
		if (*ret_demand && *ret_sandbox)
			return true;
		unmatch(end_tenant);
	}
	return false;
}

bool end_tenant_must_yield(const struct sandbox *sandbox)
{
	const struct version *version = sandbox->version;
	const struct demand *oldest = TAILQ_FIRST(&version->demands);

	/* When none waits in its own name, it falls idle, and can be evicted. */
	return sandbox->end_tenant && !TAILQ_EMPTY(&sandbox->end_tenant->demands) &&
	       oldest->claim != sandbox->end_tenant && version->waiting > version->starting &&
	       !memory_will_fit(version->pool, version->cost_bytes);
}
