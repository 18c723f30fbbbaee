/* SPDX-License-Identifier: Apache-2.0 */

/* One try to deliver: to a function, into a queue, to a webhook. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/events/event_delivery.h"
#include "agent/functions/destination.h"

/* What must stay until the answer. */
struct attempt {
	struct delivery *delivery;
	struct destination destination;
	struct queue_message message;
	struct webhook_post post;
};

/* What may be better later; anything else is as wrong then. */
static bool is_passing(const struct error *error)
{
	switch (error->code) {
	case ERROR_CONFLICT:
	case ERROR_TOO_MANY_REQUESTS:
	case ERROR_RESOURCE_NOT_READY:
	case ERROR_SNAPSTART_NOT_READY:
	case ERROR_UNAVAILABLE:
	case ERROR_INTERNAL:
		return true;
	default:
		return false;
	}
}

static void settle(struct delivery *delivery, const struct error *error)
{
	enum delivery_verdict verdict = !error              ? DELIVERY_MADE
					: is_passing(error) ? DELIVERY_AGAIN
							    : DELIVERY_REFUSED;

	event_delivery_settle(delivery, verdict, error ? error_log_text(error) : "");
}

/* -- to a function -- */

static void on_taken(const char *request_id _unused_, const struct error *error, void *arg)
{
	settle(arg, error);
}

static void count_circle(const struct delivery *delivery, const struct destination *to)
{
	const struct event_queue_config *config = &delivery->queue->config;
	const char *tenant = delivery->op.record.tenant;

	if (directory_find(config->directory, tenant, to->name))
		invoker_count_event(config->invoker, tenant, to->name, METRICS_RECURSION_DROPPED);
}

/* In whose name the event was, if the next function is one that is invoked in somebody's. */
static const char *end_tenant_for(const struct delivery *delivery, const struct destination *to)
{
	const struct function *function = directory_find_qualified(
		delivery->queue->config.directory, delivery->op.record.tenant, to->name,
		to->qualifier[0] ? to->qualifier : FUNCTION_LATEST);

	return function && function->config.tenancy == TENANCY_PER_TENANT
		       ? delivery->op.body.end_tenant
		       : NULL;
}

/* One function may be told of a chain's end beyond it; what that one's destinations are is not. */
static bool is_too_far(const struct delivery *delivery)
{
	unsigned hops = delivery->op.record.hops;
	bool tells_of_end = strcmp(delivery->what.condition, event_end_name(EVENT_RECURSION)) == 0;

	return hops + 1 >= EVENT_HOPS_MAX && !(tells_of_end && hops == EVENT_HOPS_MAX);
}

static int invoke(struct delivery *delivery, const struct destination *to)
{
	const struct event_record *record = &delivery->op.record;
	/* A try that the end of an agent cut off has the same id: whoever looks sees it. */
	struct invocation_request request = {
		.tenant = record->tenant,
		.function_name = to->name,
		.qualifier = to->qualifier,
		.request_id = delivery->what.id,
		.payload = delivery->op.body.payload,
		.trace_id = delivery->op.body.trace_id,
		.end_tenant = end_tenant_for(delivery, to),
		.deadline_us = INT64_MAX,
	};

	if (is_too_far(delivery)) {
		count_circle(delivery, to);
		event_delivery_cut(delivery, to->name, to->qualifier);
		return 0;
	}
	return event_queue_submit_onward(delivery->queue, &request, record->hops + 1, on_taken,
					 delivery);
}

/* -- into a queue -- */

static void on_put(const struct error *error, void *arg)
{
	settle(arg, error);
}

static int put(struct delivery *delivery, const struct destination *to,
	       struct queue_message *message)
{
	const struct event_record *record = &delivery->op.record;
	const struct event_delivery *what = &delivery->what;

	*message = (struct queue_message){
		.is_dead_letter = what->is_dead_letter,
		.sent_us = record->received_us,
		.event_at = what->event_at,
		.event_bytes = what->event_bytes,
		.error_message = what->error_message,
		.trace_id = delivery->op.body.trace_id,
		.end_tenant = delivery->op.body.end_tenant,
		.client_context = delivery->op.body.client_context,
		.body = delivery->op.body.payload,
	};
	memcpy(message->id, what->id, sizeof(message->id));
	memcpy(message->tenant, record->tenant, sizeof(message->tenant));
	memcpy(message->function, record->function, sizeof(message->function));
	memcpy(message->qualifier, record->qualifier, sizeof(message->qualifier));
	memcpy(message->request_id, record->request_id, sizeof(message->request_id));
	memcpy(message->condition, what->condition, sizeof(message->condition));
	(void)snprintf(message->queue, sizeof(message->queue), "%s", to->name);
	message_queues_put(delivery->queue->config.queues, message, on_put, delivery);
	return 0;
}

/* -- to a webhook -- */

static void on_posted(struct webhook_post *post, enum webhook_result result, const char *why)
{
	static const enum delivery_verdict verdicts[] = {
		[WEBHOOK_TAKEN] = DELIVERY_MADE,
		[WEBHOOK_AGAIN] = DELIVERY_AGAIN,
		[WEBHOOK_REFUSED] = DELIVERY_REFUSED,
	};

	event_delivery_settle(container_of(post, struct attempt, post)->delivery, verdicts[result],
			      why);
}

static int post(struct delivery *delivery, struct webhook_post *post)
{
	const struct event_queue_config *config = &delivery->queue->config;

	*post = (struct webhook_post){
		.url = delivery->what.target,
		.id = delivery->what.id,
		.condition = delivery->what.condition,
		.body = delivery->op.body.payload,
		.done = on_posted,
	};
	if (config->webhook_keys &&
	    config->webhook_keys(delivery->op.record.tenant, delivery->what.target, &post->keys,
				 config->webhook_keys_arg) < 0)
		return -ENOMEM;
	webhooks_submit(config->webhooks, post);
	return 0;
}

static int try(struct delivery *delivery, struct attempt *attempt)
{
	const struct destination *to = &attempt->destination;

	switch (to->kind) {
	case DESTINATION_FUNCTION:
		return invoke(delivery, to);
	case DESTINATION_QUEUE:
		return put(delivery, to, &attempt->message);
	default:
		return post(delivery, &attempt->post);
	}
}

void event_target_try(struct delivery *delivery)
{
	struct attempt *attempt = calloc(1, sizeof(*attempt));
	int r;

	delivery->attempt = attempt;
	if (!attempt) {
		event_delivery_settle(delivery, DELIVERY_AGAIN, "Memory is short.");
		return;
	}
	attempt->delivery = delivery;
	r = destination_parse(delivery->what.target, delivery->queue->config.region,
			      delivery->op.record.tenant, &attempt->destination);
	/* As when the node has got another region since. */
	if (r == -EINVAL)
		event_delivery_settle(delivery, DELIVERY_REFUSED, "The destination is invalid.");
	else if (r < 0 || try(delivery, attempt) < 0)
		event_delivery_settle(delivery, DELIVERY_AGAIN, "Memory is short.");
}
