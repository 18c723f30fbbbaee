/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/tag_service.h"

#include <errno.h>

#include "agent/deploy/tag_directory.h"
#include "mayfly/v1/tag.pb-c.h"

struct tag_service {
	struct directory *directory;
	const struct api_context *context;
};

/* One request until its answer. What the command borrows lives here and in the call. */
struct request {
	struct tag_service *service;
	struct rpc_call *call;
	const ProtobufCMessage *answer;
	const char *tenant;
	struct function_reference reference;
	struct tag *tags;
	struct directory_tag_request command;
};

static void request_free(struct request *request)
{
	free(request->tags);
	free(request);
}
DEFINE_CLEANUP(struct request, request_free)

static void answer_changed(const struct function *function _unused_, const struct error *error,
			   void *arg)
{
	_cleanup_(request_free_p) struct request *request = arg;

	if (error)
		rpc_call_fail(request->call, error);
	else
		rpc_call_reply(request->call, request->answer);
}

static int parse_resource(const struct tag_service *service, const char *text, const char *tenant,
			  struct function_reference *ret, struct error *error)
{
	int r = function_parse_reference(text, NULL, service->context->region, tenant, ret, error);

	if (r < 0)
		return r;
	if (ret->has_qualifier)
		return error_set(error, ERROR_INVALID_PARAMETER, "resource",
				 "Tags on function aliases and versions are not supported. Please "
				 "specify a function ARN.");
	return 0;
}

static int new_request(struct tag_service *service, struct rpc_call *call, const char *tenant,
		       const char *resource, struct request **ret, struct error *error)
{
	_cleanup_(request_free_p) struct request *request = calloc(1, sizeof(*request));
	int r;

	if (!request)
		return api_refuse_memory(error);
	request->service = service;
	request->call = call;
	r = api_resolve_tenant(service->context, tenant, &request->tenant, error);
	if (r == 0)
		r = parse_resource(service, resource, request->tenant, &request->reference, error);
	if (r < 0)
		return r;
	request->command.tenant = request->tenant;
	request->command.name = request->reference.name;
	*ret = TAKE_PTR(request);
	return 0;
}

static int begin_tag(struct tag_service *service, struct rpc_call *call,
		     const Mayfly__V1__TagResourceRequest *message, struct error *error)
{
	static const Mayfly__V1__TagResourceResponse response =
		MAYFLY__V1__TAG_RESOURCE_RESPONSE__INIT;
	_cleanup_(request_free_p) struct request *request = NULL;
	int r;

	r = new_request(service, call, message->tenant, message->resource, &request, error);
	if (r < 0)
		return r;
	if (message->n_tags == 0)
		return error_set(error, ERROR_INVALID_PARAMETER, "tags",
				 "An error occurred and the request cannot be processed.");
	request->tags = calloc(message->n_tags, sizeof(*request->tags));
	if (!request->tags)
		return api_refuse_memory(error);
	for (size_t i = 0; i < message->n_tags; i++)
		request->tags[i] = (struct tag){ message->tags[i]->key, message->tags[i]->value };
	r = tags_validate(request->tags, message->n_tags, error);
	if (r < 0)
		return r;
	request->answer = &response.base;
	request->command.tags = request->tags;
	request->command.count = message->n_tags;
	directory_tag(service->directory, &request->command, answer_changed, request);
	(void)TAKE_PTR(request);
	return 0;
}

static int begin_untag(struct tag_service *service, struct rpc_call *call,
		       const Mayfly__V1__UntagResourceRequest *message, struct error *error)
{
	static const Mayfly__V1__UntagResourceResponse response =
		MAYFLY__V1__UNTAG_RESOURCE_RESPONSE__INIT;
	_cleanup_(request_free_p) struct request *request = NULL;
	int r;

	r = new_request(service, call, message->tenant, message->resource, &request, error);
	if (r < 0)
		return r;
	if (message->n_tag_keys == 0)
		return error_set(error, ERROR_INVALID_PARAMETER, "tag_keys",
				 "1 validation error detected: Value null at 'tagKeys' failed to "
				 "satisfy constraint: Member must not be null");
	request->answer = &response.base;
	request->command.untag_keys = (const char *const *)message->tag_keys;
	request->command.count = message->n_tag_keys;
	directory_tag(service->directory, &request->command, answer_changed, request);
	(void)TAKE_PTR(request);
	return 0;
}

static void reply_tags(struct rpc_call *call, const struct tag_set *set)
{
	Mayfly__V1__ListTagsResponse response = MAYFLY__V1__LIST_TAGS_RESPONSE__INIT;
	Mayfly__V1__ListTagsResponse__TagsEntry tags[TAGS_MAX];
	Mayfly__V1__ListTagsResponse__TagsEntry *pointers[TAGS_MAX];

	for (size_t i = 0; i < set->count; i++) {
		mayfly__v1__list_tags_response__tags_entry__init(&tags[i]);
		tags[i].key = set->tags[i].key;
		tags[i].value = set->tags[i].value;
		pointers[i] = &tags[i];
	}
	response.tags = pointers;
	response.n_tags = set->count;
	rpc_call_reply(call, &response.base);
}

static int reply_list(struct tag_service *service, struct rpc_call *call,
		      const Mayfly__V1__ListTagsRequest *message, struct error *error)
{
	_cleanup_(request_free_p) struct request *request = NULL;
	const struct function *function;
	int r;

	r = new_request(service, call, message->tenant, message->resource, &request, error);
	if (r < 0)
		return r;
	function = directory_find(service->directory, request->tenant, request->reference.name);
	if (!function)
		return directory_set_not_found(service->directory, request->tenant,
					       request->reference.name, NULL, error);
	reply_tags(call, &function->tags);
	return 0;
}

API_HANDLER(on_tag, begin_tag, Mayfly__V1__TagResourceRequest)
API_HANDLER(on_untag, begin_untag, Mayfly__V1__UntagResourceRequest)
API_HANDLER(on_list, reply_list, Mayfly__V1__ListTagsRequest)

static const struct rpc_method_handler handlers[] = {
	{ "TagResource", on_tag },
	{ "UntagResource", on_untag },
	{ "ListTags", on_list },
	{ NULL, NULL },
};

int tag_service_register(struct rpc_server *server, struct directory *directory,
			 const struct api_context *context, struct tag_service **ret,
			 struct error *error)
{
	struct tag_service *service = calloc(1, sizeof(*service));
	int r;

	if (!service)
		return error_set_errno(error, ENOMEM, "Cannot serve tags");
	service->directory = directory;
	service->context = context;
	r = rpc_server_add_service(server, &mayfly__v1__tag_service__descriptor, handlers, service,
				   error);
	if (r < 0) {
		free(service);
		return r;
	}
	*ret = service;
	return 0;
}

struct tag_service *tag_service_free(struct tag_service *service)
{
	free(service);
	return NULL;
}
