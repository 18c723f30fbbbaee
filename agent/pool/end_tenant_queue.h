/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whose sandbox is whose, in a version of a function with TenantIsolationMode PER_TENANT
 * (agent/functions/end_tenant.h): each end-tenant's idle sandboxes and the demands that wait in its
 * name, found by its id. A spare is nobody's until it serves; from then on it is one end-tenant's
 * until it ends. Versions of other functions have demands alone. Loop thread. */

#include <stdbool.h>
#include <sys/queue.h>
#include <uthash.h>

#include "mayfly/cleanup.h"

struct demand;
struct sandbox;
struct version;

TAILQ_HEAD(demand_list, demand);
TAILQ_HEAD(sandbox_list, sandbox);

/* There as long as a sandbox is its own or a demand asks in its name. */
struct end_tenant {
	struct version *version;
	unsigned references;
	struct demand_list demands; /* the oldest first */
	struct sandbox_list idle;   /* the latest used foremost */
	bool matched;               /* on the version's list: it has both, as far as is known */
	TAILQ_ENTRY(end_tenant) match_link;
	UT_hash_handle hh;
	char id[]; /* flexible */
};

/* -- demands; `claim` says in whose name, before all else -- */

/* 0, -ENOMEM, or -EINVAL when it names nobody and the version serves in somebody's name only. */
int demand_claim(struct version *version, struct demand *demand) _must_use_;
void demand_disclaim(struct demand *demand);
/* Joins those who wait, last. */
void demand_enqueue(struct version *version, struct demand *demand);
/* Leaves them; what it claims is left. */
void demand_dequeue(struct demand *demand);

/* -- sandboxes -- */

/* The warmest at hand for one that does not wait, unless it would go before those who do; or NULL.
 */
struct sandbox *end_tenant_find_idle(const struct version *version, const struct demand *demand);
/* It serves this demand: from now on it is its end-tenant's, whose claim it takes over. */
void end_tenant_bind(struct sandbox *sandbox, struct demand *demand);
/* It is gone. */
void end_tenant_unbind(struct sandbox *sandbox);
/* Onto its end-tenant's list, and off it. */
void end_tenant_add_idle(struct sandbox *sandbox);
void end_tenant_remove_idle(struct sandbox *sandbox);
/* The next of those whom an idle sandbox of their own waits for, with that one; false: none. */
bool end_tenant_next_match(struct version *version, struct demand **ret_demand,
			   struct sandbox **ret_sandbox);
/* Whether a busy one is to end rather than go on for its own end-tenant: another has waited for
 * longer, and there is no room for a sandbox of its. */
bool end_tenant_must_yield(const struct sandbox *sandbox);
