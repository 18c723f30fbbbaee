/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The outcomes of events on their way to destinations: durable with the event's end, delivered at
 * least once, or given up after delivery_max_age_us. A part of the queue; loop thread. */

#include "agent/events/event_internal.h"

#define EVENT_HOPS_MAX 16 /* invocations in a row by way of destinations, as in Lambda */

/* Takes up what the last agent left. Blocks. */
int event_delivery_open(struct event_queue *queue, struct error *error) _must_use_;
void event_delivery_close(struct event_queue *queue);
void event_delivery_stop(struct event_queue *queue);

/* The changes, linked, that make durable what is to be told of an event that ended, whose body is
 * there; NULL: nobody wants to know. `result` is that of the last try, if there was one now. */
struct event_op *event_delivery_make(const struct event *event,
				     const struct invocation_result *result);
/* One of the changes is made. */
void event_delivery_written(struct event_op *op);

/* event_target.c: one try. The answer comes once, later. */
enum delivery_verdict {
	DELIVERY_MADE,
	DELIVERY_AGAIN,   /* may be better later */
	DELIVERY_REFUSED, /* never */
	DELIVERY_CIRCLE,  /* too many hops */
};
struct delivery;
void event_target_try(struct delivery *delivery);
void event_delivery_settle(struct delivery *delivery, enum delivery_verdict verdict,
			   const char *why);
/* It would have invoked that function once too often: settled, and what that function's failures go
 * to is told of the event that it does not get, in one step with it. */
void event_delivery_cut(struct delivery *delivery, const char *function, const char *qualifier);

struct delivery {
	struct event_op op; /* first: the writer knows only it */
	struct event_delivery what;
	struct shelf_item item;
	struct event_queue *queue;
	struct delivery_line *line;
	struct attempt *attempt; /* of event_target.c, owned, while there is one */
	enum delivery_verdict verdict;
	struct event_op *told;        /* linked: what follows from it, to be written with its end */
	struct delivery *prev, *next; /* of all */
};
