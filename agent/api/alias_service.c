/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/alias_service.h"

#include <errno.h>
#include <string.h>

#include "agent/deploy/alias_directory.h"
#include "mayfly/v1/alias.pb-c.h"

typedef Mayfly__V1__AliasRoutingConfiguration routing_message;
typedef Mayfly__V1__AliasRoutingConfiguration__AdditionalVersionWeightsEntry weight_message;

struct alias_service {
	struct directory *directory;
	const struct api_context *context;
};

/* One request until its answer. What the command borrows lives here and in the call. */
struct request {
	struct alias_service *service;
	struct rpc_call *call;
	const char *tenant;
	struct function_reference reference;
	struct alias_weight *weights;
	struct directory_alias_request command;
};

static void request_free(struct request *request)
{
	free(request->weights);
	free(request);
}
DEFINE_CLEANUP(struct request, request_free)

/* -- encoding: in place, must not move -- */

struct alias_message {
	Mayfly__V1__Alias message;
	routing_message routing;
	weight_message weight;
	weight_message *weights[1];
	char *arn;
	char version[FUNCTION_VERSION_BYTES];
	char additional[FUNCTION_VERSION_BYTES];
};

static int encode(const struct alias *alias, const struct request *request,
		  struct alias_message *to)
{
	Mayfly__V1__Alias *message = &to->message;

	mayfly__v1__alias__init(message);
	to->arn = function_arn(request->service->context->region, request->tenant,
			       request->reference.name, alias->name);
	if (!to->arn)
		return -ENOMEM;
	function_version_name(alias->version, to->version);
	message->alias_arn = to->arn;
	message->name = alias->name;
	message->function_version = to->version;
	message->description = alias->description;
	message->revision_id = (char *)(uintptr_t)alias->revision_id;
	if (!alias->is_weighted)
		return 0;
	function_version_name(alias->additional_version, to->additional);
	mayfly__v1__alias_routing_configuration__additional_version_weights_entry__init(
		&to->weight);
	to->weight.key = to->additional;
	to->weight.value = alias->weight;
	to->weights[0] = &to->weight;
	mayfly__v1__alias_routing_configuration__init(&to->routing);
	to->routing.additional_version_weights = to->weights;
	to->routing.n_additional_version_weights = 1;
	message->routing_config = &to->routing;
	return 0;
}

static void alias_message_clear(struct alias_message *message)
{
	free(message->arn);
}

static int reply_alias(const struct request *request, const struct alias *alias,
		       struct error *error)
{
	_cleanup_(alias_message_clear) struct alias_message message = { 0 };

	if (encode(alias, request, &message) < 0)
		return api_refuse_memory(error);
	rpc_call_reply(request->call, &message.message.base);
	return 0;
}

static void answer_alias(const struct alias *alias, const struct error *failure, void *arg)
{
	_cleanup_(request_free_p) struct request *request = arg;
	_cleanup_error_ struct error error = ERROR_INIT;

	if (failure)
		rpc_call_fail(request->call, failure);
	else if (reply_alias(request, alias, &error) < 0)
		rpc_call_fail(request->call, &error);
}

static void answer_deleted(const struct alias *alias _unused_, const struct error *error, void *arg)
{
	_cleanup_(request_free_p) struct request *request = arg;
	Mayfly__V1__DeleteAliasResponse response = MAYFLY__V1__DELETE_ALIAS_RESPONSE__INIT;

	if (error)
		rpc_call_fail(request->call, error);
	else
		rpc_call_reply(request->call, &response.base);
}

/* -- decoding -- */

static int new_request(struct alias_service *service, struct rpc_call *call, const char *tenant,
		       const char *function_name, struct request **ret, struct error *error)
{
	_cleanup_(request_free_p) struct request *request = calloc(1, sizeof(*request));
	int r;

	if (!request)
		return api_refuse_memory(error);
	request->service = service;
	request->call = call;
	r = api_resolve_tenant(service->context, tenant, &request->tenant, error);
	if (r == 0)
		r = api_parse_unqualified(service->context, function_name, request->tenant,
					  &request->reference, error);
	if (r < 0)
		return r;
	request->command.tenant = request->tenant;
	request->command.function_name = request->reference.name;
	*ret = TAKE_PTR(request);
	return 0;
}

static int decode_routing(const routing_message *routing, struct request *request,
			  struct error *error)
{
	struct alias_patch *patch = &request->command.patch;

	if (!routing)
		return 0;
	patch->has_routing = true;
	patch->weight_count = routing->n_additional_version_weights;
	if (patch->weight_count == 0)
		return 0;
	request->weights = calloc(patch->weight_count, sizeof(*request->weights));
	if (!request->weights)
		return api_refuse_memory(error);
	for (size_t i = 0; i < patch->weight_count; i++)
		request->weights[i] = (struct alias_weight){
			.version = routing->additional_version_weights[i]->key,
			.weight = routing->additional_version_weights[i]->value,
		};
	patch->weights = request->weights;
	return 0;
}

static int begin_create(struct alias_service *service, struct rpc_call *call,
			const Mayfly__V1__CreateAliasRequest *message, struct error *error)
{
	_cleanup_(request_free_p) struct request *request = NULL;
	int r;

	r = new_request(service, call, message->tenant, message->function_name, &request, error);
	if (r == 0)
		r = decode_routing(message->routing_config, request, error);
	if (r < 0)
		return r;
	request->command.name = message->name;
	request->command.patch.version = message->function_version;
	request->command.patch.description = message->description;
	directory_create_alias(service->directory, &request->command, answer_alias, request);
	(void)TAKE_PTR(request);
	return 0;
}

static int begin_update(struct alias_service *service, struct rpc_call *call,
			const Mayfly__V1__UpdateAliasRequest *message, struct error *error)
{
	_cleanup_(request_free_p) struct request *request = NULL;
	int r;

	r = new_request(service, call, message->tenant, message->function_name, &request, error);
	if (r == 0)
		r = decode_routing(message->routing_config, request, error);
	if (r < 0)
		return r;
	request->command.name = message->name;
	request->command.revision_id = message->revision_id;
	if (message->function_version[0])
		request->command.patch.version = message->function_version;
	/* An optional field is a oneof of one; its case is 0 when not given. */
	if (message->_description_case)
		request->command.patch.description = message->description;
	directory_update_alias(service->directory, &request->command, answer_alias, request);
	(void)TAKE_PTR(request);
	return 0;
}

static int begin_delete(struct alias_service *service, struct rpc_call *call,
			const Mayfly__V1__DeleteAliasRequest *message, struct error *error)
{
	_cleanup_(request_free_p) struct request *request = NULL;
	int r;

	r = new_request(service, call, message->tenant, message->function_name, &request, error);
	if (r < 0)
		return r;
	request->command.name = message->name;
	directory_delete_alias(service->directory, &request->command, answer_deleted, request);
	(void)TAKE_PTR(request);
	return 0;
}

static int reply_get(struct alias_service *service, struct rpc_call *call,
		     const Mayfly__V1__GetAliasRequest *message, struct error *error)
{
	_cleanup_(request_free_p) struct request *request = NULL;
	_cleanup_free_ char *arn = NULL;
	const struct alias *alias;
	int r;

	r = new_request(service, call, message->tenant, message->function_name, &request, error);
	if (r == 0)
		r = alias_validate_name(message->name, error);
	if (r < 0)
		return r;
	alias = directory_find_alias(service->directory, request->tenant, request->reference.name,
				     message->name);
	if (alias)
		return reply_alias(request, alias, error);
	arn = function_arn(service->context->region, request->tenant, request->reference.name,
			   message->name);
	return error_set(error, ERROR_NOT_FOUND, "name", "Cannot find alias arn: %s",
			 arn ? arn : message->name);
}

/* Messages of one page. */
struct page_messages {
	struct alias_message messages[DIRECTORY_PAGE_ITEMS];
	Mayfly__V1__Alias *pointers[DIRECTORY_PAGE_ITEMS];
	size_t count;
};

static void page_messages_clear(struct page_messages *page)
{
	for (size_t i = 0; i < page->count; i++)
		alias_message_clear(&page->messages[i]);
}

static int encode_page(const struct request *request, const struct directory_alias_page *page,
		       struct page_messages *to, struct error *error)
{
	for (; to->count < page->count; to->count++) {
		struct alias_message *message = &to->messages[to->count];

		if (encode(page->aliases[to->count], request, message) < 0)
			return api_refuse_memory(error);
		to->pointers[to->count] = &message->message;
	}
	return 0;
}

static int reply_list(struct alias_service *service, struct rpc_call *call,
		      const Mayfly__V1__ListAliasesRequest *message, struct error *error)
{
	_cleanup_(request_free_p) struct request *request = NULL;
	_cleanup_(page_messages_clear) struct page_messages messages = { 0 };
	Mayfly__V1__ListAliasesResponse response = MAYFLY__V1__LIST_ALIASES_RESPONSE__INIT;
	struct directory_alias_list list = { .version = message->function_version,
					     .max_items = message->max_items,
					     .marker = message->marker };
	struct directory_alias_page page;
	int r;

	r = new_request(service, call, message->tenant, message->function_name, &request, error);
	if (r < 0)
		return r;
	list.tenant = request->tenant;
	list.function_name = request->reference.name;
	r = directory_list_aliases(service->directory, &list, &page, error);
	if (r == 0)
		r = encode_page(request, &page, &messages, error);
	if (r < 0)
		return r;
	response.aliases = messages.pointers;
	response.n_aliases = messages.count;
	response.next_marker = page.next_marker;
	rpc_call_reply(call, &response.base);
	return 0;
}

API_HANDLER(on_create, begin_create, Mayfly__V1__CreateAliasRequest)
API_HANDLER(on_get, reply_get, Mayfly__V1__GetAliasRequest)
API_HANDLER(on_list, reply_list, Mayfly__V1__ListAliasesRequest)
API_HANDLER(on_update, begin_update, Mayfly__V1__UpdateAliasRequest)
API_HANDLER(on_delete, begin_delete, Mayfly__V1__DeleteAliasRequest)

static const struct rpc_method_handler handlers[] = {
	{ "Create", on_create }, { "Get", on_get },       { "List", on_list },
	{ "Update", on_update }, { "Delete", on_delete }, { NULL, NULL },
};

int alias_service_register(struct rpc_server *server, struct directory *directory,
			   const struct api_context *context, struct alias_service **ret,
			   struct error *error)
{
	struct alias_service *service = calloc(1, sizeof(*service));
	int r;

	if (!service)
		return error_set_errno(error, ENOMEM, "Cannot serve aliases");
	service->directory = directory;
	service->context = context;
	r = rpc_server_add_service(server, &mayfly__v1__alias_service__descriptor, handlers,
				   service, error);
	if (r < 0) {
		free(service);
		return r;
	}
	*ret = service;
	return 0;
}

struct alias_service *alias_service_free(struct alias_service *service)
{
	free(service);
	return NULL;
}
