/* SPDX-License-Identifier: Apache-2.0 */

/* The way of an event that is durable: it waits, is fetched, is tried; what became of it is
 * written down before the next try. */

#include "agent/events/event_queue.h"

#include <errno.h>

#include "agent/events/event_delivery.h"
#include "agent/events/event_settings.h"
#include "agent/events/event_telling.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

static struct event *of_op(struct event_op *op)
{
	return container_of(op, struct event, op);
}

struct event *event_free(struct event *event)
{
	struct event_queue *queue = event->queue;

	event_telling_free(event->telling);
	if (event->phase != EVENT_CHECKED) {
		DL_DELETE(queue->events, event);
		event_room_give_back(queue, event->op.record.tenant, event->op.record.bytes);
	}
	free((void *)event->request);
	event_op_forget_body(&event->op);
	free(event);
	return NULL;
}

/* What was due later than it can be was written while the clock was ahead: it does not wait for
 * that time to come. */
void event_shelve(struct event *event)
{
	int64_t wait_us = event->op.record.due_us - clock_realtime_us();
	int64_t longest_us = event_wait_us(&event->queue->config.policy, &event->op.record);

	if (wait_us > longest_us)
		wait_us = longest_us;
	event->phase = EVENT_SHELVED;
	event->item.tenant = event->op.record.tenant;
	event->item.due_us = clock_monotonic_us() + (wait_us > 0 ? wait_us : 0);
	event_shelf_put(&event->queue->shelf, &event->item);
}

/* The node's, but for what is set for what was invoked. */
static struct event_policy policy_of(const struct event *event)
{
	const struct event_record *record = &event->op.record;
	const struct event_settings *settings = event_settings_find(
		event->queue, record->tenant, record->function, record->qualifier);
	struct event_policy policy = event->queue->config.policy;

	if (settings && settings->has_max_retries)
		policy.max_retries = settings->max_retries;
	if (settings && settings->has_max_age)
		policy.max_age_us = settings->max_age_s * USEC_PER_SEC;
	return policy;
}

/* -- what became of a try -- */

static void log_end(const struct event *event)
{
	const struct event_record *record = &event->op.record;

	if (event->end == EVENT_SUCCESS)
		return;
	if (event->end != EVENT_FUNCTION_GONE)
		invoker_count_event(event->queue->config.invoker, record->tenant, record->function,
				    METRICS_EVENT_DROPPED);
	log_write(LOG_WARNING,
		  &(struct log_fields){ .tenant = record->tenant,
					.function = record->function,
					.request_id = record->request_id },
		  "An event is dropped: %s, after %u function errors", event_end_name(event->end),
		  record->errors);
}

/* `told` is to be durable in one step with it. */
static void write_down(struct event *event, struct event_op *told)
{
	event->telling = event_telling_free(event->telling);
	event_op_forget_body(&event->op);
	event->phase = EVENT_NOTED;
	event->op.change = event->end == EVENT_GOES_ON ? EVENT_UPDATE : EVENT_DELETE;
	event_writer_add_all(&event->queue->writer, &event->op, told);
}

static void on_telling_made(struct event_op *told, void *arg)
{
	write_down(arg, told);
}

/* `invocation` is a try that was made now, with its result; else both are NULL. */
static void note(struct event *event, enum event_outcome outcome, struct invocation *invocation,
		 const struct invocation_result *result)
{
	struct event_queue *queue = event->queue;
	struct event_policy policy = policy_of(event);

	event->end = event_decide(&policy, &event->op.record, outcome, clock_realtime_us());
	if (event->end == EVENT_GOES_ON) {
		queue->counters.retried += outcome == EVENT_FAILED;
		queue->counters.delayed += outcome == EVENT_HELD_UP;
		write_down(event, NULL);
		return;
	}
	event->phase = EVENT_ENDED;
	if (result && !result->error)
		event_telling_take_answer(event->telling, invocation, result);
	if (!event_telling_start(event->telling, &event->op, event->end, on_telling_made, event))
		write_down(event, NULL);
}

static void on_noted(struct event *event)
{
	struct event_queue *queue = event->queue;

	queue->in_flight--;
	if (event->end == EVENT_GOES_ON) {
		event_shelve(event);
	} else {
		log_end(event);
		queue->counters.succeeded += event->end == EVENT_SUCCESS;
		queue->counters.dropped += event->end != EVENT_SUCCESS;
		event_free(event);
	}
	event_queue_go_on(queue);
}

static enum event_outcome outcome_of(const struct invocation_result *result)
{
	if (!result->error)
		return result->function_error[0] ? EVENT_FAILED : EVENT_SUCCEEDED;
	return result->error->code == ERROR_NOT_FOUND ? EVENT_NO_FUNCTION : EVENT_HELD_UP;
}

/* Not tried: it is as it was. */
static void put_back(struct event *event)
{
	event->queue->in_flight--;
	event->telling = event_telling_free(event->telling);
	event_op_forget_body(&event->op);
	event_shelve(event);
}

static void on_tried(struct invocation *invocation, const struct invocation_result *result,
		     void *user)
{
	struct event *event = user;
	enum event_outcome outcome = outcome_of(result);

	event->queue->counters.running--;
	if (event->queue->stopping && outcome == EVENT_HELD_UP)
		put_back(event); /* the next agent's */
	else
		note(event, outcome, invocation, result);
}

static const struct invocation_events try_events = { .on_done = on_tried };

/* -- a try -- */

/* A function that may not run at all fails its events at once, as in Lambda. */
static bool has_no_right(const struct event *event)
{
	const struct event_record *record = &event->op.record;
	const struct function *function =
		directory_find(event->queue->config.directory, record->tenant, record->function);

	return function && function->has_reserved_concurrency &&
	       function->reserved_concurrency == 0;
}

static bool is_held_up(const struct event *event)
{
	const struct event_queue_config *config = &event->queue->config;

	return config->may_run && !config->may_run(event->op.record.tenant, config->may_run_arg);
}

static void try_now(struct event *event)
{
	const struct event_record *record = &event->op.record;
	struct invocation_request request = {
		.tenant = record->tenant,
		.function_name = record->function,
		.qualifier = record->qualifier,
		.request_id = record->request_id,
		.payload = event->op.body.payload,
		.client_context = event->op.body.client_context,
		.trace_id = event->op.body.trace_id,
		.end_tenant = event->op.body.end_tenant,
		.deadline_us = INT64_MAX,
		.events = &try_events,
		.user = event,
	};
	struct invocation *invocation;

	event->phase = EVENT_RUNNING;
	if (invoker_submit(event->queue->config.invoker, &request, &invocation) < 0)
		note(event, EVENT_HELD_UP, NULL, NULL);
	else
		event->queue->counters.running++;
}

static bool is_too_old(const struct event *event)
{
	struct event_policy policy = policy_of(event);

	return event_is_too_old(&policy, &event->op.record, clock_realtime_us());
}

/* It is as it was, but for a delay, which nobody needs to remember. */
static void wait_for_memory(struct event *event)
{
	event->op.record.delays++;
	event->op.record.due_us = clock_realtime_us() + event->queue->config.policy.delay_first_us;
	put_back(event);
	event_queue_go_on(event->queue);
}

static void on_fetched(struct event *event)
{
	if (event->queue->stopping) {
		put_back(event);
		return;
	}
	if (event_telling_new(event->queue, &event->op.record, &event->telling) < 0) {
		wait_for_memory(event);
		return;
	}
	if (!event->op.memory) /* somebody else's hand in the file */
		note(event, EVENT_NO_FUNCTION, NULL, NULL);
	else if (has_no_right(event))
		note(event, EVENT_NO_RIGHT, NULL, NULL);
	else if (is_held_up(event) || is_too_old(event)) /* the latter is then the end */
		note(event, EVENT_HELD_UP, NULL, NULL);
	else if (!event_telling_expect(event->telling)) /* what it leads to could not be kept */
		note(event, EVENT_HELD_UP, NULL, NULL);
	else
		try_now(event);
}

static void begin(struct event *event)
{
	struct event_queue *queue = event->queue;

	queue->in_flight++;
	event->phase = EVENT_FETCHED;
	event->op.change = EVENT_READ;
	event_writer_add(&queue->writer, &event->op);
}

static void on_due(void *arg)
{
	event_queue_go_on(arg);
}

void event_queue_go_on(struct event_queue *queue)
{
	struct shelf_item *item;
	int64_t next_us;

	if (queue->stopping)
		return;
	while (queue->in_flight < queue->config.max_running &&
	       (item = event_shelf_take(&queue->shelf, clock_monotonic_us())))
		begin(container_of(item, struct event, item));
	next_us = event_shelf_next_us(&queue->shelf);
	/* With all places taken, the end of the first of them goes on. */
	if (queue->in_flight >= queue->config.max_running || next_us == INT64_MAX)
		timer_disarm(&queue->due);
	else if (timer_arm(&queue->due, queue->config.loop, next_us, on_due, queue) < 0)
		abort(); /* as loop_post(): what was acknowledged must not stay behind */
}

static void on_event_written(struct event_op *op, const struct error *error)
{
	struct event *event = of_op(op);

	if (event_hold_written(event))
		return;
	switch (op->change) {
	case EVENT_ADD:
		event_intake_done(event, error);
		break;
	case EVENT_READ:
		on_fetched(event);
		break;
	default:
		on_noted(event);
	}
}

static void on_written(struct event_op *op, const struct error *error)
{
	switch (op->change) {
	case EVENT_SET_SETTINGS:
	case EVENT_FORGET_SETTINGS:
		event_settings_written(op, error);
		break;
	case EVENT_ADD_DELIVERY:
	case EVENT_UPDATE_DELIVERY:
	case EVENT_DELETE_DELIVERY:
	case EVENT_READ_DELIVERY:
		event_delivery_written(op);
		break;
	default:
		on_event_written(op, error);
	}
}

/* -- the door -- */

void event_forgive_clock(struct event_record *record)
{
	int64_t now_us = clock_realtime_us();

	if (record->received_us > now_us)
		record->received_us = now_us;
}

static int take_up(const struct event_record *record, void *arg)
{
	struct event_queue *queue = arg;
	struct event *event;
	int r = event_shelf_reserve(&queue->shelf, queue->count + 1);

	if (r < 0)
		return r;
	event = calloc(1, sizeof(*event));
	if (!event)
		return -ENOMEM;
	r = event_room_take(queue, record->tenant, record->bytes);
	if (r < 0) {
		free(event);
		return r;
	}
	event->queue = queue;
	event->op.record = *record;
	event_forgive_clock(&event->op.record);
	event->op.is_patient = true;
	DL_APPEND(queue->events, event);
	event_shelve(event);
	return 0;
}

int event_queue_new(const struct event_queue_config *config, struct event_queue **ret,
		    struct error *error)
{
	_cleanup_(event_queue_free_p) struct event_queue *queue = calloc(1, sizeof(*queue));
	int r;

	if (!queue)
		return error_set_errno(error, ENOMEM, "Cannot make the event queue");
	queue->config = *config;
	event_writer_init(&queue->writer, config->store, config->loop);
	queue->writer.done = on_written;
	lane_init(&queue->tellings, config->loop, EVENT_TELLINGS_AT_ONCE);
	r = event_settings_open(queue, error);
	if (r == 0)
		r = event_store_each(config->store, take_up, queue, error);
	if (r == 0)
		r = event_delivery_open(queue, error);
	if (r < 0)
		return r;
	if (queue->count > 0)
		log_notice("%u events wait that were taken before", queue->count);
	r = timer_arm(&queue->due, config->loop, clock_monotonic_us(), on_due, queue);
	if (r < 0)
		return error_set_errno(error, r, "Cannot make the event queue");
	*ret = TAKE_PTR(queue);
	return 0;
}

void event_queue_stop(struct event_queue *queue)
{
	queue->stopping = true;
	timer_disarm(&queue->due);
	event_delivery_stop(queue);
}

struct event_queue *event_queue_free(struct event_queue *queue)
{
	struct event *event, *next;

	if (!queue)
		return NULL;
	timer_disarm(&queue->due);
	event_writer_end(&queue->writer);
	DL_FOREACH_SAFE(queue->events, event, next)
	event_free(event);
	event_delivery_close(queue);
	event_settings_close(queue);
	event_shelf_free(&queue->shelf);
	free(queue);
	return NULL;
}

void event_queue_gauges(const struct event_queue *queue, struct event_gauges *ret)
{
	int64_t now_us = clock_realtime_us();

	*ret = queue->counters;
	ret->waiting = queue->count - queue->delivery_count - ret->running;
	ret->delivering = queue->delivery_count;
	if (queue->events && now_us > queue->events->op.record.received_us)
		ret->oldest_age_us = now_us - queue->events->op.record.received_us;
}
