/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/concurrency_internal.h"

#include <errno.h>
#include <string.h>

/* "Lambda quotas": of one deployment package. */
#define CODE_SIZE_ZIPPED   52428800
#define CODE_SIZE_UNZIPPED 262144000

/* An optional field is there when its case is its number; protobuf-c's own name for that is longer
 * than a line. */
#define RESERVED_IS_SET    1 /* of FunctionConcurrency */

/* One change until its answer. */
struct request {
	struct concurrency_service *service;
	struct rpc_call *call;
	const char *tenant;
	struct function_reference reference;
	unsigned reserved;
};

/* Reservations are of functions, not of their versions. */
static int resolve(struct concurrency_service *service, const char *tenant, const char *name,
		   struct request *ret, struct error *error)
{
	int r = api_resolve_tenant(service->context, tenant, &ret->tenant, error);

	if (r < 0)
		return r;
	return api_parse_unqualified(service->context, name, ret->tenant, &ret->reference, error);
}

static void fill(const struct concurrency_service *service, const struct function *function,
		 Mayfly__V1__FunctionConcurrency *message)
{
	if (function->has_reserved_concurrency)
		message->_reserved_concurrent_executions_case = RESERVED_IS_SET;
	message->reserved_concurrent_executions = function->reserved_concurrency;
	message->concurrent_executions =
		invoker_function_concurrency(service->invoker, function->tenant, function->name);
}

/* -- Put and Delete -- */

static void on_put_done(const struct function *function, const struct error *error, void *arg)
{
	_cleanup_free_ struct request *request = arg;
	Mayfly__V1__FunctionConcurrency response = MAYFLY__V1__FUNCTION_CONCURRENCY__INIT;

	if (error) {
		rpc_call_fail(request->call, error);
		return;
	}
	fill(request->service, function, &response);
	rpc_call_reply(request->call, &response.base);
}

static void on_delete_done(const struct function *function _unused_, const struct error *error,
			   void *arg)
{
	_cleanup_free_ struct request *request = arg;
	Mayfly__V1__DeleteFunctionConcurrencyResponse response =
		MAYFLY__V1__DELETE_FUNCTION_CONCURRENCY_RESPONSE__INIT;

	if (error)
		rpc_call_fail(request->call, error);
	else
		rpc_call_reply(request->call, &response.base);
}

/* `reserved` NULL: none from now on. */
static int begin_change(struct concurrency_service *service, struct rpc_call *call,
			const char *tenant, const char *name, const unsigned *reserved,
			struct error *error)
{
	_cleanup_free_ struct request *request = calloc(1, sizeof(*request));
	struct request *begun;
	int r;

	if (!request)
		return error_set_errno(error, ENOMEM, "Cannot take the request");
	request->service = service;
	request->call = call;
	r = resolve(service, tenant, name, request, error);
	if (r < 0)
		return r;
	request->reserved = reserved ? *reserved : 0;
	begun = TAKE_PTR(request);
	directory_set_reserved_concurrency(service->directory, begun->tenant, begun->reference.name,
					   reserved ? &begun->reserved : NULL,
					   reserved ? on_put_done : on_delete_done, begun);
	return 0;
}

static void on_put(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Mayfly__V1__PutFunctionConcurrencyRequest *request =
		(const Mayfly__V1__PutFunctionConcurrencyRequest *)message;
	_cleanup_error_ struct error error = ERROR_INIT;
	unsigned reserved = request->reserved_concurrent_executions;
	int r;

	if (!request->_reserved_concurrent_executions_case)
		r = error_set(&error, ERROR_INVALID_PARAMETER, "reserved_concurrent_executions",
			      "1 validation error detected: Value null at "
			      "'reservedConcurrentExecutions' failed to satisfy constraint: Member "
			      "must not be null");
	else
		r = begin_change(user, call, request->tenant, request->function_name, &reserved,
				 &error);
	if (r < 0)
		rpc_call_fail(call, &error);
}

static void on_delete(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Mayfly__V1__DeleteFunctionConcurrencyRequest *request =
		(const Mayfly__V1__DeleteFunctionConcurrencyRequest *)message;
	_cleanup_error_ struct error error = ERROR_INIT;

	if (begin_change(user, call, request->tenant, request->function_name, NULL, &error) < 0)
		rpc_call_fail(call, &error);
}

/* -- Get -- */

static int get(struct concurrency_service *service,
	       const Mayfly__V1__GetFunctionConcurrencyRequest *request,
	       Mayfly__V1__FunctionConcurrency *response, struct error *error)
{
	struct request resolved = { 0 };
	const struct function *function;
	int r = resolve(service, request->tenant, request->function_name, &resolved, error);

	if (r < 0)
		return r;
	function = directory_find(service->directory, resolved.tenant, resolved.reference.name);
	if (!function)
		return directory_set_not_found(service->directory, resolved.tenant,
					       resolved.reference.name, NULL, error);
	fill(service, function, response);
	return 0;
}

static void on_get(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	Mayfly__V1__FunctionConcurrency response = MAYFLY__V1__FUNCTION_CONCURRENCY__INIT;
	_cleanup_error_ struct error error = ERROR_INIT;

	if (get(user, (const Mayfly__V1__GetFunctionConcurrencyRequest *)message, &response,
		&error) < 0)
		rpc_call_fail(call, &error);
	else
		rpc_call_reply(call, &response.base);
}

/* -- GetAccountSettings -- */

struct function_sum {
	const char *tenant;
	uint64_t functions;
};

static void add_function(const struct function *function, void *arg)
{
	struct function_sum *sum = arg;

	sum->functions += function->version == 0 && strcmp(function->tenant, sum->tenant) == 0;
}

static void on_get_account_settings(struct rpc_call *call, const ProtobufCMessage *message,
				    void *user)
{
	const struct concurrency_service *service = user;
	Mayfly__V1__AccountSettings response = MAYFLY__V1__ACCOUNT_SETTINGS__INIT;
	Mayfly__V1__AccountLimit limit = MAYFLY__V1__ACCOUNT_LIMIT__INIT;
	Mayfly__V1__AccountUsage usage = MAYFLY__V1__ACCOUNT_USAGE__INIT;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct concurrency_usage now;
	struct function_sum sum = { 0 };

	if (api_resolve_tenant(service->context,
			       ((const Mayfly__V1__GetAccountSettingsRequest *)message)->tenant,
			       &sum.tenant, &error) < 0) {
		rpc_call_fail(call, &error);
		return;
	}
	directory_each(service->directory, add_function, &sum);
	invoker_tenant_concurrency(service->invoker, sum.tenant, &now);
	limit.concurrent_executions = now.limit;
	limit.unreserved_concurrent_executions =
		now.limit > now.reserved ? now.limit - now.reserved : 0;
	limit.code_size_zipped = CODE_SIZE_ZIPPED;
	limit.code_size_unzipped = CODE_SIZE_UNZIPPED;
	limit.total_code_size = directory_code_limit(service->directory, sum.tenant);
	usage.function_count = sum.functions;
	usage.total_code_size = directory_code_bytes(service->directory, sum.tenant);
	usage.concurrent_executions = now.in_use;
	usage.unreserved_concurrent_executions = now.unreserved_in_use;
	usage.throttles = now.throttles;
	response.limit = &limit;
	response.usage = &usage;
	rpc_call_reply(call, &response.base);
}

/* -- the service -- */

static const struct rpc_method_handler handlers[] = {
	{ "Put", on_put },
	{ "Get", on_get },
	{ "Delete", on_delete },
	{ "GetAccountSettings", on_get_account_settings },
	{ "PutProvisionedConcurrencyConfig", provisioned_on_put },
	{ "GetProvisionedConcurrencyConfig", provisioned_on_get },
	{ "DeleteProvisionedConcurrencyConfig", provisioned_on_delete },
	{ "ListProvisionedConcurrencyConfigs", provisioned_on_list },
	{ NULL, NULL },
};

int concurrency_service_register(struct rpc_server *server, struct directory *directory,
				 struct invoker *invoker, const struct api_context *context,
				 struct concurrency_service **ret, struct error *error)
{
	struct concurrency_service *service = calloc(1, sizeof(*service));
	int r;

	if (!service)
		return error_set_errno(error, ENOMEM, "Cannot serve concurrency");
	*service = (struct concurrency_service){ directory, invoker, context };
	r = rpc_server_add_service(server, &mayfly__v1__concurrency_service__descriptor, handlers,
				   service, error);
	if (r < 0) {
		free(service);
		return r;
	}
	*ret = service;
	return 0;
}

struct concurrency_service *concurrency_service_free(struct concurrency_service *service)
{
	free(service);
	return NULL;
}
