/* SPDX-License-Identifier: Apache-2.0 */

/* How much may wait: of all tenants, and of each, so that none can take all the room. Outcomes
 * count with what waits when an event is taken, and alone when a try begins: events that wait for
 * their first try keep nobody's from running, outcomes that no destination takes do. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/events/event_internal.h"
#include "agent/events/event_outcome.h"

/* However little may wait, so many outcomes have room. */
#define OUTCOMES_LEAST 16

struct event_room {
	char tenant[EVENT_TENANT_BYTES];
	unsigned count;
	uint64_t bytes;
	uint64_t outcome_bytes;
	UT_hash_handle hh;
};

static struct event_room *find(const struct event_queue *queue, const char *tenant)
{
	struct event_room *room;

	HASH_FIND_STR(queue->rooms, tenant, room);
	return room;
}

static unsigned count_limit(const struct event_queue *queue, const char *tenant)
{
	const struct event_queue_config *config = &queue->config;
	uint64_t share = (uint64_t)config->max_waiting * config->percent_of_tenant / 100;
	unsigned own = config->waiting_of_tenant
			       ? config->waiting_of_tenant(tenant, config->waiting_of_tenant_arg)
			       : UINT_MAX;

	return own != UINT_MAX ? own : (unsigned)share;
}

/* As throttles of Lambda; the reason is ours. */
static int refuse(const char *reason, struct error *error)
{
	int r = error_set(error, ERROR_TOO_MANY_REQUESTS, NULL, "Rate Exceeded.");

	error_set_reason(error, reason);
	return r;
}

int event_room_check(const struct event_queue *queue, const char *tenant, uint64_t bytes,
		     struct error *error)
{
	const struct event_queue_config *config = &queue->config;
	uint64_t share = config->max_waiting_bytes * config->percent_of_tenant / 100;
	const struct event_room *room = find(queue, tenant);
	unsigned count = room ? room->count : 0;
	uint64_t taken = room ? room->bytes : 0;

	if (queue->count >= config->max_waiting || bytes > config->max_waiting_bytes ||
	    queue->bytes > config->max_waiting_bytes - bytes)
		return refuse("NodeWaitingEventsLimitExceeded", error);
	if (count >= count_limit(queue, tenant) || bytes > share || taken > share - bytes)
		return refuse("WaitingEventsLimitExceeded", error);
	return 0;
}

int event_room_take(struct event_queue *queue, const char *tenant, uint64_t bytes)
{
	struct event_room *room = find(queue, tenant);

	if (!room) {
		room = calloc(1, sizeof(*room));
		if (!room)
			return -ENOMEM;
		(void)snprintf(room->tenant, sizeof(room->tenant), "%s", tenant);
		HASH_ADD_STR(queue->rooms, tenant, room);
	}
	room->count++;
	room->bytes += bytes;
	queue->count++;
	queue->bytes += bytes;
	return 0;
}

void event_room_give_back(struct event_queue *queue, const char *tenant, uint64_t bytes)
{
	struct event_room *room = find(queue, tenant);

	queue->count--;
	queue->bytes -= bytes;
	room->bytes -= bytes;
	if (--room->count > 0)
		return;
	HASH_DEL(queue->rooms, room);
	free(room);
}

/* -- outcomes -- */

static bool fits(uint64_t taken, uint64_t bytes, uint64_t limit)
{
	uint64_t least = (uint64_t)OUTCOMES_LEAST * EVENT_OUTCOME_MAX_BYTES;

	limit = limit > least ? limit : least;
	/* One that is larger than all the room is let in alone. */
	return taken == 0 || (bytes <= limit && taken <= limit - bytes);
}

bool event_room_has_outcome(const struct event_queue *queue, const char *tenant, uint64_t bytes)
{
	const struct event_queue_config *config = &queue->config;
	uint64_t share = config->max_waiting_bytes * config->percent_of_tenant / 100;
	const struct event_room *room = find(queue, tenant);

	return fits(queue->outcome_bytes, bytes, config->max_waiting_bytes) &&
	       fits(room ? room->outcome_bytes : 0, bytes, share);
}

void event_room_take_outcome(struct event_queue *queue, const char *tenant, uint64_t bytes)
{
	find(queue, tenant)->outcome_bytes += bytes;
	queue->outcome_bytes += bytes;
}

void event_room_give_back_outcome(struct event_queue *queue, const char *tenant, uint64_t bytes)
{
	find(queue, tenant)->outcome_bytes -= bytes;
	queue->outcome_bytes -= bytes;
}
