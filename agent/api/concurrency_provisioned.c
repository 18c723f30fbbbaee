/* SPDX-License-Identifier: Apache-2.0 */

/* Provisioned concurrency of versions and aliases. */

#include <errno.h>
#include <string.h>

#include "agent/api/concurrency_internal.h"

#define STATUS(name)                                                                               \
	MAYFLY__V1__PROVISIONED_CONCURRENCY_STATUS__PROVISIONED_CONCURRENCY_STATUS_##name
#define MAX_ITEMS 50

typedef Mayfly__V1__ProvisionedConcurrencyConfig config_message;

/* One request until its answer. */
struct request {
	struct concurrency_service *service;
	struct rpc_call *call;
	const char *tenant;
	struct function_reference reference;
	struct directory_provision_request command;
};

static int resolve(struct concurrency_service *service, const char *tenant, const char *name,
		   const char *qualifier, struct request *ret, struct error *error)
{
	int r = api_resolve_tenant(service->context, tenant, &ret->tenant, error);

	ret->service = service;
	if (r < 0)
		return r;
	return function_parse_reference(name, qualifier, service->context->region, ret->tenant,
					&ret->reference, error);
}

/* A published version or an alias; `text` says what is wrong with $LATEST. */
static int check_published(const struct request *request, const char *text, struct error *error)
{
	if (!request->reference.has_qualifier)
		return error_set(error, ERROR_INVALID_PARAMETER, "qualifier",
				 "1 validation error detected: Value null at 'qualifier' failed to "
				 "satisfy constraint: Member must not be null");
	if (strcmp(request->reference.qualifier, FUNCTION_LATEST) == 0)
		return error_set(error, ERROR_INVALID_PARAMETER, "qualifier", "%s", text);
	return 0;
}

#define UNPUBLISHED                                                                                \
	"Provisioned Concurrency Configs cannot be applied to unpublished function versions."
#define NOT_PUBLISHED "The function resource provided must be an alias or a published version."

/* -- encoding: what it points to must outlive the message -- */

static void set_status(const struct directory_provision *provision,
		       const struct pool_provision *pool, config_message *message)
{
	const struct function *version = provision->version;

	message->status = STATUS(IN_PROGRESS);
	if (pool->failure)
		message->status_reason = (char *)(uintptr_t)pool->failure;
	else if (version->state == FUNCTION_FAILED)
		message->status_reason =
			version->state_reason ? version->state_reason : (char *)(uintptr_t) "";
	if (pool->failure || version->state == FUNCTION_FAILED)
		message->status = STATUS(FAILED);
	else if (pool->available >= provision->provisioned)
		message->status = STATUS(READY);
}

/* The ARN is the caller's to free, and NULL without memory. */
static void encode(const struct request *request, const struct directory_provision *provision,
		   config_message *message)
{
	struct pool_provision pool;

	mayfly__v1__provisioned_concurrency_config__init(message);
	invoker_get_provision(request->service->invoker, provision->version, &pool);
	message->function_arn = function_arn(request->service->context->region, request->tenant,
					     request->reference.name, provision->qualifier);
	message->requested_provisioned_concurrent_executions = provision->provisioned;
	message->allocated_provisioned_concurrent_executions = pool.allocated;
	message->available_provisioned_concurrent_executions = pool.available;
	message->last_modified_us = provision->modified_us;
	set_status(provision, &pool, message);
}

static int refuse_memory(struct error *error)
{
	return error_set_errno(error, ENOMEM, "Cannot answer the request");
}

static void reply_config(struct rpc_call *call, const struct request *request,
			 const struct directory_provision *provision)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	config_message message;

	encode(request, provision, &message);
	if (!message.function_arn) {
		(void)refuse_memory(&error);
		rpc_call_fail(call, &error);
		return;
	}
	rpc_call_reply(call, &message.base);
	free(message.function_arn);
}

static int find(const struct request *request, struct directory_provision *ret, struct error *error)
{
	return directory_get_provision(request->service->directory, request->tenant,
				       request->reference.name, request->reference.qualifier, ret,
				       error);
}

/* -- Put and Delete -- */

static void on_put_done(const struct function *function _unused_, const struct error *error,
			void *arg)
{
	_cleanup_free_ struct request *request = arg;
	_cleanup_error_ struct error lost = ERROR_INIT;
	struct directory_provision provision;

	if (error)
		rpc_call_fail(request->call, error);
	else if (find(request, &provision, &lost) < 0)
		rpc_call_fail(request->call, &lost);
	else
		reply_config(request->call, request, &provision);
}

static void on_delete_done(const struct function *function _unused_, const struct error *error,
			   void *arg)
{
	_cleanup_free_ struct request *request = arg;
	Mayfly__V1__DeleteProvisionedConcurrencyConfigResponse response =
		MAYFLY__V1__DELETE_PROVISIONED_CONCURRENCY_CONFIG_RESPONSE__INIT;

	if (error)
		rpc_call_fail(request->call, error);
	else
		rpc_call_reply(request->call, &response.base);
}

static void change(struct rpc_call *call, struct request *request, unsigned provisioned)
{
	struct request *begun = malloc(sizeof(*begun));
	_cleanup_error_ struct error error = ERROR_INIT;

	if (!begun) {
		(void)refuse_memory(&error);
		rpc_call_fail(call, &error);
		return;
	}
	*begun = *request;
	begun->call = call;
	begun->command = (struct directory_provision_request){
		.tenant = begun->tenant,
		.name = begun->reference.name,
		.qualifier = begun->reference.qualifier,
		.provisioned = provisioned,
	};
	directory_set_provisioned(begun->service->directory, &begun->command,
				  provisioned > 0 ? on_put_done : on_delete_done, begun);
}

void provisioned_on_put(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Mayfly__V1__PutProvisionedConcurrencyConfigRequest *given =
		(const Mayfly__V1__PutProvisionedConcurrencyConfigRequest *)message;
	unsigned provisioned = given->provisioned_concurrent_executions;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct request request = { 0 };
	int r = resolve(user, given->tenant, given->function_name, given->qualifier, &request,
			&error);

	if (r == 0)
		r = check_published(&request, UNPUBLISHED, &error);
	if (r == 0 && provisioned == 0)
		r = error_set(&error, ERROR_INVALID_PARAMETER, "provisioned_concurrent_executions",
			      "1 validation error detected: Value '0' at "
			      "'provisionedConcurrentExecutions' failed to satisfy constraint: "
			      "Member must have value greater than or equal to 1");
	if (r < 0)
		rpc_call_fail(call, &error);
	else
		change(call, &request, provisioned);
}

void provisioned_on_delete(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Mayfly__V1__DeleteProvisionedConcurrencyConfigRequest *given =
		(const Mayfly__V1__DeleteProvisionedConcurrencyConfigRequest *)message;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct request request = { 0 };
	int r = resolve(user, given->tenant, given->function_name, given->qualifier, &request,
			&error);

	if (r == 0)
		r = check_published(&request, NOT_PUBLISHED, &error);
	if (r < 0)
		rpc_call_fail(call, &error);
	else
		change(call, &request, 0);
}

/* -- Get and List -- */

static int get(const struct request *request, struct directory_provision *ret, struct error *error)
{
	int r = check_published(request, NOT_PUBLISHED, error);

	if (r == 0)
		r = find(request, ret, error);
	if (r == 0 && ret->provisioned == 0)
		r = error_set(error, ERROR_PROVISIONED_NOT_FOUND, "qualifier",
			      "No Provisioned Concurrency Config found for this function");
	return r;
}

void provisioned_on_get(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Mayfly__V1__GetProvisionedConcurrencyConfigRequest *given =
		(const Mayfly__V1__GetProvisionedConcurrencyConfigRequest *)message;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct directory_provision provision;
	struct request request = { 0 };

	if (resolve(user, given->tenant, given->function_name, given->qualifier, &request, &error) <
		    0 ||
	    get(&request, &provision, &error) < 0)
		rpc_call_fail(call, &error);
	else
		reply_config(call, &request, &provision);
}

static int list(const struct request *request,
		const Mayfly__V1__ListProvisionedConcurrencyConfigsRequest *given,
		struct directory_provision_page *page, struct error *error)
{
	if (request->reference.has_qualifier)
		return error_set(error, ERROR_INVALID_PARAMETER, "function_name",
				 "The function is to be named without a version or an alias.");
	if (given->max_items > MAX_ITEMS)
		return error_set(error, ERROR_INVALID_PARAMETER, "max_items",
				 "1 validation error detected: Value '%u' at 'maxItems' failed to "
				 "satisfy constraint: Member must have value less than or equal to "
				 "%d",
				 given->max_items, MAX_ITEMS);
	return directory_list_provisions(request->service->directory, request->tenant,
					 request->reference.name, given->max_items, given->marker,
					 page, error);
}

void provisioned_on_list(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Mayfly__V1__ListProvisionedConcurrencyConfigsRequest *given =
		(const Mayfly__V1__ListProvisionedConcurrencyConfigsRequest *)message;
	Mayfly__V1__ListProvisionedConcurrencyConfigsResponse response =
		MAYFLY__V1__LIST_PROVISIONED_CONCURRENCY_CONFIGS_RESPONSE__INIT;
	_cleanup_error_ struct error error = ERROR_INIT;
	config_message configs[DIRECTORY_PAGE_ITEMS], *pointers[DIRECTORY_PAGE_ITEMS];
	struct directory_provision_page page = { 0 };
	struct request request = { 0 };
	int r = resolve(user, given->tenant, given->function_name, NULL, &request, &error);

	if (r == 0)
		r = list(&request, given, &page, &error);
	for (size_t i = 0; i < page.count; i++) {
		encode(&request, &page.items[i], &configs[i]);
		pointers[i] = &configs[i];
		if (!configs[i].function_arn)
			r = refuse_memory(&error);
	}
	response.provisioned_concurrency_configs = pointers;
	response.n_provisioned_concurrency_configs = page.count;
	response.next_marker = page.next_marker;
	if (r < 0)
		rpc_call_fail(call, &error);
	else
		rpc_call_reply(call, &response.base);
	for (size_t i = 0; i < page.count; i++)
		free(configs[i].function_arn);
}
