/* SPDX-License-Identifier: Apache-2.0 */

#include "client/internal.h"

#define PHASES_KEY "mayfly-phases-bin"

static Mayfly__V1__Phases *decode_phases(const struct rpc_answer *answer)
{
	struct slice bytes = rpc_answer_trailer(answer, PHASES_KEY);
	if (!bytes.data)
		return NULL;
	return mayfly__v1__phases__unpack(NULL, bytes.len, bytes.data);
}

void client_invocation_clear(struct client_invocation *invocation)
{
	client_free_message(invocation->response);
	client_free_message(invocation->phases);
	*invocation = CLIENT_INVOCATION_INIT;
}

int client_invoke(struct client *client, const Mayfly__V1__InvokeRequest *request,
		  int64_t timeout_us, struct client_invocation *ret, struct error *e)
{
	_cleanup_rpc_answer_ struct rpc_answer answer = RPC_ANSWER_INIT;
	_cleanup_free_ void *copy = NULL;
	const ProtobufCMessage *complete = client_complete(client, &request->base, &copy);

	int r = rpc_channel_call(client->channel, &mayfly__v1__invoke_service__descriptor, "Invoke",
				 complete, timeout_us, &answer, e);
	*ret = (struct client_invocation){
		.response = (Mayfly__V1__InvokeResponse *)TAKE_PTR(answer.message),
		.phases = decode_phases(&answer),
		.sent_us = answer.sent_us,
		.received_us = answer.received_us,
	};
	return r;
}

int client_invoke_stream(struct client *client, const Mayfly__V1__InvokeRequest *request,
			 int64_t timeout_us, struct client_stream **ret, struct error *e)
{
	return client_stream_open(client, &mayfly__v1__invoke_service__descriptor, "InvokeStream",
				  &request->base, timeout_us, ret, e);
}

int client_invoke_stream_next(struct client_stream *stream, Mayfly__V1__InvokeStreamResponse **ret,
			      struct error *e)
{
	return client_stream_next(stream, (ProtobufCMessage **)ret, e);
}

Mayfly__V1__Phases *client_stream_phases(const struct client_stream *stream)
{
	return decode_phases(rpc_stream_answer(stream->rpc));
}
