/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdio.h>

#include "boot.h"
#include "guest.h"
#include "mayfly/clock.h"
#include "process.h"

static invoke_message *copy_message(const invoke_message *message)
{
	size_t len = mayfly__guest__v1__invoke__get_packed_size(message);
	_cleanup_free_ uint8_t *packed = malloc(len ? len : 1);

	if (!packed)
		return NULL;
	(void)mayfly__guest__v1__invoke__pack(message, packed);
	return mayfly__guest__v1__invoke__unpack(NULL, len, packed);
}

static void release(struct guest_invocation *invocation)
{
	if (invocation->message)
		mayfly__guest__v1__invoke__free_unpacked(invocation->message, NULL);
	invocation->message = NULL;
	buf_free(&invocation->payload);
}

static struct slice bytes_of(ProtobufCBinaryData data)
{
	return slice_new(data.data, data.len);
}

static void deliver_message(struct guest *guest, const invoke_message *message,
			    struct slice payload)
{
	const struct runtime_event event = {
		.request_id = message->request_id,
		.function_arn = message->invoked_function_arn,
		.trace_id = message->trace_id,
		.tenant_id = message->tenant_id,
		.content_type = message->content_type,
		.client_context = bytes_of(message->client_context),
		.cognito_identity = bytes_of(message->cognito_identity),
		.payload = payload,
		.deadline_ms = guest->invocation.deadline_ms,
	};
	int r = guest->shim_spoke ? shim_send_event(&guest->shim, &event)
				  : runtime_api_send_event(&guest->api, &event);

	guest->runtime = RUNTIME_BUSY;
	/* A runtime that is gone is told by SIGCHLD, or is caught by the deadline. */
	if (r == 0 || r == -EAGAIN || r == -EPIPE || r == -ECONNRESET)
		return;
	_cleanup_outcome_ struct outcome outcome = OUTCOME_OK;
	outcome_set_platform(&outcome, STATUS(GUEST_FAILURE), "Sandbox.Failure",
			     message->request_id, "the event could not be delivered: %s",
			     strerror(-r));
	invocation_finish(guest, &outcome);
	runtime_process_kill_later(guest);
}

void invocation_deliver(struct guest *guest)
{
	struct guest_invocation *invocation = &guest->invocation;

	if (!invocation->message || !invocation->payload_complete)
		return;
	deliver_message(guest, invocation->message, buf_slice(&invocation->payload));
	release(invocation);
}

/* Waits for what is missing: the rest of the payload, or INIT. */
static void prepare_delivery(struct guest *guest)
{
	if (!guest->invocation.payload_complete)
		return;
	switch (guest->runtime) {
	case RUNTIME_READY:
		invocation_deliver(guest);
		return;
	case RUNTIME_AWAIT_RESTORE:
		guest->runtime = RUNTIME_LOADING;
		guest->init_started_us = clock_monotonic_us();
		if (runtime_api_send_restored(&guest->api) == 0)
			return;
		break;
	default:
		break;
	}
	tasks_begin_init(guest);
}

static int keep_event(struct guest_invocation *invocation, const invoke_message *message)
{
	invocation->message = copy_message(message);
	if (!invocation->message)
		return -ENOMEM;
	/* The payload is kept once, where its chunks are added. */
	free(invocation->message->payload.data);
	invocation->message->payload = (ProtobufCBinaryData){ 0 };
	invocation->payload = BUF_INIT_MAX(GUEST_PAYLOAD_BYTES);
	return buf_append(&invocation->payload, message->payload.data, message->payload.len);
}

void invocation_begin(struct guest *guest, const invoke_message *message)
{
	struct guest_invocation *invocation = &guest->invocation;

	(void)boot_set_clock(message->realtime_us);
	release(invocation);
	outcome_clear(&invocation->outcome);
	*invocation = (struct guest_invocation){
		.started_us = clock_monotonic_us(),
		.timeout_ms = message->timeout_ms,
		.payload_complete = message->payload_complete,
		.outcome = OUTCOME_OK,
	};
	(void)snprintf(invocation->request_id, GUEST_ID_BYTES, "%s", message->request_id);
	invocation->deadline_ms = clock_realtime_us() / USEC_PER_MSEC + message->timeout_ms;
	guest->task = TASK_INVOKE;
	timer_arm(&guest->deadline, invocation->started_us + message->timeout_ms * USEC_PER_MSEC);

	if (message->payload_complete && guest->runtime == RUNTIME_READY) {
		deliver_message(guest, message, bytes_of(message->payload));
		return;
	}
	if (keep_event(invocation, message) < 0) {
		guest_fail(guest, "no memory for the event");
		return;
	}
	prepare_delivery(guest);
}

void invocation_add_payload(struct guest *guest, const Mayfly__Guest__V1__PayloadChunk *chunk)
{
	struct guest_invocation *invocation = &guest->invocation;

	/* The rest of an event whose invocation has already ended. */
	if (guest->task != TASK_INVOKE || !invocation->message || invocation->payload_complete)
		return;
	if (buf_append(&invocation->payload, chunk->data.data, chunk->data.len) < 0) {
		guest_fail(guest, "the event is over %u bytes", GUEST_PAYLOAD_BYTES);
		return;
	}
	invocation->payload_complete = chunk->last;
	prepare_delivery(guest);
}

void invocation_finish(struct guest *guest, struct outcome *outcome)
{
	struct guest_invocation *invocation = &guest->invocation;
	Mayfly__Guest__V1__InvocationDone done = MAYFLY__GUEST__V1__INVOCATION_DONE__INIT;
	outcome_message ended = outcome_to_message(outcome);

	logs_finish(&guest->logs);
	done.request_id = invocation->request_id;
	done.outcome = &ended;
	done.duration_us = (uint64_t)(clock_monotonic_us() - invocation->started_us);
	done.max_memory_bytes = runtime_process_memory_peak(guest);
	done.init_duration_us = (uint64_t)invocation->init_us;
	done.stream_failed = invocation->stream_failed;
	guest_message message = GUEST_MESSAGE(.invocation_done = &done, INVOCATION_DONE);
	if (channel_send(&guest->channel, &message) < 0)
		guest_fail(guest, "the end of an invocation could not be sent");
	release(invocation);
	guest->task = TASK_NONE;
	timer_disarm(&guest->deadline);
}

void invocation_response_start(struct guest *guest, struct slice content_type, bool streaming)
{
	struct guest_invocation *invocation = &guest->invocation;
	char type[256];
	const char *fallback = streaming ? "application/octet-stream" : "application/json";

	(void)snprintf(type, sizeof(type), "%.*s", (int)content_type.len,
		       content_type.len ? (const char *)content_type.data : "");
	Mayfly__Guest__V1__ResponseStart start = MAYFLY__GUEST__V1__RESPONSE_START__INIT;
	start.request_id = invocation->request_id;
	start.content_type = *type ? type : (char *)(uintptr_t)fallback;
	start.streaming = streaming;
	guest_message message = GUEST_MESSAGE(.response_start = &start, RESPONSE_START);
	if (channel_send(&guest->channel, &message) < 0)
		guest_fail(guest, "a response could not be sent");
	invocation->response = RESPONSE_STARTED;
}

static void send_chunk(struct guest *guest, struct slice data)
{
	Mayfly__Guest__V1__ResponseChunk chunk = MAYFLY__GUEST__V1__RESPONSE_CHUNK__INIT;

	chunk.request_id = guest->invocation.request_id;
	chunk.data.data = (uint8_t *)(uintptr_t)data.data;
	chunk.data.len = data.len;
	guest_message message = GUEST_MESSAGE(.response_chunk = &chunk, RESPONSE_CHUNK);
	if (channel_send(&guest->channel, &message) < 0)
		guest_fail(guest, "a response could not be sent");
}

void invocation_response_data(struct guest *guest, struct slice data)
{
	guest->invocation.response_bytes += data.len;
	while (data.len > 0) {
		size_t len = data.len < GUEST_CHUNK_BYTES ? data.len : GUEST_CHUNK_BYTES;
		send_chunk(guest, slice_new(data.data, len));
		data = slice_new(data.data + len, data.len - len);
	}
	if (channel_pending(&guest->channel) < CHANNEL_HIGH_BYTES)
		return;
	shim_pause(&guest->shim, true);
	runtime_api_pause(&guest->api, true);
}

void invocation_release_pressure(struct guest *guest)
{
	if (channel_pending(&guest->channel) >= CHANNEL_LOW_BYTES)
		return;
	shim_pause(&guest->shim, false);
	runtime_api_pause(&guest->api, false);
}
