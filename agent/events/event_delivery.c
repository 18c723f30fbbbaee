/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/events/event_delivery.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/events/event_telling.h"
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

/* -- one -- */

struct delivery *event_delivery_new(const struct event_record *record,
				    const struct event_delivery *what)
{
	_cleanup_free_ struct delivery *delivery = calloc(1, sizeof(*delivery));

	if (!delivery)
		return NULL;
	delivery->op.record = *record;
	delivery->op.is_patient = true;
	delivery->op.delivery = &delivery->what;
	delivery->what = *what;
	delivery->what.error_message = NULL;
	delivery->what.target = strdup(what->target);
	return delivery->what.target ? TAKE_PTR(delivery) : NULL;
}

int event_delivery_link(struct event_queue *queue, struct delivery *delivery)
{
	const struct event_record *record = &delivery->op.record;
	bool is_abroad = delivery->what.target[0] == 'h'; /* http, https; else it is an ARN */
	int r = 0;

	for (unsigned i = 0; i < _DELIVERY_MANNERS && r == 0; i++)
		r = event_shelf_reserve(&queue->lines[i].shelf, queue->delivery_count + 1);
	if (r == 0)
		r = event_room_take(queue, record->tenant, record->bytes);
	if (r < 0)
		return r;
	event_room_take_outcome(queue, record->tenant, record->bytes);
	delivery->queue = queue;
	delivery->line = &queue->lines[is_abroad ? DELIVERY_ABROAD : DELIVERY_HERE];
	queue->delivery_count++;
	DL_APPEND(queue->deliveries, delivery);
	return 0;
}

static void unlink_delivery(struct delivery *delivery)
{
	const struct event_record *record = &delivery->op.record;
	struct event_queue *queue = delivery->queue;

	DL_DELETE(queue->deliveries, delivery);
	queue->delivery_count--;
	event_room_give_back_outcome(queue, record->tenant, record->bytes);
	event_room_give_back(queue, record->tenant, record->bytes);
}

struct delivery *event_delivery_free(struct delivery *delivery)
{
	if (!delivery)
		return NULL;
	event_telling_free(delivery->telling);
	if (delivery->queue)
		unlink_delivery(delivery);
	if (delivery->op.change == EVENT_ADD_DELIVERY) /* else it lies with the body */
		free((void *)(uintptr_t)delivery->what.error_message);
	event_op_forget_body(&delivery->op);
	free(delivery->attempt);
	free(delivery->what.target);
	free(delivery);
	return NULL;
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

static void drop_in_circle(struct event_op *told, void *arg)
{
	struct delivery *delivery = arg;

	delivery->telling = event_telling_free(delivery->telling);
	delivery->told = told;
	event_delivery_settle(delivery, DELIVERY_CIRCLE,
			      "Destinations lead from function to function in a circle.");
}

/* As far as anybody is told, it was an event that ended before its first try. */
static struct event_op cut_event(const struct delivery *delivery, const char *function,
				 const char *qualifier)
{
	struct event_op op = { .record = delivery->op.record, .body = delivery->op.body };
	struct event_record *record = &op.record;

	(void)snprintf(record->function, sizeof(record->function), "%s", function);
	(void)snprintf(record->qualifier, sizeof(record->qualifier), "%s", qualifier);
	memcpy(record->request_id, delivery->what.id, sizeof(record->request_id));
	record->errors = 0;
	record->hops++;
	return op;
}

void event_delivery_cut(struct delivery *delivery, const char *function, const char *qualifier)
{
	struct event_op op = cut_event(delivery, function, qualifier);

	/* Who was told of an end does not come to another one: that would have none. */
	if (strcmp(delivery->what.condition, event_end_name(EVENT_RECURSION)) == 0)
		drop_in_circle(NULL, delivery);
	else if (event_telling_new(delivery->queue, &op.record, &delivery->telling) < 0)
		event_delivery_settle(delivery, DELIVERY_AGAIN, "Memory is short.");
	else if (!event_telling_start(delivery->telling, &op, EVENT_RECURSION, drop_in_circle,
				      delivery))
		drop_in_circle(NULL, delivery);
}

static void on_settled(struct delivery *delivery)
{
	struct delivery_line *line = delivery->line;

	line->in_flight--;
	if (delivery->verdict == DELIVERY_AGAIN) {
		shelve(delivery);
	} else {
		delivery->queue->counters.delivered += delivery->verdict == DELIVERY_MADE;
		event_delivery_free(delivery);
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
	struct delivery *delivery = event_delivery_new(record, what);
	int r = delivery ? event_delivery_link(arg, delivery) : -ENOMEM;

	if (r < 0) {
		event_delivery_free(delivery);
		return r;
	}
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
	event_delivery_free(delivery);
	for (unsigned i = 0; i < _DELIVERY_MANNERS; i++)
		event_shelf_free(&queue->lines[i].shelf);
}
