/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/events/event_redrive.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/events/event_internal.h"

struct redrive {
	struct event_queue *queue;
	struct queue_filter filter; /* its `after` moves on */
	unsigned left;
	struct event_redrive_result result;
	event_redrive_fn *answer;
	void *arg;
	/* The one in hand. */
	struct queue_filter one;
	char function[EVENT_FUNCTION_BYTES];
	char qualifier[EVENT_QUALIFIER_BYTES];
	void *memory; /* owned: what its event lies in */
};

static void next(struct redrive *redrive);

static void end(struct redrive *redrive, const struct error *error)
{
	redrive->answer(&redrive->result, error, redrive->arg);
	free(redrive->memory);
	free(redrive);
}

static void on_deleted(uint64_t count _unused_, const struct error *error, void *arg)
{
	struct redrive *redrive = arg;

	if (error) { /* it will be sent once more */
		end(redrive, error);
		return;
	}
	redrive->result.redriven++;
	next(redrive);
}

static void on_taken(const char *request_id _unused_, const struct error *error, void *arg)
{
	struct redrive *redrive = arg;

	free(TAKE_PTR(redrive->memory));
	if (!error) {
		message_queues_delete(redrive->queue->config.queues, &redrive->one, on_deleted,
				      redrive);
		return;
	}
	redrive->result.failed++;
	(void)snprintf(redrive->result.message, sizeof(redrive->result.message), "%s",
		       error_text(error));
	if (redrive->filter.id[0])
		end(redrive, error);
	else
		next(redrive);
}

static struct slice copy(uint8_t **at, const void *data, size_t len)
{
	struct slice taken = slice_new(*at, len);

	if (len > 0)
		memcpy(*at, data, len);
	*at += len + 1;
	return taken;
}

/* The event lies in the body; what was written by another hand need not be right. */
static struct slice event_of(const struct queue_message *message)
{
	if (message->event_at > message->body.len ||
	    message->event_bytes > message->body.len - message->event_at)
		return SLICE_INIT;
	return slice_new(message->body.data + message->event_at, message->event_bytes);
}

static int send(struct redrive *redrive, const struct queue_message *message)
{
	struct slice event = event_of(message);
	size_t trace_len = strlen(message->trace_id), end_len = strlen(message->end_tenant);
	uint8_t *at = calloc(1, event.len + message->client_context.len + trace_len + end_len + 4);
	struct invocation_request request = {
		.tenant = redrive->one.tenant,
		.function_name = redrive->function,
		.qualifier = redrive->qualifier,
		.deadline_us = INT64_MAX,
	};

	if (!at)
		return -ENOMEM;
	redrive->memory = at;
	request.payload = copy(&at, event.data, event.len);
	request.client_context =
		copy(&at, message->client_context.data, message->client_context.len);
	request.trace_id = (const char *)copy(&at, message->trace_id, trace_len).data;
	request.end_tenant = (const char *)copy(&at, message->end_tenant, end_len).data;
	return event_queue_submit(redrive->queue, &request, on_taken, redrive);
}

static void on_read(const struct queue_message *messages, size_t count, bool more,
		    const struct error *error, void *arg)
{
	_cleanup_error_ struct error own = ERROR_INIT;
	struct redrive *redrive = arg;
	int r;

	redrive->result.more = more;
	if (!error && count == 0 && redrive->filter.id[0])
		(void)error_set(&own, ERROR_NOT_FOUND, "message_id", "The queue has no message %s.",
				redrive->filter.id);
	if (error || count == 0) {
		end(redrive, error ? error : own.code ? &own : NULL);
		return;
	}
	redrive->result.last_sequence = redrive->filter.after = messages->sequence;
	redrive->one = redrive->filter;
	redrive->one.after = 0;
	memcpy(redrive->one.id, messages->id, sizeof(redrive->one.id));
	memcpy(redrive->function, messages->function, sizeof(redrive->function));
	memcpy(redrive->qualifier, messages->qualifier, sizeof(redrive->qualifier));
	redrive->left--;
	r = send(redrive, messages);
	if (r < 0) {
		(void)error_set_errno(&own, r, "Cannot send an event again");
		end(redrive, &own);
	}
}

static void next(struct redrive *redrive)
{
	bool is_done = redrive->left == 0 || redrive->queue->stopping ||
		       (redrive->filter.id[0] && redrive->result.last_sequence > 0);

	if (is_done)
		end(redrive, NULL);
	else
		message_queues_read(redrive->queue->config.queues, &redrive->filter, 1, 0, on_read,
				    redrive);
}

int event_redrive(struct event_queue *queue, const struct queue_filter *filter, unsigned max,
		  event_redrive_fn *answer, void *arg)
{
	struct redrive *redrive = calloc(1, sizeof(*redrive));

	if (!redrive)
		return -ENOMEM;
	redrive->queue = queue;
	redrive->filter = *filter;
	redrive->left = max > 0 ? max : 1;
	redrive->answer = answer;
	redrive->arg = arg;
	next(redrive);
	return 0;
}
