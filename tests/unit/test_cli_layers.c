/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_cli mayfly_rpc

/* Options that take a list, as --layers, and --tags, against a scripted node. */

#include "tests/unit/cli_harness.h"

#define ONE "arn:aws:lambda:us-east-1:000000000000:layer:a:1"
#define TWO "arn:aws:lambda:us-east-1:000000000000:layer:b:2"

static const char *code_file(void)
{
	static char zip[128];

	(void)snprintf(zip, sizeof(zip), "%s/code.zip", node.dir);
	write_file("code.zip", "PK");
	return zip;
}

static void test_a_list_ends_at_the_next_option(void **state _unused_)
{
	_cleanup_output_ struct output o =
		run("function", "create", "f", "--layers", ONE, TWO, "--zip", code_file(),
		    "--no-wait", "--tags", "team=blue,stage=", NULL);
	const Mayfly__V1__CreateFunctionRequest *r = last_request();

	assert_int_equal(o.code, 0);
	assert_string_equal(r->function_name, "f");
	assert_int_equal(r->n_layers, 2);
	assert_string_equal(r->layers[0], ONE);
	assert_string_equal(r->layers[1], TWO);
	assert_int_equal(r->n_tags, 2);
	assert_string_equal(r->tags[0]->key, "team");
	assert_string_equal(r->tags[0]->value, "blue");
	assert_string_equal(r->tags[1]->value, "");
}

static void test_a_list_may_be_json_or_come_in_parts(void **state _unused_)
{
	_cleanup_output_ struct output json =
		run("function", "update-configuration", "f", "--layers",
		    "[\"" ONE "\", \"" TWO "\"]", "--no-wait", NULL);
	const Mayfly__V1__UpdateFunctionConfigurationRequest *r = last_request();

	assert_int_equal(json.code, 0);
	assert_int_equal(r->layers->n_arns, 2);
	assert_string_equal(r->layers->arns[1], TWO);
	_cleanup_output_ struct output parts =
		run("function", "update-configuration", "--layers", ONE, "--layers=" TWO,
		    "--function-name", "f", "--no-wait", NULL);
	r = last_request();
	assert_int_equal(parts.code, 0);
	assert_int_equal(r->layers->n_arns, 2);
	assert_string_equal(r->function_name, "f");
}

static void test_none_is_not_the_same_as_nothing_said(void **state _unused_)
{
	_cleanup_output_ struct output none =
		run("function", "update-configuration", "f", "--layers", "[]", "--no-wait", NULL);
	const Mayfly__V1__UpdateFunctionConfigurationRequest *r = last_request();

	assert_int_equal(none.code, 0);
	assert_non_null(r->layers);
	assert_int_equal(r->layers->n_arns, 0);
	_cleanup_output_ struct output silent =
		run("function", "update-configuration", "f", "--timeout", "4", "--no-wait", NULL);
	r = last_request();
	assert_int_equal(silent.code, 0);
	assert_null(r->layers);
}

static void test_what_is_no_list_is_refused(void **state _unused_)
{
	_cleanup_output_ struct output number =
		run("function", "update-configuration", "f", "--layers", "[1]", "--no-wait", NULL);
	_cleanup_output_ struct output tags =
		run("function", "create", "f", "--zip", code_file(), "--tags", "team", NULL);
	_cleanup_output_ struct output nested =
		run("function", "create", "f", "--zip", code_file(), "--tags", "{\"a\": {}}", NULL);
	_cleanup_output_ struct output number_missing = run("layer", "get", "l", NULL);
	_cleanup_output_ struct output content_missing = run("layer", "publish", "l", NULL);

	assert_int_equal(number.code, 2);
	assert_int_equal(tags.code, 2);
	assert_int_equal(nested.code, 2);
	assert_int_equal(number_missing.code, 2);
	assert_int_equal(content_missing.code, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_list_ends_at_the_next_option),
		cmocka_unit_test(test_a_list_may_be_json_or_come_in_parts),
		cmocka_unit_test(test_none_is_not_the_same_as_nothing_said),
		cmocka_unit_test(test_what_is_no_list_is_refused),
	};

	return cmocka_run_group_tests(tests, start_node, stop_node);
}
