/* SPDX-License-Identifier: Apache-2.0 */

/* How an event is taken: checked by the invoker as any invocation is, then made durable. */

#include <errno.h>
#include <stdio.h>

#include "agent/events/event_hold.h"
#include "agent/events/event_internal.h"
#include "mayfly/clock.h"

/* The answer, and the end of what did not come to be. */
static void answer(struct event *event, const struct error *error)
{
	event_taken_fn *fn = event->answer;

	event->answer = NULL;
	free((void *)event->request);
	event->request = NULL;
	event->op.body = (struct event_body){ 0 };
	fn(event->op.record.request_id, error, event->answer_arg);
	if (error)
		event_free(event);
}

static int fill(struct event *event, const struct invocation *invocation, struct error *error)
{
	const struct invocation_request *request = event->request;
	struct event_record *record = &event->op.record;
	struct event_queue *queue = event->queue;

	record->received_us = record->due_us = clock_realtime_us();
	record->bytes = request->payload.len + request->client_context.len;
	(void)snprintf(record->request_id, sizeof(record->request_id), "%s",
		       invocation_request_id(invocation));
	(void)snprintf(record->tenant, sizeof(record->tenant), "%s", invocation_tenant(invocation));
	(void)snprintf(record->function, sizeof(record->function), "%s",
		       invocation_function_name(invocation));
	(void)snprintf(record->qualifier, sizeof(record->qualifier), "%s",
		       invocation_qualifier(invocation));
	event->op.body = (struct event_body){
		.payload = request->payload,
		.client_context = request->client_context,
		.trace_id = request->trace_id,
		.end_tenant = request->end_tenant,
	};
	int r = event->is_onward ? 0
				 : event_room_check(queue, record->tenant, record->bytes, error);
	if (r < 0)
		return r;
	/* So that nothing can fail once it is durable. */
	r = event_shelf_reserve(&queue->shelf, queue->count + 1);
	if (r == 0)
		r = event_room_take(queue, record->tenant, record->bytes);
	return r < 0 ? error_set_errno(error, r, "Cannot take the event") : 0;
}

static void on_checked(struct invocation *invocation, const struct invocation_result *result,
		       void *user)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct event *event = user;
	struct event_queue *queue = event->queue;

	if (result->error) {
		(void)snprintf(event->op.record.request_id, sizeof(event->op.record.request_id),
			       "%s", invocation_request_id(invocation));
		answer(event, result->error);
		return;
	}
	if (fill(event, invocation, &error) < 0) {
		answer(event, &error);
		return;
	}
	event->phase = EVENT_ADDED;
	event->op.change = EVENT_ADD;
	DL_APPEND(queue->events, event);
	event_writer_add(&queue->writer, &event->op);
}

void event_intake_done(struct event *event, const struct error *error)
{
	struct event_queue *queue = event->queue;

	if (error) {
		answer(event, error);
		return;
	}
	queue->counters.received++;
	event->op.is_patient = true; /* from now on nobody hears of errors */
	if (event->is_held) {
		event->phase = EVENT_HELD;
		answer(event, NULL);
		return;
	}
	answer(event, NULL);
	event_shelve(event);
	event_queue_go_on(queue);
}

static const struct invocation_events check_events = { .on_done = on_checked };

/* How it comes, beside what it is. */
struct manner {
	bool is_held;
	bool is_onward;
	unsigned hops;
};

static int submit(struct event_queue *queue, const struct invocation_request *request,
		  const struct manner *manner, event_taken_fn *fn, void *arg, struct event **ret)
{
	_cleanup_free_ struct invocation_request *copy = malloc(sizeof(*copy));
	_cleanup_free_ struct event *event = calloc(1, sizeof(*event));
	struct invocation *invocation;
	int r;

	if (!copy || !event)
		return -ENOMEM;
	*copy = *request;
	copy->type = INVOCATION_EVENT;
	copy->events = &check_events;
	copy->user = event;
	event->queue = queue;
	event->phase = EVENT_CHECKED;
	event->is_held = manner->is_held;
	event->answer = fn;
	event->answer_arg = arg;
	event->request = copy;
	event->is_onward = manner->is_onward;
	event->op.record.hops = manner->hops;
	r = invoker_submit(queue->config.invoker, copy, &invocation);
	if (r < 0)
		return r;
	(void)TAKE_PTR(copy);
	*ret = TAKE_PTR(event);
	return 0;
}

int event_queue_submit(struct event_queue *queue, const struct invocation_request *request,
		       event_taken_fn *fn, void *arg)
{
	struct event *event;

	return submit(queue, request, &(struct manner){ 0 }, fn, arg, &event);
}

int event_queue_submit_held(struct event_queue *queue, const struct invocation_request *request,
			    event_taken_fn *fn, void *arg, struct event **ret)
{
	return submit(queue, request, &(struct manner){ .is_held = true }, fn, arg, ret);
}

int event_queue_submit_onward(struct event_queue *queue, const struct invocation_request *request,
			      unsigned hops, event_taken_fn *fn, void *arg)
{
	struct event *event;

	return submit(queue, request, &(struct manner){ .is_onward = true, .hops = hops }, fn, arg,
		      &event);
}
