/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Events of who has more to write down before the first try, elsewhere, and must not do it twice: a
 * held one is durable and stands still. Holding is not: the next agent runs what this one held, so
 * who held it asks at the start whether it is there, before the loop runs. A part of the queue;
 * loop thread. */

#include "agent/events/event_queue.h"

struct event;

/* As event_queue_submit(). The event is the caller's to release or to take back, once, when
 * `answer` came without an error. */
int event_queue_submit_held(struct event_queue *queue, const struct invocation_request *request,
			    event_taken_fn *answer, void *arg, struct event **ret) _must_use_;
/* It waits for its first try as any other. */
void event_release(struct event *event);
/* It was never there. */
void event_take_back(struct event *event);

/* The request id of every event, held or not, in order of their taking. */
typedef void event_queue_each_fn(const char *request_id, void *arg);
void event_queue_each(const struct event_queue *queue, event_queue_each_fn *fn, void *arg);
