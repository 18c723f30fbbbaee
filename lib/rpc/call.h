/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a call is made of, for the files that make it: call.c, its life and messages, and
 * call_caller.c, who called and what they may take. */

#include "rpc/internal.h"

struct callback {
	rpc_fn *fn;
	void *arg;
};

/* What ends the call, kept until the batch that carries it is done. */
struct final {
	grpc_byte_buffer *message; /* owned, or NULL */
	grpc_status_code code;
	grpc_slice text;
};

struct rpc_call {
	struct rpc_server *server;
	enum rpc_side side;
	atomic_uint refs;
	grpc_call *core;
	grpc_call_details details;
	grpc_metadata_array metadata;
	const struct method *method;
	struct rpc_peer peer;
	struct connection_ref connection; /* number 0: of the unix socket */
	uint64_t place;                   /* where it comes from, or who pays */
	struct payer *payer;              /* of the network, once let in */
	bool is_known;
	int64_t deadline_us;

	/* The message under way or the one dispatched. */
	grpc_byte_buffer *received;
	ProtobufCMessage *request;
	struct error decode_error;
	int64_t received_us;
	struct reception reception;
	enum intake_end intake_end;

	struct tag on_new, on_close, on_message, on_sent, on_final;
	int close_cancelled;

	/* Loop thread. */
	bool dispatched, admitted, answered, cancelled, started, sending;
	bool cut;         /* the client has its answer, the owner's is still owed */
	bool final_waits; /* for the send under way */
	struct callback writable, on_cancel;
	struct final final;
	grpc_metadata trailers[RPC_MAX_TRAILERS + 1];
	size_t n_trailers;
	max_align_t context[]; /* of the gate */
};

static inline struct slice slice_from_core(const grpc_slice *s)
{
	return slice_new(GRPC_SLICE_START_PTR(*s), GRPC_SLICE_LENGTH(*s));
}

/* Takes the next message from the network. */
void call_receive(struct rpc_call *call);

/* -- call_caller.c -- */

/* Who it is, as far as the connection says. */
void call_find_peer(struct rpc_call *call);

/* Whether the owner hears this call: 0, or what to answer. Loop thread. */
int call_let_in(struct rpc_call *call, struct error *e) _must_use_;

/* Around the receiving of each message; `bytes` of one that came. */
void call_receiving(struct rpc_call *call);
void call_received(struct rpc_call *call, uint64_t bytes);

/* How many bytes the request may have. */
uint32_t call_max_bytes(const struct rpc_call *call);

/* With the call's memory. */
void call_leave(struct rpc_call *call);
