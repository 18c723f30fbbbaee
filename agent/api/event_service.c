/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/event_service.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/events/event_settings.h"
#include "agent/functions/destination.h"
#include "mayfly/v1/event.pb-c.h"

#define RETRIES_MAX      2
#define AGE_MIN_S        60
#define AGE_MAX_S        21600
#define PAGE_ITEMS       50

/* An optional field is there when its case is its number; protobuf-c's own names for that are
 * longer than a line. */
#define GIVEN_RETRIES    4 /* of PutEventInvokeConfigRequest */
#define GIVEN_AGE        5
#define ANSWERED_RETRIES 3 /* of EventInvokeConfig */
#define ANSWERED_AGE     4

struct event_service {
	struct directory *directory;
	struct event_queue *queue;
	const struct api_context *context;
	bool plain_webhooks;
};

/* One change until its answer. */
struct request {
	struct event_service *service;
	struct rpc_call *call;
	struct event_settings_key key;
};

/* -- names -- */

static int resolve(const struct event_service *service, const char *tenant, const char *name,
		   const char *qualifier, struct event_settings_key *ret, struct error *error)
{
	struct function_reference reference;
	const char *owner;
	int r = api_resolve_tenant(service->context, tenant, &owner, error);

	if (r < 0)
		return r;
	r = function_parse_reference(name, qualifier, service->context->region, owner, &reference,
				     error);
	if (r < 0)
		return r;
	*ret = (struct event_settings_key){ 0 };
	(void)snprintf(ret->tenant, sizeof(ret->tenant), "%s", owner);
	(void)snprintf(ret->function, sizeof(ret->function), "%s", reference.name);
	(void)snprintf(ret->qualifier, sizeof(ret->qualifier), "%s",
		       reference.has_qualifier ? reference.qualifier : FUNCTION_LATEST);
	return 0;
}

static char *arn_of(const struct event_service *service, const struct event_settings_key *key)
{
	return function_arn(service->context->region, key->tenant, key->function, key->qualifier);
}

/* What there is; a negative errno with `error`: nothing. */
static int find(const struct event_service *service, const struct event_settings_key *key,
		const struct event_settings **ret, struct error *error)
{
	_cleanup_free_ char *arn = NULL;

	*ret = event_settings_find(service->queue, key->tenant, key->function, key->qualifier);
	if (*ret)
		return 0;
	arn = arn_of(service, key);
	return error_set(error, ERROR_NOT_FOUND, "function_name",
			 "The function %s doesn't have an EventInvokeConfig", arn ? arn : "");
}

/* -- messages -- */

/* A configuration's message with what hangs on it. Encoded in place: it must not move. */
struct config_message {
	Mayfly__V1__EventInvokeConfig config;
	Mayfly__V1__DestinationConfig destinations;
	Mayfly__V1__OnSuccess on_success;
	Mayfly__V1__OnFailure on_failure;
};

static void fill_destinations(const struct event_settings *settings, struct config_message *to)
{
	mayfly__v1__destination_config__init(&to->destinations);
	mayfly__v1__on_success__init(&to->on_success);
	mayfly__v1__on_failure__init(&to->on_failure);
	to->on_success.destination = (char *)(uintptr_t)settings->on_success;
	to->on_failure.destination = (char *)(uintptr_t)settings->on_failure;
	to->destinations.on_success = &to->on_success;
	to->destinations.on_failure = &to->on_failure;
	to->config.destination_config = &to->destinations;
}

/* The caller frees to->config.function_arn. */
static int fill(const struct event_service *service, const struct event_settings_key *key,
		const struct event_settings *settings, struct config_message *to,
		struct error *error)
{
	Mayfly__V1__EventInvokeConfig *message = &to->config;
	char *arn = arn_of(service, key);

	if (!arn)
		return error_set_errno(error, ENOMEM, "Cannot answer");
	mayfly__v1__event_invoke_config__init(message);
	message->function_arn = arn;
	message->last_modified_us = settings->modified_us;
	if (settings->has_max_retries) {
		message->_maximum_retry_attempts_case = ANSWERED_RETRIES;
		message->maximum_retry_attempts = settings->max_retries;
	}
	if (settings->has_max_age) {
		message->_maximum_event_age_in_seconds_case = ANSWERED_AGE;
		message->maximum_event_age_in_seconds = settings->max_age_s;
	}
	fill_destinations(settings, to);
	return 0;
}

static void reply(const struct event_service *service, struct rpc_call *call,
		  const struct event_settings_key *key, const struct event_settings *settings)
{
	struct config_message message;
	_cleanup_error_ struct error error = ERROR_INIT;

	if (fill(service, key, settings, &message, &error) < 0) {
		rpc_call_fail(call, &error);
		return;
	}
	rpc_call_reply(call, &message.config.base);
	free(message.config.function_arn);
}

static int check_range(unsigned value, unsigned min, unsigned max, const char *field,
		       const char *member, struct error *error)
{
	if (value >= min && value <= max)
		return 0;
	return error_set(error, ERROR_INVALID_PARAMETER, field,
			 "1 validation error detected: Value '%u' at '%s' failed to satisfy "
			 "constraint: Member must have value %s than or equal to %u",
			 value, member, value < min ? "greater" : "less", value < min ? min : max);
}

/* -- destinations -- */

static int refuse_destination(const char *text, struct error *error)
{
	return error_set(error, ERROR_INVALID_PARAMETER, "destination_config",
			 "The destination ARN %.256s%s is invalid.", text,
			 strnlen(text, 257) > 256 ? "..." : "");
}

/* A function must be there, and be another one. */
static int check_function(const struct event_service *service, const struct event_settings_key *key,
			  const char *text, const struct destination *destination,
			  struct error *error)
{
	if (strcmp(destination->name, key->function) == 0)
		return error_set(error, ERROR_INVALID_PARAMETER, "destination_config",
				 "You can't specify the function as a destination for itself.");
	if (!directory_find_qualified(service->directory, key->tenant, destination->name,
				      destination->qualifier[0] ? destination->qualifier
								: FUNCTION_LATEST))
		return refuse_destination(text, error);
	return 0;
}

static int take_destination(const struct event_service *service,
			    const struct event_settings_key *key, const char *text,
			    char to[EVENT_TARGET_BYTES], struct error *error)
{
	struct destination destination = { .kind = DESTINATION_QUEUE };
	int r = 0;

	if (text[0] &&
	    destination_parse(text, service->context->region, key->tenant, &destination) < 0)
		return refuse_destination(text, error);
	if (destination.kind == DESTINATION_FUNCTION)
		r = check_function(service, key, text, &destination, error);
	if (destination.is_plain && !service->plain_webhooks)
		r = error_set(error, ERROR_INVALID_PARAMETER, "destination_config",
			      "A webhook needs https:// on this node, whose "
			      "events.webhook_allow_plain is off.");
	if (r < 0)
		return r;
	(void)snprintf(to, EVENT_TARGET_BYTES, "%s", text);
	return 0;
}

static bool has_destination(const Mayfly__V1__DestinationConfig *config)
{
	return config && (config->on_success || config->on_failure);
}

static int take_destinations(const struct event_service *service,
			     const struct event_settings_key *key,
			     const Mayfly__V1__DestinationConfig *config,
			     struct event_settings *settings, struct error *error)
{
	int r = 0;

	/* One setting, as in Lambda: who names one destination has no other from then on. */
	if (has_destination(config))
		settings->on_success[0] = settings->on_failure[0] = 0;
	if (config && config->on_success)
		r = take_destination(service, key, config->on_success->destination,
				     settings->on_success, error);
	if (r == 0 && config && config->on_failure)
		r = take_destination(service, key, config->on_failure->destination,
				     settings->on_failure, error);
	return r;
}

/* Into what is in *settings. */
static int decode(const Mayfly__V1__PutEventInvokeConfigRequest *message,
		  struct event_settings *settings, struct error *error)
{
	bool has_retries = message->_maximum_retry_attempts_case == GIVEN_RETRIES;
	bool has_age = message->_maximum_event_age_in_seconds_case == GIVEN_AGE;
	int r = 0;

	if (!has_retries && !has_age && !has_destination(message->destination_config))
		return error_set(error, ERROR_INVALID_PARAMETER, NULL,
				 "You must specify at least one of error handling or destination "
				 "setting.");
	if (has_retries)
		r = check_range(message->maximum_retry_attempts, 0, RETRIES_MAX,
				"maximum_retry_attempts", "maximumRetryAttempts", error);
	if (r == 0 && has_age)
		r = check_range(message->maximum_event_age_in_seconds, AGE_MIN_S, AGE_MAX_S,
				"maximum_event_age_in_seconds", "maximumEventAgeInSeconds", error);
	if (r < 0)
		return r;
	if (has_retries) {
		settings->has_max_retries = true;
		settings->max_retries = message->maximum_retry_attempts;
	}
	if (has_age) {
		settings->has_max_age = true;
		settings->max_age_s = message->maximum_event_age_in_seconds;
	}
	return 0;
}

/* -- Put and Update -- */

static void on_changed(const struct event_settings *settings, const struct error *error, void *arg)
{
	_cleanup_free_ struct request *request = arg;

	if (error)
		rpc_call_fail(request->call, error);
	else
		reply(request->service, request->call, &request->key, settings);
}

static int prepare(struct event_service *service, struct rpc_call *call,
		   const Mayfly__V1__PutEventInvokeConfigRequest *message, bool is_update,
		   struct event_settings *ret, struct request *request, struct error *error)
{
	const struct event_settings_key *key = &request->key;
	const struct event_settings *now;
	int r = resolve(service, message->tenant, message->function_name, message->qualifier,
			&request->key, error);

	if (r < 0)
		return r;
	request->service = service;
	request->call = call;
	*ret = (struct event_settings){ 0 };
	if (!directory_find_qualified(service->directory, key->tenant, key->function,
				      key->qualifier))
		return error_set(error, ERROR_NOT_FOUND, "function_name",
				 "The function doesn't exist.");
	if (is_update) {
		r = find(service, key, &now, error);
		if (r < 0)
			return r;
		*ret = *now;
	}
	r = decode(message, ret, error);
	return r < 0 ? r : take_destinations(service, key, message->destination_config, ret, error);
}

static void change(struct event_service *service, struct rpc_call *call,
		   const ProtobufCMessage *message, bool is_update)
{
	_cleanup_free_ struct request *request = calloc(1, sizeof(*request));
	_cleanup_error_ struct error error = ERROR_INIT;
	struct event_settings settings;
	int r;

	r = request ? prepare(service, call,
			      (const Mayfly__V1__PutEventInvokeConfigRequest *)message, is_update,
			      &settings, request, &error)
		    : error_set_errno(&error, ENOMEM, "Cannot take the request");
	if (r == 0)
		r = event_settings_put(service->queue, &request->key, &settings, on_changed,
				       request, &error);
	if (r < 0)
		rpc_call_fail(call, &error);
	else
		(void)TAKE_PTR(request);
}

static void on_put(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	change(user, call, message, false);
}

static void on_update(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	change(user, call, message, true);
}

/* -- Get and Delete -- */

static int look_up(struct event_service *service, const ProtobufCMessage *message,
		   struct event_settings_key *ret_key, const struct event_settings **ret,
		   struct error *error)
{
	const Mayfly__V1__GetEventInvokeConfigRequest *request =
		(const Mayfly__V1__GetEventInvokeConfigRequest *)message;
	int r = resolve(service, request->tenant, request->function_name, request->qualifier,
			ret_key, error);

	return r < 0 ? r : find(service, ret_key, ret, error);
}

static void on_get(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	struct event_service *service = user;
	const struct event_settings *settings;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct event_settings_key key;

	if (look_up(service, message, &key, &settings, &error) < 0)
		rpc_call_fail(call, &error);
	else
		reply(service, call, &key, settings);
}

static void on_deleted(const struct event_settings *settings _unused_, const struct error *error,
		       void *arg)
{
	Mayfly__V1__DeleteEventInvokeConfigResponse response =
		MAYFLY__V1__DELETE_EVENT_INVOKE_CONFIG_RESPONSE__INIT;

	if (error)
		rpc_call_fail(arg, error);
	else
		rpc_call_reply(arg, &response.base);
}

static void on_delete(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	struct event_service *service = user;
	const struct event_settings *settings;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct event_settings_key key;
	int r = look_up(service, message, &key, &settings, &error);

	if (r == 0)
		r = event_settings_delete(service->queue, &key, on_deleted, call, &error);
	if (r < 0)
		rpc_call_fail(call, &error);
}

/* -- List -- */

struct page {
	const char *after;
	size_t max;
	size_t count;
	bool more;
	struct {
		const char *qualifier;
		const struct event_settings *settings;
	} items[PAGE_ITEMS];
};

/* Keeps the first of those after the marker, in order. */
static void offer(const char *qualifier, const struct event_settings *settings, void *arg)
{
	struct page *page = arg;
	size_t at = page->count;

	if (strcmp(qualifier, page->after) <= 0)
		return;
	while (at > 0 && strcmp(qualifier, page->items[at - 1].qualifier) < 0)
		at--;
	if (page->count == page->max) {
		page->more = true;
		if (at == page->max)
			return;
		page->count--;
	}
	memmove(&page->items[at + 1], &page->items[at],
		(page->count - at) * sizeof(page->items[0]));
	page->items[at].qualifier = qualifier;
	page->items[at].settings = settings;
	page->count++;
}

static void send_page(const struct event_service *service, struct rpc_call *call,
		      const struct page *page, struct event_settings_key *key)
{
	Mayfly__V1__ListEventInvokeConfigsResponse response =
		MAYFLY__V1__LIST_EVENT_INVOKE_CONFIGS_RESPONSE__INIT;
	_cleanup_free_ struct config_message *messages = calloc(PAGE_ITEMS, sizeof(*messages));
	Mayfly__V1__EventInvokeConfig *configs[PAGE_ITEMS];
	_cleanup_error_ struct error error = ERROR_INIT;
	int r = messages ? 0 : error_set_errno(&error, ENOMEM, "Cannot answer");

	for (size_t i = 0; i < page->count && r == 0; i++) {
		(void)snprintf(key->qualifier, sizeof(key->qualifier), "%s",
			       page->items[i].qualifier);
		r = fill(service, key, page->items[i].settings, &messages[i], &error);
		configs[i] = &messages[i].config;
		response.n_configs += r == 0;
	}
	response.configs = configs;
	if (page->more)
		response.next_marker = key->qualifier;
	if (r == 0)
		rpc_call_reply(call, &response.base);
	else
		rpc_call_fail(call, &error);
	for (size_t i = 0; i < response.n_configs; i++)
		free(messages[i].config.function_arn);
}

static int begin_list(const struct event_service *service,
		      const Mayfly__V1__ListEventInvokeConfigsRequest *message,
		      struct event_settings_key *ret, struct error *error)
{
	struct function_reference reference;
	const char *tenant;
	int r = api_resolve_tenant(service->context, message->tenant, &tenant, error);

	if (r == 0)
		r = api_parse_unqualified(service->context, message->function_name, tenant,
					  &reference, error);
	if (r == 0 && message->max_items > PAGE_ITEMS)
		r = check_range(message->max_items, 1, PAGE_ITEMS, "max_items", "maxItems", error);
	if (r < 0)
		return r;
	if (!directory_find(service->directory, tenant, reference.name))
		return directory_set_not_found(service->directory, tenant, reference.name, NULL,
					       error);
	*ret = (struct event_settings_key){ 0 };
	(void)snprintf(ret->tenant, sizeof(ret->tenant), "%s", tenant);
	(void)snprintf(ret->function, sizeof(ret->function), "%s", reference.name);
	return 0;
}

static void on_list(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Mayfly__V1__ListEventInvokeConfigsRequest *request =
		(const Mayfly__V1__ListEventInvokeConfigsRequest *)message;
	const struct event_service *service = user;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct page page = { .after = request->marker,
			     .max = request->max_items ? request->max_items : PAGE_ITEMS };
	struct event_settings_key key;

	if (begin_list(service, request, &key, &error) < 0) {
		rpc_call_fail(call, &error);
		return;
	}
	event_settings_each(service->queue, key.tenant, key.function, offer, &page);
	send_page(service, call, &page, &key);
}

/* -- the service -- */

static const struct rpc_method_handler handlers[] = {
	{ "PutEventInvokeConfig", on_put },    { "UpdateEventInvokeConfig", on_update },
	{ "GetEventInvokeConfig", on_get },    { "DeleteEventInvokeConfig", on_delete },
	{ "ListEventInvokeConfigs", on_list }, { NULL, NULL },
};

int event_service_register(struct rpc_server *server, struct directory *directory,
			   struct event_queue *queue, const struct api_context *context,
			   bool plain_webhooks, struct event_service **ret, struct error *error)
{
	struct event_service *service = calloc(1, sizeof(*service));
	int r;

	if (!service)
		return error_set_errno(error, ENOMEM, "Cannot serve settings of events");
	*service = (struct event_service){ directory, queue, context, plain_webhooks };
	r = rpc_server_add_service(server, &mayfly__v1__event_service__descriptor, handlers,
				   service, error);
	if (r < 0) {
		free(service);
		return r;
	}
	*ret = service;
	return 0;
}

struct event_service *event_service_free(struct event_service *service)
{
	free(service);
	return NULL;
}
