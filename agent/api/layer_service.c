/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/layer_service.h"

#include <errno.h>
#include <string.h>

#include "agent/deploy/layer_directory.h"
#include "mayfly/v1/layer.pb-c.h"

struct layer_service {
	struct directory *directory;
	const struct api_context *context;
};

/* One request until its answer. What the command borrows lives here and in the call. */
struct request {
	struct layer_service *service;
	struct rpc_call *call;
	const char *tenant;
	char name[LAYER_NAME_MAX + 1];
	struct directory_layer_request command;
	struct directory_layer_permission permission;
};

/* -- encoding: in place, must not move -- */

struct layer_message {
	Mayfly__V1__LayerVersion message;
	char *arn;
	char *version_arn;
};

static int encode(const struct layer_version *version, const char *region, struct layer_message *to)
{
	Mayfly__V1__LayerVersion *message = &to->message;

	mayfly__v1__layer_version__init(message);
	to->arn = layer_arn(region, version->tenant, version->name, 0);
	to->version_arn = layer_arn(region, version->tenant, version->name, version->version);
	if (!to->arn || !to->version_arn)
		return -ENOMEM;
	message->layer_name = version->name;
	message->layer_arn = to->arn;
	message->layer_version_arn = to->version_arn;
	message->version = version->version;
	message->description = version->description;
	message->license_info = version->license_info;
	message->compatible_runtimes = version->runtimes;
	message->n_compatible_runtimes = version->runtime_count;
	message->compatible_architectures = version->architectures;
	message->n_compatible_architectures = version->architecture_count;
	message->created_us = version->created_us;
	message->code_sha256 = version->code_sha256;
	message->code_size_bytes = version->code_size_bytes;
	return 0;
}

static void layer_message_clear(struct layer_message *message)
{
	free(message->arn);
	free(message->version_arn);
}

static int reply_version(const struct layer_service *service, struct rpc_call *call,
			 const struct layer_version *version, struct error *error)
{
	_cleanup_(layer_message_clear) struct layer_message message = { 0 };

	if (encode(version, service->context->region, &message) < 0)
		return api_refuse_memory(error);
	rpc_call_reply(call, &message.message.base);
	return 0;
}

static void answer_published(const struct layer_version *version, const struct error *failure,
			     void *arg)
{
	_cleanup_free_ struct request *request = arg;
	_cleanup_error_ struct error error = ERROR_INIT;

	if (failure)
		rpc_call_fail(request->call, failure);
	else if (reply_version(request->service, request->call, version, &error) < 0)
		rpc_call_fail(request->call, &error);
}

static void answer_deleted(const struct layer_version *version _unused_, const struct error *error,
			   void *arg)
{
	_cleanup_free_ struct request *request = arg;
	Mayfly__V1__DeleteLayerVersionResponse response =
		MAYFLY__V1__DELETE_LAYER_VERSION_RESPONSE__INIT;

	if (error)
		rpc_call_fail(request->call, error);
	else
		rpc_call_reply(request->call, &response.base);
}

/* -- decoding -- */

static int new_request(struct layer_service *service, struct rpc_call *call, const char *tenant,
		       const char *name, struct request **ret, struct error *error)
{
	_cleanup_free_ struct request *request = calloc(1, sizeof(*request));
	int r;

	if (!request)
		return api_refuse_memory(error);
	request->service = service;
	request->call = call;
	r = api_resolve_tenant(service->context, tenant, &request->tenant, error);
	if (r == 0)
		r = layer_parse_name(name, service->context->region, request->tenant, request->name,
				     error);
	if (r < 0)
		return r;
	request->command.tenant = request->tenant;
	request->command.name = request->name;
	*ret = TAKE_PTR(request);
	return 0;
}

static int begin_publish(struct layer_service *service, struct rpc_call *call,
			 const Mayfly__V1__PublishLayerVersionRequest *message, struct error *error)
{
	_cleanup_free_ struct request *request = NULL;
	int r;

	r = new_request(service, call, message->tenant, message->layer_name, &request, error);
	if (r < 0)
		return r;
	request->command.values = (struct layer_values){
		.description = message->description,
		.license_info = message->license_info,
		.runtimes = (const char *const *)message->compatible_runtimes,
		.runtime_count = message->n_compatible_runtimes,
		.architectures = (const char *const *)message->compatible_architectures,
		.architecture_count = message->n_compatible_architectures,
	};
	request->command.zip = slice_new(message->zip_file.data, message->zip_file.len);
	directory_publish_layer(service->directory, &request->command, answer_published, request);
	(void)TAKE_PTR(request);
	return 0;
}

static int check_number(int64_t number, struct error *error)
{
	return number >= 1 ? 0
			   : error_set(error, ERROR_INVALID_PARAMETER, "version_number",
				       "Layer Version Cannot be less than 1");
}

static int begin_delete(struct layer_service *service, struct rpc_call *call,
			const Mayfly__V1__DeleteLayerVersionRequest *message, struct error *error)
{
	_cleanup_free_ struct request *request = NULL;
	int r;

	r = new_request(service, call, message->tenant, message->layer_name, &request, error);
	if (r == 0)
		r = check_number(message->version_number, error);
	if (r < 0)
		return r;
	directory_delete_layer(service->directory, request->tenant, request->name,
			       (uint64_t)message->version_number, answer_deleted, request);
	(void)TAKE_PTR(request);
	return 0;
}

static int reply_found(const struct layer_service *service, struct rpc_call *call,
		       const struct layer_version *version, struct error *error)
{
	if (version)
		return reply_version(service, call, version, error);
	return error_set(error, ERROR_NOT_FOUND, "layer_name",
			 "The resource you requested does not exist.");
}

static int reply_get(struct layer_service *service, struct rpc_call *call,
		     const Mayfly__V1__GetLayerVersionRequest *message, struct error *error)
{
	_cleanup_free_ struct request *request = NULL;
	int r;

	r = new_request(service, call, message->tenant, message->layer_name, &request, error);
	if (r == 0)
		r = check_number(message->version_number, error);
	if (r < 0)
		return r;
	return reply_found(service, call,
			   directory_find_layer(service->directory, request->tenant, request->name,
						(uint64_t)message->version_number),
			   error);
}

/* What is another region's, or another tenant's and not shared, is not there. */
static int reply_get_by_arn(struct layer_service *service, struct rpc_call *call,
			    const Mayfly__V1__GetLayerVersionByArnRequest *message,
			    struct error *error)
{
	const struct layer_version *version = NULL;
	struct layer_reference reference;
	const char *tenant;
	int r;

	r = api_resolve_tenant(service->context, message->tenant, &tenant, error);
	if (r == 0)
		r = layer_parse_version_arn(message->arn, "arn", &reference, error);
	if (r < 0)
		return r;
	if (strcmp(reference.region, service->context->region) == 0)
		version = directory_find_layer(service->directory, reference.tenant, reference.name,
					       reference.version);
	if (version && strcmp(reference.tenant, tenant) != 0 &&
	    !layer_version_is_shared_with(version, tenant))
		version = NULL;
	return reply_found(service, call, version, error);
}

/* -- permissions -- */

static int reply_permitted(const struct request *request, const struct layer_version *version,
			   struct error *error)
{
	Mayfly__V1__AddLayerVersionPermissionResponse response =
		MAYFLY__V1__ADD_LAYER_VERSION_PERMISSION_RESPONSE__INIT;
	_cleanup_free_ char *arn = layer_arn(request->service->context->region, version->tenant,
					     version->name, version->version);
	const struct policy_statement *statement =
		policy_find(version->policy, request->permission.statement.sid);
	_cleanup_free_ char *json = arn && statement ? policy_statement_json(statement, arn) : NULL;

	if (!json)
		return api_refuse_memory(error);
	response.statement = json;
	response.revision_id = (char *)(uintptr_t)version->revision_id;
	rpc_call_reply(request->call, &response.base);
	return 0;
}

static void answer_permitted(const struct layer_version *version, const struct error *failure,
			     void *arg)
{
	_cleanup_free_ struct request *request = arg;
	_cleanup_error_ struct error error = ERROR_INIT;

	if (failure)
		rpc_call_fail(request->call, failure);
	else if (reply_permitted(request, version, &error) < 0)
		rpc_call_fail(request->call, &error);
}

static void answer_unpermitted(const struct layer_version *version _unused_,
			       const struct error *error, void *arg)
{
	_cleanup_free_ struct request *request = arg;
	Mayfly__V1__RemoveLayerVersionPermissionResponse response =
		MAYFLY__V1__REMOVE_LAYER_VERSION_PERMISSION_RESPONSE__INIT;

	if (error)
		rpc_call_fail(request->call, error);
	else
		rpc_call_reply(request->call, &response.base);
}

static int new_permission(struct layer_service *service, struct rpc_call *call, const char *tenant,
			  const char *name, int64_t number, struct request **ret,
			  struct error *error)
{
	_cleanup_free_ struct request *request = NULL;
	int r = new_request(service, call, tenant, name, &request, error);

	if (r == 0)
		r = check_number(number, error);
	if (r < 0)
		return r;
	request->permission.tenant = request->tenant;
	request->permission.name = request->name;
	request->permission.version = (uint64_t)number;
	*ret = TAKE_PTR(request);
	return 0;
}

static int begin_permit(struct layer_service *service, struct rpc_call *call,
			const Mayfly__V1__AddLayerVersionPermissionRequest *message,
			struct error *error)
{
	_cleanup_free_ struct request *request = NULL;
	int r = new_permission(service, call, message->tenant, message->layer_name,
			       message->version_number, &request, error);

	if (r < 0)
		return r;
	request->permission.revision_id = message->revision_id;
	request->permission.statement = (struct policy_request){
		.sid = message->statement_id,
		.action = message->action,
		.principal = message->principal,
		.source_arn = "",
		.source_account = "",
		.event_source_token = "",
		.principal_org_id = message->organization_id,
		.function_url_auth_type = "",
	};
	directory_permit_layer(service->directory, &request->permission, answer_permitted, request);
	(void)TAKE_PTR(request);
	return 0;
}

static int begin_unpermit(struct layer_service *service, struct rpc_call *call,
			  const Mayfly__V1__RemoveLayerVersionPermissionRequest *message,
			  struct error *error)
{
	_cleanup_free_ struct request *request = NULL;
	int r = new_permission(service, call, message->tenant, message->layer_name,
			       message->version_number, &request, error);

	if (r < 0)
		return r;
	request->permission.revision_id = message->revision_id;
	request->permission.removes = true;
	request->permission.statement.sid = message->statement_id;
	directory_permit_layer(service->directory, &request->permission, answer_unpermitted,
			       request);
	(void)TAKE_PTR(request);
	return 0;
}

static int reply_policy(struct layer_service *service, struct rpc_call *call,
			const Mayfly__V1__GetLayerVersionPolicyRequest *message,
			struct error *error)
{
	_cleanup_free_ struct request *request = NULL;
	_cleanup_free_ char *arn = NULL, *json = NULL;
	Mayfly__V1__GetLayerVersionPolicyResponse response =
		MAYFLY__V1__GET_LAYER_VERSION_POLICY_RESPONSE__INIT;
	const struct layer_version *version;
	int r = new_permission(service, call, message->tenant, message->layer_name,
			       message->version_number, &request, error);

	if (r < 0)
		return r;
	version = directory_find_layer(service->directory, request->tenant, request->name,
				       request->permission.version);
	if (!version)
		return directory_set_no_layer(service->directory, request->tenant, request->name,
					      request->permission.version, error);
	if (!version->policy)
		return error_set(error, ERROR_NOT_FOUND, "layer_name",
				 "No policy is associated with the given resource.");
	arn = layer_arn(service->context->region, request->tenant, request->name, version->version);
	json = arn ? policy_json(version->policy, arn) : NULL;
	if (!json)
		return api_refuse_memory(error);
	response.policy = json;
	response.revision_id = (char *)(uintptr_t)version->revision_id;
	rpc_call_reply(call, &response.base);
	return 0;
}

/* Messages of one page. */
struct page_messages {
	struct layer_message messages[DIRECTORY_PAGE_ITEMS];
	Mayfly__V1__LayerVersion *pointers[DIRECTORY_PAGE_ITEMS];
	size_t count;
};

static void page_messages_clear(struct page_messages *page)
{
	for (size_t i = 0; i < page->count; i++)
		layer_message_clear(&page->messages[i]);
}

static int encode_page(const struct layer_service *service, const struct directory_layer_page *page,
		       struct page_messages *to, struct error *error)
{
	for (; to->count < page->count; to->count++) {
		struct layer_message *message = &to->messages[to->count];

		if (encode(page->versions[to->count], service->context->region, message) < 0) {
			layer_message_clear(message);
			return api_refuse_memory(error);
		}
		to->pointers[to->count] = &message->message;
	}
	return 0;
}

static int reply_layers(struct layer_service *service, struct rpc_call *call,
			const Mayfly__V1__ListLayersRequest *message, struct error *error)
{
	_cleanup_(page_messages_clear) struct page_messages messages = { 0 };
	Mayfly__V1__ListLayersResponse response = MAYFLY__V1__LIST_LAYERS_RESPONSE__INIT;
	struct directory_layer_list list = { .runtime = message->compatible_runtime,
					     .architecture = message->compatible_architecture,
					     .max_items = message->max_items,
					     .marker = message->marker };
	struct directory_layer_page page;
	int r;

	r = api_resolve_tenant(service->context, message->tenant, &list.tenant, error);
	if (r == 0)
		r = directory_list_layers(service->directory, &list, &page, error);
	if (r == 0)
		r = encode_page(service, &page, &messages, error);
	if (r < 0)
		return r;
	response.layers = messages.pointers;
	response.n_layers = messages.count;
	response.next_marker = page.next_marker;
	rpc_call_reply(call, &response.base);
	return 0;
}

static int reply_versions(struct layer_service *service, struct rpc_call *call,
			  const Mayfly__V1__ListLayerVersionsRequest *message, struct error *error)
{
	_cleanup_free_ struct request *request = NULL;
	_cleanup_(page_messages_clear) struct page_messages messages = { 0 };
	Mayfly__V1__ListLayerVersionsResponse response =
		MAYFLY__V1__LIST_LAYER_VERSIONS_RESPONSE__INIT;
	struct directory_layer_list list = { .runtime = message->compatible_runtime,
					     .architecture = message->compatible_architecture,
					     .max_items = message->max_items,
					     .marker = message->marker };
	struct directory_layer_page page;
	int r;

	r = new_request(service, call, message->tenant, message->layer_name, &request, error);
	if (r < 0)
		return r;
	list.tenant = request->tenant;
	list.name = request->name;
	r = directory_list_layers(service->directory, &list, &page, error);
	if (r == 0)
		r = encode_page(service, &page, &messages, error);
	if (r < 0)
		return r;
	response.layer_versions = messages.pointers;
	response.n_layer_versions = messages.count;
	response.next_marker = page.next_marker;
	rpc_call_reply(call, &response.base);
	return 0;
}

API_HANDLER(on_publish, begin_publish, Mayfly__V1__PublishLayerVersionRequest)
API_HANDLER(on_get, reply_get, Mayfly__V1__GetLayerVersionRequest)
API_HANDLER(on_get_by_arn, reply_get_by_arn, Mayfly__V1__GetLayerVersionByArnRequest)
API_HANDLER(on_list, reply_layers, Mayfly__V1__ListLayersRequest)
API_HANDLER(on_list_versions, reply_versions, Mayfly__V1__ListLayerVersionsRequest)
API_HANDLER(on_delete, begin_delete, Mayfly__V1__DeleteLayerVersionRequest)
API_HANDLER(on_permit, begin_permit, Mayfly__V1__AddLayerVersionPermissionRequest)
API_HANDLER(on_unpermit, begin_unpermit, Mayfly__V1__RemoveLayerVersionPermissionRequest)
API_HANDLER(on_get_policy, reply_policy, Mayfly__V1__GetLayerVersionPolicyRequest)

static const struct rpc_method_handler handlers[] = {
	{ "PublishLayerVersion", on_publish, RPC_MAX_REQUEST_BYTES },
	{ "GetLayerVersion", on_get },
	{ "GetLayerVersionByArn", on_get_by_arn },
	{ "ListLayers", on_list },
	{ "ListLayerVersions", on_list_versions },
	{ "DeleteLayerVersion", on_delete },
	{ "AddLayerVersionPermission", on_permit },
	{ "RemoveLayerVersionPermission", on_unpermit },
	{ "GetLayerVersionPolicy", on_get_policy },
	{ NULL, NULL },
};

int layer_service_register(struct rpc_server *server, struct directory *directory,
			   const struct api_context *context, struct layer_service **ret,
			   struct error *error)
{
	struct layer_service *service = calloc(1, sizeof(*service));
	int r;

	if (!service)
		return error_set_errno(error, ENOMEM, "Cannot serve layers");
	service->directory = directory;
	service->context = context;
	r = rpc_server_add_service(server, &mayfly__v1__layer_service__descriptor, handlers,
				   service, error);
	if (r < 0) {
		free(service);
		return r;
	}
	*ret = service;
	return 0;
}

struct layer_service *layer_service_free(struct layer_service *service)
{
	free(service);
	return NULL;
}
