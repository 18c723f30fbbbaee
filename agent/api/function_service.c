/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/function_service.h"

#include <errno.h>
#include <string.h>

#include "agent/api/function_message.h"

#define ALL_VERSIONS "ALL" /* of ListFunctions */
#define SHOWN_BYTES  64    /* of a value in a message */

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
		struct directory_publish_request publish;
	};
};

static void request_free(struct request *request)
{
	decoded_patch_clear(&request->patch);
	free(request);
}
DEFINE_CLEANUP(struct request, request_free)

static void reply_with(struct function_service *service, struct rpc_call *call,
		       const struct function *function, const char *qualifier, bool with_tags)
{
	_cleanup_(function_message_clear) struct function_message message;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct function_tags tags;

	if (function_message_encode(function, service->context->region, qualifier, &message) < 0) {
		(void)api_refuse_memory(&error);
		rpc_call_fail(call, &error);
		return;
	}
	if (with_tags)
		function_message_add_tags(function, &tags, &message);
	rpc_call_reply(call, &message.message.base);
}

static void reply_function(struct function_service *service, struct rpc_call *call,
			   const struct function *function, const char *qualifier)
{
	reply_with(service, call, function, qualifier, false);
}

/* A version has the ARN that leads to it, but for one that came with its function, as in Lambda. */
static void answer_version(const struct function *function, const struct error *error, void *arg)
{
	_cleanup_(request_free_p) struct request *request = arg;
	char version[FUNCTION_VERSION_BYTES] = "";

	if (error) {
		rpc_call_fail(request->call, error);
		return;
	}
	if (function->version)
		function_version_name(function->version, version);
	reply_function(request->service, request->call, function, version);
}

static void answer_function(const struct function *function, const struct error *error, void *arg)
{
	_cleanup_(request_free_p) struct request *request = arg;

	if (error)
		rpc_call_fail(request->call, error);
	else
		reply_function(request->service, request->call, function, "");
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
		return api_refuse_memory(error);
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
	return api_parse_unqualified(request->service->context, text, request->tenant,
				     &request->reference, error);
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
		return api_refuse_memory(error);
	r = tags_validate(request->patch.tags, request->patch.tag_count, error);
	if (r < 0)
		return r;
	request->create = (struct directory_create_request){
		.tenant = request->tenant,
		.name = request->reference.name,
		.config = request->patch.patch,
		.tags = request->patch.tags,
		.tag_count = request->patch.tag_count,
		.zip = zip_slice(message->zip_file),
		.publish = message->publish,
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
		.publish = message->publish,
	};
	directory_update_code(service->directory, &request->code, answer_version, request);
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
		return api_refuse_memory(error);
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

static int begin_publish(struct function_service *service, struct rpc_call *call,
			 const Mayfly__V1__PublishVersionRequest *message, struct error *error)
{
	_cleanup_(request_free_p) struct request *request = NULL;
	int r;

	r = new_request_for(service, call, message->tenant, message->function_name, NULL, &request,
			    error);
	if (r < 0)
		return r;
	request->publish = (struct directory_publish_request){
		.tenant = request->tenant,
		.name = request->reference.name,
		.code_sha256 = message->code_sha256,
		.description = message->description,
		.revision_id = message->revision_id,
	};
	directory_publish(service->directory, &request->publish, answer_version, request);
	(void)TAKE_PTR(request);
	return 0;
}

static bool is_number(const char *text)
{
	return text[0] && strspn(text, "0123456789") == strlen(text);
}

/* *ret is 0 for the function as a whole. A number that no version can have is that of one which is
 * not there. */
static int find_deletable(const struct request *request, uint64_t *ret, struct error *error)
{
	const char *qualifier = request->reference.qualifier;

	*ret = 0;
	if (!request->reference.has_qualifier)
		return 0;
	if (strcmp(qualifier, FUNCTION_LATEST) == 0)
		return error_set(
			error, ERROR_INVALID_PARAMETER, "qualifier",
			"$LATEST version cannot be deleted without deleting the function.");
	if (!is_number(qualifier))
		return error_set(error, ERROR_INVALID_PARAMETER, "qualifier",
				 "Deletion of aliases is not currently supported.");
	if (!function_version_parse(qualifier, ret))
		*ret = UINT64_MAX;
	return 0;
}

static int begin_delete(struct function_service *service, struct rpc_call *call,
			const Mayfly__V1__DeleteFunctionRequest *message, struct error *error)
{
	_cleanup_(request_free_p) struct request *request = NULL;
	uint64_t version;
	int r;

	r = new_request_for(service, call, message->tenant, message->function_name,
			    message->qualifier, &request, error);
	if (r < 0)
		return r;
	r = find_deletable(request, &version, error);
	if (r < 0)
		return r;
	if (version)
		directory_delete_version(service->directory, request->tenant,
					 request->reference.name, version, answer_deleted, request);
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
	function = directory_find_qualified(service->directory, request->tenant,
					    request->reference.name, qualifier);
	if (!function)
		return directory_set_not_found(service->directory, request->tenant,
					       request->reference.name, qualifier, error);
	reply_with(service, call, function, qualifier, !request->reference.has_qualifier);
	return 0;
}

/* Messages of one page. */
struct page_messages {
	struct function_message messages[DIRECTORY_PAGE_ITEMS];
	Mayfly__V1__Function *pointers[DIRECTORY_PAGE_ITEMS];
	size_t count;
};

static void page_messages_clear(struct page_messages *page)
{
	for (size_t i = 0; i < page->count; i++)
		function_message_clear(&page->messages[i]);
}

static int encode_page(const struct function_service *service, const struct directory_page *page,
		       bool qualified, struct page_messages *to, struct error *error)
{
	for (to->count = 0; to->count < page->count; to->count++) {
		const struct function *function = page->functions[to->count];
		struct function_message *message = &to->messages[to->count];
		char version[FUNCTION_VERSION_BYTES] = "";

		if (qualified)
			function_version_name(function->version, version);
		if (function_message_encode(function, service->context->region, version, message) <
		    0) {
			to->count++;
			return api_refuse_memory(error);
		}
		to->pointers[to->count] = &message->message;
	}
	return 0;
}

static int reply_list(struct function_service *service, struct rpc_call *call,
		      const Mayfly__V1__ListFunctionsRequest *message, struct error *error)
{
	_cleanup_(page_messages_clear) struct page_messages messages = { 0 };
	Mayfly__V1__ListFunctionsResponse response = MAYFLY__V1__LIST_FUNCTIONS_RESPONSE__INIT;
	bool all = strcmp(message->function_version, ALL_VERSIONS) == 0;
	struct directory_page page;
	const char *tenant;
	int r;

	if (!all && message->function_version[0])
		return error_set(error, ERROR_INVALID_PARAMETER, "function_version",
				 "1 validation error detected: Value '%.*s' at 'functionVersion' "
				 "failed to satisfy constraint: Member must satisfy enum value "
				 "set: [" ALL_VERSIONS "]",
				 SHOWN_BYTES, message->function_version);
	r = api_resolve_tenant(service->context, message->tenant, &tenant, error);
	if (r == 0)
		r = directory_list(service->directory, tenant, all, message->max_items,
				   message->marker, &page, error);
	if (r == 0)
		r = encode_page(service, &page, all, &messages, error);
	if (r < 0)
		return r;
	response.functions = messages.pointers;
	response.n_functions = messages.count;
	response.next_marker = page.next_marker;
	rpc_call_reply(call, &response.base);
	return 0;
}

static int reply_versions(struct function_service *service, struct rpc_call *call,
			  const Mayfly__V1__ListVersionsByFunctionRequest *message,
			  struct error *error)
{
	_cleanup_(request_free_p) struct request *request = NULL;
	_cleanup_(page_messages_clear) struct page_messages messages = { 0 };
	Mayfly__V1__ListVersionsByFunctionResponse response =
		MAYFLY__V1__LIST_VERSIONS_BY_FUNCTION_RESPONSE__INIT;
	struct directory_page page;
	int r;

	r = new_request_for(service, call, message->tenant, message->function_name, NULL, &request,
			    error);
	if (r == 0)
		r = directory_list_versions(service->directory, request->tenant,
					    request->reference.name, message->max_items,
					    message->marker, &page, error);
	if (r == 0)
		r = encode_page(service, &page, true, &messages, error);
	if (r < 0)
		return r;
	response.versions = messages.pointers;
	response.n_versions = messages.count;
	response.next_marker = page.next_marker;
	rpc_call_reply(call, &response.base);
	return 0;
}

API_HANDLER(on_create, begin_create, Mayfly__V1__CreateFunctionRequest)
API_HANDLER(on_get, reply_get, Mayfly__V1__GetFunctionRequest)
API_HANDLER(on_list, reply_list, Mayfly__V1__ListFunctionsRequest)
API_HANDLER(on_update_code, begin_update_code, Mayfly__V1__UpdateFunctionCodeRequest)
API_HANDLER(on_update_configuration, begin_update_configuration,
	    Mayfly__V1__UpdateFunctionConfigurationRequest)
API_HANDLER(on_delete, begin_delete, Mayfly__V1__DeleteFunctionRequest)
API_HANDLER(on_publish, begin_publish, Mayfly__V1__PublishVersionRequest)
API_HANDLER(on_list_versions, reply_versions, Mayfly__V1__ListVersionsByFunctionRequest)

static const struct rpc_method_handler handlers[] = {
	{ "Create", on_create, RPC_MAX_REQUEST_BYTES },
	{ "Get", on_get },
	{ "List", on_list },
	{ "UpdateCode", on_update_code, RPC_MAX_REQUEST_BYTES },
	{ "UpdateConfiguration", on_update_configuration },
	{ "Delete", on_delete },
	{ "PublishVersion", on_publish },
	{ "ListVersionsByFunction", on_list_versions },
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
