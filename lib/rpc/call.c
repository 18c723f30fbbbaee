/* SPDX-License-Identifier: Apache-2.0 */

/* One call. The completion-queue threads receive and decode; from the first dispatch on,
 * everything but `refs` belongs to the loop thread. One reference is the final answer that
 * the handler owes; one goes with every batch that core has, and moves on to the loop
 * when the batch's result is posted there. */

#include "rpc/call.h"

#include <errno.h>
#include <stddef.h>
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>

#include "mayfly/clock.h"
#include "rpc/check.h"
#include "rpc/status.h"

static grpc_slice slice_to_core(struct slice s)
{
	return grpc_slice_from_copied_buffer((const char *)s.data, s.len);
}

/* -- life -- */

static void call_free(struct rpc_call *call)
{
	struct rpc_server *server = call->server;

	call_leave(call);
	protobuf_c_message_free_unpacked(call->request, NULL);
	error_clear(&call->decode_error);
	if (call->received)
		grpc_byte_buffer_destroy(call->received);
	if (call->final.message)
		grpc_byte_buffer_destroy(call->final.message);
	grpc_slice_unref(call->final.text);
	for (size_t i = 0; i < call->n_trailers; i++) {
		grpc_slice_unref(call->trailers[i].key);
		grpc_slice_unref(call->trailers[i].value);
	}
	grpc_call_details_destroy(&call->details);
	grpc_metadata_array_destroy(&call->metadata);
	if (call->core)
		grpc_call_unref(call->core);
	free(call);

	(void)pthread_mutex_lock(&server->lock);
	server->calls--;
	(void)pthread_cond_broadcast(&server->changed);
	(void)pthread_mutex_unlock(&server->lock);
}

struct rpc_call *rpc_call_ref(struct rpc_call *call)
{
	(void)atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
	return call;
}

void rpc_call_unref(struct rpc_call *call)
{
	if (atomic_fetch_sub_explicit(&call->refs, 1, memory_order_acq_rel) == 1)
		call_free(call);
}

/* Hands a batch to core, with a reference for its tag. */
static void call_start(struct rpc_call *call, const grpc_op *ops, size_t n_ops, struct tag *tag)
{
	grpc_call *core = call->core; /* read before the release: another thread may free */
	(void)rpc_call_ref(call);
	tag_release(tag);
	grpc_call_error r = grpc_call_start_batch(core, ops, n_ops, tag, NULL);
	if (r == GRPC_CALL_OK)
		return;
	log_error("rpc: core refused a batch of %s: %s", call->method ? call->method->path : "?",
		  grpc_call_error_to_string(r));
	rpc_call_unref(call);
}

static int64_t deadline_from_core(gpr_timespec deadline)
{
	if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0)
		return INT64_MAX;
	gpr_timespec left = gpr_time_sub(deadline, gpr_now(deadline.clock_type));
	return clock_monotonic_us() + left.tv_sec * USEC_PER_SEC + left.tv_nsec / 1000;
}

/* -- receiving; completion-queue threads -- */

void call_receive(struct rpc_call *call)
{
	call_receiving(call);
	grpc_op op = { .op = GRPC_OP_RECV_MESSAGE };
	op.data.recv_message.recv_message = &call->received;
	call_start(call, &op, 1, &call->on_message);
}

static void call_watch_close(struct rpc_call *call)
{
	grpc_op op = { .op = GRPC_OP_RECV_CLOSE_ON_SERVER };
	op.data.recv_close_on_server.cancelled = &call->close_cancelled;
	call_start(call, &op, 1, &call->on_close);
}

/* Only then is the request taken from the network. */
static void call_greet_on_loop(void *arg)
{
	struct rpc_call *call = arg;
	_cleanup_error_ struct error e = ERROR_INIT;

	if (call_let_in(call, &e) < 0) {
		call->dispatched = call->admitted = true;
		rpc_call_fail(call, &e);
	} else {
		call_receive(call);
	}
	rpc_call_unref(call);
}

static void call_on_new(struct tag *tag, bool ok)
{
	struct rpc_call *call = tag->owner;
	struct rpc_server *server = call->server;

	(void)pthread_mutex_lock(&server->lock);
	server->waiting--;
	(void)pthread_mutex_unlock(&server->lock);
	if (!ok) {
		rpc_call_unref(call);
		return;
	}
	call_request(server, call->side);
	call->method = methods_find(&server->methods, slice_from_core(&call->details.method));
	call_find_peer(call);
	call->deadline_us = deadline_from_core(call->details.deadline);
	call_watch_close(call);
	if (call->side == RPC_NETWORK)
		server_post(server, call_greet_on_loop, rpc_call_ref(call));
	else
		call_receive(call);
}

static void call_cancel_on_loop(void *arg)
{
	struct rpc_call *call = arg;
	struct callback callback = call->on_cancel;

	call->cancelled = true;
	if (!call->answered && callback.fn) {
		call->on_cancel.fn = NULL;
		callback.fn(callback.arg);
	}
	rpc_call_unref(call);
}

static void call_on_close(struct tag *tag, bool ok _unused_)
{
	struct rpc_call *call = tag->owner;

	if (call->close_cancelled)
		server_post(call->server, call_cancel_on_loop, call);
	else
		rpc_call_unref(call);
}

static int call_admit(struct rpc_call *call, struct error *e)
{
	const struct rpc_server_options *options = &call->server->options;

	if (call->admitted || !options->admit)
		return 0;
	call->admitted = true;
	return options->admit(call, call->request, options->gate, e);
}

static void tell_gate(struct rpc_call *call, const ProtobufCMessage *reply, const struct error *e)
{
	const struct rpc_server_options *options = &call->server->options;

	if (call->admitted && options->answered)
		options->answered(call, reply, e, options->gate);
}

static void call_dispatch_on_loop(void *arg)
{
	struct rpc_call *call = arg;
	_cleanup_error_ struct error e = ERROR_INIT;

	if (call->answered || (call->cancelled && !call->dispatched)) {
		/* Nobody was told of this call, or its owner is done with it. */
		if (!call->answered)
			rpc_call_unref(call);
		call->answered = true;
		rpc_call_unref(call);
		return;
	}
	call->dispatched = true;
	if (!call->method || !call->method->handler) {
		struct slice path = slice_from_core(&call->details.method);
		(void)error_set(&e, ERROR_UNIMPLEMENTED, NULL, "Unknown method %.*s", (int)path.len,
				(const char *)path.data);
		rpc_call_fail(call, &e);
	} else if (call_admit(call, &e) < 0) {
		rpc_call_fail(call, &e);
	} else if (call->decode_error.code != ERROR_NONE) {
		rpc_call_fail(call, &call->decode_error);
	} else {
		call->method->handler(call, call->request, call->method->user);
	}
	rpc_call_unref(call);
}

/* Decodes what was received into call->request; a half-close leaves it NULL. */
static void call_decode(struct rpc_call *call)
{
	grpc_byte_buffer_reader reader;

	if (!call->method)
		return;
	if (!call->received) {
		if (!call->method->client_streaming)
			(void)error_set(&call->decode_error, ERROR_INVALID_PARAMETER, NULL,
					"The call has no request message");
		return;
	}
	/* Core has refused what says so in its headers. */
	if (call->received->data.raw.compression != GRPC_COMPRESS_NONE ||
	    !grpc_byte_buffer_reader_init(&reader, call->received)) {
		(void)error_set(&call->decode_error, ERROR_UNIMPLEMENTED, NULL,
				"Compressed requests are not taken");
		return;
	}
	size_t len = grpc_byte_buffer_length(call->received);
	if (len > call_max_bytes(call)) {
		(void)error_set(&call->decode_error, ERROR_REQUEST_TOO_LARGE, NULL,
				"Received message larger than max (%zu vs. %u)", len,
				call_max_bytes(call));
		grpc_byte_buffer_reader_destroy(&reader);
		return;
	}
	grpc_slice bytes = grpc_byte_buffer_reader_readall(&reader);
	grpc_byte_buffer_reader_destroy(&reader);
	grpc_byte_buffer_destroy(call->received);
	call->received = NULL;
	int r = rpc_decode_message(call->method->input, slice_from_core(&bytes), &call->request,
				   &call->decode_error);
	if (r < 0) /* what matters is in decode_error */
		call->request = NULL;
	grpc_slice_unref(bytes);
}

static void call_abandon_on_loop(void *arg)
{
	struct rpc_call *call = arg;

	if (!call->dispatched && !call->answered) {
		call->answered = true;
		rpc_call_unref(call);
	}
	rpc_call_unref(call);
}

static void call_on_message(struct tag *tag, bool ok)
{
	struct rpc_call *call = tag->owner;

	call_received(call, call->received ? grpc_byte_buffer_length(call->received) : 0);
	if (!ok) { /* the stream broke; on_close tells whoever has the call */
		server_post(call->server, call_abandon_on_loop, call);
		return;
	}
	call->received_us = clock_monotonic_us();
	call_decode(call);
	server_post(call->server, call_dispatch_on_loop, call);
}

void call_request(struct rpc_server *server, enum rpc_side side)
{
	struct rpc_call *call = calloc(1, sizeof(*call) + server->options.context_bytes);
	if (!call) {
		log_error("rpc: out of memory: one call less is accepted at a time");
		return;
	}
	call->server = server;
	call->side = side;
	atomic_init(&call->refs, 1);
	call->deadline_us = INT64_MAX;
	call->final.text = grpc_empty_slice();
	call->on_new = (struct tag){ call_on_new, call };
	call->on_close = (struct tag){ call_on_close, call };
	call->on_message = (struct tag){ call_on_message, call };
	grpc_call_details_init(&call->details);
	grpc_metadata_array_init(&call->metadata);

	/* Under the lock: after `stopping` is set, nothing is given to core any more. */
	(void)pthread_mutex_lock(&server->lock);
	server->calls++;
	grpc_call_error r = GRPC_CALL_ERROR;
	if (!server->stopping) {
		tag_release(&call->on_new);
		r = grpc_server_request_call(server->cores[side], &call->core, &call->details,
					     &call->metadata, server->cq, server->cq,
					     &call->on_new);
		if (r == GRPC_CALL_OK)
			server->waiting++;
		else
			log_error("rpc: no more calls: %s", grpc_call_error_to_string(r));
	}
	(void)pthread_mutex_unlock(&server->lock);
	if (r != GRPC_CALL_OK)
		rpc_call_unref(call);
}

/* -- sending; loop thread -- */

static void call_on_final(struct tag *tag, bool ok _unused_)
{
	rpc_call_unref(tag->owner);
}

static void call_start_final(struct rpc_call *call)
{
	grpc_op ops[3] = { 0 };
	size_t n = 0;

	if (!call->started)
		ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
	call->started = true;
	if (call->final.message) {
		ops[n].op = GRPC_OP_SEND_MESSAGE;
		ops[n++].data.send_message.send_message = call->final.message;
	}
	ops[n].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
	ops[n].data.send_status_from_server.status = call->final.code;
	ops[n].data.send_status_from_server.status_details = &call->final.text;
	ops[n].data.send_status_from_server.trailing_metadata = call->trailers;
	ops[n++].data.send_status_from_server.trailing_metadata_count = call->n_trailers;
	call->on_final = (struct tag){ call_on_final, call };
	call_start(call, ops, n, &call->on_final);
}

/* The final answer goes out, now or after the message under way. */
static void send_final(struct rpc_call *call)
{
	if (call->sending)
		call->final_waits = true;
	else
		call_start_final(call);
}

/* Drops the owner's hold. */
static void call_end(struct rpc_call *call)
{
	call->answered = true;
	call->on_cancel.fn = NULL;
	call->writable.fn = NULL;
	if (!call->cut)
		send_final(call);
	rpc_call_unref(call);
}

void rpc_call_reply(struct rpc_call *call, const ProtobufCMessage *message)
{
	if (!call->cut) {
		call->final.message = message_encode(message);
		call->final.code = GRPC_STATUS_OK;
		tell_gate(call, message, NULL);
	}
	call_end(call);
}

void rpc_call_finish(struct rpc_call *call)
{
	if (!call->cut) {
		call->final.code = GRPC_STATUS_OK;
		tell_gate(call, NULL, NULL);
	}
	call_end(call);
}

static void add_trailer(struct rpc_call *call, const char *key, struct slice value)
{
	grpc_metadata *trailer = &call->trailers[call->n_trailers++];
	trailer->key = grpc_slice_from_copied_string(key);
	trailer->value = slice_to_core(value);
}

static void set_failure(struct rpc_call *call, const struct error *e)
{
	_cleanup_buf_ struct buf details = BUF_INIT, text = BUF_INIT;

	call->final.code = (grpc_status_code)error_kind(e->code)->grpc_status;
	if (call->final.code == GRPC_STATUS_OK)
		call->final.code = GRPC_STATUS_INTERNAL; /* failed without saying why */
	if (rpc_status_encode(e, call->server->options.error_domain, &details, &text) == 0)
		add_trailer(call, RPC_STATUS_DETAILS_KEY, buf_slice(&details));
	call->final.text = slice_to_core(buf_slice(&text));
	tell_gate(call, NULL, e);
}

void rpc_call_fail(struct rpc_call *call, const struct error *e)
{
	if (!call->cut)
		set_failure(call, e);
	call_end(call);
}

void rpc_call_cut(struct rpc_call *call, const struct error *e)
{
	if (call->answered || call->cut)
		return;
	set_failure(call, e);
	call->cut = call->cancelled = true; /* nothing more is sent */
	send_final(call);
	server_post(call->server, call_cancel_on_loop, rpc_call_ref(call));
}

static void call_sent_on_loop(void *arg)
{
	struct rpc_call *call = arg;

	call->sending = false;
	if (call->final_waits) {
		call->final_waits = false;
		call_start_final(call);
	} else if (!call->answered && !call->cancelled && call->writable.fn)
		call->writable.fn(call->writable.arg);
	rpc_call_unref(call);
}

static void call_on_sent(struct tag *tag, bool ok _unused_)
{
	struct rpc_call *call = tag->owner;
	server_post(call->server, call_sent_on_loop, call);
}

int rpc_call_send(struct rpc_call *call, const ProtobufCMessage *message)
{
	grpc_op ops[2] = { 0 };
	size_t n = 0;

	if (call->cancelled)
		return -ECANCELED;
	if (call->sending)
		return -EAGAIN;
	grpc_byte_buffer *bytes = message_encode(message);
	if (!call->started)
		ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
	ops[n].op = GRPC_OP_SEND_MESSAGE;
	ops[n++].data.send_message.send_message = bytes;
	call->started = true;
	call->sending = true;
	call->on_sent = (struct tag){ call_on_sent, call };
	call_start(call, ops, n, &call->on_sent);
	grpc_byte_buffer_destroy(bytes); /* core has its own references to the slices */
	return 0;
}

void rpc_call_set_writable(struct rpc_call *call, rpc_fn *fn, void *arg)
{
	call->writable = (struct callback){ fn, arg };
}

void rpc_call_set_cancelled(struct rpc_call *call, rpc_fn *fn, void *arg)
{
	call->on_cancel = (struct callback){ fn, arg };
	if (call->cancelled && fn)
		server_post(call->server, call_cancel_on_loop, rpc_call_ref(call));
}

bool rpc_call_is_cancelled(const struct rpc_call *call)
{
	return call->cancelled;
}

void rpc_call_read_next(struct rpc_call *call)
{
	protobuf_c_message_free_unpacked(call->request, NULL);
	call->request = NULL;
	call_receive(call);
}

int rpc_call_add_trailer(struct rpc_call *call, const char *key, struct slice value)
{
	if (call->cut)
		return 0; /* nobody reads them */
	if (call->n_trailers >= RPC_MAX_TRAILERS)
		return -E2BIG;
	add_trailer(call, key, value);
	return 0;
}
