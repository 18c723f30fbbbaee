/* SPDX-License-Identifier: Apache-2.0 */

/* Who called, and what they may take before the owner has their request. */

#include "mayfly/hash.h"
#include "rpc/call.h"

/* -- letting in -- */

void call_find_peer(struct rpc_call *call)
{
	call->peer = peer_find(call->server, call->core);
	if (call->side == RPC_NETWORK)
		call->connection = connections_find(&call->server->connections, call->peer.address,
						    &call->place);
}

int call_let_in(struct rpc_call *call, struct error *e)
{
	const struct rpc_server_options *options = &call->server->options;
	int r = 0;

	if (options->greet)
		r = options->greet(call, options->gate, e);
	else
		call->is_known = true; /* nobody asks */
	return r < 0 ? r
		     : intake_join(&call->server->intake, call->place, !call->is_known,
				   &call->payer, e);
}

void call_leave(struct rpc_call *call)
{
	if (call->payer)
		intake_leave(&call->server->intake, call->payer, !call->is_known);
}

void rpc_call_vouch(struct rpc_call *call, struct slice payer)
{
	if (call->side != RPC_NETWORK || call->is_known)
		return;
	connections_vouch(&call->server->connections, call->peer.address);
	call->is_known = true;
	call->place = hash_fnv1a(HASH_FNV1A_INIT, payer);
}

bool rpc_call_is_strangers(const struct rpc_call *call)
{
	return call->side == RPC_NETWORK && !call->is_known;
}

struct payer *rpc_call_payer(const struct rpc_call *call)
{
	return call->payer;
}

/* -- receiving -- */

uint32_t call_max_bytes(const struct rpc_call *call)
{
	uint32_t max = call->method ? call->method->max_request_bytes : INTAKE_STRANGERS_BYTES;

	return rpc_call_is_strangers(call) && max > INTAKE_STRANGERS_BYTES ? INTAKE_STRANGERS_BYTES
									   : max;
}

void call_receiving(struct rpc_call *call)
{
	unsigned for_s = rpc_call_is_strangers(call) ? INTAKE_STRANGERS_S
						     : call->server->options.limits.receive_s;

	call->reception.call = call;
	intake_begin(&call->server->intake, &call->reception, &call->connection,
		     call_max_bytes(call), for_s);
}

void call_received(struct rpc_call *call, uint64_t bytes)
{
	intake_finish(&call->server->intake, &call->reception, bytes);
}

static void end_on_loop(void *arg)
{
	struct rpc_call *call = arg;
	_cleanup_error_ struct error e = ERROR_INIT;

	if (call->intake_end == INTAKE_LATE)
		(void)error_set(&e, ERROR_DEADLINE_EXCEEDED, NULL,
				"The request did not come within the time that it may take.");
	else if (call->intake_end == INTAKE_TOO_LARGE)
		(void)error_set(&e, ERROR_REQUEST_TOO_LARGE, NULL,
				"Received message larger than max (%u)", call_max_bytes(call));
	else
		(void)error_set(&e, ERROR_TOO_MANY_REQUESTS, NULL,
				"Too many bytes of requests are under way.");
	if (call->dispatched) {
		rpc_call_cut(call, &e);
	} else if (!call->answered) {
		call->dispatched = true; /* nobody else hears of it */
		rpc_call_fail(call, &e);
	}
	rpc_call_unref(call);
}

void call_end_reception(struct rpc_call *call, enum intake_end why)
{
	call->intake_end = why;
	server_post(call->server, end_on_loop, rpc_call_ref(call));
}

/* -- about the caller -- */

struct slice rpc_call_metadata(const struct rpc_call *call, const char *key)
{
	for (size_t i = 0; i < call->metadata.count; i++)
		if (grpc_slice_str_cmp(call->metadata.metadata[i].key, key) == 0)
			return slice_from_core(&call->metadata.metadata[i].value);
	return SLICE_INIT;
}

int64_t rpc_call_deadline_us(const struct rpc_call *call)
{
	return call->deadline_us;
}

int64_t rpc_call_received_us(const struct rpc_call *call)
{
	return call->received_us;
}

const char *rpc_call_method(const struct rpc_call *call)
{
	return call->method ? call->method->path : "";
}

ProtobufCMessage *rpc_call_request(const struct rpc_call *call)
{
	return call->request;
}

void *rpc_call_context(struct rpc_call *call)
{
	return call->server->options.context_bytes ? call->context : NULL;
}

bool rpc_call_is_stream(const struct rpc_call *call)
{
	return call->method && call->method->server_streaming;
}

void rpc_call_refresh_peer(struct rpc_call *call)
{
	if (call->peer.certificate.is_shown)
		call->peer = peer_find(call->server, call->core);
}

struct rpc_peer rpc_call_peer(const struct rpc_call *call)
{
	return call->peer;
}
