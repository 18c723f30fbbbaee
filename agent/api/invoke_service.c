/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/invoke_service.h"

#include <errno.h>

#include "agent/api/gate.h"
#include "agent/api/invoke_message.h"
#include "agent/api/invoke_stream.h"
#include "mayfly/log.h"

#define EVENT_TAKEN_STATUS 202

struct invoke_service {
	struct invoker *invoker; /* borrowed, as what follows */
	struct event_queue *queue;
	const struct api_context *context;
};

/* One Invoke call until its answer. */
struct request {
	struct rpc_call *call;
	struct invocation *invocation; /* weak; until on_done */
};

static void request_free(struct request *request)
{
	free(request);
}
DEFINE_CLEANUP(struct request, request_free)

static ProtobufCBinaryData bytes_of(struct slice slice)
{
	return (ProtobufCBinaryData){ .len = slice.len, .data = (uint8_t *)(uintptr_t)slice.data };
}

static void reply(struct rpc_call *call, const struct invoke_outcome *outcome,
		  const struct invocation_result *result)
{
	Mayfly__V1__InvokeResponse response = MAYFLY__V1__INVOKE_RESPONSE__INIT;

	response.status_code = result->status_code;
	response.request_id = (char *)(uintptr_t)outcome->request_id;
	response.executed_version = (char *)(uintptr_t)outcome->executed_version;
	if (result->function_error)
		response.function_error = (char *)(uintptr_t)result->function_error;
	response.payload = bytes_of(result->payload);
	response.log_result = bytes_of(result->log_result);
	rpc_call_reply(call, &response.base);
}

static void on_done(struct invocation *invocation, const struct invocation_result *result,
		    void *user)
{
	_cleanup_(request_free_p) struct request *request = user;
	struct invoke_outcome outcome;

	invoke_outcome_set(&outcome, invocation, result);
	invoke_outcome_send(&outcome, request->call);
	if (result->error)
		invoke_fail(request->call, result->error);
	else
		reply(request->call, &outcome, result);
}

static const struct invocation_events events = { .on_done = on_done };

static void on_cancelled(void *arg)
{
	struct request *request = arg;

	invocation_abandon(request->invocation);
}

static int decode_type(int type, enum invocation_type *ret, struct error *error)
{
	switch (type) {
	case MAYFLY__V1__INVOCATION_TYPE__INVOCATION_TYPE_UNSPECIFIED:
	case MAYFLY__V1__INVOCATION_TYPE__INVOCATION_TYPE_REQUEST_RESPONSE:
		*ret = INVOCATION_REQUEST_RESPONSE;
		return 0;
	case MAYFLY__V1__INVOCATION_TYPE__INVOCATION_TYPE_DRY_RUN:
		*ret = INVOCATION_DRY_RUN;
		return 0;
	case MAYFLY__V1__INVOCATION_TYPE__INVOCATION_TYPE_EVENT:
		*ret = INVOCATION_EVENT;
		return 0;
	default:
		return error_set(error, ERROR_INVALID_PARAMETER, "invocation_type",
				 "1 validation error detected: Value '%d' at 'invocationType' "
				 "failed to satisfy constraint: Member must satisfy enum value "
				 "set: [Event, RequestResponse, DryRun]",
				 type);
	}
}

static int decode_log_type(int type, bool *ret_tail, struct error *error)
{
	switch (type) {
	case MAYFLY__V1__LOG_TYPE__LOG_TYPE_UNSPECIFIED:
	case MAYFLY__V1__LOG_TYPE__LOG_TYPE_NONE:
		*ret_tail = false;
		return 0;
	case MAYFLY__V1__LOG_TYPE__LOG_TYPE_TAIL:
		*ret_tail = true;
		return 0;
	default:
		return error_set(error, ERROR_INVALID_PARAMETER, "log_type",
				 "1 validation error detected: Value '%d' at 'logType' failed to "
				 "satisfy constraint: Member must satisfy enum value set: "
				 "[None, Tail]",
				 type);
	}
}

static struct slice slice_of(ProtobufCBinaryData bytes)
{
	return slice_new(bytes.data, bytes.len);
}

/* The payload stays where it was received: the message lives until the call's final answer. */
static int decode(struct invoke_service *service, struct rpc_call *call,
		  const Mayfly__V1__InvokeRequest *message, struct invocation_request *ret,
		  struct error *error)
{
	int r;

	*ret = (struct invocation_request){
		.function_name = message->function_name,
		.qualifier = message->qualifier,
		.payload = slice_of(message->payload),
		.client_context = slice_of(message->client_context),
		.trace_id = message->trace_id,
		.end_tenant = message->tenant_id,
		.received_us = rpc_call_received_us(call),
		.deadline_us = rpc_call_deadline_us(call),
	};
	r = api_resolve_tenant(service->context, message->tenant, &ret->tenant, error);
	if (r < 0)
		return r;
	r = decode_type((int)message->invocation_type, &ret->type, error);
	if (r < 0)
		return r;
	r = decode_log_type((int)message->log_type, &ret->log_tail, error);
	if (gate_is_granted(call)) /* the log is its owner's */
		ret->log_tail = false;
	return r;
}

static void on_taken(const char *request_id, const struct error *error, void *arg)
{
	Mayfly__V1__InvokeResponse response = MAYFLY__V1__INVOKE_RESPONSE__INIT;
	struct rpc_call *call = arg;

	if (rpc_call_add_trailer(call, "mayfly-request-id", slice_from_string(request_id)) < 0)
		log_error("no room for trailing metadata mayfly-request-id");
	if (error) {
		invoke_fail(call, error);
		return;
	}
	response.status_code = EVENT_TAKEN_STATUS;
	response.request_id = (char *)(uintptr_t)request_id;
	rpc_call_reply(call, &response.base);
}

/* A caller who leaves does not take it back. */
static int take_event(struct invoke_service *service, struct rpc_call *call,
		      const struct invocation_request *request, struct error *error)
{
	int r = event_queue_submit(service->queue, request, on_taken, call);

	return r < 0 ? error_set_errno(error, r, "Cannot take the event") : 0;
}

static int begin_invoke(struct invoke_service *service, struct rpc_call *call,
			const Mayfly__V1__InvokeRequest *message, struct error *error)
{
	_cleanup_(request_free_p) struct request *request = NULL;
	struct invocation_request invocation;
	int r;

	r = decode(service, call, message, &invocation, error);
	if (r < 0)
		return r;
	if (invocation.type == INVOCATION_EVENT)
		return take_event(service, call, &invocation, error);
	request = calloc(1, sizeof(*request));
	if (!request)
		return error_set_errno(error, ENOMEM, "Cannot take the request");
	request->call = call;
	invocation.events = &events;
	invocation.user = request;
	r = invoker_submit(service->invoker, &invocation, &request->invocation);
	if (r < 0)
		return error_set_errno(error, r, "Cannot take the request");
	rpc_call_set_cancelled(call, on_cancelled, request);
	(void)TAKE_PTR(request);
	return 0;
}

static void on_invoke(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	if (begin_invoke(user, call, (const Mayfly__V1__InvokeRequest *)message, &error) < 0)
		invoke_fail(call, &error);
}

static void on_invoke_stream(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	struct invoke_service *service = user;
	struct invocation_request invocation;
	_cleanup_error_ struct error error = ERROR_INIT;
	int r;

	r = decode(service, call, (const Mayfly__V1__InvokeRequest *)message, &invocation, &error);
	if (r == 0 && invocation.type == INVOCATION_EVENT)
		r = error_set(&error, ERROR_INVALID_PARAMETER, "invocation_type",
			      "1 validation error detected: Value 'Event' at 'invocationType' "
			      "failed to satisfy constraint: Member must satisfy enum value set: "
			      "[RequestResponse, DryRun]");
	if (r == 0)
		r = invoke_stream_start(service->invoker, call, &invocation, &error);
	if (r < 0)
		invoke_fail(call, &error);
}

static const struct rpc_method_handler handlers[] = {
	{ "Invoke", on_invoke },
	{ "InvokeStream", on_invoke_stream },
	{ NULL, NULL },
};

int invoke_service_register(struct rpc_server *server, struct invoker *invoker,
			    struct event_queue *queue, const struct api_context *context,
			    struct invoke_service **ret, struct error *error)
{
	_cleanup_(invoke_service_free_p) struct invoke_service *service =
		calloc(1, sizeof(*service));
	int r;

	if (!service)
		return error_set_errno(error, ENOMEM, "Cannot serve invocations");
	service->invoker = invoker;
	service->queue = queue;
	service->context = context;
	r = rpc_server_add_service(server, &mayfly__v1__invoke_service__descriptor, handlers,
				   service, error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(service);
	return 0;
}

struct invoke_service *invoke_service_free(struct invoke_service *service)
{
	free(service);
	return NULL;
}
