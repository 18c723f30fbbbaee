/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The room in which invocations wait: so many, with events of so many bytes. A tenant may fill it
 * as long as nobody else needs it. Who comes to a full one and has less than a share of it, by
 * weight, gets room at the cost of the tenant that has most for its weight: its youngest leave
 * (fair queueing with longest-queue drop). Rules:
 *
 * - A share is a part by weight among the tenants who wait, the one who comes included, of both
 *   the number and the bytes. A first invocation of a tenant has a claim though its event be
 *   larger than the share, and the last one of a tenant never leaves: what was let in so stays.
 * - Nobody leaves for one of their own tenant, for one that would not fit all the same, or, but
 *   for another's first, from within a share: two tenants cannot chase each other out by turns.
 * - Where bytes lack, the youngest leaves whose event is large enough, so that few do.
 *
 * A decision costs a step for each tenant who waits, and one for each who leaves. Pure
 * bookkeeping; loop thread. */

#include <stdint.h>
#include <sys/queue.h>

#include "mayfly/cleanup.h"

/* Of TooManyRequestsException; the name is ours. */
#define THROTTLE_NODE "NodeWaitingLimitExceeded"

struct waiting_room;
struct waiting_tenant;

/* Embedded by who waits. Zeroed: not in the room. */
struct waiter {
	struct waiting_tenant *tenant; /* NULL: not in the room */
	uint64_t bytes;
	uint64_t number; /* in order of coming, or of the end of a pin; 0: pinned */
	TAILQ_ENTRY(waiter) link;
};

struct waiting_room_config {
	unsigned max_waiting;
	uint64_t max_bytes;
	/* Asked at each decision; NULL: all have the same. */
	unsigned (*tenant_weight)(const char *tenant, void *arg);
	void *tenant_weight_arg;
	/* It was in the room and is not any more. Comes from within waiting_room_enter(), and must
	 * not call the room. */
	void (*on_displaced)(struct waiter *waiter, void *arg);
	void *on_displaced_arg;
};

int waiting_room_new(const struct waiting_room_config *config,
		     struct waiting_room **ret) _must_use_;
/* When nobody waits any more. Copes with NULL. */
struct waiting_room *waiting_room_free(struct waiting_room *room);
DEFINE_CLEANUP(struct waiting_room, waiting_room_free)

/* 0; -EAGAIN: refused, and nothing has changed; -ENOMEM. */
int waiting_room_enter(struct waiting_room *room, const char *tenant, uint64_t bytes,
		       struct waiter *waiter) _must_use_;
/* Nothing to do for one who is not in it. */
void waiting_room_leave(struct waiting_room *room, struct waiter *waiter);

/* It cannot leave for others for a while, and counts all the same. Afterwards it is the youngest.
 */
void waiting_room_pin(struct waiter *waiter);
void waiting_room_unpin(struct waiting_room *room, struct waiter *waiter);

struct waiting_room_gauges {
	unsigned waiting;
	uint64_t bytes;
	uint64_t refused;   /* came and could not stay, since the start */
	uint64_t displaced; /* waited, and left for others */
};
void waiting_room_gauges(const struct waiting_room *room, struct waiting_room_gauges *ret);
