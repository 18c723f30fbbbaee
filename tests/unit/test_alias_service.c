/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_api mayfly_client mayfly_invoke mayfly_pool mayfly_logs mayfly_vm mayfly_image
// mayfly_deploy mayfly_store mayfly_functions mayfly_rpc mayfly_core mayfly_base

/* AliasService over a real socket. Its rules are tested in test_aliases.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "agent/api/alias_service.h"
#include "tests/unit/service_harness.h"

#define ARN "arn:aws:lambda:" REGION ":" TENANT ":function:"

struct node {
	struct harness harness;
	struct alias_service *aliases;
};

static int set_up(void **state)
{
	struct node *node = calloc(1, sizeof(*node));

	harness_open(&node->harness);
	harness_open_functions(&node->harness);
	assert_int_equal(alias_service_register(node->harness.server, node->harness.directory,
						&node->harness.context, &node->aliases, NULL),
			 0);
	harness_serve(&node->harness);
	*state = node;
	return 0;
}

static int tear_down(void **state)
{
	struct node *node = *state;

	harness_end(&node->harness);
	node->aliases = alias_service_free(node->aliases);
	harness_close(&node->harness);
	free(node);
	return 0;
}

/* With version 1, which waits for its package. */
static void create_function(struct node *node)
{
	Mayfly__V1__CreateFunctionRequest request = MAYFLY__V1__CREATE_FUNCTION_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__Function *function = NULL;

	request.function_name = borrow("f");
	request.runtime = borrow("python3.13");
	request.handler = borrow("app.handler");
	request.zip_file = (ProtobufCBinaryData){ 3, (uint8_t *)(uintptr_t) "zip" };
	request.publish = true;
	assert_int_equal(client_function_create(node->harness.client, &request, &function, NULL),
			 0);
}

static void test_from_create_to_delete(void **state)
{
	struct node *node = *state;
	struct client *client = node->harness.client;
	Mayfly__V1__CreateAliasRequest create = MAYFLY__V1__CREATE_ALIAS_REQUEST__INIT;
	Mayfly__V1__GetAliasRequest get = MAYFLY__V1__GET_ALIAS_REQUEST__INIT;
	Mayfly__V1__UpdateAliasRequest update = MAYFLY__V1__UPDATE_ALIAS_REQUEST__INIT;
	Mayfly__V1__ListAliasesRequest list = MAYFLY__V1__LIST_ALIASES_REQUEST__INIT;
	Mayfly__V1__DeleteAliasRequest delete = MAYFLY__V1__DELETE_ALIAS_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__Alias *created = NULL, *got = NULL, *updated = NULL;
	_cleanup_message_ Mayfly__V1__ListAliasesResponse *listed = NULL;
	_cleanup_message_ Mayfly__V1__DeleteAliasResponse *deleted = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;

	create_function(node);
	create.function_name = get.function_name = borrow(ARN "f");
	update.function_name = list.function_name = delete.function_name = borrow("f");
	create.name = get.name = update.name = delete.name = borrow("prod");
	create.function_version = borrow("1");
	create.description = borrow("first");
	if (client_alias_create(client, &create, &created, &error) < 0)
		fail_msg("%s", error_text(&error));
	assert_string_equal(created->alias_arn, ARN "f:prod");
	assert_string_equal(created->name, "prod");
	assert_string_equal(created->function_version, "1");
	assert_string_equal(created->description, "first");
	assert_null(created->routing_config);

	assert_int_equal(client_alias_get(client, &get, &got, NULL), 0);
	assert_string_equal(got->revision_id, created->revision_id);
	update._description_case = MAYFLY__V1__UPDATE_ALIAS_REQUEST___DESCRIPTION_DESCRIPTION;
	update.description = borrow("");
	update.revision_id = created->revision_id;
	assert_int_equal(client_alias_update(client, &update, &updated, NULL), 0);
	assert_string_equal(updated->description, "");
	assert_string_equal(updated->function_version, "1");
	assert_int_equal(client_alias_list(client, &list, &listed, NULL), 0);
	assert_int_equal(listed->n_aliases, 1);
	assert_string_equal(listed->aliases[0]->revision_id, updated->revision_id);
	assert_string_equal(listed->next_marker, "");
	assert_int_equal(client_alias_delete(client, &delete, &deleted, NULL), 0);
	client_free_message(got);
	got = NULL;
	assert_true(client_alias_get(client, &get, &got, &error) < 0);
	assert_int_equal(error.code, ERROR_NOT_FOUND);
	assert_string_equal(error_text(&error), "Cannot find alias arn: " ARN "f:prod");
}

static void test_weights_and_names_on_the_wire(void **state)
{
	struct node *node = *state;
	struct client *client = node->harness.client;
	Mayfly__V1__CreateAliasRequest create = MAYFLY__V1__CREATE_ALIAS_REQUEST__INIT;
	Mayfly__V1__AliasRoutingConfiguration routing =
		MAYFLY__V1__ALIAS_ROUTING_CONFIGURATION__INIT;
	Mayfly__V1__AliasRoutingConfiguration__AdditionalVersionWeightsEntry weight =
		MAYFLY__V1__ALIAS_ROUTING_CONFIGURATION__ADDITIONAL_VERSION_WEIGHTS_ENTRY__INIT;
	Mayfly__V1__AliasRoutingConfiguration__AdditionalVersionWeightsEntry *weights[] = {
		&weight
	};
	_cleanup_message_ Mayfly__V1__Alias *alias = NULL;
	_cleanup_error_ struct error refused = ERROR_INIT, qualified = ERROR_INIT;

	create_function(node);
	weight.key = borrow("1");
	weight.value = 0.5;
	routing.additional_version_weights = weights;
	routing.n_additional_version_weights = 1;
	create.function_name = borrow("f");
	create.name = borrow("prod");
	create.function_version = borrow("1");
	create.routing_config = &routing;
	assert_true(client_alias_create(client, &create, &alias, &refused) < 0);
	assert_string_equal(refused.field, "routing_config");
	create.function_name = borrow("f:1");
	assert_true(client_alias_create(client, &create, &alias, &qualified) < 0);
	assert_string_equal(qualified.field, "function_name");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_from_create_to_delete, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_weights_and_names_on_the_wire, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
