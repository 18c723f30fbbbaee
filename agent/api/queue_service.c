/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/queue_service.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/events/event_redrive.h"
#include "agent/functions/destination.h"
#include "mayfly/v1/queue.pb-c.h"

#define PAGE_ITEMS    50
#define PAGE_BYTES    (4ULL << 20)
#define REDRIVE_ITEMS 1000
#define ERROR_CODE    "200" /* of dead letters, as Lambda has it whatever happened */

struct queue_service {
	struct message_queues *queues;
	struct event_queue *events;
	const struct api_context *context;
};

/* One call until its answer. */
struct request {
	const struct queue_service *service;
	struct rpc_call *call;
	char tenant[TENANT_ID_DIGITS + 1];
	struct queue_filter filter;
};

/* -- what is asked -- */

static int check_marker(const char *marker, uint64_t *ret, struct error *error)
{
	size_t digits = strspn(marker, "0123456789");

	if (marker[digits] || digits > 18)
		return error_set(error, ERROR_INVALID_PARAMETER, "marker",
				 "The marker is not one that this service gave.");
	*ret = digits ? strtoull(marker, NULL, 10) : 0;
	return 0;
}

static int check_id(const char *id, struct queue_filter *ret, struct error *error)
{
	if (strlen(id) >= sizeof(ret->id))
		return error_set(error, ERROR_INVALID_PARAMETER, "message_id",
				 "A message id has %zu characters.", sizeof(ret->id) - 1);
	memcpy(ret->id, id, strlen(id) + 1);
	return 0;
}

/* `queue` NULL: none is asked for. */
static int make_request(const struct queue_service *service, struct rpc_call *call,
			const char *tenant, const char *queue, struct request **ret,
			struct error *error)
{
	_cleanup_free_ struct request *request = calloc(1, sizeof(*request));
	const char *owner;
	int r = request ? api_resolve_tenant(service->context, tenant, &owner, error)
			: error_set_errno(error, ENOMEM, "Cannot take the request");

	if (r < 0)
		return r;
	request->service = service;
	request->call = call;
	(void)snprintf(request->tenant, sizeof(request->tenant), "%s", owner);
	(void)snprintf(request->filter.tenant, sizeof(request->filter.tenant), "%s", owner);
	if (queue && destination_parse_queue(queue, service->context->region, owner,
					     request->filter.queue) < 0)
		return error_set(error, ERROR_INVALID_PARAMETER, "queue",
				 "A queue is named by 1 to %d letters, digits, - and _, or by "
				 "arn:aws:sqs:%s:%s:NAME.",
				 DESTINATION_QUEUE_MAX, service->context->region, owner);
	*ret = TAKE_PTR(request);
	return 0;
}

static void fail_memory(struct rpc_call *call)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	(void)error_set_errno(&error, ENOMEM, "Cannot answer");
	rpc_call_fail(call, &error);
}

/* -- ListQueues -- */

static void send_queues(const struct request *request, const struct queue_summary *list,
			size_t count)
{
	Mayfly__V1__ListQueuesResponse response = MAYFLY__V1__LIST_QUEUES_RESPONSE__INIT;
	_cleanup_free_ Mayfly__V1__Queue *messages = calloc(count + 1, sizeof(*messages));
	_cleanup_free_ Mayfly__V1__Queue **pointers = calloc(count + 1, sizeof(*pointers));
	bool whole = messages && pointers;

	for (size_t i = 0; i < count && whole; i++) {
		mayfly__v1__queue__init(&messages[i]);
		messages[i].name = (char *)(uintptr_t)list[i].name;
		messages[i].arn = destination_queue_arn(request->service->context->region,
							request->tenant, list[i].name);
		messages[i].messages = list[i].messages;
		messages[i].bytes = list[i].bytes;
		messages[i].oldest_us = list[i].oldest_us;
		pointers[i] = &messages[i];
		response.n_queues++;
		whole = messages[i].arn != NULL;
	}
	response.queues = pointers;
	if (whole)
		rpc_call_reply(request->call, &response.base);
	else
		fail_memory(request->call);
	for (size_t i = 0; i < response.n_queues; i++)
		free(messages[i].arn);
}

static void on_queues(const struct queue_summary *list, size_t count, const struct error *error,
		      void *arg)
{
	_cleanup_free_ struct request *request = arg;

	if (error)
		rpc_call_fail(request->call, error);
	else
		send_queues(request, list, count);
}

static void on_list_queues(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Mayfly__V1__ListQueuesRequest *asked = (const Mayfly__V1__ListQueuesRequest *)message;
	const struct queue_service *service = user;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct request *request;

	if (make_request(service, call, asked->tenant, NULL, &request, &error) < 0)
		rpc_call_fail(call, &error);
	else
		message_queues_list(service->queues, request->tenant, on_queues, request);
}

/* -- ListMessages -- */

/* The caller frees to->function_arn. */
static int encode(const struct request *request, const struct queue_message *from,
		  Mayfly__V1__Message *to)
{
	mayfly__v1__message__init(to);
	to->function_arn =
		function_arn(request->service->context->region, request->tenant, from->function,
			     from->qualifier[0] ? from->qualifier : FUNCTION_LATEST);
	to->message_id = (char *)(uintptr_t)from->id;
	to->sent_us = from->sent_us;
	to->request_id = (char *)(uintptr_t)from->request_id;
	to->condition = (char *)(uintptr_t)from->condition;
	to->body = (ProtobufCBinaryData){ .len = from->body.len,
					  .data = (uint8_t *)(uintptr_t)from->body.data };
	to->is_dead_letter = from->is_dead_letter;
	if (from->is_dead_letter)
		to->error_code = (char *)(uintptr_t)ERROR_CODE;
	to->error_message = (char *)(uintptr_t)from->error_message;
	return to->function_arn ? 0 : -ENOMEM;
}

static void send_messages(const struct request *request, const struct queue_message *list,
			  size_t count, bool more)
{
	Mayfly__V1__ListMessagesResponse response = MAYFLY__V1__LIST_MESSAGES_RESPONSE__INIT;
	Mayfly__V1__Message messages[PAGE_ITEMS], *pointers[PAGE_ITEMS];
	char marker[32] = "";
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++) {
		r = encode(request, &list[i], &messages[i]);
		pointers[i] = &messages[i];
		response.n_messages++;
	}
	if (more && count > 0)
		(void)snprintf(marker, sizeof(marker), "%" PRIu64, list[count - 1].sequence);
	response.messages = pointers;
	response.next_marker = marker;
	if (r == 0)
		rpc_call_reply(request->call, &response.base);
	else
		fail_memory(request->call);
	for (size_t i = 0; i < response.n_messages; i++)
		free(messages[i].function_arn);
}

static void on_messages(const struct queue_message *messages, size_t count, bool more,
			const struct error *error, void *arg)
{
	_cleanup_free_ struct request *request = arg;

	if (error)
		rpc_call_fail(request->call, error);
	else
		send_messages(request, messages, count, more);
}

static int check_items(unsigned given, unsigned max, struct error *error)
{
	if (given <= max)
		return 0;
	return error_set(error, ERROR_INVALID_PARAMETER, "max_items",
			 "1 validation error detected: Value '%u' at 'maxItems' failed to satisfy "
			 "constraint: Member must have value less than or equal to %u",
			 given, max);
}

static void on_list_messages(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Mayfly__V1__ListMessagesRequest *asked =
		(const Mayfly__V1__ListMessagesRequest *)message;
	const struct queue_service *service = user;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct request *request = NULL;
	int r = make_request(service, call, asked->tenant, asked->queue, &request, &error);

	if (r == 0)
		r = check_items(asked->max_items, PAGE_ITEMS, &error);
	if (r == 0)
		r = check_marker(asked->marker, &request->filter.after, &error);
	if (r < 0) {
		rpc_call_fail(call, &error);
		free(request);
		return;
	}
	message_queues_read(service->queues, &request->filter,
			    asked->max_items ? asked->max_items : PAGE_ITEMS, PAGE_BYTES,
			    on_messages, request);
}

/* -- Redrive -- */

static void on_redriven(const struct event_redrive_result *result, const struct error *error,
			void *arg)
{
	_cleanup_free_ struct request *request = arg;
	Mayfly__V1__RedriveResponse response = MAYFLY__V1__REDRIVE_RESPONSE__INIT;
	char marker[32] = "";

	if (error) {
		rpc_call_fail(request->call, error);
		return;
	}
	response.redriven = result->redriven;
	response.failed = result->failed;
	response.message = (char *)(uintptr_t)result->message;
	if (result->more && !request->filter.id[0])
		(void)snprintf(marker, sizeof(marker), "%" PRIu64, result->last_sequence);
	response.next_marker = marker;
	rpc_call_reply(request->call, &response.base);
}

static void on_redrive(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Mayfly__V1__RedriveRequest *asked = (const Mayfly__V1__RedriveRequest *)message;
	const struct queue_service *service = user;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct request *request = NULL;
	int r = make_request(service, call, asked->tenant, asked->queue, &request, &error);

	if (r == 0)
		r = check_items(asked->max_items, REDRIVE_ITEMS, &error);
	if (r == 0)
		r = check_marker(asked->marker, &request->filter.after, &error);
	if (r == 0)
		r = check_id(asked->message_id, &request->filter, &error);
	if (r == 0) {
		r = event_redrive(service->events, &request->filter,
				  asked->max_items ? asked->max_items : REDRIVE_ITEMS, on_redriven,
				  request);
		if (r < 0)
			(void)error_set_errno(&error, r, "Cannot take the request");
	}
	if (r < 0) {
		rpc_call_fail(call, &error);
		free(request);
	}
}

/* -- DeleteMessage and Purge -- */

static void on_message_deleted(uint64_t count, const struct error *error, void *arg)
{
	_cleanup_free_ struct request *request = arg;
	_cleanup_error_ struct error own = ERROR_INIT;
	Mayfly__V1__DeleteMessageResponse response = MAYFLY__V1__DELETE_MESSAGE_RESPONSE__INIT;

	if (!error && count == 0) {
		(void)error_set(&own, ERROR_NOT_FOUND, "message_id", "The queue has no message %s.",
				request->filter.id);
		error = &own;
	}
	if (error)
		rpc_call_fail(request->call, error);
	else
		rpc_call_reply(request->call, &response.base);
}

static void on_delete_message(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Mayfly__V1__DeleteMessageRequest *asked =
		(const Mayfly__V1__DeleteMessageRequest *)message;
	const struct queue_service *service = user;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct request *request = NULL;
	int r = make_request(service, call, asked->tenant, asked->queue, &request, &error);

	if (r == 0)
		r = check_id(asked->message_id, &request->filter, &error);
	/* Without one it would be every message. */
	if (r == 0 && !asked->message_id[0])
		r = error_set(&error, ERROR_INVALID_PARAMETER, "message_id",
			      "A message id is needed.");
	if (r < 0) {
		rpc_call_fail(call, &error);
		free(request);
		return;
	}
	message_queues_delete(service->queues, &request->filter, on_message_deleted, request);
}

static void on_purged(uint64_t count, const struct error *error, void *arg)
{
	_cleanup_free_ struct request *request = arg;
	Mayfly__V1__PurgeQueueResponse response = MAYFLY__V1__PURGE_QUEUE_RESPONSE__INIT;

	response.deleted = count;
	if (error)
		rpc_call_fail(request->call, error);
	else
		rpc_call_reply(request->call, &response.base);
}

static void on_purge(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Mayfly__V1__PurgeQueueRequest *asked = (const Mayfly__V1__PurgeQueueRequest *)message;
	const struct queue_service *service = user;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct request *request;

	if (make_request(service, call, asked->tenant, asked->queue, &request, &error) < 0)
		rpc_call_fail(call, &error);
	else
		message_queues_delete(service->queues, &request->filter, on_purged, request);
}

/* -- the service -- */

static const struct rpc_method_handler handlers[] = {
	{ "ListQueues", on_list_queues },
	{ "ListMessages", on_list_messages },
	{ "Redrive", on_redrive },
	{ "DeleteMessage", on_delete_message },
	{ "Purge", on_purge },
	{ NULL, NULL },
};

int queue_service_register(struct rpc_server *server, struct message_queues *queues,
			   struct event_queue *events, const struct api_context *context,
			   struct queue_service **ret, struct error *error)
{
	struct queue_service *service = calloc(1, sizeof(*service));
	int r;

	if (!service)
		return error_set_errno(error, ENOMEM, "Cannot serve queues");
	*service = (struct queue_service){ queues, events, context };
	r = rpc_server_add_service(server, &mayfly__v1__queue_service__descriptor, handlers,
				   service, error);
	if (r < 0) {
		free(service);
		return r;
	}
	*ret = service;
	return 0;
}

struct queue_service *queue_service_free(struct queue_service *service)
{
	free(service);
	return NULL;
}
