/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/log_tail.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "agent/api/outbox.h"
#include "mayfly/clock.h"
#include "mayfly/utf8.h"

#define QUEUE_MAX_EVENTS 10000
#define QUEUE_MAX_BYTES  (4U << 20)

struct tail {
	LIST_ENTRY(tail) link;
	struct tail_list *list;
	struct log_store *logs; /* borrowed */
	struct rpc_call *call;
	char *tenant;
	char *group;
	char *stream;          /* "": all */
	struct log_tail *live; /* owned; NULL once stopped */
	struct outbox news;    /* what came meanwhile */

	/* What was written before it began, page by page. */
	struct outbox history;
	int64_t start_us;
	int64_t before_us;
	char *token; /* of the next page; NULL: no more */
	bool reading;
	bool stopped; /* ends as soon as the read under way is done */
	struct error error;
};

static void tail_free(struct tail *tail)
{
	log_tail_stop(tail->live);
	outbox_clear(&tail->history);
	outbox_clear(&tail->news);
	error_clear(&tail->error);
	free(tail->tenant);
	free(tail->group);
	free(tail->stream);
	free(tail->token);
	free(tail);
}
DEFINE_CLEANUP(struct tail, tail_free)

/* -- messages -- */

static char *clean_text(struct slice text)
{
	_cleanup_buf_ struct buf buf = BUF_INIT;

	if (utf8_append_clean(&buf, text) < 0)
		return NULL;
	return (char *)buf_take(&buf, NULL);
}

Mayfly__V1__LogEvent *log_event_message(const struct log_event *event)
{
	Mayfly__V1__LogEvent *message = malloc(sizeof(*message));

	if (!message)
		return NULL;
	mayfly__v1__log_event__init(message);
	message->timestamp_us = event->time_us;
	message->log_stream_name = strdup(event->stream);
	message->message = clean_text(event->text);
	if (message->log_stream_name && message->message)
		return message;
	free(message->log_stream_name);
	free(message->message);
	free(message);
	return NULL;
}

static ProtobufCMessage *event_message(const struct log_event *event)
{
	Mayfly__V1__LogEvent *message = log_event_message(event);

	return message ? &message->base : NULL;
}

static ProtobufCMessage *dropped_message(uint64_t count)
{
	char text[128];
	int len = snprintf(text, sizeof(text),
			   "%" PRIu64 " events were left out: this reader is too slow", count);

	return event_message(&(struct log_event){ .stream = "",
						  .time_us = clock_realtime_us(),
						  .text = slice_new(text, (size_t)len) });
}

static const struct outbox_limits news_limits = {
	.max_count = QUEUE_MAX_EVENTS,
	.max_bytes = QUEUE_MAX_BYTES,
	.make_dropped = dropped_message,
};
/* A page has limits of its own. */
static const struct outbox_limits history_limits = { .make_dropped = dropped_message };

/* -- the stream -- */

static void tail_end(struct tail *tail)
{
	LIST_REMOVE(tail, link);
	tail->list->count--;
	if (tail->error.code)
		rpc_call_fail(tail->call, &tail->error);
	else
		rpc_call_finish(tail->call);
	tail_free(tail);
}

static void tail_stop(struct tail *tail)
{
	tail->stopped = true;
	tail->live = log_tail_stop(tail->live);
	if (!tail->reading)
		tail_end(tail);
}

void tail_list_stop(struct tail_list *list)
{
	for (struct tail *tail = LIST_FIRST(&list->tails), *next; tail; tail = next) {
		next = LIST_NEXT(tail, link);
		tail_stop(tail);
	}
}

static void pump(void *arg);

static void on_page(const struct log_read_result *result, void *arg)
{
	struct tail *tail = arg;

	tail->reading = false;
	if (result->error && error_copy(&tail->error, result->error) < 0)
		(void)error_set_errno(&tail->error, ENOMEM, "Cannot read the log group");
	if (!result->error && result->next_token[0]) {
		tail->token = strdup(result->next_token);
		if (!tail->token)
			(void)error_set_errno(&tail->error, ENOMEM, "Cannot read the log group");
	}
	if (tail->stopped || tail->error.code) {
		tail_end(tail);
		return;
	}
	for (size_t i = 0; i < result->count; i++)
		outbox_put(&tail->history, event_message(&result->events[i]));
	pump(tail);
}

static int read_page(struct tail *tail, struct error *error)
{
	_cleanup_free_ char *token = TAKE_PTR(tail->token);
	const struct log_read_request request = {
		.tenant = tail->tenant,
		.group = tail->group,
		.stream = tail->stream,
		.start_us = tail->start_us,
		.ingested_before_us = tail->before_us,
		.token = token,
	};
	int r = log_store_read(tail->logs, &request, on_page, tail, error);

	if (r == 0)
		tail->reading = true;
	return r;
}

static void pump(void *arg)
{
	struct tail *tail = arg;

	if (tail->reading || !outbox_pump(&tail->history, tail->call))
		return;
	if (!tail->token)
		(void)outbox_pump(&tail->news, tail->call);
	else if (read_page(tail, &tail->error) < 0)
		tail_stop(tail);
}

static void on_event(const struct log_event *event, void *arg)
{
	struct tail *tail = arg;

	if (tail->stream[0] && strcmp(event->stream, tail->stream) != 0)
		return;
	outbox_put(&tail->news, event_message(event));
	pump(tail);
}

static void on_cancelled(void *arg)
{
	tail_stop(arg);
}

int tail_start(struct log_store *logs, struct rpc_call *call,
	       const struct log_read_request *request, struct tail_list *list, struct error *error)
{
	_cleanup_(tail_free_p) struct tail *tail = calloc(1, sizeof(*tail));
	int r;

	if (!tail)
		return error_set_errno(error, ENOMEM, "Cannot follow the log group");
	outbox_init(&tail->history, &history_limits);
	outbox_init(&tail->news, &news_limits);
	tail->logs = logs;
	tail->call = call;
	tail->start_us = request->start_us;
	tail->tenant = strdup(request->tenant);
	tail->group = strdup(request->group);
	tail->stream = strdup(request->stream ? request->stream : "");
	if (!tail->tenant || !tail->group || !tail->stream)
		return error_set_errno(error, ENOMEM, "Cannot follow the log group");
	r = log_tail_start(logs, tail->tenant, tail->group, on_event, tail, &tail->live,
			   &tail->before_us);
	if (r < 0)
		return error_set_errno(error, r, "Cannot follow the log group");
	if (tail->start_us > 0) {
		r = read_page(tail, error);
		if (r < 0)
			return r;
	}
	rpc_call_set_writable(call, pump, tail);
	rpc_call_set_cancelled(call, on_cancelled, tail);
	tail->list = list;
	list->count++;
	LIST_INSERT_HEAD(&list->tails, tail, link);
	(void)TAKE_PTR(tail);
	return 0;
}
