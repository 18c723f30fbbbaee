/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/events/event_delivery.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/events/event_outcome.h"
#include "agent/events/event_settings.h"
#include "agent/functions/destination.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

#define HERE_MAX       16 /* deliveries within the node at once */
#define AGAIN_FIRST_US USEC_PER_SEC
#define AGAIN_MAX_US   (300 * USEC_PER_SEC)

static struct delivery *of_op(struct event_op *op)
{
	return container_of(op, struct delivery, op);
}

static void go_on(struct delivery_line *line);

static void on_due(void *arg)
{
	go_on(arg);
}

/* -- what there is to tell -- */

static struct delivery *delivery_new(struct event_queue *queue, const struct event_record *record,
				     const struct event_delivery *what)
{
	struct delivery *delivery = calloc(1, sizeof(*delivery));
	bool is_abroad = what->target[0] == 'h'; /* http, https; else it is an ARN */

	if (!delivery)
		return NULL;
	delivery->queue = queue;
	delivery->line = &queue->lines[is_abroad ? DELIVERY_ABROAD : DELIVERY_HERE];
	delivery->op.record = *record;
	delivery->op.is_patient = true;
	delivery->op.delivery = &delivery->what;
	delivery->what = *what;
	delivery->what.error_message = NULL;
	delivery->what.target = strdup(what->target);
	for (unsigned i = 0; delivery->what.target && i < _DELIVERY_MANNERS; i++)
		if (event_shelf_reserve(&queue->lines[i].shelf, queue->delivery_count + 1) < 0)
			free(TAKE_PTR(delivery->what.target));
	if (!delivery->what.target || event_room_take(queue, record->tenant, record->bytes) < 0) {
		free(delivery->what.target);
		free(delivery);
		return NULL;
	}
	queue->delivery_count++;
	DL_APPEND(queue->deliveries, delivery);
	return delivery;
}

static void delivery_free(struct delivery *delivery)
{
	struct event_queue *queue = delivery->queue;

	DL_DELETE(queue->deliveries, delivery);
	queue->delivery_count--;
	event_room_give_back(queue, delivery->op.record.tenant, delivery->op.record.bytes);
	event_op_forget_body(&delivery->op);
	free(delivery->attempt);
	free(delivery->what.target);
	free(delivery);
}

static struct slice append(uint8_t **at, const void *data, size_t len)
{
	struct slice copy = slice_new(*at, len);

	if (len > 0)
		memcpy(*at, data, len);
	*at += len + 1; /* calloc() made the NUL */
	return copy;
}

/* All that it carries, in memory of the op's own. */
static int take_body(struct delivery *delivery, struct slice payload, const struct event_body *from)
{
	struct event_body *body = &delivery->op.body;
	struct slice context = from->client_context;
	size_t trace_len = from->trace_id ? strlen(from->trace_id) : 0;
	size_t end_tenant_len = from->end_tenant ? strlen(from->end_tenant) : 0;
	uint8_t *at = calloc(1, payload.len + context.len + trace_len + end_tenant_len + 4);

	if (!at)
		return -ENOMEM;
	delivery->op.memory = at;
	body->payload = append(&at, payload.data, payload.len);
	body->client_context = append(&at, context.data, context.len);
	body->trace_id = (const char *)append(&at, from->trace_id, trace_len).data;
	body->end_tenant = (const char *)append(&at, from->end_tenant, end_tenant_len).data;
	return 0;
}

struct telling {
	const struct event *event;
	const struct event_outcome_facts *facts;
	struct event_op *first;
};

static int add(struct telling *telling, const char *target, struct slice payload,
	       struct event_delivery *what)
{
	const struct event *event = telling->event;
	struct event_record record = event->op.record;
	struct delivery *delivery;

	record.sequence = 0;
	record.received_us = record.due_us = telling->facts->now_us;
	record.errors = record.delays = 0;
	record.bytes = payload.len + event->op.body.client_context.len;
	uuid_generate(what->id);
	what->target = (char *)(uintptr_t)target;
	(void)snprintf(what->condition, sizeof(what->condition), "%s", telling->facts->condition);
	delivery = delivery_new(event->queue, &record, what);
	if (!delivery || take_body(delivery, payload, &event->op.body) < 0)
		return -ENOMEM;
	delivery->what.error_message = what->error_message;
	delivery->op.change = EVENT_ADD_DELIVERY;
	delivery->op.next = telling->first;
	telling->first = &delivery->op;
	return 0;
}

static int add_record(struct telling *telling, const char *target)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct event_delivery what = { 0 };
	int r = event_outcome_write(telling->facts, &text, &what.event_at, &what.event_bytes);

	return r < 0 ? r : add(telling, target, buf_slice(&text), &what);
}

/* The event as it was; why it failed is kept with it until it is durable: in the place behind the
 * body, where a read puts it, too. */
static int add_dead_letter(struct telling *telling, const char *target)
{
	_cleanup_buf_ struct buf why = BUF_INIT;
	struct event_delivery what = { .is_dead_letter = true,
				       .event_bytes = telling->facts->event.len };
	int r = event_outcome_write_error(telling->facts, &why);

	if (r < 0)
		return r;
	what.error_message = strdup(buf_string(&why));
	return what.error_message ? add(telling, target, telling->facts->event, &what) : -ENOMEM;
}

static const char *dead_letter_target(const struct event *event)
{
	const struct event_record *record = &event->op.record;
	const struct function *function =
		directory_find_qualified(event->queue->config.directory, record->tenant,
					 record->function, record->qualifier);

	return function ? function->config.dead_letter_target : NULL;
}

static void fill_response(struct event_outcome_facts *facts, const struct invocation_result *result)
{
	if (!result || result->error)
		return;
	facts->has_response = true;
	facts->status_code = result->status_code;
	facts->executed_version = result->executed_version ? result->executed_version : "";
	facts->function_error = result->function_error;
	facts->response = result->payload;
}

struct event_op *event_delivery_make(const struct event *event,
				     const struct invocation_result *result)
{
	const struct event_record *record = &event->op.record;
	const struct event_settings *settings = event_settings_find(
		event->queue, record->tenant, record->function, record->qualifier);
	bool succeeded = event->end == EVENT_SUCCESS;
	const char *dead_letters = succeeded ? NULL : dead_letter_target(event);
	const char *target = !settings   ? ""
			     : succeeded ? settings->on_success
					 : settings->on_failure;
	struct event_outcome_facts facts = {
		.record = record,
		.event = event->op.body.payload,
		.condition = event_end_name(event->end),
		.invoke_count = record->errors + succeeded,
		.now_us = clock_realtime_us(),
	};
	struct telling telling = { .event = event, .facts = &facts };
	_cleanup_free_ char *arn = NULL;
	int r = 0;

	if (event->end == EVENT_FUNCTION_GONE || (!target[0] && !dead_letters))
		return NULL;
	arn = function_arn(event->queue->config.region, record->tenant, record->function,
			   record->qualifier[0] ? record->qualifier : FUNCTION_LATEST);
	facts.function_arn = arn;
	fill_response(&facts, result);
	if (arn && target[0])
		r = add_record(&telling, target);
	if (arn && r == 0 && dead_letters)
		r = add_dead_letter(&telling, dead_letters);
	if (!arn || r < 0)
		abort(); /* as loop_post(): what was acknowledged must not be lost */
	return telling.first;
}

/* -- waiting -- */

/* After so many tries. */
static int64_t wait_us(unsigned tries)
{
	int64_t wait = AGAIN_FIRST_US;

	if (tries == 0)
		return 0;
	while (--tries > 0 && wait < AGAIN_MAX_US)
		wait *= 2;
	return wait < AGAIN_MAX_US ? wait : AGAIN_MAX_US;
}

/* As event_shelve(). */
static void shelve(struct delivery *delivery)
{
	int64_t due_in_us = delivery->op.record.due_us - clock_realtime_us();
	int64_t longest_us = wait_us(delivery->op.record.errors);

	if (due_in_us > longest_us)
		due_in_us = longest_us;
	delivery->item.tenant = delivery->op.record.tenant;
	delivery->item.due_us = clock_monotonic_us() + (due_in_us > 0 ? due_in_us : 0);
	event_shelf_put(&delivery->line->shelf, &delivery->item);
}

static void begin(struct delivery *delivery)
{
	delivery->line->in_flight++;
	delivery->op.change = EVENT_READ_DELIVERY;
	event_writer_add(&delivery->queue->writer, &delivery->op);
}

static void go_on(struct delivery_line *line)
{
	struct shelf_item *item;
	int64_t next_us;

	if (line->queue->stopping)
		return;
	while (line->in_flight < line->max &&
	       (item = event_shelf_take(&line->shelf, clock_monotonic_us())))
		begin(container_of(item, struct delivery, item));
	next_us = event_shelf_next_us(&line->shelf);
	/* With all places taken, the end of the first of them goes on. */
	if (line->in_flight >= line->max || next_us == INT64_MAX)
		timer_disarm(&line->due);
	else if (timer_arm(&line->due, line->queue->config.loop, next_us, on_due, line) < 0)
		abort(); /* as loop_post() */
}

/* -- the end of a try -- */

static void log_end(const struct delivery *delivery, const char *what, const char *why)
{
	const struct event_record *record = &delivery->op.record;
	char target[DESTINATION_SHOWN_BYTES];

	destination_show(delivery->what.target, target);
	log_write(LOG_WARNING,
		  &(struct log_fields){ .tenant = record->tenant,
					.function = record->function,
					.request_id = record->request_id },
		  "%s (%s) to %s %s, after %u earlier tries: %s",
		  delivery->what.is_dead_letter ? "A dead letter" : "The record of an event",
		  delivery->what.condition, target, what, record->errors, why);
}

/* Of the function whose event it was; what is deleted has no row. */
static void count(const struct delivery *delivery, enum metrics_event what)
{
	const struct event_queue_config *config = &delivery->queue->config;
	const struct event_record *record = &delivery->op.record;

	if (directory_find(config->directory, record->tenant, record->function))
		invoker_count_event(config->invoker, record->tenant, record->function, what);
}

/* Whether there is another try. */
static bool may_try_again(struct delivery *delivery)
{
	struct event_record *record = &delivery->op.record;
	int64_t now_us = clock_realtime_us();
	int64_t end_us = record->received_us + delivery->queue->config.delivery_max_age_us;

	if (now_us >= end_us)
		return false;
	record->errors++;
	record->due_us = now_us + wait_us(record->errors);
	if (record->due_us > end_us)
		record->due_us = end_us;
	return true;
}

static void put_back(struct delivery *delivery)
{
	delivery->line->in_flight--;
	event_op_forget_body(&delivery->op);
	shelve(delivery);
}

void event_delivery_settle(struct delivery *delivery, enum delivery_verdict verdict,
			   const char *why)
{
	free(TAKE_PTR(delivery->attempt));
	if (delivery->queue->stopping && verdict == DELIVERY_AGAIN) {
		put_back(delivery); /* the next agent's */
		return;
	}
	if (verdict == DELIVERY_AGAIN && !may_try_again(delivery))
		verdict = DELIVERY_REFUSED;
	if (verdict == DELIVERY_AGAIN)
		log_end(delivery, "is delivered later", why);
	else if (verdict == DELIVERY_REFUSED)
		log_end(delivery, "is given up", why);
	else if (verdict == DELIVERY_CIRCLE)
		log_end(delivery, "is dropped", why);
	if (verdict == DELIVERY_REFUSED)
		count(delivery, delivery->what.is_dead_letter ? METRICS_DEAD_LETTER_FAILED
							      : METRICS_DESTINATION_FAILED);
	delivery->verdict = verdict;
	event_op_forget_body(&delivery->op);
	delivery->op.change =
		verdict == DELIVERY_AGAIN ? EVENT_UPDATE_DELIVERY : EVENT_DELETE_DELIVERY;
	event_writer_add_all(&delivery->queue->writer, &delivery->op, TAKE_PTR(delivery->told));
}

void event_delivery_cut(struct delivery *delivery, const char *function, const char *qualifier)
{
	/* As far as anybody is told, it was an event that ended before its first try. */
	struct event event = { .queue = delivery->queue,
			       .end = EVENT_RECURSION,
			       .op = { .record = delivery->op.record, .body = delivery->op.body } };
	struct event_record *record = &event.op.record;

	(void)snprintf(record->function, sizeof(record->function), "%s", function);
	(void)snprintf(record->qualifier, sizeof(record->qualifier), "%s", qualifier);
	memcpy(record->request_id, delivery->what.id, sizeof(record->request_id));
	record->errors = 0;
	record->hops++;
	/* Who was told of an end does not come to another one: that would have none. */
	if (strcmp(delivery->what.condition, event_end_name(EVENT_RECURSION)) != 0)
		delivery->told = event_delivery_make(&event, NULL);
	event_delivery_settle(delivery, DELIVERY_CIRCLE,
			      "Destinations lead from function to function in a circle.");
}

static void on_settled(struct delivery *delivery)
{
	struct delivery_line *line = delivery->line;

	line->in_flight--;
	if (delivery->verdict == DELIVERY_AGAIN) {
		shelve(delivery);
	} else {
		delivery->queue->counters.delivered += delivery->verdict == DELIVERY_MADE;
		delivery_free(delivery);
	}
	go_on(line);
}

/* -- steps -- */

static void on_added(struct delivery *delivery)
{
	free((void *)(uintptr_t)delivery->what.error_message);
	delivery->what.error_message = NULL;
	event_op_forget_body(&delivery->op);
	shelve(delivery);
	go_on(delivery->line);
}

static void on_read(struct delivery *delivery)
{
	if (delivery->queue->stopping)
		put_back(delivery);
	else if (!delivery->op.memory) /* somebody else's hand in the file */
		event_delivery_settle(delivery, DELIVERY_REFUSED, "It is not there any more.");
	else
		event_target_try(delivery);
}

void event_delivery_written(struct event_op *op)
{
	struct delivery *delivery = of_op(op);

	switch (op->change) {
	case EVENT_ADD_DELIVERY:
		on_added(delivery);
		break;
	case EVENT_READ_DELIVERY:
		on_read(delivery);
		break;
	default:
		on_settled(delivery);
	}
}

/* -- life -- */

static int take_up(const struct event_record *record, const struct event_delivery *what, void *arg)
{
	struct delivery *delivery = delivery_new(arg, record, what);

	if (!delivery)
		return -ENOMEM;
	event_forgive_clock(&delivery->op.record);
	shelve(delivery);
	return 0;
}

int event_delivery_open(struct event_queue *queue, struct error *error)
{
	int r;

	queue->lines[DELIVERY_HERE].max = HERE_MAX;
	queue->lines[DELIVERY_ABROAD].max = queue->config.max_webhooks;
	for (unsigned i = 0; i < _DELIVERY_MANNERS; i++)
		queue->lines[i].queue = queue;
	r = event_store_each_delivery(queue->config.store, take_up, queue, error);
	if (r < 0)
		return r;
	if (queue->delivery_count > 0)
		log_notice("%u outcomes of events wait for their destinations",
			   queue->delivery_count);
	for (unsigned i = 0; i < _DELIVERY_MANNERS && r >= 0; i++)
		r = timer_arm(&queue->lines[i].due, queue->config.loop, clock_monotonic_us(),
			      on_due, &queue->lines[i]);
	return r < 0 ? error_set_errno(error, r, "Cannot make the event queue") : 0;
}

void event_delivery_stop(struct event_queue *queue)
{
	for (unsigned i = 0; i < _DELIVERY_MANNERS; i++)
		timer_disarm(&queue->lines[i].due);
}

void event_delivery_close(struct event_queue *queue)
{
	struct delivery *delivery, *next;

	event_delivery_stop(queue);
	DL_FOREACH_SAFE(queue->deliveries, delivery, next)
	{
		if (delivery->op.change == EVENT_ADD_DELIVERY)
			free((void *)(uintptr_t)delivery->what.error_message);
		delivery_free(delivery);
	}
	for (unsigned i = 0; i < _DELIVERY_MANNERS; i++)
		event_shelf_free(&queue->lines[i].shelf);
}
