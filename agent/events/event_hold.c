/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/events/event_hold.h"

#include "agent/events/event_internal.h"

void event_release(struct event *event)
{
	event->is_held = false;
	event_shelve(event);
	event_queue_go_on(event->queue);
}

/* Nobody waits for the end of it: it is deleted until it is gone. */
void event_take_back(struct event *event)
{
	event->op.change = EVENT_DELETE;
	event_writer_add(&event->queue->writer, &event->op);
}

bool event_hold_written(struct event *event)
{
	if (event->phase != EVENT_HELD)
		return false;
	event_free(event);
	return true;
}

void event_queue_each(const struct event_queue *queue, event_queue_each_fn *fn, void *arg)
{
	const struct event *event;

	DL_FOREACH(queue->events, event)
	fn(event->op.record.request_id, arg);
}
