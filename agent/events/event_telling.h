/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is told of an event that ended: made by a job, for answers are megabytes that have to be
 * looked through, from what the loop hands over, and tried again when memory is short. Whoever
 * begins a try makes it first, so that nothing that can fail stands between an event's end and
 * those who want to know. A part of the queue; loop thread. */

#include "agent/events/event_delivery.h"

#define EVENT_TELLINGS_AT_ONCE 2

struct event_telling;

/* Of an event of that record. 0 or -ENOMEM. */
int event_telling_new(struct event_queue *queue, const struct event_record *record,
		      struct event_telling **ret) _must_use_;
/* Not while it is being made, unless jobs have ended. Copes with NULL. */
struct event_telling *event_telling_free(struct event_telling *telling);

/* Whether there is room for what a try may lead to, at most; it is kept until the telling is freed.
 */
bool event_telling_expect(struct event_telling *telling);

/* Within on_done, of a try that ran: its answer is taken over. */
void event_telling_take_answer(struct event_telling *telling, struct invocation *invocation,
			       const struct invocation_result *result);

/* The changes, linked, that make durable what is told. The answer comes once, later. */
typedef void event_told_fn(struct event_op *told, void *arg);
/* The event ended, whose record is that of now; `event`'s body is borrowed until the answer. False:
 * nobody wants to know, and there is no answer. */
bool event_telling_start(struct event_telling *telling, const struct event_op *event,
			 enum event_end end, event_told_fn *answer, void *arg) _must_use_;
