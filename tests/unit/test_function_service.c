/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_api mayfly_client mayfly_invoke mayfly_pool mayfly_logs mayfly_vm mayfly_image
// mayfly_deploy mayfly_store mayfly_functions mayfly_rpc mayfly_core mayfly_base

/* FunctionService over a real socket: the node runs on its own thread, the test is its client. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/service_harness.h"

#define ARN "arn:aws:lambda:" REGION ":" TENANT ":function:"

static int set_up(void **state)
{
	struct harness *node = calloc(1, sizeof(*node));

	harness_open(node);
	harness_open_functions(node);
	harness_serve(node);
	*state = node;
	return 0;
}

static int tear_down(void **state)
{
	struct harness *node = *state;

	harness_end(node);
	harness_close(node);
	free(node);
	return 0;
}

static ProtobufCBinaryData bytes(const char *text)
{
	return (ProtobufCBinaryData){ strlen(text), (uint8_t *)(uintptr_t)text };
}

static Mayfly__V1__CreateFunctionRequest create_request(const char *name)
{
	Mayfly__V1__CreateFunctionRequest request = MAYFLY__V1__CREATE_FUNCTION_REQUEST__INIT;

	request.function_name = borrow(name);
	request.runtime = borrow("python3.13");
	request.handler = borrow("app.handler");
	request.zip_file = bytes("zip one");
	return request;
}

static Mayfly__V1__Function *get(struct harness *node, const char *name, struct error *error)
{
	Mayfly__V1__GetFunctionRequest request = MAYFLY__V1__GET_FUNCTION_REQUEST__INIT;
	Mayfly__V1__Function *function = NULL;

	request.function_name = borrow(name);
	return client_function_get(node->client, &request, &function, error) < 0 ? NULL : function;
}

/* As a client waits: asks until it is so. */
static void wait_ready(struct harness *node, const char *name)
{
	const int64_t deadline = clock_monotonic_us() + HARNESS_LIMIT_SEC * USEC_PER_SEC;

	for (;;) {
		_cleanup_message_ Mayfly__V1__Function *function = get(node, name, NULL);

		assert_non_null(function);
		if (function->state == MAYFLY__V1__FUNCTION_STATE__FUNCTION_STATE_ACTIVE &&
		    function->last_update_status ==
			    MAYFLY__V1__LAST_UPDATE_STATUS__LAST_UPDATE_STATUS_SUCCESSFUL)
			return;
		assert_true(clock_monotonic_us() < deadline);
	}
}

static void create(struct harness *node, const char *name)
{
	Mayfly__V1__CreateFunctionRequest request = create_request(name);
	_cleanup_message_ Mayfly__V1__Function *function = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;

	if (client_function_create(node->client, &request, &function, &error) < 0)
		fail_msg("%s", error_text(&error));
	wait_ready(node, name);
}

static void test_create_and_get(void **state)
{
	struct harness *node = *state;
	Mayfly__V1__CreateFunctionRequest request = create_request(ARN "f");
	Mayfly__V1__EnvironmentVariable variable = MAYFLY__V1__ENVIRONMENT_VARIABLE__INIT;
	Mayfly__V1__EnvironmentVariable *variables[] = { &variable };
	_cleanup_message_ Mayfly__V1__Function *created = NULL, *got = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;

	variable.key = borrow("KEY");
	variable.value = borrow("value");
	request.environment = variables;
	request.n_environment = 1;
	request._memory_size_mb_case =
		MAYFLY__V1__CREATE_FUNCTION_REQUEST___MEMORY_SIZE_MB_MEMORY_SIZE_MB;
	request.memory_size_mb = 256;
	if (client_function_create(node->client, &request, &created, &error) < 0)
		fail_msg("%s", error_text(&error));
	assert_string_equal(created->tenant, TENANT);
	assert_string_equal(created->function_name, "f");
	assert_string_equal(created->function_arn, ARN "f");
	assert_string_equal(created->version, "$LATEST");
	assert_int_equal(created->state, MAYFLY__V1__FUNCTION_STATE__FUNCTION_STATE_PENDING);
	assert_string_equal(created->state_reason_code, "Creating");
	assert_int_equal(created->last_update_status,
			 MAYFLY__V1__LAST_UPDATE_STATUS__LAST_UPDATE_STATUS_UNSPECIFIED);

	wait_ready(node, "f:$LATEST");
	got = get(node, "f", &error);
	assert_non_null(got);
	assert_int_equal(got->memory_size_mb, 256);
	assert_int_equal(got->timeout_seconds, 3);
	assert_int_equal(got->n_environment, 1);
	assert_string_equal(got->environment[0]->value, "value");
	assert_int_equal(got->snap_start->apply_on,
			 MAYFLY__V1__SNAP_START_APPLY_ON__SNAP_START_APPLY_ON_NONE);
	assert_false(got->snap_start->optimized);
	assert_int_equal(got->logging_config->log_format, MAYFLY__V1__LOG_FORMAT__LOG_FORMAT_TEXT);
	assert_string_equal(got->logging_config->log_group, "/aws/lambda/f");
	assert_int_equal(got->code_size_bytes, 7);
	assert_string_equal(got->state_reason, "");
}

static void test_refusals(void **state)
{
	struct harness *node = *state;
	const struct {
		const char *tenant, *name, *runtime;
		enum error_code code;
		const char *field;
	} rows[] = {
		{ "", "a b", "python3.13", ERROR_INVALID_PARAMETER, "function_name" },
		{ "", "f:1", "python3.13", ERROR_INVALID_PARAMETER, "function_name" },
		{ "", "f", "cobol85", ERROR_INVALID_PARAMETER, "runtime" },
		{ "999999999999", "f", "python3.13", ERROR_NOT_FOUND, "tenant" },
		{ "mine", "f", "python3.13", ERROR_INVALID_PARAMETER, "tenant" },
		{ "", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		  "python3.13", ERROR_INVALID_PARAMETER, "function_name" },
		{ "", "arn:aws:lambda:us-east-1:" TENANT ":function:f", "python3.13",
		  ERROR_NOT_FOUND, "function_name" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		Mayfly__V1__CreateFunctionRequest request = create_request(rows[i].name);
		_cleanup_message_ Mayfly__V1__Function *function = NULL;
		_cleanup_error_ struct error error = ERROR_INIT;

		request.tenant = borrow(rows[i].tenant);
		request.runtime = borrow(rows[i].runtime);
		assert_true(client_function_create(node->client, &request, &function, &error) < 0);
		assert_int_equal(error.code, rows[i].code);
		assert_string_equal(error.field, rows[i].field);
	}
	create(node, "f");
	{
		Mayfly__V1__CreateFunctionRequest request = create_request("f");
		_cleanup_message_ Mayfly__V1__Function *function = NULL;
		_cleanup_error_ struct error error = ERROR_INIT;

		assert_true(client_function_create(node->client, &request, &function, &error) < 0);
		assert_int_equal(error.code, ERROR_CONFLICT);
		assert_string_equal(error_text(&error), "Function already exist: f");
	}
}

static void test_missing(void **state)
{
	struct harness *node = *state;
	_cleanup_error_ struct error plain = ERROR_INIT, qualified = ERROR_INIT;

	assert_null(get(node, "f", &plain));
	assert_int_equal(plain.code, ERROR_NOT_FOUND);
	assert_string_equal(error_text(&plain), "Function not found: " ARN "f");
	create(node, "f");
	assert_null(get(node, "f:7", &qualified));
	assert_string_equal(error_text(&qualified), "Function not found: " ARN "f:7");
}

static void test_update_configuration(void **state)
{
	struct harness *node = *state;
	Mayfly__V1__UpdateFunctionConfigurationRequest request =
		MAYFLY__V1__UPDATE_FUNCTION_CONFIGURATION_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__Function *updated = NULL, *got = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;

	create(node, "f");
	request.function_name = borrow("f");
	request._timeout_seconds_case =
		MAYFLY__V1__UPDATE_FUNCTION_CONFIGURATION_REQUEST___TIMEOUT_SECONDS_TIMEOUT_SECONDS;
	request.timeout_seconds = 30;
	request._description_case =
		MAYFLY__V1__UPDATE_FUNCTION_CONFIGURATION_REQUEST___DESCRIPTION_DESCRIPTION;
	request.description = borrow("new");
	if (client_function_update_configuration(node->client, &request, &updated, &error) < 0)
		fail_msg("%s", error_text(&error));
	assert_int_equal(updated->last_update_status,
			 MAYFLY__V1__LAST_UPDATE_STATUS__LAST_UPDATE_STATUS_IN_PROGRESS);
	assert_int_equal(updated->timeout_seconds, 30);
	wait_ready(node, "f");
	got = get(node, "f", NULL);
	assert_int_equal(got->timeout_seconds, 30);
	assert_string_equal(got->description, "new");
	assert_string_equal(got->handler, "app.handler");
	assert_int_equal(got->memory_size_mb, 128);
}

static void test_update_code(void **state)
{
	struct harness *node = *state;
	Mayfly__V1__UpdateFunctionCodeRequest request =
		MAYFLY__V1__UPDATE_FUNCTION_CODE_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__Function *dry = NULL, *updated = NULL, *stale = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;

	create(node, "f");
	request.function_name = borrow("f");
	request.zip_file = bytes("zip  two");
	request.dry_run = true;
	assert_int_equal(client_function_update_code(node->client, &request, &dry, &error), 0);
	assert_int_equal(dry->code_size_bytes, 8);
	request.dry_run = false;
	request.revision_id = borrow("00000000-0000-4000-8000-000000000000");
	assert_true(client_function_update_code(node->client, &request, &stale, &error) < 0);
	assert_int_equal(error.code, ERROR_PRECONDITION_FAILED);
	error_clear(&error);
	request.revision_id = dry->revision_id;
	assert_int_equal(client_function_update_code(node->client, &request, &updated, &error), 0);
	assert_string_equal(updated->code_sha256, dry->code_sha256);
	wait_ready(node, "f");
}

static int delete_function(struct harness *node, const char *name, const char *qualifier,
			   struct error *error)
{
	Mayfly__V1__DeleteFunctionRequest request = MAYFLY__V1__DELETE_FUNCTION_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__DeleteFunctionResponse *response = NULL;

	request.function_name = borrow(name);
	request.qualifier = borrow(qualifier);
	return client_function_delete(node->client, &request, &response, error);
}

static void test_delete(void **state)
{
	struct harness *node = *state;
	_cleanup_error_ struct error latest = ERROR_INIT, alias = ERROR_INIT, gone = ERROR_INIT;

	create(node, "f");
	assert_true(delete_function(node, "f:$LATEST", "", &latest) < 0);
	assert_string_equal(error_text(&latest),
			    "$LATEST version cannot be deleted without deleting the function.");
	assert_true(delete_function(node, "f", "prod", &alias) < 0);
	assert_string_equal(error_text(&alias), "Deletion of aliases is not currently supported.");
	assert_int_equal(delete_function(node, "f", "7", NULL), 0);
	assert_int_equal(delete_function(node, "f", "", NULL), 0);
	assert_true(delete_function(node, "f", "7", &gone) < 0);
	assert_string_equal(error_text(&gone), "Function not found: " ARN "f");
}

static Mayfly__V1__Function *publish(struct harness *node, const char *name,
				     const char *description, struct error *error)
{
	Mayfly__V1__PublishVersionRequest request = MAYFLY__V1__PUBLISH_VERSION_REQUEST__INIT;
	Mayfly__V1__Function *function = NULL;

	request.function_name = borrow(name);
	request.description = borrow(description);
	return client_function_publish_version(node->client, &request, &function, error) < 0
		       ? NULL
		       : function;
}

static void test_versions(void **state)
{
	struct harness *node = *state;
	Mayfly__V1__ListVersionsByFunctionRequest request =
		MAYFLY__V1__LIST_VERSIONS_BY_FUNCTION_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__ListVersionsByFunctionResponse *list = NULL;
	_cleanup_message_ Mayfly__V1__Function *one = NULL, *got = NULL, *latest = NULL;
	Mayfly__V1__ListFunctionsRequest all = MAYFLY__V1__LIST_FUNCTIONS_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__ListFunctionsResponse *everything = NULL, *nothing = NULL;
	_cleanup_error_ struct error qualified = ERROR_INIT, missing = ERROR_INIT,
				     unknown = ERROR_INIT;

	create(node, "f");
	one = publish(node, "f", "first", NULL);
	assert_string_equal(one->version, "1");
	assert_string_equal(one->function_arn, ARN "f:1");
	assert_string_equal(one->description, "first");
	assert_int_equal(one->state, MAYFLY__V1__FUNCTION_STATE__FUNCTION_STATE_PENDING);
	wait_ready(node, "f:1");
	got = get(node, ARN "f:1", NULL);
	assert_string_equal(got->function_arn, ARN "f:1");
	latest = get(node, "f:$LATEST", NULL);
	assert_string_equal(latest->function_arn, ARN "f:$LATEST");
	assert_string_equal(latest->version, "$LATEST");

	request.function_name = borrow("f");
	assert_int_equal(client_function_list_versions(node->client, &request, &list, NULL), 0);
	assert_int_equal(list->n_versions, 2);
	assert_string_equal(list->versions[0]->function_arn, ARN "f:$LATEST");
	assert_string_equal(list->versions[1]->function_arn, ARN "f:1");
	assert_string_equal(list->next_marker, "");

	all.function_version = borrow("ALL");
	assert_int_equal(client_function_list(node->client, &all, &everything, NULL), 0);
	assert_int_equal(everything->n_functions, 2);
	assert_string_equal(everything->functions[0]->function_arn, ARN "f:$LATEST");
	assert_string_equal(everything->functions[1]->function_arn, ARN "f:1");
	all.function_version = borrow("1");
	assert_true(client_function_list(node->client, &all, &nothing, &unknown) < 0);
	assert_string_equal(unknown.field, "function_version");

	assert_null(publish(node, "f:1", "", &qualified));
	assert_int_equal(qualified.code, ERROR_INVALID_PARAMETER);
	assert_int_equal(delete_function(node, "f", "1", NULL), 0);
	assert_null(get(node, "f:1", &missing));
	assert_string_equal(error_text(&missing), "Function not found: " ARN "f:1");
}

static void test_publish_with_create_and_update(void **state)
{
	struct harness *node = *state;
	Mayfly__V1__CreateFunctionRequest create = create_request("f");
	Mayfly__V1__UpdateFunctionCodeRequest update =
		MAYFLY__V1__UPDATE_FUNCTION_CODE_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__Function *one = NULL, *two = NULL;

	create.publish = true;
	assert_int_equal(client_function_create(node->client, &create, &one, NULL), 0);
	assert_string_equal(one->version, "1");
	assert_string_equal(one->function_arn, ARN "f"); /* as Lambda has it */
	wait_ready(node, "f");
	wait_ready(node, "f:1");
	update.function_name = borrow("f");
	update.zip_file = bytes("zip two");
	update.publish = true;
	assert_int_equal(client_function_update_code(node->client, &update, &two, NULL), 0);
	assert_string_equal(two->version, "2");
	assert_string_equal(two->function_arn, ARN "f:2");
	wait_ready(node, "f:2");
}

static void test_list(void **state)
{
	struct harness *node = *state;
	Mayfly__V1__ListFunctionsRequest request = MAYFLY__V1__LIST_FUNCTIONS_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__ListFunctionsResponse *first = NULL, *second = NULL;

	create(node, "b");
	create(node, "a");
	create(node, "c");
	request.max_items = 2;
	assert_int_equal(client_function_list(node->client, &request, &first, NULL), 0);
	assert_int_equal(first->n_functions, 2);
	assert_string_equal(first->functions[0]->function_name, "a");
	assert_string_equal(first->functions[1]->function_name, "b");
	request.marker = first->next_marker;
	assert_int_equal(client_function_list(node->client, &request, &second, NULL), 0);
	assert_int_equal(second->n_functions, 1);
	assert_string_equal(second->functions[0]->function_name, "c");
	assert_string_equal(second->next_marker, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_create_and_get, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_missing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_update_configuration, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_update_code, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_delete, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_versions, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_publish_with_create_and_update, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_list, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
