/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_deploy mayfly_store mayfly_functions mayfly_core mayfly_base

/* From a request to an active function, and to its deletion. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/directory_harness.h"

static void test_create_becomes_active(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer answer = { 0 };
	const struct directory_create_request request = create_request("f", "zip one");
	const struct function *function;

	ask_create(node, &request, &answer);
	assert_int_equal(answer.error.code, ERROR_NONE);
	function = answer.function;
	assert_int_equal(function->state, FUNCTION_PENDING);
	assert_string_equal(function->state_reason, "The function is being created.");
	assert_string_equal(function->state_reason_code, "Creating");
	assert_int_equal(function->config.memory_size_mb, 128);
	assert_int_equal(function->config.timeout_seconds, 3);
	assert_int_equal(function->config.ephemeral_storage_mb, 512);
	assert_string_equal(function->config.log_group, "/aws/lambda/f");
	assert_int_equal(function->config.code_size_bytes, 7);
	assert_int_equal(strlen(function->config.code_sha256), 44);
	assert_int_equal(node->created, 1);

	run_until(node, find(node, "f")->state == FUNCTION_ACTIVE);
	function = find(node, "f");
	assert_null(function->state_reason);
	assert_int_equal(function->update_status, UPDATE_SUCCESSFUL);
	assert_string_not_equal(function->revision_id, answer.function->revision_id);
	assert_true(package_exists(node->folder, function->config.package_digest));
	assert_int_equal(count_files(node, "uploads"), 0);
	assert_int_equal(node->changed, 1);
	assert_int_equal(node->hooked, 1);
}

static void test_bad_requests_change_nothing(void **state)
{
	struct node *node = *state;
	const unsigned little = 64;
	struct {
		struct directory_create_request request;
		enum error_code code;
		const char *field;
	} rows[] = {
		{ create_request("a b", "zip"), ERROR_INVALID_PARAMETER, "function_name" },
		{ create_request("f", ""), ERROR_INVALID_PARAMETER, "zip_file" },
		{ create_request("f", "BAD"), ERROR_INVALID_ZIP, "zip_file" },
		{ create_request("f", "zip"), ERROR_INVALID_PARAMETER, "runtime" },
		{ create_request("f", "zip"), ERROR_INVALID_PARAMETER, "handler" },
		{ create_request("f", "zip"), ERROR_INVALID_PARAMETER, "memory_size_mb" },
		{ create_request("f", "zip"), ERROR_INVALID_PARAMETER, "tenant" },
	};

	rows[3].request.config.runtime = "cobol85";
	rows[4].request.config.handler = "";
	rows[5].request.config.memory_size_mb = &little;
	rows[6].request.tenant = "12";
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_answer_ struct answer answer = { 0 };

		ask_create(node, &rows[i].request, &answer);
		assert_null(answer.function);
		assert_int_equal(answer.error.code, rows[i].code);
		assert_string_equal(answer.error.field, rows[i].field);
		assert_nothing_made(node, rows[i].request.name);
	}
}

static void test_same_name_at_once(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer first = { 0 }, second = { 0 };
	const struct directory_create_request request = create_request("f", "zip one");

	assert_int_equal(directory_count(node->directory, TENANT), 0);
	directory_create(node->directory, &request, take_answer, &first);
	directory_create(node->directory, &request, take_answer, &second);
	/* Whoever deletes a tenant must see that one is on its way. */
	assert_int_equal(directory_count(node->directory, TENANT), 1);
	assert_int_equal(directory_count(node->directory, "999999999999"), 0);
	run_until(node, first.here && second.here);
	assert_int_equal(directory_count(node->directory, TENANT), 1);
	assert_int_equal(first.error.code, ERROR_NONE);
	assert_int_equal(second.error.code, ERROR_CONFLICT);
	assert_string_equal(error_text(&second.error), "Function already exist: f");
}

static void test_late_failure_is_told(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer answer = { 0 }, update = { 0 };
	const struct directory_create_request request = create_request("f", "LATE");

	ask_create(node, &request, &answer);
	assert_int_equal(answer.error.code, ERROR_NONE);
	run_until(node, find(node, "f")->state == FUNCTION_FAILED);
	assert_string_equal(find(node, "f")->state_reason, "Damaged on the way");
	assert_string_equal(find(node, "f")->state_reason_code, "InvalidZipFileException");
	assert_int_equal(count_files(node, "uploads"), 0);
	ask_update_code(node, "f", "zip two", false, NULL, &update);
	assert_int_equal(update.error.code, ERROR_CONFLICT);
	assert_non_null(strstr(error_text(&update.error), "in the following state: Failed"));
}

static void test_missing_function(void **state)
{
	static const char message[] =
		"Function not found: arn:aws:lambda:" REGION ":" TENANT ":function:f";
	struct node *node = *state;
	_cleanup_answer_ struct answer code = { 0 }, configuration = { 0 }, deletion = { 0 };
	const struct function_patch patch = { .description = "new" };

	ask_update_code(node, "f", "zip", false, NULL, &code);
	assert_int_equal(code.error.code, ERROR_NOT_FOUND);
	assert_string_equal(error_text(&code.error), message);
	ask_update_configuration(node, "f", &patch, &configuration);
	assert_string_equal(error_text(&configuration.error), message);
	ask_delete(node, "f", &deletion);
	assert_string_equal(error_text(&deletion.error), message);
	assert_null(find(node, "f"));
}

static void test_delete_and_create_anew(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer answer = { 0 };
	_cleanup_free_ char *digest = NULL;
	uint64_t generation;

	create_active(node, "f", "zip one");
	generation = find(node, "f")->generation;
	digest = strdup(find(node, "f")->config.package_digest);
	ask_delete(node, "f", &answer);
	assert_int_equal(answer.error.code, ERROR_NONE);
	assert_null(answer.function);
	assert_int_equal(node->deleted, 1);
	assert_null(find(node, "f"));
	run_until(node, !package_exists(node->folder, digest));

	create_active(node, "f", "zip one");
	assert_true(find(node, "f")->generation > generation);
	assert_true(package_exists(node->folder, digest));
	crash(node);
	open_directory(node);
	assert_non_null(find(node, "f"));
}

static void test_delete_while_it_is_built(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer created = { 0 }, deleted = { 0 };
	const struct directory_create_request request = create_request("f", "SLOW");

	ask_create(node, &request, &created);
	ask_delete(node, "f", &deleted);
	assert_int_equal(deleted.error.code, ERROR_NONE);
	set_gate(true);
	create_active(node, "f", "zip one");
	run_until(node, count_files(node, "packages") == 1);
	assert_int_equal(count_files(node, "uploads"), 0);
	assert_true(package_exists(node->folder, find(node, "f")->config.package_digest));
}

static void test_shared_package_stays(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer first = { 0 }, second = { 0 };

	create_active(node, "f", "zip one");
	create_active(node, "g", "zip one");
	assert_int_equal(count_files(node, "packages"), 1);
	ask_delete(node, "f", &first);
	create_active(node, "h", "zip two");
	assert_true(package_exists(node->folder, find(node, "g")->config.package_digest));
	ask_delete(node, "g", &second);
	run_until(node, count_files(node, "packages") == 1);
}

/* Each has a package of its own, which the other's end leaves alone. */
static void test_tenants_share_no_package(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer created = { 0 }, deleted = { 0 };
	struct directory_create_request request = create_request("f", "zip one");
	const struct function *other;

	create_active(node, "f", "zip one");
	request.tenant = "210987654321";
	ask_create(node, &request, &created);
	assert_int_equal(created.error.code, ERROR_NONE);
	run_until(node,
		  directory_find(node->directory, "210987654321", "f")->state == FUNCTION_ACTIVE);
	other = directory_find(node->directory, "210987654321", "f");
	assert_string_equal(built_for, "210987654321");
	assert_int_equal(count_files(node, "packages"), 2);
	assert_string_not_equal(other->config.package_digest,
				find(node, "f")->config.package_digest);
	assert_string_equal(other->config.code_sha256, find(node, "f")->config.code_sha256);
	ask_delete(node, "f", &deleted);
	run_until(node, count_files(node, "packages") == 1);
	assert_true(package_exists(node->folder, other->config.package_digest));
}

static void test_list_in_pages(void **state)
{
	struct node *node = *state;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct directory_page page;
	char name[16], expected[16], marker[2 * FUNCTION_NAME_MAX + 1] = "";
	unsigned seen = 0;

	for (unsigned i = 0; i < 7; i++) {
		(void)snprintf(name, sizeof(name), "f%u", (i * 3) % 7);
		create_active(node, name, "zip one");
	}
	do {
		assert_int_equal(
			directory_list(node->directory, TENANT, false, 3, marker, &page, &error),
			0);
		for (size_t i = 0; i < page.count; i++) {
			(void)snprintf(expected, sizeof(expected), "f%u", seen++);
			assert_string_equal(page.functions[i]->name, expected);
		}
		memcpy(marker, page.next_marker, sizeof(marker));
	} while (marker[0]);
	assert_int_equal(seen, 7);
	assert_int_equal(page.count, 1);
	assert_int_equal(directory_list(node->directory, TENANT, false, 7, "", &page, &error), 0);
	assert_string_equal(page.next_marker, "");
	assert_int_equal(
		directory_list(node->directory, "999999999999", false, 0, "", &page, &error), 0);
	assert_int_equal(page.count, 0);
	assert_int_equal(directory_list(node->directory, TENANT, false, 0, "zz", &page, &error),
			 -EINVAL);
	assert_string_equal(error.field, "marker");
	error_clear(&error);
	assert_int_equal(directory_list(node->directory, TENANT, false, 10001, "", &page, &error),
			 -EINVAL);
	assert_string_equal(error.field, "max_items");
}

/* -- functions with a template of their own -- */

static void test_snap_start_needs_its_template(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer answer = { 0 };
	struct directory_create_request request = create_request("f", "zip one");

	request.config.snap_start = &latest;
	node->hold_hook = true;
	ask_create(node, &request, &answer);
	run_until(node, node->held);
	assert_int_equal(find(node, "f")->state, FUNCTION_PENDING);
	node->held(NULL, node->held_arg);
	run_until(node, find(node, "f")->state == FUNCTION_ACTIVE);
	assert_int_equal(node->hooked, 1);
}

static void test_snap_start_failure_is_told(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer answer = { 0 }, update = { 0 };
	struct directory_create_request request = create_request("f", "zip one");
	const struct function_patch patch = { .snap_start = &latest };

	request.config.snap_start = &latest;
	node->hook_fails = "INIT raised ValueError";
	ask_create(node, &request, &answer);
	run_until(node, find(node, "f")->state == FUNCTION_FAILED);
	assert_string_equal(find(node, "f")->state_reason, "INIT raised ValueError");
	assert_string_equal(find(node, "f")->state_reason_code, "FunctionError");
	run_until(node, count_files(node, "packages") == 0);

	node->hook_fails = NULL;
	create_active(node, "g", "zip two");
	node->hook_fails = "INIT raised ValueError";
	ask_update_configuration(node, "g", &patch, &update);
	run_until(node, find(node, "g")->update_status == UPDATE_FAILED);
	assert_string_equal(find(node, "g")->update_reason, "INIT raised ValueError");
	assert_int_equal(find(node, "g")->config.snap_start, SNAP_START_NONE);
	assert_true(package_exists(node->folder, find(node, "g")->config.package_digest));
}

static void test_delete_while_its_template_is_made(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer created = { 0 }, deleted = { 0 };
	struct directory_create_request request = create_request("f", "zip one");

	request.config.snap_start = &latest;
	node->hold_hook = true;
	ask_create(node, &request, &created);
	run_until(node, node->held);
	ask_delete(node, "f", &deleted);
	node->held(NULL, node->held_arg);
	run_until(node, count_files(node, "packages") == 0);
	assert_null(find(node, "f"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_create_becomes_active),
		BOTH(test_bad_requests_change_nothing),
		BOTH(test_same_name_at_once),
		BOTH(test_late_failure_is_told),
		BOTH(test_missing_function),
		BOTH(test_delete_and_create_anew),
		BOTH(test_delete_while_it_is_built),
		BOTH(test_shared_package_stays),
		BOTH(test_tenants_share_no_package),
		BOTH(test_list_in_pages),
		BOTH(test_snap_start_needs_its_template),
		BOTH(test_snap_start_failure_is_told),
		BOTH(test_delete_while_its_template_is_made),
	};

	log_set_max_priority(LOG_WARNING);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
