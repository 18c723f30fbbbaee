/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_api mayfly_client mayfly_invoke mayfly_pool mayfly_logs mayfly_vm mayfly_image
// mayfly_deploy mayfly_store mayfly_functions mayfly_rpc mayfly_core mayfly_base

/* LayerService and TagService over a real socket, and functions with layers and tags. Their rules
 * are tested in test_layer.c and test_directory_layers.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "agent/api/layer_service.h"
#include "agent/api/tag_service.h"
#include "tests/unit/service_harness.h"

#define ARN      "arn:aws:lambda:" REGION ":" TENANT ":layer:"
#define FUNCTION "arn:aws:lambda:" REGION ":" TENANT ":function:"

typedef Mayfly__V1__CreateFunctionRequest__TagsEntry create_tag;
typedef Mayfly__V1__TagResourceRequest__TagsEntry resource_tag;

struct node {
	struct harness harness;
	struct layer_service *layers;
	struct tag_service *tags;
};

static int set_up(void **state)
{
	struct node *node = calloc(1, sizeof(*node));
	struct harness *harness = &node->harness;

	harness_open(harness);
	harness_open_functions(harness);
	assert_int_equal(layer_service_register(harness->server, harness->directory,
						&harness->context, &node->layers, NULL),
			 0);
	assert_int_equal(tag_service_register(harness->server, harness->directory,
					      &harness->context, &node->tags, NULL),
			 0);
	harness_serve(harness);
	*state = node;
	return 0;
}

static int tear_down(void **state)
{
	struct node *node = *state;

	harness_end(&node->harness);
	node->layers = layer_service_free(node->layers);
	node->tags = tag_service_free(node->tags);
	harness_close(&node->harness);
	free(node);
	return 0;
}

static Mayfly__V1__LayerVersion *publish(struct node *node, const char *name, const char *zip)
{
	Mayfly__V1__PublishLayerVersionRequest request =
		MAYFLY__V1__PUBLISH_LAYER_VERSION_REQUEST__INIT;
	char *runtimes[] = { borrow("python3.13") };
	_cleanup_error_ struct error error = ERROR_INIT;
	Mayfly__V1__LayerVersion *version = NULL;

	request.layer_name = borrow(name);
	request.zip_file = (ProtobufCBinaryData){ strlen(zip), (uint8_t *)(uintptr_t)zip };
	request.description = borrow("for all");
	request.license_info = borrow("MIT");
	request.compatible_runtimes = runtimes;
	request.n_compatible_runtimes = 1;
	if (client_layer_publish(node->harness.client, &request, &version, &error) < 0)
		fail_msg("%s", error_text(&error));
	return version;
}

static void assert_refused(int r, struct error *error, enum error_code code, const char *field,
			   const char *message)
{
	assert_true(r < 0);
	assert_int_equal(error->code, code);
	assert_string_equal(error->field, field);
	assert_string_equal(error->message, message);
	error_clear(error);
}

static void versions_from_publish_to_delete(void **state)
{
	struct node *node = *state;
	struct client *client = node->harness.client;
	Mayfly__V1__GetLayerVersionRequest get = MAYFLY__V1__GET_LAYER_VERSION_REQUEST__INIT;
	Mayfly__V1__GetLayerVersionByArnRequest by_arn =
		MAYFLY__V1__GET_LAYER_VERSION_BY_ARN_REQUEST__INIT;
	Mayfly__V1__ListLayersRequest list = MAYFLY__V1__LIST_LAYERS_REQUEST__INIT;
	Mayfly__V1__ListLayerVersionsRequest versions =
		MAYFLY__V1__LIST_LAYER_VERSIONS_REQUEST__INIT;
	Mayfly__V1__DeleteLayerVersionRequest delete =
		MAYFLY__V1__DELETE_LAYER_VERSION_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__LayerVersion *one = publish(node, "l", "one");
	_cleanup_message_ Mayfly__V1__LayerVersion *two = publish(node, ARN "l", "two");
	_cleanup_message_ Mayfly__V1__LayerVersion *got = NULL, *found = NULL, *gone = NULL;
	_cleanup_message_ Mayfly__V1__ListLayersResponse *listed = NULL;
	_cleanup_message_ Mayfly__V1__ListLayerVersionsResponse *all = NULL;
	_cleanup_message_ Mayfly__V1__DeleteLayerVersionResponse *deleted = NULL, *none = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;

	assert_string_equal(one->layer_arn, ARN "l");
	assert_string_equal(one->layer_version_arn, ARN "l:1");
	assert_string_equal(one->license_info, "MIT");
	assert_int_equal(one->code_size_bytes, 3);
	assert_true(one->created_us > 0);
	assert_int_equal(two->version, 2);
	get.layer_name = borrow("l");
	get.version_number = 1;
	assert_int_equal(client_layer_get(client, &get, &got, NULL), 0);
	assert_string_equal(got->code_sha256, one->code_sha256);
	by_arn.arn = borrow(ARN "l:2");
	assert_int_equal(client_layer_get_by_arn(client, &by_arn, &found, NULL), 0);
	assert_int_equal(found->version, 2);
	list.compatible_runtime = borrow("python3.13");
	assert_int_equal(client_layer_list(client, &list, &listed, NULL), 0);
	assert_int_equal(listed->n_layers, 1);
	assert_int_equal(listed->layers[0]->version, 2);
	versions.layer_name = borrow("l");
	versions.max_items = 1;
	assert_int_equal(client_layer_list_versions(client, &versions, &all, NULL), 0);
	assert_int_equal(all->n_layer_versions, 1);
	assert_string_not_equal(all->next_marker, "");
	delete.layer_name = borrow("l");
	delete.version_number = 1;
	assert_int_equal(client_layer_delete(client, &delete, &deleted, NULL), 0);
	assert_int_equal(client_layer_delete(client, &delete, &none, NULL), 0);
	assert_refused(client_layer_get(client, &get, &gone, &error), &error, ERROR_NOT_FOUND,
		       "layer_name", "The resource you requested does not exist.");
	get.version_number = 0;
	assert_refused(client_layer_get(client, &get, &gone, &error), &error,
		       ERROR_INVALID_PARAMETER, "version_number",
		       "Layer Version Cannot be less than 1");
	by_arn.arn = borrow("arn:aws:lambda:" REGION ":210987654321:layer:l:2");
	assert_refused(client_layer_get_by_arn(client, &by_arn, &gone, &error), &error,
		       ERROR_NOT_FOUND, "layer_name", "The resource you requested does not exist.");
	by_arn.arn = borrow(ARN "l");
	assert_true(client_layer_get_by_arn(client, &by_arn, &gone, &error) < 0);
	assert_string_equal(error.field, "arn");
}

static void a_version_can_be_shared(void **state)
{
	struct node *node = *state;
	struct client *client = node->harness.client;
	Mayfly__V1__AddLayerVersionPermissionRequest add =
		MAYFLY__V1__ADD_LAYER_VERSION_PERMISSION_REQUEST__INIT;
	Mayfly__V1__RemoveLayerVersionPermissionRequest remove =
		MAYFLY__V1__REMOVE_LAYER_VERSION_PERMISSION_REQUEST__INIT;
	Mayfly__V1__GetLayerVersionPolicyRequest get =
		MAYFLY__V1__GET_LAYER_VERSION_POLICY_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__LayerVersion *version = publish(node, "l", "one");
	_cleanup_message_ Mayfly__V1__AddLayerVersionPermissionResponse *added = NULL, *none = NULL;
	_cleanup_message_ Mayfly__V1__RemoveLayerVersionPermissionResponse *removed = NULL;
	_cleanup_message_ Mayfly__V1__GetLayerVersionPolicyResponse *policy = NULL, *empty = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;

	add.layer_name = remove.layer_name = get.layer_name = borrow("l");
	add.version_number = remove.version_number = get.version_number = 1;
	add.statement_id = remove.statement_id = borrow("blue");
	add.principal = borrow("210987654321");
	add.action = borrow("lambda:*");
	assert_refused(client_layer_permit(client, &add, &none, &error), &error,
		       ERROR_INVALID_PARAMETER, "action",
		       "1 validation error detected: Value 'lambda:*' at 'action' failed to "
		       "satisfy constraint: Member must satisfy regular expression pattern: "
		       "lambda:GetLayerVersion");
	add.action = borrow("lambda:GetLayerVersion");
	assert_int_equal(client_layer_permit(client, &add, &added, NULL), 0);
	assert_non_null(strstr(added->statement, ARN "l:1"));
	assert_non_null(strstr(added->statement, "arn:aws:iam::210987654321:root"));
	assert_int_equal(client_layer_get_policy(client, &get, &policy, NULL), 0);
	assert_string_equal(policy->revision_id, added->revision_id);
	assert_int_equal(client_layer_unpermit(client, &remove, &removed, NULL), 0);
	assert_refused(client_layer_get_policy(client, &get, &empty, &error), &error,
		       ERROR_NOT_FOUND, "layer_name",
		       "No policy is associated with the given resource.");
	add.version_number = 2;
	assert_refused(client_layer_permit(client, &add, &none, &error), &error, ERROR_NOT_FOUND,
		       "layer_name", "Layer version " ARN "l:2 does not exist.");
}

static void a_function_has_layers_and_tags(void **state)
{
	struct node *node = *state;
	struct client *client = node->harness.client;
	Mayfly__V1__CreateFunctionRequest create = MAYFLY__V1__CREATE_FUNCTION_REQUEST__INIT;
	Mayfly__V1__GetFunctionRequest get = MAYFLY__V1__GET_FUNCTION_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__LayerVersion *layer = publish(node, "l", "one");
	_cleanup_message_ Mayfly__V1__Function *made = NULL, *got = NULL, *latest = NULL;
	create_tag tag = MAYFLY__V1__CREATE_FUNCTION_REQUEST__TAGS_ENTRY__INIT;
	char *layers[] = { layer->layer_version_arn };
	create_tag *tags[] = { &tag };

	tag.key = borrow("team");
	tag.value = borrow("blue");
	create.function_name = borrow("f");
	create.runtime = borrow("python3.13");
	create.handler = borrow("app.handler");
	create.zip_file = (ProtobufCBinaryData){ 3, (uint8_t *)(uintptr_t) "zip" };
	create.layers = layers;
	create.n_layers = 1;
	create.tags = tags;
	create.n_tags = 1;
	assert_int_equal(client_function_create(client, &create, &made, NULL), 0);
	assert_int_equal(made->n_layers, 1);
	assert_string_equal(made->layers[0]->arn, ARN "l:1");
	assert_int_equal(made->layers[0]->code_size_bytes, 3);
	assert_int_equal(made->n_tags, 0);
	get.function_name = borrow("f");
	assert_int_equal(client_function_get(client, &get, &got, NULL), 0);
	assert_int_equal(got->n_tags, 1);
	assert_string_equal(got->tags[0]->value, "blue");
	get.qualifier = borrow("$LATEST");
	assert_int_equal(client_function_get(client, &get, &latest, NULL), 0);
	assert_int_equal(latest->n_tags, 0);
}

static void tags_come_and_go(void **state)
{
	struct node *node = *state;
	struct client *client = node->harness.client;
	Mayfly__V1__TagResourceRequest put = MAYFLY__V1__TAG_RESOURCE_REQUEST__INIT;
	Mayfly__V1__UntagResourceRequest remove = MAYFLY__V1__UNTAG_RESOURCE_REQUEST__INIT;
	Mayfly__V1__ListTagsRequest list = MAYFLY__V1__LIST_TAGS_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__TagResourceResponse *tagged = NULL, *refused = NULL;
	_cleanup_message_ Mayfly__V1__UntagResourceResponse *untagged = NULL;
	_cleanup_message_ Mayfly__V1__ListTagsResponse *listed = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;
	resource_tag tag = MAYFLY__V1__TAG_RESOURCE_REQUEST__TAGS_ENTRY__INIT;
	resource_tag *tags[] = { &tag };
	char *keys[] = { borrow("none") };

	a_function_has_layers_and_tags(state);
	tag.key = borrow("stage");
	tag.value = borrow("");
	put.resource = remove.resource = list.resource = borrow(FUNCTION "f");
	put.tags = tags;
	put.n_tags = 1;
	remove.tag_keys = keys;
	remove.n_tag_keys = 1;
	assert_int_equal(client_tag_put(client, &put, &tagged, NULL), 0);
	assert_int_equal(client_tag_remove(client, &remove, &untagged, NULL), 0);
	assert_int_equal(client_tag_list(client, &list, &listed, NULL), 0);
	assert_int_equal(listed->n_tags, 2);
	assert_string_equal(listed->tags[0]->key, "stage");
	assert_string_equal(listed->tags[1]->key, "team");
	put.n_tags = 0;
	assert_refused(client_tag_put(client, &put, &refused, &error), &error,
		       ERROR_INVALID_PARAMETER, "tags",
		       "An error occurred and the request cannot be processed.");
	put.n_tags = 1;
	put.resource = borrow(FUNCTION "f:1");
	assert_refused(client_tag_put(client, &put, &refused, &error), &error,
		       ERROR_INVALID_PARAMETER, "resource",
		       "Tags on function aliases and versions are not supported. Please specify a "
		       "function ARN.");
	put.resource = borrow(FUNCTION "none");
	assert_refused(client_tag_put(client, &put, &refused, &error), &error, ERROR_NOT_FOUND,
		       "function_name", "Function not found: " FUNCTION "none");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(versions_from_publish_to_delete),
		TEST(a_version_can_be_shared),
		TEST(a_function_has_layers_and_tags),
		TEST(tags_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
