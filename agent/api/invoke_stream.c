/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/invoke_stream.h"

#include <errno.h>

#include "agent/api/invoke_message.h"
#include "mayfly/utf8.h"

#define CHUNK_MAX_BYTES     (256U << 10)
#define CONGESTED_BYTES     (1U << 20)
#define UNCONGESTED_BYTES   (CONGESTED_BYTES / 2)
#define QUEUE_MAX_BYTES     (16U << 20) /* what a sandbox that was told to stop may still bring */
#define ERROR_DETAILS_BYTES (256U << 10)

struct stream {
	struct rpc_call *call;
	struct invocation *invocation; /* weak; NULL once it is done */
	struct buf queue;              /* what waits for the message in flight */
	bool congested;
	bool abandoned;

	/* The end, kept until the queue is empty. */
	struct invoke_outcome outcome;
	struct error error;
	char *error_code;
	struct buf error_details;
	struct buf log_result;
};

static void stream_free(struct stream *stream)
{
	buf_free(&stream->queue);
	error_clear(&stream->error);
	free(stream->error_code);
	buf_free(&stream->error_details);
	buf_free(&stream->log_result);
	free(stream);
}
DEFINE_CLEANUP(struct stream, stream_free)

static void set_congested(struct stream *stream, bool congested)
{
	if (stream->congested == congested || !stream->invocation)
		return;
	stream->congested = congested;
	invocation_set_congested(stream->invocation, congested);
}

/* Nobody reads any more: the function runs on, unhindered. */
static void abandon(struct stream *stream)
{
	buf_reset(&stream->queue);
	if (stream->abandoned || !stream->invocation)
		return;
	set_congested(stream, false);
	stream->abandoned = true;
	invocation_abandon(stream->invocation);
}

static int send_chunk(struct stream *stream, const uint8_t *data, size_t len)
{
	Mayfly__V1__InvokeStreamResponse message = MAYFLY__V1__INVOKE_STREAM_RESPONSE__INIT;

	message.event_case = MAYFLY__V1__INVOKE_STREAM_RESPONSE__EVENT_PAYLOAD_CHUNK;
	message.payload_chunk =
		(ProtobufCBinaryData){ .len = len, .data = (uint8_t *)(uintptr_t)data };
	return rpc_call_send(stream->call, &message.base);
}

static ProtobufCBinaryData bytes_of(const struct buf *buf)
{
	return (ProtobufCBinaryData){ .len = buf->len, .data = buf->data };
}

static void reply_complete(struct stream *stream)
{
	Mayfly__V1__InvokeStreamResponse message = MAYFLY__V1__INVOKE_STREAM_RESPONSE__INIT;
	Mayfly__V1__InvokeComplete complete = MAYFLY__V1__INVOKE_COMPLETE__INIT;

	if (stream->error_code)
		complete.error_code = stream->error_code;
	if (stream->error_details.len > 0)
		complete.error_details = (char *)stream->error_details.data;
	complete.log_result = bytes_of(&stream->log_result);
	message.event_case = MAYFLY__V1__INVOKE_STREAM_RESPONSE__EVENT_COMPLETE;
	message.complete = &complete;
	rpc_call_reply(stream->call, &message.base);
}

static void stream_end(struct stream *stream)
{
	invoke_outcome_send(&stream->outcome, stream->call);
	if (stream->error.code)
		invoke_fail(stream->call, &stream->error);
	else
		reply_complete(stream);
	stream_free(stream);
}

static size_t chunk_len(size_t left)
{
	return left < CHUNK_MAX_BYTES ? left : CHUNK_MAX_BYTES;
}

/* The last message went out. */
static void on_writable(void *arg)
{
	struct stream *stream = arg;
	size_t len = chunk_len(stream->queue.len);

	if (len > 0 && send_chunk(stream, stream->queue.data, len) == 0)
		buf_consume(&stream->queue, len);
	if (stream->queue.len <= UNCONGESTED_BYTES)
		set_congested(stream, false);
	if (!stream->invocation && stream->queue.len == 0)
		stream_end(stream);
}

static void on_cancelled(void *arg)
{
	struct stream *stream = arg;

	abandon(stream);
	if (!stream->invocation)
		stream_end(stream);
}

static void on_start(struct invocation *invocation, const char *content_type, void *user)
{
	struct stream *stream = user;
	Mayfly__V1__InvokeStreamResponse message = MAYFLY__V1__INVOKE_STREAM_RESPONSE__INIT;
	Mayfly__V1__StreamStart start = MAYFLY__V1__STREAM_START__INIT;
	int r;

	start.request_id = (char *)(uintptr_t)invocation_request_id(invocation);
	start.executed_version = (char *)(uintptr_t)invocation_executed_version(invocation);
	start.content_type = (char *)(uintptr_t)content_type;
	message.event_case = MAYFLY__V1__INVOKE_STREAM_RESPONSE__EVENT_START;
	message.start = &start;
	r = rpc_call_send(stream->call, &message.base);
	if (r == -ECANCELED)
		return; /* on_cancelled() comes or came */
	if (r < 0) {
		(void)error_set_errno(&stream->error, r, "Cannot begin the response");
		abandon(stream);
	}
}

/* Sends what can go out at once; the rest waits, gathered. */
static int put_chunk(struct stream *stream, struct slice data)
{
	size_t sent = 0;
	int r;

	if (stream->queue.len == 0) {
		sent = chunk_len(data.len);
		r = send_chunk(stream, data.data, sent);
		if (r == -ECANCELED)
			return r;
		if (r < 0)
			sent = 0;
	}
	r = buf_append(&stream->queue, data.data + sent, data.len - sent);
	if (r == -EMSGSIZE)
		return error_set(&stream->error, ERROR_UNAVAILABLE, NULL,
				 "The response was read too slowly.");
	if (r < 0)
		return error_set_errno(&stream->error, r, "Cannot pass on the response");
	return 0;
}

static void on_chunk(struct invocation *invocation _unused_, struct slice data, void *user)
{
	struct stream *stream = user;

	if (data.len == 0)
		return;
	/* A response with a hole in it must not go on. */
	if (put_chunk(stream, data) < 0)
		abandon(stream);
	else if (stream->queue.len > CONGESTED_BYTES)
		set_congested(stream, true);
}

static void keep_end(struct stream *stream, const struct invocation_result *result)
{
	const bool failed = stream->outcome.function_error;
	const char *code = result->error_type && result->error_type[0] ? result->error_type
								       : result->function_error;
	const struct slice details = {
		.data = result->payload.data,
		.len = result->payload.len < ERROR_DETAILS_BYTES ? result->payload.len
								 : ERROR_DETAILS_BYTES,
	};
	int r = 0;

	if (failed)
		stream->error_code = strdup(code);
	if (failed && !stream->error_code)
		r = -ENOMEM;
	if (failed && r == 0)
		r = utf8_append_clean(&stream->error_details, details);
	if (r == 0)
		r = buf_append(&stream->log_result, result->log_result.data,
			       result->log_result.len);
	if (r == 0 && result->error && !stream->error.code)
		r = error_copy(&stream->error, result->error);
	if (r < 0)
		(void)error_set_errno(&stream->error, r, "Cannot answer");
}

static void on_done(struct invocation *invocation, const struct invocation_result *result,
		    void *user)
{
	struct stream *stream = user;

	invoke_outcome_set(&stream->outcome, invocation, result);
	keep_end(stream, result);
	stream->invocation = NULL;
	if (stream->queue.len == 0)
		stream_end(stream);
}

static const struct invocation_events stream_events = {
	.on_start = on_start,
	.on_chunk = on_chunk,
	.on_done = on_done,
};

int invoke_stream_start(struct invoker *invoker, struct rpc_call *call,
			struct invocation_request *request, struct error *error)
{
	_cleanup_(stream_free_p) struct stream *stream = calloc(1, sizeof(*stream));
	int r;

	if (!stream)
		return error_set_errno(error, ENOMEM, "Cannot take the request");
	stream->queue = BUF_INIT_MAX(QUEUE_MAX_BYTES);
	stream->call = call;
	request->streaming = true;
	request->events = &stream_events;
	request->user = stream;
	r = invoker_submit(invoker, request, &stream->invocation);
	if (r < 0)
		return error_set_errno(error, r, "Cannot take the request");
	rpc_call_set_writable(call, on_writable, stream);
	rpc_call_set_cancelled(call, on_cancelled, stream);
	(void)TAKE_PTR(stream);
	return 0;
}
