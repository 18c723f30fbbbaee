/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/policy_service.h"

#include <errno.h>
#include <string.h>

#include "agent/deploy/policy_directory.h"
#include "mayfly/v1/policy.pb-c.h"

struct policy_service {
	struct directory *directory;
	const struct api_context *context;
};

/* One change until its answer. What the command borrows lives here and in the call. */
struct request {
	struct policy_service *service;
	struct rpc_call *call;
	struct function_reference reference;
	struct directory_permission command;
};

static void request_free(struct request *request)
{
	free(request);
}
DEFINE_CLEANUP(struct request, request_free)

/* -- changes -- */

static int new_request(struct policy_service *service, struct rpc_call *call,
		       const char *given_tenant, const char *name, const char *qualifier,
		       struct request **ret, struct error *error)
{
	_cleanup_(request_free_p) struct request *request = calloc(1, sizeof(*request));
	const char *tenant;
	int r;

	if (!request)
		return api_refuse_memory(error);
	r = api_resolve_tenant(service->context, given_tenant, &tenant, error);
	if (r == 0)
		r = function_parse_reference(name, qualifier, service->context->region, tenant,
					     &request->reference, error);
	if (r < 0)
		return r;
	request->service = service;
	request->call = call;
	request->command.tenant = tenant;
	request->command.function_name = request->reference.name;
	request->command.qualifier = request->reference.qualifier;
	*ret = TAKE_PTR(request);
	return 0;
}

static char *arn_of(const struct request *request)
{
	return function_arn(request->service->context->region, request->command.tenant,
			    request->command.function_name, request->command.qualifier);
}

static int reply_added(const struct request *request, struct error *error)
{
	Mayfly__V1__AddPermissionResponse response = MAYFLY__V1__ADD_PERMISSION_RESPONSE__INIT;
	const struct directory_permission *command = &request->command;
	_cleanup_free_ char *arn = arn_of(request), *json = NULL;
	const struct policy_statement *statement = NULL;
	const struct policy *policy;
	const char *revision_id;

	if (directory_find_policy(request->service->directory, command->tenant,
				  command->function_name, command->qualifier, &policy,
				  &revision_id))
		statement = policy_find(policy, command->statement.sid);
	if (statement && arn)
		json = policy_statement_json(statement, arn);
	if (!json)
		return api_refuse_memory(error);
	response.statement = json;
	rpc_call_reply(request->call, &response.base);
	return 0;
}

static void on_added(const struct function *function _unused_, const struct error *error, void *arg)
{
	_cleanup_(request_free_p) struct request *request = arg;
	_cleanup_error_ struct error own = ERROR_INIT;

	if (error)
		rpc_call_fail(request->call, error);
	else if (reply_added(request, &own) < 0)
		rpc_call_fail(request->call, &own);
}

static void on_removed(const struct function *function _unused_, const struct error *error,
		       void *arg)
{
	_cleanup_(request_free_p) struct request *request = arg;
	Mayfly__V1__RemovePermissionResponse response =
		MAYFLY__V1__REMOVE_PERMISSION_RESPONSE__INIT;

	if (error)
		rpc_call_fail(request->call, error);
	else
		rpc_call_reply(request->call, &response.base);
}

static int begin_add(struct policy_service *service, struct rpc_call *call,
		     const Mayfly__V1__AddPermissionRequest *message, struct error *error)
{
	_cleanup_(request_free_p) struct request *request = NULL;
	int r = new_request(service, call, message->tenant, message->function_name,
			    message->qualifier, &request, error);

	if (r < 0)
		return r;
	request->command.revision_id = message->revision_id;
	request->command.statement = (struct policy_request){
		.sid = message->statement_id,
		.action = message->action,
		.principal = message->principal,
		.source_arn = message->source_arn,
		.source_account = message->source_account,
		.event_source_token = message->event_source_token,
		.principal_org_id = message->principal_org_id,
		.function_url_auth_type = message->function_url_auth_type,
		.invoked_via_function_url = message->invoked_via_function_url,
	};
	directory_add_permission(service->directory, &request->command, on_added, request);
	(void)TAKE_PTR(request);
	return 0;
}

static int begin_remove(struct policy_service *service, struct rpc_call *call,
			const Mayfly__V1__RemovePermissionRequest *message, struct error *error)
{
	_cleanup_(request_free_p) struct request *request = NULL;
	int r = new_request(service, call, message->tenant, message->function_name,
			    message->qualifier, &request, error);

	if (r < 0)
		return r;
	request->command.revision_id = message->revision_id;
	request->command.statement.sid = message->statement_id;
	directory_remove_permission(service->directory, &request->command, on_removed, request);
	(void)TAKE_PTR(request);
	return 0;
}

/* -- GetPolicy -- */

static int reply_policy(const struct request *request, const struct policy *policy,
			const char *revision_id, struct error *error)
{
	Mayfly__V1__GetPolicyResponse response = MAYFLY__V1__GET_POLICY_RESPONSE__INIT;
	_cleanup_free_ char *arn = arn_of(request);
	_cleanup_free_ char *json = arn ? policy_json(policy, arn) : NULL;

	if (!json)
		return api_refuse_memory(error);
	response.policy = json;
	response.revision_id = (char *)(uintptr_t)revision_id;
	rpc_call_reply(request->call, &response.base);
	return 0;
}

static int begin_get(struct policy_service *service, struct rpc_call *call,
		     const Mayfly__V1__GetPolicyRequest *message, struct error *error)
{
	_cleanup_(request_free_p) struct request *request = NULL;
	const struct policy *policy;
	const char *revision_id;
	int r = new_request(service, call, message->tenant, message->function_name,
			    message->qualifier, &request, error);

	if (r < 0)
		return r;
	if (strcmp(request->reference.qualifier, FUNCTION_LATEST) == 0)
		request->reference.qualifier[0] = 0;
	if (!directory_find_policy(service->directory, request->command.tenant,
				   request->command.function_name, request->command.qualifier,
				   &policy, &revision_id) ||
	    !policy)
		return error_set(error, ERROR_NOT_FOUND, "function_name",
				 "The resource you requested does not exist.");
	return reply_policy(request, policy, revision_id, error);
}

API_HANDLER(on_add, begin_add, Mayfly__V1__AddPermissionRequest)
API_HANDLER(on_remove, begin_remove, Mayfly__V1__RemovePermissionRequest)
API_HANDLER(on_get, begin_get, Mayfly__V1__GetPolicyRequest)

static const struct rpc_method_handler handlers[] = {
	{ "AddPermission", on_add },
	{ "RemovePermission", on_remove },
	{ "GetPolicy", on_get },
	{ NULL, NULL },
};

int policy_service_register(struct rpc_server *server, struct directory *directory,
			    const struct api_context *context, struct policy_service **ret,
			    struct error *error)
{
	_cleanup_(policy_service_free_p) struct policy_service *service =
		calloc(1, sizeof(*service));
	int r;

	if (!service)
		return error_set_errno(error, ENOMEM, "Cannot serve policies");
	service->directory = directory;
	service->context = context;
	r = rpc_server_add_service(server, &mayfly__v1__policy_service__descriptor, handlers,
				   service, error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(service);
	return 0;
}

struct policy_service *policy_service_free(struct policy_service *service)
{
	free(service);
	return NULL;
}
