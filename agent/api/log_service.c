/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/log_service.h"

#include <errno.h>
#include <string.h>

#include "agent/api/log_tail.h"

struct log_service {
	struct log_service_config config;
	struct tail_list tails;
	bool stopped;
};

/* -- which group -- */

static int check_group_name(const char *name, struct error *error)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-/#";
	size_t len = strlen(name);

	if (len > LOG_GROUP_NAME_MAX)
		return error_set(error, ERROR_INVALID_PARAMETER, "log_group_name",
				 "1 validation error detected: Value '%.64s...' at 'logGroupName' "
				 "failed to satisfy constraint: Member must have length less than "
				 "or equal to %d",
				 name, LOG_GROUP_NAME_MAX);
	if (strspn(name, allowed) != len)
		return error_set(error, ERROR_INVALID_PARAMETER, "log_group_name",
				 "1 validation error detected: Value '%s' at 'logGroupName' failed "
				 "to satisfy constraint: Member must satisfy regular expression "
				 "pattern: [\\.\\-_/#A-Za-z0-9]+",
				 name);
	return 0;
}

/* The group a function writes to now. */
static int find_function_group(const struct log_service *service, const char *tenant,
			       const char *name, char out[LOG_GROUP_NAME_MAX + 1],
			       struct error *error)
{
	struct directory *directory = service->config.directory;
	struct function_reference reference;
	const struct function *function;
	int r;

	r = function_parse_reference(name, NULL, service->config.context->region, tenant,
				     &reference, error);
	if (r < 0)
		return r;
	function = directory_find(directory, tenant, reference.name);
	if (!function)
		return directory_set_not_found(directory, tenant, reference.name, NULL, error);
	log_group_name(function->name, function->config.log_group, out);
	return 0;
}

static int find_group(const struct log_service *service, const char *tenant, const char *function,
		      const char *group, char out[LOG_GROUP_NAME_MAX + 1], struct error *error)
{
	int r;

	if (!function[0] == !group[0])
		return error_set(error, ERROR_INVALID_PARAMETER, "function_name",
				 "One of function_name and log_group_name must be given, and not "
				 "both.");
	if (function[0])
		return find_function_group(service, tenant, function, out, error);
	r = check_group_name(group, error);
	if (r == 0)
		(void)snprintf(out, LOG_GROUP_NAME_MAX + 1, "%s", group);
	return r;
}

static int check_times(int64_t start_us, int64_t end_us, struct error *error)
{
	if (start_us < 0)
		return error_set(error, ERROR_INVALID_PARAMETER, "start_time_us",
				 "The start time must not be negative.");
	if (end_us < 0)
		return error_set(error, ERROR_INVALID_PARAMETER, "end_time_us",
				 "The end time must not be negative.");
	if (end_us > 0 && end_us < start_us)
		return error_set(error, ERROR_INVALID_PARAMETER, "end_time_us",
				 "The end time must not be before the start time.");
	return 0;
}

/* -- Get -- */

static void free_events(Mayfly__V1__LogEvent **events, size_t count)
{
	for (size_t i = 0; i < count; i++)
		mayfly__v1__log_event__free_unpacked(events[i], NULL);
	free(events);
}

static int reply_events(struct rpc_call *call, const struct log_read_result *result)
{
	Mayfly__V1__GetLogEventsResponse response = MAYFLY__V1__GET_LOG_EVENTS_RESPONSE__INIT;
	Mayfly__V1__LogEvent **events = calloc(result->count + 1, sizeof(*events));
	size_t count = 0;

	while (events && count < result->count) {
		events[count] = log_event_message(&result->events[count]);
		if (!events[count])
			break;
		count++;
	}
	if (!events || count < result->count) {
		free_events(events, count);
		return -ENOMEM;
	}
	response.events = events;
	response.n_events = count;
	response.next_token = (char *)(uintptr_t)result->next_token;
	rpc_call_reply(call, &response.base);
	free_events(events, count);
	return 0;
}

static void on_read(const struct log_read_result *result, void *arg)
{
	struct rpc_call *call = arg;
	_cleanup_error_ struct error error = ERROR_INIT;

	if (result->error) {
		rpc_call_fail(call, result->error);
		return;
	}
	if (reply_events(call, result) < 0) {
		(void)error_set_errno(&error, ENOMEM, "Cannot answer with log events");
		rpc_call_fail(call, &error);
	}
}

static int begin_get(struct log_service *service, struct rpc_call *call,
		     const Mayfly__V1__GetLogEventsRequest *message, struct error *error)
{
	char group[LOG_GROUP_NAME_MAX + 1];
	struct log_read_request request;
	const char *tenant;
	int r;

	r = api_resolve_tenant(service->config.context, message->tenant, &tenant, error);
	if (r == 0)
		r = find_group(service, tenant, message->function_name, message->log_group_name,
			       group, error);
	if (r == 0)
		r = check_times(message->start_time_us, message->end_time_us, error);
	if (r < 0)
		return r;
	if (message->limit > LOG_READ_MAX_EVENTS)
		return error_set(error, ERROR_INVALID_PARAMETER, "limit",
				 "1 validation error detected: Value '%u' at 'limit' failed to "
				 "satisfy constraint: Member must have value less than or equal "
				 "to %d",
				 message->limit, LOG_READ_MAX_EVENTS);
	request = (struct log_read_request){
		.tenant = tenant,
		.group = group,
		.stream = message->log_stream_name,
		.start_us = message->start_time_us,
		.end_us = message->end_time_us,
		.limit = message->limit,
		.token = message->next_token,
	};
	return log_store_read(service->config.logs, &request, on_read, call, error);
}

/* -- Tail -- */

static int check_tails(const struct log_service *service, struct error *error)
{
	if (service->stopped)
		return error_set(error, ERROR_UNAVAILABLE, NULL, "The node is stopping.");
	return 0;
}

static int begin_tail(struct log_service *service, struct rpc_call *call,
		      const Mayfly__V1__TailLogsRequest *message, struct error *error)
{
	char group[LOG_GROUP_NAME_MAX + 1];
	const char *tenant;
	int r;

	r = api_resolve_tenant(service->config.context, message->tenant, &tenant, error);
	if (r == 0)
		r = find_group(service, tenant, message->function_name, message->log_group_name,
			       group, error);
	if (r == 0)
		r = check_times(message->start_time_us, 0, error);
	if (r == 0)
		r = check_tails(service, error);
	if (r < 0)
		return r;
	const struct log_read_request request = { .tenant = tenant,
						  .group = group,
						  .stream = message->log_stream_name,
						  .start_us = message->start_time_us };
	return tail_start(service->config.logs, call, &request, &service->tails, error);
}

/* -- the service -- */

static void on_get(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	if (begin_get(user, call, (const Mayfly__V1__GetLogEventsRequest *)message, &error) < 0)
		rpc_call_fail(call, &error);
}

static void on_tail(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	if (begin_tail(user, call, (const Mayfly__V1__TailLogsRequest *)message, &error) < 0)
		rpc_call_fail(call, &error);
}

static const struct rpc_method_handler handlers[] = {
	{ "Get", on_get },
	{ "Tail", on_tail },
	{ NULL, NULL },
};

int log_service_register(struct rpc_server *server, const struct log_service_config *config,
			 struct log_service **ret, struct error *error)
{
	_cleanup_(log_service_free_p) struct log_service *service = calloc(1, sizeof(*service));
	int r;

	if (!service)
		return error_set_errno(error, ENOMEM, "Cannot serve logs");
	service->config = *config;
	LIST_INIT(&service->tails.tails);
	r = rpc_server_add_service(server, &mayfly__v1__log_service__descriptor, handlers, service,
				   error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(service);
	return 0;
}

void log_service_stop(struct log_service *service)
{
	service->stopped = true;
	tail_list_stop(&service->tails);
}

struct log_service *log_service_free(struct log_service *service)
{
	free(service);
	return NULL;
}
