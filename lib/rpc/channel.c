/* SPDX-License-Identifier: Apache-2.0 */

/* The client. Each call has a completion queue of its own, pumped by the thread that waits;
 * a unary call is a stream of which one message is read. */

#include "rpc/rpc_channel.h"

#include <errno.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>

#include "mayfly/clock.h"
#include "mayfly/fs.h"
#include "rpc/check.h"
#include "rpc/internal.h"
#include "rpc/status.h"

/* How soon a set cancel flag is seen. */
#define CANCEL_POLL_MS     100
#define MAX_METADATA_BYTES (64 << 10)
#define MAX_PEM_BYTES      (1U << 20)

struct rpc_channel {
	grpc_channel *core;
	char *address;       /* owned */
	char *authorization; /* owned, or NULL */
	const volatile sig_atomic_t *cancel_flag;
};

struct rpc_stream {
	struct rpc_channel *channel; /* borrowed */
	const ProtobufCMessageDescriptor *output;
	grpc_completion_queue *cq;
	grpc_call *core;
	unsigned outstanding; /* batches */
	bool cancelled;

	grpc_metadata_array initial, trailing;
	grpc_byte_buffer *received;
	grpc_status_code code;
	grpc_slice text;
	bool over; /* the status is here */

	char sent_tag, message_tag, status_tag; /* addresses only */
	bool sent_ok, message_done, message_ok;
	struct rpc_answer answer;
};

/* Releases the credentials in any case. */
static int open_channel(const char *prefix, const char *address, grpc_channel_credentials *creds,
			struct rpc_channel **ret, struct error *e)
{
	struct rpc_channel *channel = calloc(1, sizeof(*channel));
	if (!channel || asprintf(&channel->address, "%s%s", prefix, address) < 0) {
		free(channel);
		grpc_channel_credentials_release(creds);
		grpc_shutdown_blocking();
		return error_set_errno(e, ENOMEM, "cannot make a channel to %s", address);
	}

	/* A proxy of the environment is for the world outside, not for nodes; and channels are
	 * made to have connections of their own. */
	grpc_arg args[] = {
		{ GRPC_ARG_INTEGER, (char *)GRPC_ARG_ENABLE_HTTP_PROXY, { .integer = 0 } },
		{ GRPC_ARG_INTEGER, (char *)GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, { .integer = 1 } },
		{ GRPC_ARG_INTEGER,
		  (char *)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
		  { .integer = -1 } },
		{ GRPC_ARG_INTEGER,
		  (char *)GRPC_ARG_MAX_METADATA_SIZE,
		  { .integer = MAX_METADATA_BYTES } },
	};
	const grpc_channel_args all = { ARRAY_SIZE(args), args };
	channel->core = grpc_channel_create(channel->address, creds, &all);
	grpc_channel_credentials_release(creds);
	*ret = channel;
	return 0;
}

int rpc_channel_new(const char *address, struct rpc_channel **ret, struct error *e)
{
	rpc_log_from_core();
	grpc_init();
	return open_channel(address[0] == '/' ? "unix:" : "", address,
			    grpc_insecure_credentials_create(), ret, e);
}

static int read_pem(const char *path, struct buf *ret, struct error *e)
{
	int r = path ? fs_read_file(path, MAX_PEM_BYTES, ret) : 0;
	if (r < 0)
		return error_set_errno(e, r, "cannot read %s", path);
	return 0;
}

int rpc_channel_new_tls(const char *address, const struct rpc_channel_tls *tls,
			struct rpc_channel **ret, struct error *e)
{
	_cleanup_buf_ struct buf ca = BUF_INIT, certificate = BUF_INIT, key = BUF_INIT;

	if (!tls->certificate != !tls->key)
		return error_set(e, ERROR_INVALID_PARAMETER, NULL,
				 "a certificate to show needs its key, and a key its certificate");
	int r = read_pem(tls->ca, &ca, e);
	if (r == 0)
		r = read_pem(tls->certificate, &certificate, e);
	if (r == 0)
		r = read_pem(tls->key, &key, e);
	if (r == 0)
		r = tls_require_1_3(e);
	if (r < 0)
		return r;
	grpc_ssl_pem_key_cert_pair pair = { .private_key = buf_string(&key),
					    .cert_chain = buf_string(&certificate) };
	rpc_log_from_core();
	grpc_init();
	grpc_channel_credentials *creds =
		grpc_ssl_credentials_create(ca.len ? buf_string(&ca) : NULL,
					    certificate.len && key.len ? &pair : NULL, NULL, NULL);
	if (!creds) {
		grpc_shutdown_blocking();
		return error_set(e, ERROR_INVALID_PARAMETER, NULL,
				 "cannot use TLS to %s: no certificates of authorities, or none "
				 "that can be read",
				 address);
	}
	return open_channel("", address, creds, ret, e);
}

int rpc_channel_set_authorization(struct rpc_channel *channel, const char *value, struct error *e)
{
	char *copy = strdup(value);
	if (!copy)
		return error_set_errno(e, ENOMEM, "cannot keep the access key");
	free(channel->authorization);
	channel->authorization = copy;
	return 0;
}

struct rpc_channel *rpc_channel_free(struct rpc_channel *channel)
{
	if (!channel)
		return NULL;
	grpc_channel_destroy(channel->core);
	free(channel->address);
	if (channel->authorization)
		explicit_bzero(channel->authorization, strlen(channel->authorization));
	free(channel->authorization);
	free(channel);
	grpc_shutdown_blocking();
	return NULL;
}

void rpc_channel_set_cancel_flag(struct rpc_channel *channel, const volatile sig_atomic_t *flag)
{
	channel->cancel_flag = flag;
}

void rpc_answer_clear(struct rpc_answer *answer)
{
	protobuf_c_message_free_unpacked(answer->message, NULL);
	for (size_t i = 0; i < answer->n_trailers; i++) {
		free(answer->trailers[i].key);
		free(answer->trailers[i].value);
	}
	free(answer->trailers);
	*answer = RPC_ANSWER_INIT;
}

struct slice rpc_answer_trailer(const struct rpc_answer *answer, const char *key)
{
	for (size_t i = 0; i < answer->n_trailers; i++)
		if (strcmp(answer->trailers[i].key, key) == 0)
			return slice_new(answer->trailers[i].value, answer->trailers[i].len);
	return SLICE_INIT;
}

/* -- the pump -- */

/* Copies; on lack of memory the answer has fewer trailers. */
static void keep_trailers(struct rpc_stream *stream)
{
	const grpc_metadata_array *from = &stream->trailing;
	struct rpc_answer *answer = &stream->answer;

	answer->trailers = calloc(from->count + 1, sizeof(*answer->trailers));
	for (size_t i = 0; answer->trailers && i < from->count; i++) {
		const grpc_metadata *m = &from->metadata[i];
		struct rpc_trailer *to = &answer->trailers[answer->n_trailers];
		size_t len = GRPC_SLICE_LENGTH(m->value);
		to->key = strndup((const char *)GRPC_SLICE_START_PTR(m->key),
				  GRPC_SLICE_LENGTH(m->key));
		to->value = calloc(1, len + 1);
		if (!to->key || !to->value) {
			free(to->key);
			free(to->value);
			return;
		}
		memcpy(to->value, GRPC_SLICE_START_PTR(m->value), len);
		to->len = len;
		answer->n_trailers++;
	}
}

static void on_event(struct rpc_stream *stream, const void *tag, bool ok)
{
	stream->outstanding--;
	if (tag == &stream->sent_tag) {
		stream->sent_ok = ok;
	} else if (tag == &stream->message_tag) {
		stream->message_done = true;
		stream->message_ok = ok;
	} else {
		stream->over = true;
		stream->answer.received_us = clock_monotonic_us();
		keep_trailers(stream);
	}
}

static void cancel(struct rpc_stream *stream)
{
	if (!stream->cancelled)
		(void)grpc_call_cancel(stream->core, NULL);
	stream->cancelled = true;
}

/* Takes one event; looks at the cancel flag meanwhile. */
static void pump(struct rpc_stream *stream)
{
	for (;;) {
		const volatile sig_atomic_t *flag = stream->channel->cancel_flag;
		gpr_timespec until = gpr_inf_future(GPR_CLOCK_MONOTONIC);
		if (flag && !stream->cancelled)
			until = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
					     gpr_time_from_millis(CANCEL_POLL_MS, GPR_TIMESPAN));
		if (flag && __atomic_load_n(flag, __ATOMIC_RELAXED))
			cancel(stream);
		grpc_event event = grpc_completion_queue_next(stream->cq, until, NULL);
		if (event.type == GRPC_QUEUE_TIMEOUT)
			continue;
		tag_acquire(event.tag);
		if (event.type == GRPC_OP_COMPLETE)
			on_event(stream, event.tag, event.success != 0);
		return;
	}
}

static int start(struct rpc_stream *stream, const grpc_op *ops, size_t n, char *tag,
		 struct error *e)
{
	tag_release(tag);
	grpc_call_error r = grpc_call_start_batch(stream->core, ops, n, tag, NULL);
	if (r != GRPC_CALL_OK)
		return error_set(e, ERROR_INTERNAL, NULL, "gRPC: %s", grpc_call_error_to_string(r));
	stream->outstanding++;
	return 0;
}

/* -- opening -- */

static int start_all(struct rpc_stream *stream, const ProtobufCMessage *request, struct error *e)
{
	grpc_op status = { .op = GRPC_OP_RECV_STATUS_ON_CLIENT };
	status.data.recv_status_on_client.trailing_metadata = &stream->trailing;
	status.data.recv_status_on_client.status = &stream->code;
	status.data.recv_status_on_client.status_details = &stream->text;
	int r = start(stream, &status, 1, &stream->status_tag, e);
	if (r < 0)
		return r;

	grpc_byte_buffer *message = message_encode(request);
	grpc_op ops[4] = { { .op = GRPC_OP_SEND_INITIAL_METADATA },
			   { .op = GRPC_OP_SEND_MESSAGE },
			   { .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT },
			   { .op = GRPC_OP_RECV_INITIAL_METADATA } };
	grpc_metadata authorization = { .key = grpc_slice_from_static_string("authorization") };
	const char *value = stream->channel->authorization;
	if (value) {
		authorization.value = grpc_slice_from_copied_string(value);
		ops[0].data.send_initial_metadata.count = 1;
		ops[0].data.send_initial_metadata.metadata = &authorization;
	}
	ops[1].data.send_message.send_message = message;
	ops[3].data.recv_initial_metadata.recv_initial_metadata = &stream->initial;
	stream->answer.sent_us = clock_monotonic_us();
	r = start(stream, ops, 4, &stream->sent_tag, e);
	if (value)
		grpc_slice_unref(authorization.value);
	grpc_byte_buffer_destroy(message);
	return r;
}

int rpc_stream_open(struct rpc_channel *channel, const ProtobufCServiceDescriptor *service,
		    const char *method, const ProtobufCMessage *request, int64_t timeout_us,
		    struct rpc_stream **ret, struct error *e)
{
	const ProtobufCMethodDescriptor *described =
		protobuf_c_service_descriptor_get_method_by_name(service, method);
	if (!described)
		return error_set(e, ERROR_UNIMPLEMENTED, NULL, "%s has no method %s", service->name,
				 method);
	struct rpc_stream *stream = calloc(1, sizeof(*stream));
	_cleanup_free_ char *path = NULL;
	if (!stream || asprintf(&path, "/%s/%s", service->name, method) < 0) {
		free(stream);
		return error_set_errno(e, ENOMEM, "cannot call %s", method);
	}

	gpr_timespec deadline = gpr_inf_future(GPR_CLOCK_MONOTONIC);
	if (timeout_us != RPC_NO_TIMEOUT)
		deadline = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
					gpr_time_from_micros(timeout_us, GPR_TIMESPAN));
	stream->channel = channel;
	stream->output = described->output;
	stream->text = grpc_empty_slice();
	grpc_metadata_array_init(&stream->initial);
	grpc_metadata_array_init(&stream->trailing);
	stream->cq = grpc_completion_queue_create_for_next(NULL);
	grpc_slice core_path = grpc_slice_from_copied_string(path);
	stream->core = grpc_channel_create_call(channel->core, NULL, GRPC_PROPAGATE_DEFAULTS,
						stream->cq, core_path, NULL, deadline, NULL);
	grpc_slice_unref(core_path);
	int r = start_all(stream, request, e);
	if (r < 0) {
		(void)rpc_stream_close(stream);
		return r;
	}
	*ret = stream;
	return 0;
}

struct rpc_stream *rpc_stream_close(struct rpc_stream *stream)
{
	if (!stream)
		return NULL;
	if (!stream->over)
		cancel(stream);
	while (stream->outstanding > 0)
		pump(stream);
	grpc_completion_queue_shutdown(stream->cq);
	while (grpc_completion_queue_next(stream->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL)
		       .type != GRPC_QUEUE_SHUTDOWN)
		;
	if (stream->received)
		grpc_byte_buffer_destroy(stream->received);
	grpc_call_unref(stream->core);
	grpc_completion_queue_destroy(stream->cq);
	grpc_metadata_array_destroy(&stream->initial);
	grpc_metadata_array_destroy(&stream->trailing);
	grpc_slice_unref(stream->text);
	rpc_answer_clear(&stream->answer);
	free(stream);
	return NULL;
}

/* -- reading -- */

static int decode(struct rpc_stream *stream, ProtobufCMessage **ret, struct error *e)
{
	grpc_byte_buffer_reader reader;

	if (!grpc_byte_buffer_reader_init(&reader, stream->received))
		return error_set(e, ERROR_INTERNAL, NULL, "The answer cannot be decompressed");
	grpc_slice bytes = grpc_byte_buffer_reader_readall(&reader);
	grpc_byte_buffer_reader_destroy(&reader);
	*ret = protobuf_c_message_unpack(stream->output, NULL, GRPC_SLICE_LENGTH(bytes),
					 GRPC_SLICE_START_PTR(bytes));
	grpc_slice_unref(bytes);
	if (!*ret)
		return error_set(e, ERROR_INTERNAL, NULL, "The answer is not a %s",
				 stream->output->name);
	return 0;
}

/* The status, once it is here, as 0 or an error. */
static int finish(struct rpc_stream *stream, struct error *e)
{
	while (!stream->over)
		pump(stream);
	if (stream->code == GRPC_STATUS_OK)
		return 0;

	struct slice text =
		slice_new(GRPC_SLICE_START_PTR(stream->text), GRPC_SLICE_LENGTH(stream->text));
	struct slice details = rpc_answer_trailer(&stream->answer, RPC_STATUS_DETAILS_KEY);
	_cleanup_error_ struct error got = ERROR_INIT;
	rpc_status_decode((int)stream->code, text, details, &got);
	int r = -error_kind(got.code)->errno_value;
	if (got.code == ERROR_UNAVAILABLE && details.len == 0)
		return error_set(e, ERROR_UNAVAILABLE, NULL, "Cannot reach the node at %s (%s)",
				 stream->channel->address, error_text(&got));
	if (e && e->code == ERROR_NONE)
		error_move(e, &got);
	return r;
}

int rpc_stream_next(struct rpc_stream *stream, ProtobufCMessage **ret, struct error *e)
{
	if (stream->over)
		return finish(stream, e);
	grpc_op op = { .op = GRPC_OP_RECV_MESSAGE };
	op.data.recv_message.recv_message = &stream->received;
	stream->message_done = false;
	int r = start(stream, &op, 1, &stream->message_tag, e);
	if (r < 0)
		return r;
	while (!stream->message_done)
		pump(stream);
	if (!stream->message_ok || !stream->received)
		return finish(stream, e);
	r = decode(stream, ret, e);
	grpc_byte_buffer_destroy(stream->received);
	stream->received = NULL;
	return r < 0 ? r : 1;
}

const struct rpc_answer *rpc_stream_answer(const struct rpc_stream *stream)
{
	return &stream->answer;
}

int rpc_channel_call(struct rpc_channel *channel, const ProtobufCServiceDescriptor *service,
		     const char *method, const ProtobufCMessage *request, int64_t timeout_us,
		     struct rpc_answer *ret_answer, struct error *e)
{
	_cleanup_(rpc_stream_close_p) struct rpc_stream *stream = NULL;
	ProtobufCMessage *message = NULL;

	int r = rpc_stream_open(channel, service, method, request, timeout_us, &stream, e);
	if (r < 0)
		return r;
	r = rpc_stream_next(stream, &message, e);
	if (r > 0)
		r = finish(stream, e);
	else if (r == 0)
		r = error_set(e, ERROR_INTERNAL, NULL, "%s answered without a message", method);
	if (r < 0) {
		protobuf_c_message_free_unpacked(message, NULL);
		message = NULL;
	}
	*ret_answer = stream->answer;
	stream->answer = RPC_ANSWER_INIT;
	ret_answer->message = message;
	return r;
}
