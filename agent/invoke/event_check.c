/* SPDX-License-Identifier: Apache-2.0 */

/* Large events are checked by jobs, in turn. Who is still to be checked can be made to leave the
 * waiting room as whoever waits for a sandbox; who is being checked cannot, so that is a part of
 * the room at most, and never so much that nobody is left to leave. */

#include "agent/invoke/invocation_internal.h"

#define PART_OF_ROOM 4 /* one in so many bytes; one event in any case */

static uint64_t bytes_of(const struct invocation *invocation)
{
	return invocation->request.payload.len;
}

static void check_work(struct job *job)
{
	struct invocation *invocation = container_of(job, struct invocation, check);

	(void)!admission_parse_payload(invocation->request.payload, &invocation->error);
}

static void go_on(struct invoker *invoker);

static void check_done(struct job *job)
{
	struct invocation *invocation = container_of(job, struct invocation, check);
	struct invoker *invoker = invocation->invoker;

	invoker->checking_bytes -= bytes_of(invocation);
	waiting_room_unpin(invoker->room, &invocation->waiter);
	go_on(invoker);
	invocation_checked(invocation);
}

static bool may_begin(const struct invoker *invoker, const struct invocation *invocation)
{
	return invoker->checking_bytes == 0 || invoker->checking_bytes + bytes_of(invocation) <=
						       invoker->max_waiting_bytes / PART_OF_ROOM;
}

static void go_on(struct invoker *invoker)
{
	struct invocation *invocation;

	while ((invocation = TAILQ_FIRST(&invoker->checks)) && may_begin(invoker, invocation)) {
		(void)event_check_cancel(invocation);
		invoker->checking_bytes += bytes_of(invocation);
		waiting_room_pin(&invocation->waiter);
		invocation->check = (struct job){ .work = check_work, .done = check_done };
		loop_submit(invoker->loop, &invocation->check);
	}
}

void event_check_begin(struct invocation *invocation)
{
	invocation->to_check = true;
	TAILQ_INSERT_TAIL(&invocation->invoker->checks, invocation, check_link);
	go_on(invocation->invoker);
}

bool event_check_cancel(struct invocation *invocation)
{
	if (!invocation->to_check)
		return false;
	invocation->to_check = false;
	TAILQ_REMOVE(&invocation->invoker->checks, invocation, check_link);
	return true;
}
