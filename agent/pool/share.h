/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What each tenant gets of a node that is full, by weight. CPU time: by the weights of the cgroups
 * that agent/vm keeps (where the host has them), and share_cpu.h. Starts: tenants that want some
 * take turns, as many turns as they have weight. Room: a tenant may have more than its share as
 * long as nobody within theirs lacks it; from then on it gives back what falls free. Loop thread.
 */

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "agent/functions/function.h"
#include "agent/pool/share_cpu.h"

struct pool;
struct sandbox;
struct version;

/* One tenant's part; there as long as a version of its is. */
struct pool_tenant {
	char id[TENANT_ID_DIGITS + 1];
	unsigned versions;
	unsigned starved; /* versions that want to start more than they may now */
	unsigned sandboxes;
	uint64_t bytes; /* of sandboxes that are not ending, as the budget counts them */
	uint64_t pass;  /* its starts, each worth one by its weight */
	struct share_cpu_part cpu;
	UT_hash_handle hh;
};

/* Referenced; NULL without memory. */
struct pool_tenant *share_get(struct pool *pool, const char *tenant);
void share_put(struct pool *pool, struct pool_tenant *tenant);

/* What it weighs now, from 1 on. */
unsigned share_weight(const struct pool_tenant *tenant, const struct pool *pool);
/* A VM has come up, with the weight of when it was asked for: set anew when that has changed. */
void share_check_cpu(const struct sandbox *sandbox);

/* A sandbox is made; it ends. */
void share_take(struct version *version);
void share_give_back(struct version *version);

/* It joins those who wait for a start, and leaves. */
void share_enter(struct pool *pool, struct pool_tenant *tenant);
void share_leave(struct pool_tenant *tenant);
/* Whose turn it is among the starved, or NULL. */
struct version *share_pick(struct pool *pool);
/* It had its turn. */
void share_count_start(struct version *version);

/* Whether another tenant, within its own share, lacks the room that this sandbox holds beyond its.
 */
bool share_must_yield(const struct sandbox *sandbox);
/* Whether an idle sandbox may be ended for a demand of the version: within its tenant's share it is
 * safe from others who have theirs, for a while. */
bool share_may_evict(const struct sandbox *sandbox, const struct version *version);
