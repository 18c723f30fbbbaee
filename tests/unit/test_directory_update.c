/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_deploy mayfly_store mayfly_functions mayfly_core mayfly_base

/* What an update changes, when, and what it leaves as it was. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "mayfly/id.h"
#include "tests/unit/directory_harness.h"

static void test_update_code_serves_the_old_until_ready(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer answer = { 0 }, conflict = { 0 };
	_cleanup_free_ char *old_digest = NULL;
	uint64_t generation;

	create_active(node, "f", "zip one");
	old_digest = strdup(find(node, "f")->config.package_digest);
	generation = find(node, "f")->generation;

	ask_update_code(node, "f", "SLOW two", false, find(node, "f")->revision_id, &answer);
	assert_int_equal(answer.error.code, ERROR_NONE);
	assert_int_equal(answer.function->state, FUNCTION_ACTIVE);
	assert_int_equal(answer.function->update_status, UPDATE_IN_PROGRESS);
	assert_string_equal(answer.function->update_reason_code, "Creating");
	assert_int_equal(function_visible_config(answer.function)->code_size_bytes, 8);
	assert_string_equal(find(node, "f")->config.package_digest, old_digest);
	assert_int_equal(find(node, "f")->config.code_size_bytes, 7);

	ask_update_code(node, "f", "zip three", false, NULL, &conflict);
	assert_int_equal(conflict.error.code, ERROR_CONFLICT);
	assert_string_equal(error_text(&conflict.error),
			    "The operation cannot be performed at this time. An update is in "
			    "progress for resource: arn:aws:lambda:" REGION ":" TENANT
			    ":function:f");
	assert_true(package_exists(node->folder, old_digest));

	set_gate(true);
	run_until(node, find(node, "f")->update_status == UPDATE_SUCCESSFUL);
	assert_string_not_equal(find(node, "f")->config.package_digest, old_digest);
	assert_int_equal(find(node, "f")->config.code_size_bytes, 8);
	assert_true(find(node, "f")->generation > generation);
	run_until(node, !package_exists(node->folder, old_digest));
	assert_int_equal(count_files(node, "uploads"), 0);
}

static void test_failed_update_keeps_the_old(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer answer = { 0 }, again = { 0 };
	uint64_t generation;

	create_active(node, "f", "zip one");
	generation = find(node, "f")->generation;
	ask_update_code(node, "f", "LATE", false, NULL, &answer);
	run_until(node, find(node, "f")->update_status == UPDATE_FAILED);
	assert_string_equal(find(node, "f")->update_reason, "Damaged on the way");
	assert_int_equal(find(node, "f")->state, FUNCTION_ACTIVE);
	assert_int_equal(find(node, "f")->config.code_size_bytes, 7);
	assert_int_equal(find(node, "f")->generation, generation);
	assert_true(package_exists(node->folder, find(node, "f")->config.package_digest));

	ask_update_code(node, "f", "zip four", false, NULL, &again);
	assert_int_equal(again.error.code, ERROR_NONE);
	run_until(node, find(node, "f")->update_status == UPDATE_SUCCESSFUL);
	assert_null(find(node, "f")->update_reason);
}

static void test_dry_run_and_revision(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer dry = { 0 }, bad = { 0 }, stale = { 0 };
	char revision[UUID_BYTES];

	create_active(node, "f", "zip one");
	memcpy(revision, find(node, "f")->revision_id, sizeof(revision));
	ask_update_code(node, "f", "zip  two", true, NULL, &dry);
	assert_int_equal(dry.error.code, ERROR_NONE);
	assert_int_equal(dry.function->config.code_size_bytes, 8);
	assert_int_equal(dry.function->update_status, UPDATE_SUCCESSFUL);
	ask_update_code(node, "f", "BAD", true, NULL, &bad);
	assert_int_equal(bad.error.code, ERROR_INVALID_ZIP);
	ask_update_code(node, "f", "zip two", false, "00000000-0000-4000-8000-000000000000",
			&stale);
	assert_int_equal(stale.error.code, ERROR_PRECONDITION_FAILED);
	assert_string_equal(stale.error.field, "revision_id");

	assert_string_equal(find(node, "f")->revision_id, revision);
	assert_int_equal(find(node, "f")->config.code_size_bytes, 7);
	assert_int_equal(count_files(node, "uploads"), 0);
}

static void test_update_configuration(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer answer = { 0 }, bad = { 0 };
	const unsigned memory = 512, wrong = 1000000;
	const struct function_patch patch = { .memory_size_mb = &memory, .description = "new" };
	const struct function_patch bad_patch = { .timeout_seconds = &wrong };
	uint64_t generation;

	create_active(node, "f", "zip one");
	generation = find(node, "f")->generation;
	ask_update_configuration(node, "f", &patch, &answer);
	assert_int_equal(answer.error.code, ERROR_NONE);
	assert_int_equal(answer.function->update_status, UPDATE_IN_PROGRESS);
	assert_int_equal(function_visible_config(answer.function)->memory_size_mb, 512);
	run_until(node, find(node, "f")->update_status == UPDATE_SUCCESSFUL);
	assert_int_equal(find(node, "f")->config.memory_size_mb, 512);
	assert_string_equal(find(node, "f")->config.description, "new");
	assert_string_equal(find(node, "f")->config.handler, "app.handler");
	assert_true(find(node, "f")->generation > generation);
	assert_true(package_exists(node->folder, find(node, "f")->config.package_digest));

	ask_update_configuration(node, "f", &bad_patch, &bad);
	assert_int_equal(bad.error.code, ERROR_INVALID_PARAMETER);
	assert_string_equal(bad.error.field, "timeout_seconds");
	assert_int_equal(find(node, "f")->update_status, UPDATE_SUCCESSFUL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_update_code_serves_the_old_until_ready),
		BOTH(test_failed_update_keeps_the_old),
		BOTH(test_dry_run_and_revision),
		BOTH(test_update_configuration),
	};

	log_set_max_priority(LOG_WARNING);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
