/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/function_service.h"

#include <errno.h>
#include <string.h>

#include "agent/api/function_message.h"

struct function_service {
	struct directory *directory;
	const struct api_context *context;
};

/* One request until its answer. What the command borrows lives here and in the call. */
struct request {
	struct function_service *service;
	struct rpc_call *call;
	const char *tenant;
	struct function_reference reference;
	struct decoded_patch patch;
	union {
		struct directory_create_request create;
		struct directory_update_code_request code;
		struct directory_update_configuration_request configuration;
	};
};

static void request_free(struct request *request)
{
	decoded_patch_clear(&request->patch);
	free(request);
}
DEFINE_CLEANUP(struct request, request_free)

static int refuse_memory(struct error *error)
{
	return error_set_errno(error, ENOMEM, "Cannot take the request");
}

static void reply_function(struct function_service *service, struct rpc_call *call,
			   const struct function *function)
{
	_cleanup_(function_message_clear) struct function_message message;
	_cleanup_error_ struct error error = ERROR_INIT;

	if (function_message_encode(function, service->context->region, &message) < 0) {
		(void)refuse_memory(&error);
		rpc_call_fail(call, &error);
		return;
	}
	rpc_call_reply(call, &message.message.base);
}

static void answer_function(const struct function *function, const struct error *error, void *arg)
{
	_cleanup_(request_free_p) struct request *request = arg;

	if (error)
		rpc_call_fail(request->call, error);
	else
		reply_function(request->service, request->call, function);
}

static void answer_deleted(const struct function *function _unused_, const struct error *error,
			   void *arg)
{
	_cleanup_(request_free_p) struct request *request = arg;
	Mayfly__V1__DeleteFunctionResponse response = MAYFLY__V1__DELETE_FUNCTION_RESPONSE__INIT;

	if (error)
		rpc_call_fail(request->call, error);
	else
		rpc_call_reply(request->call, &response.base);
}

static int new_request(struct function_service *service, struct rpc_call *call, const char *tenant,
		       struct request **ret, struct error *error)
{
	_cleanup_(request_free_p) struct request *request = calloc(1, sizeof(*request));
	int r;

	if (!request)
		return refuse_memory(error);
	request->service = service;
	request->call = call;
	r = api_resolve_tenant(service->context, tenant, &request->tenant, error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(request);
	return 0;
}

static int parse_name(struct request *request, const char *text, const char *qualifier,
		      struct error *error)
{
	return function_parse_reference(text, qualifier, request->service->context->region,
					request->tenant, &request->reference, error);
}

/* Only the unpublished version can be changed. */
static int parse_unqualified_name(struct request *request, const char *text, struct error *error)
{
	int r = parse_name(request, text, NULL, error);

	if (r < 0)
		return r;
	if (request->reference.has_qualifier)
		return error_set(
			error, ERROR_INVALID_PARAMETER, "function_name",
			"This operation is permitted on Lambda functions only. Aliases and "
			"versions do not support this operation. Please specify either a "
			"function name or an unqualified function ARN.");
	return 0;
}

/* A request about the function of this name, which has no qualifier if that is NULL. */
static int new_request_for(struct function_service *service, struct rpc_call *call,
			   const char *tenant, const char *name, const char *qualifier,
			   struct request **ret, struct error *error)
{
	_cleanup_(request_free_p) struct request *request = NULL;
	int r;

	r = new_request(service, call, tenant, &request, error);
	if (r < 0)
		return r;
	r = qualifier ? parse_name(request, name, qualifier, error)
		      : parse_unqualified_name(request, name, error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(request);
	return 0;
}

static struct slice zip_slice(ProtobufCBinaryData zip)
{
	return slice_new(zip.data, zip.len);
}

static int begin_create(struct function_service *service, struct rpc_call *call,
			const Mayfly__V1__CreateFunctionRequest *message, struct error *error)
{
	_cleanup_(request_free_p) struct request *request = NULL;
	int r;

	r = new_request(service, call, message->tenant, &request, error);
	if (r < 0)
		return r;
	/* A plain name that is too long is told so; in a reference it would just not exist. */
	r = strchr(message->function_name, ':')
		    ? 0
		    : function_validate_name(message->function_name, error);
	if (r == 0)
		r = parse_unqualified_name(request, message->function_name, error);
	if (r < 0)
		return r;
	if (decode_create(message, &request->patch) < 0)
		return refuse_memory(error);
	request->create = (struct directory_create_request){
		.tenant = request->tenant,
		.name = request->reference.name,
		.config = request->patch.patch,
		.zip = zip_slice(message->zip_file),
	};
	directory_create(service->directory, &request->create, answer_function, request);
	(void)TAKE_PTR(request);
	return 0;
}

static int begin_update_code(struct function_service *service, struct rpc_call *call,
			     const Mayfly__V1__UpdateFunctionCodeRequest *message,
			     struct error *error)
{
	_cleanup_(request_free_p) struct request *request = NULL;
	int r;

	r = new_request_for(service, call, message->tenant, message->function_name, NULL, &request,
			    error);
	if (r < 0)
		return r;
	request->code = (struct directory_update_code_request){
		.tenant = request->tenant,
		.name = request->reference.name,
		.revision_id = message->revision_id,
		.zip = zip_slice(message->zip_file),
		.dry_run = message->dry_run,
	};
	directory_update_code(service->directory, &request->code, answer_function, request);
	(void)TAKE_PTR(request);
	return 0;
}

static int begin_update_configuration(struct function_service *service, struct rpc_call *call,
				      const Mayfly__V1__UpdateFunctionConfigurationRequest *message,
				      struct error *error)
{
	_cleanup_(request_free_p) struct request *request = NULL;
	int r;

	r = new_request_for(service, call, message->tenant, message->function_name, NULL, &request,
			    error);
	if (r < 0)
		return r;
	if (decode_update(message, &request->patch) < 0)
		return refuse_memory(error);
	request->configuration = (struct directory_update_configuration_request){
		.tenant = request->tenant,
		.name = request->reference.name,
		.revision_id = message->revision_id,
		.config = request->patch.patch,
	};
	directory_update_configuration(service->directory, &request->configuration, answer_function,
				       request);
	(void)TAKE_PTR(request);
	return 0;
}

static bool is_number(const char *text)
{
	return text[0] && strspn(text, "0123456789") == strlen(text);
}

/* Deleting a version that is not there succeeds, as long as the function is. */
static int check_deletable(struct request *request, bool *ret_done, struct error *error)
{
	const char *qualifier = request->reference.qualifier;
	struct directory *directory = request->service->directory;

	*ret_done = false;
	if (!request->reference.has_qualifier)
		return 0;
	if (strcmp(qualifier, FUNCTION_LATEST) == 0)
		return error_set(
			error, ERROR_INVALID_PARAMETER, "qualifier",
			"$LATEST version cannot be deleted without deleting the function.");
	if (!is_number(qualifier))
		return error_set(error, ERROR_INVALID_PARAMETER, "qualifier",
				 "Deletion of aliases is not currently supported.");
	*ret_done = true;
	if (directory_find(directory, request->tenant, request->reference.name))
		return 0;
	return directory_set_not_found(directory, request->tenant, request->reference.name, NULL,
				       error);
}

static int begin_delete(struct function_service *service, struct rpc_call *call,
			const Mayfly__V1__DeleteFunctionRequest *message, struct error *error)
{
	_cleanup_(request_free_p) struct request *request = NULL;
	bool done;
	int r;

	r = new_request_for(service, call, message->tenant, message->function_name,
			    message->qualifier, &request, error);
	if (r < 0)
		return r;
	r = check_deletable(request, &done, error);
	if (r < 0)
		return r;
	if (done)
		answer_deleted(NULL, NULL, request);
	else
		directory_delete(service->directory, request->tenant, request->reference.name,
				 answer_deleted, request);
	(void)TAKE_PTR(request);
	return 0;
}

static int reply_get(struct function_service *service, struct rpc_call *call,
		     const Mayfly__V1__GetFunctionRequest *message, struct error *error)
{
	_cleanup_(request_free_p) struct request *request = NULL;
	const struct function *function;
	const char *qualifier;
	int r;

	r = new_request_for(service, call, message->tenant, message->function_name,
			    message->qualifier, &request, error);
	if (r < 0)
		return r;
	qualifier = request->reference.qualifier;
	function = directory_find(service->directory, request->tenant, request->reference.name);
	if (!function || (qualifier[0] && strcmp(qualifier, FUNCTION_LATEST) != 0))
		return directory_set_not_found(service->directory, request->tenant,
					       request->reference.name, qualifier, error);
	reply_function(service, call, function);
	return 0;
}

static void reply_page(struct function_service *service, struct rpc_call *call,
		       struct directory_page *page, struct error *error)
{
	struct function_message messages[DIRECTORY_PAGE_ITEMS] = { 0 };
	Mayfly__V1__Function *pointers[DIRECTORY_PAGE_ITEMS];
	Mayfly__V1__ListFunctionsResponse response = MAYFLY__V1__LIST_FUNCTIONS_RESPONSE__INIT;
	int r = 0;

	for (size_t i = 0; i < page->count && r == 0; i++) {
		r = function_message_encode(page->functions[i], service->context->region,
					    &messages[i]);
		pointers[i] = &messages[i].message;
	}
	response.functions = pointers;
	response.n_functions = page->count;
	response.next_marker = page->next_marker;
	if (r == 0)
		rpc_call_reply(call, &response.base);
	else
		(void)refuse_memory(error);
	for (size_t i = 0; i < page->count; i++)
		function_message_clear(&messages[i]);
}

static int reply_list(struct function_service *service, struct rpc_call *call,
		      const Mayfly__V1__ListFunctionsRequest *message, struct error *error)
{
	struct directory_page page;
	const char *tenant;
	int r;

	r = api_resolve_tenant(service->context, message->tenant, &tenant, error);
	if (r < 0)
		return r;
	r = directory_list(service->directory, tenant, message->max_items, message->marker, &page,
			   error);
	if (r < 0)
		return r;
	reply_page(service, call, &page, error);
	return error->code ? -ENOMEM : 0;
}

/* Each handler of the table: the typed request to its step, a refusal to the caller. */
#define HANDLER(name, step, type)                                                                  \
	static void name(struct rpc_call *call, const ProtobufCMessage *message, void *user)       \
	{                                                                                          \
		_cleanup_error_ struct error error = ERROR_INIT;                                   \
                                                                                                   \
		if (step(user, call, (const type *)message, &error) < 0)                           \
			rpc_call_fail(call, &error);                                               \
	}

HANDLER(on_create, begin_create, Mayfly__V1__CreateFunctionRequest)
HANDLER(on_get, reply_get, Mayfly__V1__GetFunctionRequest)
HANDLER(on_list, reply_list, Mayfly__V1__ListFunctionsRequest)
HANDLER(on_update_code, begin_update_code, Mayfly__V1__UpdateFunctionCodeRequest)
HANDLER(on_update_configuration, begin_update_configuration,
	Mayfly__V1__UpdateFunctionConfigurationRequest)
HANDLER(on_delete, begin_delete, Mayfly__V1__DeleteFunctionRequest)

static const struct rpc_method_handler handlers[] = {
	{ "Create", on_create },
	{ "Get", on_get },
	{ "List", on_list },
	{ "UpdateCode", on_update_code },
	{ "UpdateConfiguration", on_update_configuration },
	{ "Delete", on_delete },
	{ NULL, NULL },
};

int function_service_register(struct rpc_server *server, struct directory *directory,
			      const struct api_context *context, struct function_service **ret,
			      struct error *error)
{
	struct function_service *service = calloc(1, sizeof(*service));
	int r;

	if (!service)
		return error_set_errno(error, ENOMEM, "Cannot serve functions");
	service->directory = directory;
	service->context = context;
	r = rpc_server_add_service(server, &mayfly__v1__function_service__descriptor, handlers,
				   service, error);
	if (r < 0) {
		free(service);
		return r;
	}
	*ret = service;
	return 0;
}

struct function_service *function_service_free(struct function_service *service)
{
	free(service);
	return NULL;
}
