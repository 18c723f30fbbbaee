/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/invoke/waiting_room.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>

#include "agent/functions/tenant.h"

TAILQ_HEAD(waiter_list, waiter);

/* What there is a limit of. */
enum resource { PLACES, BYTES, _RESOURCE_MAX };

/* Waiters are kept by size: kind 0 has no bytes, kind n from 2^(n-1) up to below 2^n, and the last
 * one whatever is larger. */
#define KINDS 24

struct waiting_tenant {
	char id[TENANT_ID_DIGITS + 1];
	unsigned weight; /* as of the decision under way */
	uint64_t used[_RESOURCE_MAX];
	struct waiter_list waiters[KINDS]; /* the oldest first */
	uint32_t kinds;                    /* those that have some, as bits */
	UT_hash_handle hh;
};

struct waiting_room {
	struct waiting_room_config config;
	uint64_t max[_RESOURCE_MAX];
	uint64_t used[_RESOURCE_MAX];
	struct waiting_tenant *tenants; /* who wait, by id */
	uint64_t weights;               /* of all, as of the decision under way */
	uint64_t last_number;
	uint64_t refused;
	uint64_t displaced;
};

/* Who comes, and who would leave for it. */
struct arrival {
	struct waiting_tenant *tenant;
	uint64_t needs[_RESOURCE_MAX];
	bool is_first;           /* of its tenant */
	struct waiter_list gone; /* the last to go first */
};

/* -- the tenants -- */

static struct waiting_tenant *tenant_get(struct waiting_room *room, const char *id)
{
	struct waiting_tenant *tenant;

	HASH_FIND_STR(room->tenants, id, tenant);
	if (tenant)
		return tenant;
	tenant = calloc(1, sizeof(*tenant));
	if (!tenant)
		return NULL;
	(void)snprintf(tenant->id, sizeof(tenant->id), "%s", id);
	for (unsigned kind = 0; kind < KINDS; kind++)
		TAILQ_INIT(&tenant->waiters[kind]);
	HASH_ADD_STR(room->tenants, id, tenant);
	return tenant;
}

static void tenant_forget_idle(struct waiting_room *room, struct waiting_tenant *tenant)
{
	if (tenant->used[PLACES] > 0)
		return;
	HASH_DEL(room->tenants, tenant);
	free(tenant);
}

static void ask_weights(struct waiting_room *room)
{
	const struct waiting_room_config *config = &room->config;

	room->weights = 0;
	for (struct waiting_tenant *tenant = room->tenants; tenant; tenant = tenant->hh.next) {
		tenant->weight =
			config->tenant_weight
				? config->tenant_weight(tenant->id, config->tenant_weight_arg)
				: TENANT_WEIGHT_DEFAULT;
		if (tenant->weight == 0)
			tenant->weight = 1;
		room->weights += tenant->weight;
	}
}

static double share(const struct waiting_room *room, const struct waiting_tenant *tenant,
		    enum resource resource)
{
	return (double)room->max[resource] * tenant->weight / (double)room->weights;
}

static double use_by_weight(const struct waiting_tenant *tenant, enum resource resource)
{
	return (double)tenant->used[resource] / tenant->weight;
}

/* -- the waiters -- */

static unsigned kind_of(uint64_t bytes)
{
	unsigned bits = bytes > 0 ? 64 - (unsigned)__builtin_clzll(bytes) : 0;

	return bits < KINDS ? bits : KINDS - 1;
}

/* Onto the lists of those who can be made to leave, and off them. */
static void list(struct waiter *waiter)
{
	struct waiting_tenant *tenant = waiter->tenant;
	unsigned kind = kind_of(waiter->bytes);

	TAILQ_INSERT_TAIL(&tenant->waiters[kind], waiter, link);
	tenant->kinds |= 1U << kind;
}

static void unlist(struct waiter *waiter)
{
	struct waiting_tenant *tenant = waiter->tenant;
	unsigned kind = kind_of(waiter->bytes);

	TAILQ_REMOVE(&tenant->waiters[kind], waiter, link);
	if (TAILQ_EMPTY(&tenant->waiters[kind]))
		tenant->kinds &= ~(1U << kind);
}

static void put(struct waiting_room *room, struct waiter *waiter)
{
	struct waiting_tenant *tenant = waiter->tenant;

	list(waiter);
	tenant->used[PLACES]++;
	tenant->used[BYTES] += waiter->bytes;
	room->used[PLACES]++;
	room->used[BYTES] += waiter->bytes;
}

static void take(struct waiting_room *room, struct waiter *waiter)
{
	struct waiting_tenant *tenant = waiter->tenant;

	if (waiter->number > 0)
		unlist(waiter);
	tenant->used[PLACES]--;
	tenant->used[BYTES] -= waiter->bytes;
	room->used[PLACES]--;
	room->used[BYTES] -= waiter->bytes;
}

static struct waiter *youngest(const struct waiting_tenant *tenant, uint32_t kinds)
{
	struct waiter *best = NULL;

	for (; kinds; kinds &= kinds - 1) {
		unsigned kind = (unsigned)__builtin_ctz(kinds);
		struct waiter *waiter = TAILQ_LAST(&tenant->waiters[kind], waiter_list);

		if (!best || waiter->number > best->number)
			best = waiter;
	}
	return best;
}

/* Who is to leave where so much lacks. */
static struct waiter *choose_waiter(const struct waiting_tenant *tenant, enum resource resource,
				    uint64_t lack)
{
	unsigned enough = kind_of(lack - 1) + 1; /* all of this kind on have so much */
	uint32_t kinds = tenant->kinds;

	if (resource == PLACES)
		return youngest(tenant, kinds);
	if (enough < KINDS && kinds >> enough)
		return youngest(tenant, kinds >> enough << enough);
	return youngest(tenant, 1U << (31 - __builtin_clz(kinds)));
}

/* -- decisions -- */

/* With so much more in use. */
static uint64_t lack_of(const struct waiting_room *room, const struct arrival *arrival,
			enum resource resource, uint64_t more)
{
	uint64_t used = room->used[resource] + arrival->needs[resource] + more;

	return used > room->max[resource] ? used - room->max[resource] : 0;
}

static bool fits(const struct waiting_room *room, const struct arrival *arrival)
{
	return lack_of(room, arrival, PLACES, 0) == 0 && lack_of(room, arrival, BYTES, 0) == 0;
}

/* Within its tenant's share, or its tenant's first. */
static bool has_claim(const struct waiting_room *room, const struct arrival *arrival)
{
	const struct waiting_tenant *tenant = arrival->tenant;

	for (enum resource resource = 0; resource < _RESOURCE_MAX; resource++) {
		uint64_t used = tenant->used[resource] + arrival->needs[resource];

		if ((double)used > share(room, tenant, resource))
			return arrival->is_first;
	}
	return true;
}

/* Never its own tenant, which is within its share or has none. */
static bool may_lose(const struct waiting_room *room, const struct waiting_tenant *tenant,
		     const struct arrival *arrival, enum resource resource)
{
	bool is_above = (double)tenant->used[resource] > share(room, tenant, resource);

	return tenant->kinds && tenant->used[PLACES] > 1 && (is_above || arrival->is_first);
}

static struct waiting_tenant *choose_tenant(const struct waiting_room *room,
					    const struct arrival *arrival, enum resource resource)
{
	struct waiting_tenant *best = NULL;

	for (struct waiting_tenant *tenant = room->tenants; tenant; tenant = tenant->hh.next)
		if (may_lose(room, tenant, arrival, resource) &&
		    (!best || use_by_weight(tenant, resource) > use_by_weight(best, resource)))
			best = tenant;
	return best;
}

/* Bytes first: each who leaves for them leaves a place, too. */
static bool make_room(struct waiting_room *room, struct arrival *arrival)
{
	while (!fits(room, arrival)) {
		enum resource resource = lack_of(room, arrival, BYTES, 0) > 0 ? BYTES : PLACES;
		const struct waiting_tenant *tenant = choose_tenant(room, arrival, resource);
		struct waiter *waiter;

		if (!tenant)
			return false;
		waiter = choose_waiter(tenant, resource, lack_of(room, arrival, resource, 0));
		take(room, waiter);
		TAILQ_INSERT_HEAD(&arrival->gone, waiter, link);
	}
	return true;
}

/* All, or those who went in vain, because somebody larger had to go as well. Each is older than
 * those of its kind who went before it, so they come back in their order. */
static void call_back(struct waiting_room *room, struct arrival *arrival, bool all)
{
	struct waiter *waiter, *next;

	for (waiter = TAILQ_FIRST(&arrival->gone); waiter; waiter = next) {
		bool in_vain = lack_of(room, arrival, PLACES, 1) == 0 &&
			       lack_of(room, arrival, BYTES, waiter->bytes) == 0;

		next = TAILQ_NEXT(waiter, link);
		if (!all && !in_vain)
			continue;
		TAILQ_REMOVE(&arrival->gone, waiter, link);
		put(room, waiter);
	}
}

static void send_away(struct waiting_room *room, struct arrival *arrival)
{
	struct waiter *waiter;

	while ((waiter = TAILQ_FIRST(&arrival->gone))) {
		TAILQ_REMOVE(&arrival->gone, waiter, link);
		waiter->tenant = NULL;
		room->displaced++;
		room->config.on_displaced(waiter, room->config.on_displaced_arg);
	}
}

static int admit(struct waiting_room *room, struct arrival *arrival)
{
	if (fits(room, arrival))
		return 0;
	ask_weights(room);
	if (has_claim(room, arrival) && make_room(room, arrival)) {
		call_back(room, arrival, false);
		send_away(room, arrival);
		return 0;
	}
	call_back(room, arrival, true);
	room->refused++;
	return -EAGAIN;
}

/* -- the room -- */

int waiting_room_enter(struct waiting_room *room, const char *tenant_id, uint64_t bytes,
		       struct waiter *waiter)
{
	struct waiting_tenant *tenant = tenant_get(room, tenant_id);
	struct arrival arrival = { .tenant = tenant, .needs = { 1, bytes } };
	int r;

	if (!tenant)
		return -ENOMEM;
	arrival.is_first = tenant->used[PLACES] == 0;
	TAILQ_INIT(&arrival.gone);
	r = admit(room, &arrival);
	if (r < 0) {
		tenant_forget_idle(room, tenant);
		return r;
	}
	waiter->tenant = tenant;
	waiter->bytes = bytes;
	waiter->number = ++room->last_number;
	put(room, waiter);
	return 0;
}

void waiting_room_pin(struct waiter *waiter)
{
	unlist(waiter);
	waiter->number = 0;
}

void waiting_room_unpin(struct waiting_room *room, struct waiter *waiter)
{
	waiter->number = ++room->last_number;
	list(waiter);
}

void waiting_room_leave(struct waiting_room *room, struct waiter *waiter)
{
	struct waiting_tenant *tenant = waiter->tenant;

	if (!tenant)
		return;
	take(room, waiter);
	waiter->tenant = NULL;
	tenant_forget_idle(room, tenant);
}

void waiting_room_gauges(const struct waiting_room *room, struct waiting_room_gauges *ret)
{
	*ret = (struct waiting_room_gauges){
		.waiting = (unsigned)room->used[PLACES],
		.bytes = room->used[BYTES],
		.refused = room->refused,
		.displaced = room->displaced,
	};
}

int waiting_room_new(const struct waiting_room_config *config, struct waiting_room **ret)
{
	struct waiting_room *room = calloc(1, sizeof(*room));

	if (!room)
		return -ENOMEM;
	room->config = *config;
	room->max[PLACES] = config->max_waiting;
	room->max[BYTES] = config->max_bytes;
	*ret = room;
	return 0;
}

struct waiting_room *waiting_room_free(struct waiting_room *room)
{
	free(room);
	return NULL;
}
