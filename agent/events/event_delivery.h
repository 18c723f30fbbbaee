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

/* One of the changes of deliveries is made. */
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

/* Of a target, which is copied, but without a body, and none of the queue's yet; NULL: no memory.
 * Any thread. */
struct delivery *event_delivery_new(const struct event_record *record,
				    const struct event_delivery *what);
/* It is the queue's from now on, and takes room; adding it to the file is the caller's. 0 or
 * -ENOMEM. */
int event_delivery_link(struct event_queue *queue, struct delivery *delivery) _must_use_;
/* Any thread for one that is no queue's; copes with NULL. */
struct delivery *event_delivery_free(struct delivery *delivery);

struct delivery {
	struct event_op op; /* first: the writer knows only it */
	struct event_delivery what;
	struct shelf_item item;
	struct event_queue *queue; /* NULL: not linked yet; as the next */
	struct delivery_line *line;
	struct attempt *attempt;       /* of event_target.c, owned, while there is one */
	struct event_telling *telling; /* owned: of its end in a circle, while that is made */
	enum delivery_verdict verdict;
	struct event_op *told;        /* linked: what follows from it, to be written with its end */
	struct delivery *prev, *next; /* of all */
};
