/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_cli mayfly_rpc

/* The verbs of versions and aliases against a scripted node. */

#include "tests/unit/cli_harness.h"

static void test_publish_version(void **state _unused_)
{
	_cleanup_output_ struct output o =
		run("function", "publish-version", "f", "--description", "third", "--code-sha256",
		    "abc", "--revision-id", "r", "--no-wait", "-o", "json", NULL);
	const Mayfly__V1__PublishVersionRequest *r = last_request();
	json_t *json;

	assert_int_equal(o.code, 0);
	assert_string_equal(r->function_name, "f");
	assert_string_equal(r->description, "third");
	assert_string_equal(r->code_sha256, "abc");
	assert_string_equal(r->revision_id, "r");
	json = parse(&o);
	assert_string_equal(json_string_value(json_object_get(json, "Version")), "3");
	json_decref(json);
}

/* It is the version that is waited for. */
static void test_publish_version_waits(void **state _unused_)
{
	_cleanup_output_ struct output o = run("function", "publish-version", "f", NULL);

	assert_int_equal(o.code, 0);
	(void)last_request();
	assert_int_equal(node.gets, 2);
	assert_string_equal(node.got_qualifier, "3");
	assert_non_null(strstr(buf_string(&o.out), "Active"));
}

static void test_publish_with_code(void **state _unused_)
{
	char zip[128];
	(void)snprintf(zip, sizeof(zip), "%s/code.zip", node.dir);
	write_file("code.zip", "PK");
	_cleanup_output_ struct output create =
		run("function", "create", "f", "--zip", zip, "--publish", "--no-wait", NULL);
	assert_true(((const Mayfly__V1__CreateFunctionRequest *)last_request())->publish);
	_cleanup_output_ struct output update =
		run("function", "update-code", "f", "--zip", zip, "--publish", NULL);
	assert_true(((const Mayfly__V1__UpdateFunctionCodeRequest *)last_request())->publish);
	assert_int_equal(create.code + update.code, 0);
}

static void test_list_versions_follows_pages(void **state _unused_)
{
	_cleanup_output_ struct output table = run("function", "list-versions", "f", NULL);
	_cleanup_output_ struct output o =
		run("function", "list-versions", "f", "-o", "json", NULL);
	json_t *json = parse(&o);
	json_t *versions = json_object_get(json, "Versions");

	assert_int_equal(table.code, 0);
	assert_non_null(strstr(buf_string(&table.out), "\n$LATEST"));
	assert_non_null(strstr(buf_string(&table.out), "\n1"));
	assert_int_equal(json_array_size(versions), 2);
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(versions, 1), "Version")), "1");
	json_decref(json);
}

static void test_snap_start_is_of_published_versions(void **state _unused_)
{
	_cleanup_output_ struct output latest = run("function", "get", "f", NULL);
	_cleanup_output_ struct output version =
		run("function", "get", "f", "--qualifier", "3", NULL);

	assert_non_null(strstr(buf_string(&latest.out), "for published versions"));
	assert_non_null(strstr(buf_string(&version.out), "asked for, no template yet"));
	assert_non_null(strstr(buf_string(&version.out), "Version"));
}

static void test_list_all_versions(void **state _unused_)
{
	_cleanup_output_ struct output all =
		run("function", "list", "--function-version", "ALL", NULL);
	_cleanup_output_ struct output latest = run("function", "list", NULL);

	assert_int_equal(all.code, 0);
	assert_non_null(strstr(buf_string(&all.out), "VERSION"));
	assert_non_null(strstr(buf_string(&all.out), "f4    7 "));
	assert_null(strstr(buf_string(&latest.out), "VERSION"));
}

static void test_create_alias(void **state _unused_)
{
	_cleanup_output_ struct output o =
		run("alias", "create", "f", "live", "--function-version", "1", "--description", "d",
		    "--routing-config", "AdditionalVersionWeights={2=0.25}", "-o", "json", NULL);
	const Mayfly__V1__CreateAliasRequest *r = last_request();
	json_t *json, *routing;

	assert_int_equal(o.code, 0);
	assert_string_equal(r->function_name, "f");
	assert_string_equal(r->name, "live");
	assert_string_equal(r->function_version, "1");
	assert_string_equal(r->description, "d");
	assert_int_equal(r->routing_config->n_additional_version_weights, 1);
	assert_string_equal(r->routing_config->additional_version_weights[0]->key, "2");
	assert_true(r->routing_config->additional_version_weights[0]->value == 0.25);
	json = parse(&o);
	assert_string_equal(json_string_value(json_object_get(json, "Name")), "live");
	assert_string_equal(json_string_value(json_object_get(json, "FunctionVersion")), "1");
	routing =
		json_object_get(json_object_get(json, "RoutingConfig"), "AdditionalVersionWeights");
	assert_true(json_real_value(json_object_get(routing, "2")) == 0.25);
	json_decref(json);
}

static void test_update_alias_sends_what_was_named(void **state _unused_)
{
	_cleanup_output_ struct output o =
		run("alias", "update", "--function-name", "f", "--name", "live", "--routing-config",
		    "{\"AdditionalVersionWeights\": {}}", NULL);
	const Mayfly__V1__UpdateAliasRequest *r = last_request();

	assert_int_equal(o.code, 0);
	assert_string_equal(r->function_name, "f");
	assert_string_equal(r->name, "live");
	assert_string_equal(r->function_version, "");
	assert_int_equal(r->_description_case, 0);
	assert_non_null(r->routing_config);
	assert_int_equal(r->routing_config->n_additional_version_weights, 0);

	_cleanup_output_ struct output described = run(
		"alias", "update", "f", "live", "--description", "", "--revision-id", "r", NULL);
	r = last_request();
	assert_int_equal(described.code, 0);
	assert_int_not_equal(r->_description_case, 0);
	assert_string_equal(r->revision_id, "r");
	assert_null(r->routing_config);
}

static void test_get_list_and_delete_alias(void **state _unused_)
{
	_cleanup_output_ struct output got = run("alias", "get", "f", "live", NULL);
	assert_int_equal(got.code, 0);
	assert_string_equal(((const Mayfly__V1__GetAliasRequest *)last_request())->name, "live");
	assert_non_null(strstr(buf_string(&got.out), "2=0.25"));
	_cleanup_output_ struct output listed =
		run("alias", "list", "f", "--function-version", "1", "-o", "json", NULL);
	assert_string_equal(
		((const Mayfly__V1__ListAliasesRequest *)last_request())->function_version, "1");
	json_t *json = parse(&listed);
	assert_int_equal(json_array_size(json_object_get(json, "Aliases")), 1);
	json_decref(json);
	_cleanup_output_ struct output deleted = run("alias", "delete", "f", "live", NULL);
	assert_int_equal(deleted.code, 0);
	assert_int_equal(deleted.out.len, 0);
	assert_string_equal(((const Mayfly__V1__DeleteAliasRequest *)last_request())->name, "live");
}

static void test_wrong_options(void **state _unused_)
{
	static const char *const cases[][6] = {
		{ "alias", "get", "f", NULL },
		{ "alias", "create", "f", "live", NULL },
		{ "alias", "update", "f", "live", "--routing-config=Weights={2=0.1}", NULL },
		{ "alias", "update", "f", "live", "--routing-config=AdditionalVersionWeights={2=x}",
		  NULL },
		{ "alias", "update", "f", "live", "--routing-config=AdditionalVersionWeights=2",
		  NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_output_ struct output o =
			run(cases[i][0], cases[i][1], cases[i][2], cases[i][3], cases[i][4], NULL);
		assert_int_equal(o.code, 2);
		assert_true(o.err.len > 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_publish_version),
		cmocka_unit_test(test_publish_version_waits),
		cmocka_unit_test(test_publish_with_code),
		cmocka_unit_test(test_list_versions_follows_pages),
		cmocka_unit_test(test_snap_start_is_of_published_versions),
		cmocka_unit_test(test_list_all_versions),
		cmocka_unit_test(test_create_alias),
		cmocka_unit_test(test_update_alias_sends_what_was_named),
		cmocka_unit_test(test_get_list_and_delete_alias),
		cmocka_unit_test(test_wrong_options),
	};
	return cmocka_run_group_tests(tests, start_node, stop_node);
}
