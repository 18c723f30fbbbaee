/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_deploy mayfly_store mayfly_functions mayfly_core mayfly_base

/* Published versions: their rules, how they are made, listed and deleted, and what outlives a
 * crash. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/versions_harness.h"

/* -- rules -- */

static void test_names_of_versions(void **state)
{
	static const char *const bad[] = { "",      "0",  "01",
					   "1a",    "-1", "x",
					   "$LATE", " 1", "99999999999999999999" };
	char name[FUNCTION_VERSION_BYTES];
	uint64_t version = 7;

	(void)state;
	assert_true(function_version_parse("$LATEST", &version));
	assert_int_equal(version, 0);
	assert_true(function_version_parse("1203", &version));
	assert_int_equal(version, 1203);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (function_version_parse(bad[i], &version))
			fail_msg("%s is a version", bad[i]);
	function_version_name(0, name);
	assert_string_equal(name, "$LATEST");
	function_version_name(UINT64_MAX, name);
	assert_string_equal(name, "18446744073709551615");
}

static void test_which_versions_have_snap_start(void **state)
{
	static const struct {
		enum snap_start snap_start;
		bool latest, published;
	} rows[] = {
		{ SNAP_START_NONE, false, false },
		{ SNAP_START_PUBLISHED_VERSIONS, false, true },
		{ SNAP_START_LATEST, true, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct function_config config = { .snap_start = rows[i].snap_start };

		assert_int_equal(function_config_has_snap_start(&config, 0), rows[i].latest);
		assert_int_equal(function_config_has_snap_start(&config, 3), rows[i].published);
	}
}

/* -- publishing -- */

static void test_a_version_is_a_copy_that_stays(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer answer = { 0 };
	char revision[UUID_BYTES];
	const struct function *one;

	create_active(node, "f", "zip one");
	memcpy(revision, find(node, "f")->revision_id, sizeof(revision));
	node->hold_hook = true;
	ask_publish(node, (struct directory_publish_request){ .description = "the first" },
		    &answer);
	assert_int_equal(answer.function->version, 1);
	assert_int_equal(answer.function->state, FUNCTION_PENDING);
	assert_string_equal(answer.function->state_reason_code, "Creating");
	assert_string_equal(find(node, "f")->revision_id, revision);
	assert_string_not_equal(answer.function->revision_id, revision);

	/* It is Active when what it needs is prepared. */
	run_until(node, node->held);
	assert_int_equal(find_version(node, "1")->state, FUNCTION_PENDING);
	node->hold_hook = false;
	node->held(NULL, node->held_arg);
	run_until(node, find_version(node, "1")->state == FUNCTION_ACTIVE);

	set_memory(node, 512);
	one = find_version(node, "1");
	assert_int_equal(one->config.memory_size_mb, 128);
	assert_string_equal(one->config.description, "the first");
	assert_string_equal(find(node, "f")->config.description, "");
	assert_string_equal(list(node), "$LATEST 1");
}

static void test_nothing_new_is_the_last_version(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer first = { 0 }, same = { 0 }, described = { 0 },
				       update = { 0 };
	const struct function_patch patch = { .description = "new" };

	create_active(node, "f", "zip one");
	ask_publish(node, (struct directory_publish_request){ .description = "v1" }, &first);
	ask_publish(node, (struct directory_publish_request){ .description = "other" }, &same);
	assert_int_equal(same.function->version, 1);
	assert_string_equal(same.function->config.description, "v1");

	/* $LATEST's own description is part of its configuration. */
	ask_update_configuration(node, "f", &patch, &update);
	run_until(node, find(node, "f")->update_status == UPDATE_SUCCESSFUL);
	ask_publish(node, (struct directory_publish_request){ 0 }, &described);
	assert_int_equal(described.function->version, 2);
	assert_string_equal(described.function->config.description, "new");
	run_until(node, find_version(node, "2")->state == FUNCTION_ACTIVE);
	assert_string_equal(list(node), "$LATEST 1 2");
}

static void test_checks_before_publishing(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer none = { 0 }, code = { 0 }, revision = { 0 }, busy = { 0 },
				       update = { 0 }, good = { 0 };
	char expected[256];

	ask_publish(node, (struct directory_publish_request){ 0 }, &none);
	assert_int_equal(none.error.code, ERROR_NOT_FOUND);
	create_active(node, "f", "zip one");
	ask_publish(node, (struct directory_publish_request){ .code_sha256 = "x" }, &code);
	assert_int_equal(code.error.code, ERROR_INVALID_PARAMETER);
	assert_string_equal(code.error.field, "code_sha256");
	(void)snprintf(expected, sizeof(expected),
		       "CodeSHA256 (x) is different from current CodeSHA256 in $LATEST (%s). "
		       "Please try again with the CodeSHA256 in $LATEST.",
		       find(node, "f")->config.code_sha256);
	assert_string_equal(error_text(&code.error), expected);
	ask_publish(node, (struct directory_publish_request){ .revision_id = "x" }, &revision);
	assert_int_equal(revision.error.code, ERROR_PRECONDITION_FAILED);

	ask_update_code(node, "f", "SLOW", false, NULL, &update);
	ask_publish(node, (struct directory_publish_request){ 0 }, &busy);
	assert_int_equal(busy.error.code, ERROR_CONFLICT);
	assert_string_equal(error_text(&busy.error),
			    "The operation cannot be performed at this time. An update is in "
			    "progress for resource: arn:aws:lambda:" REGION ":" TENANT
			    ":function:f");
	set_gate(true);
	run_until(node, find(node, "f")->update_status == UPDATE_SUCCESSFUL);
	assert_string_equal(list(node), "$LATEST");
	ask_publish(node,
		    (struct directory_publish_request){
			    .code_sha256 = find(node, "f")->config.code_sha256,
			    .revision_id = find(node, "f")->revision_id },
		    &good);
	assert_int_equal(good.function->version, 1);
	run_until(node, find_version(node, "1")->state == FUNCTION_ACTIVE);
}

static void test_a_failed_version_leaves_the_function_alone(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer failed = { 0 };

	create_active(node, "f", "zip one");
	node->hook_fails = "INIT failed";
	ask_publish(node, (struct directory_publish_request){ 0 }, &failed);
	run_until(node, find_version(node, "1")->state == FUNCTION_FAILED);
	assert_string_equal(find_version(node, "1")->state_reason, "INIT failed");
	assert_string_equal(find_version(node, "1")->state_reason_code, "FunctionError");
	assert_int_equal(find(node, "f")->state, FUNCTION_ACTIVE);
	node->hook_fails = NULL;
	publish(node, "2"); /* not the failed one again */
}

/* -- with the code -- */

static void test_publish_with_code(void **state)
{
	struct node *node = *state;
	struct directory_create_request create = create_request("f", "SLOW one");
	struct directory_update_code_request update = { .tenant = TENANT,
							.name = "f",
							.publish = true };
	_cleanup_answer_ struct answer created = { 0 }, updated = { 0 }, same = { 0 }, bad = { 0 };

	create.publish = true;
	ask_create(node, &create, &created);
	assert_int_equal(created.function->version, 1);
	assert_int_equal(created.function->state, FUNCTION_PENDING);
	set_gate(true);
	run_until(node, find_version(node, "1")->state == FUNCTION_ACTIVE);
	assert_string_equal(find_version(node, "1")->config.package_digest,
			    find(node, "f")->config.package_digest);

	update.zip = slice_from_string("zip two");
	directory_update_code(node->directory, &update, take_answer, &updated);
	run_until(node, updated.here);
	assert_int_equal(updated.function->version, 2);
	assert_int_equal(updated.function->config.code_size_bytes, 7);
	run_until(node, find_version(node, "2")->state == FUNCTION_ACTIVE);
	assert_int_equal(find_version(node, "1")->config.code_size_bytes, 8);

	directory_update_code(node->directory, &update, take_answer, &same);
	run_until(node, same.here);
	assert_int_equal(same.function->version, 2);
	run_until(node, find(node, "f")->update_status == UPDATE_SUCCESSFUL);

	update.zip = slice_from_string("LATE");
	directory_update_code(node->directory, &update, take_answer, &bad);
	run_until(node, bad.here);
	assert_int_equal(bad.function->version, 3);
	run_until(node, find(node, "f")->update_status == UPDATE_FAILED);
	assert_int_equal(find_version(node, "3")->state, FUNCTION_FAILED);
	assert_string_equal(find_version(node, "3")->state_reason, "Damaged on the way");
	assert_string_equal(list(node), "$LATEST 1 2 3");
}

/* One version is ready while the next waits for its package. */
static void test_versions_that_overlap(void **state)
{
	struct node *node = *state;
	const struct directory_update_code_request update = {
		.tenant = TENANT,
		.name = "f",
		.zip = slice_from_string("SLOW two"),
		.publish = true,
	};
	_cleanup_answer_ struct answer first = { 0 }, second = { 0 };

	create_active(node, "f", "zip one");
	node->hold_hook = true;
	ask_publish(node, (struct directory_publish_request){ 0 }, &first);
	run_until(node, node->held);
	directory_update_code(node->directory, &update, take_answer, &second);
	run_until(node, second.here);
	node->hold_hook = false;
	node->held(NULL, node->held_arg);
	run_until(node, find_version(node, "1")->state == FUNCTION_ACTIVE);
	assert_int_equal(find_version(node, "2")->state, FUNCTION_PENDING);
	assert_null(find_version(node, "2")->config.package_digest);
	set_gate(true);
	run_until(node, find_version(node, "2")->state == FUNCTION_ACTIVE);
	assert_int_equal(find_version(node, "2")->config.code_size_bytes, 8);
}

/* -- deleting -- */

static void test_packages_stay_while_a_version_needs_them(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer update = { 0 }, deletion = { 0 };
	_cleanup_free_ char *digest = NULL;

	create_active(node, "f", "zip one");
	digest = strdup(find(node, "f")->config.package_digest);
	publish(node, "1");
	ask_update_code(node, "f", "zip two", false, NULL, &update);
	run_until(node, find(node, "f")->update_status == UPDATE_SUCCESSFUL);
	crash(node);
	open_directory(node);
	assert_true(package_exists(node->folder, digest));
	assert_int_equal(count_files(node, "packages"), 2);
	ask_delete_version(node, 1, &deletion);
	assert_int_equal(deletion.error.code, ERROR_NONE);
	run_until(node, !package_exists(node->folder, digest));
}

static void test_numbers_are_given_once(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer two = { 0 }, again = { 0 }, missing = { 0 }, all = { 0 },
				       nothing = { 0 };

	create_active(node, "f", "zip one");
	publish(node, "1");
	set_memory(node, 256);
	publish(node, "2");
	assert_int_equal(directory_count(node->directory, TENANT), 1); /* function */
	ask_delete_version(node, 2, &two);
	assert_int_equal(two.error.code, ERROR_NONE);
	assert_null(find_version(node, "2"));
	ask_delete_version(node, 2, &again);
	assert_int_equal(again.error.code, ERROR_NONE);
	ask_delete_version(node, UINT64_MAX, &missing);
	assert_int_equal(missing.error.code, ERROR_NONE);
	publish(node, "3");
	assert_string_equal(list(node), "$LATEST 1 3");

	node->deleted = 0;
	ask_delete(node, "f", &all);
	assert_int_equal(node->deleted, 3);
	assert_null(find_version(node, "1"));
	ask_delete_version(node, 1, &nothing);
	assert_int_equal(nothing.error.code, ERROR_NOT_FOUND);
	run_until(node, count_files(node, "packages") == 0);
	crash(node);
	open_directory(node);
	create_active(node, "f", "zip one");
	assert_string_equal(list(node), "$LATEST");
	publish(node, "4");
}

static void test_deleted_while_it_is_prepared(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer answer = { 0 }, deletion = { 0 };

	create_active(node, "f", "zip one");
	node->hold_hook = true;
	ask_publish(node, (struct directory_publish_request){ 0 }, &answer);
	run_until(node, node->held);
	ask_delete_version(node, 1, &deletion);
	node->held(NULL, node->held_arg);
	node->hold_hook = false;
	set_memory(node, 256);
	assert_null(find_version(node, "1"));
	crash(node);
	open_directory(node);
	assert_string_equal(list(node), "$LATEST");
}

/* -- crashes -- */

static void test_versions_survive_a_crash(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer pending = { 0 }, same = { 0 };

	create_active(node, "f", "zip one");
	for (unsigned i = 1; i <= 11; i++) {
		char name[FUNCTION_VERSION_BYTES];

		set_memory(node, 128 + i);
		function_version_name(i, name);
		publish(node, name);
	}
	set_memory(node, 1024);
	node->hold_hook = true;
	ask_publish(node, (struct directory_publish_request){ .description = "last" }, &pending);
	crash(node);
	node->hold_hook = false;
	open_directory(node);
	assert_string_equal(list(node), "$LATEST 1 2 3 4 5 6 7 8 9 10 11 12");
	assert_int_equal(find_version(node, "10")->config.memory_size_mb, 138);
	assert_string_equal(find_version(node, "12")->revision_id, pending.function->revision_id);
	run_until(node, find_version(node, "12")->state == FUNCTION_ACTIVE);
	ask_publish(node, (struct directory_publish_request){ 0 }, &same); /* unchanged: the same */
	assert_string_equal(list(node), "$LATEST 1 2 3 4 5 6 7 8 9 10 11 12");
}

static void test_crash_before_the_package_of_a_version(void **state)
{
	struct node *node = *state;
	struct directory_create_request create = create_request("f", "SLOW one");
	_cleanup_answer_ struct answer created = { 0 };

	create.publish = true;
	ask_create(node, &create, &created);
	crash(node);
	open_directory(node);
	assert_int_equal(find_version(node, "1")->state, FUNCTION_PENDING);
	set_gate(true);
	run_until(node, find_version(node, "1")->state == FUNCTION_ACTIVE);
	assert_non_null(find_version(node, "1")->config.package_digest);
	assert_int_equal(count_files(node, "uploads"), 0);
}

static void test_a_full_disk_publishes_nothing(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer refused = { 0 }, deletion = { 0 };

	create_active(node, "f", "zip one");
	__atomic_store_n(&node->registry.full, true, __ATOMIC_SEQ_CST);
	ask_publish(node, (struct directory_publish_request){ 0 }, &refused);
	assert_int_equal(refused.error.code, ERROR_UNAVAILABLE);
	assert_string_equal(list(node), "$LATEST");
	__atomic_store_n(&node->registry.full, false, __ATOMIC_SEQ_CST);
	publish(node, "1");
	__atomic_store_n(&node->registry.full, true, __ATOMIC_SEQ_CST);
	ask_delete_version(node, 1, &deletion);
	assert_int_equal(deletion.error.code, ERROR_UNAVAILABLE);
	assert_int_equal(find_version(node, "1")->state, FUNCTION_ACTIVE);
}

/* -- pages -- */

static void test_pages_of_versions(void **state)
{
	struct node *node = *state;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct directory_page page;

	create_active(node, "f", "zip one");
	for (unsigned i = 1; i <= 3; i++) {
		char name[FUNCTION_VERSION_BYTES];

		set_memory(node, 128 + i);
		function_version_name(i, name);
		publish(node, name);
	}
	assert_int_equal(directory_list_versions(node->directory, TENANT, "f", 1, "", &page, NULL),
			 0);
	assert_int_equal(page.count, 1);
	assert_int_equal(page.functions[0]->version, 0);
	assert_int_equal(directory_list_versions(node->directory, TENANT, "f", 2, page.next_marker,
						 &page, NULL),
			 0);
	assert_int_equal(page.count, 2);
	assert_int_equal(page.functions[0]->version, 1);
	assert_int_equal(page.functions[1]->version, 2);
	assert_int_equal(directory_list_versions(node->directory, TENANT, "f", 2, page.next_marker,
						 &page, NULL),
			 0);
	assert_int_equal(page.count, 1);
	assert_int_equal(page.functions[0]->version, 3);
	assert_string_equal(page.next_marker, "");
	assert_true(directory_list_versions(node->directory, TENANT, "f", 0, "66", &page, &error) <
		    0);
	assert_string_equal(error.field, "marker");
	error_clear(&error);
	assert_true(directory_list_versions(node->directory, TENANT, "g", 0, "", &page, &error) <
		    0);
	assert_int_equal(error.code, ERROR_NOT_FOUND);
	/* Functions are listed without their versions, or with them. */
	create_active(node, "g", "zip one");
	assert_int_equal(directory_list(node->directory, TENANT, false, 0, NULL, &page, NULL), 0);
	assert_int_equal(page.count, 2);
	assert_int_equal(directory_list(node->directory, TENANT, true, 3, NULL, &page, NULL), 0);
	assert_int_equal(page.count, 3);
	assert_int_equal(page.functions[0]->version, 0);
	assert_int_equal(page.functions[2]->version, 2);
	assert_int_equal(
		directory_list(node->directory, TENANT, true, 3, page.next_marker, &page, NULL), 0);
	assert_int_equal(page.count, 2);
	assert_int_equal(page.functions[0]->version, 3);
	assert_string_equal(page.functions[1]->name, "g");
	assert_string_equal(page.next_marker, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_of_versions),
		cmocka_unit_test(test_which_versions_have_snap_start),
		BOTH(test_a_version_is_a_copy_that_stays),
		BOTH(test_nothing_new_is_the_last_version),
		BOTH(test_checks_before_publishing),
		BOTH(test_a_failed_version_leaves_the_function_alone),
		BOTH(test_publish_with_code),
		BOTH(test_versions_that_overlap),
		BOTH(test_packages_stay_while_a_version_needs_them),
		BOTH(test_numbers_are_given_once),
		BOTH(test_deleted_while_it_is_prepared),
		BOTH(test_versions_survive_a_crash),
		BOTH(test_crash_before_the_package_of_a_version),
		BOTH(test_a_full_disk_publishes_nothing),
		BOTH(test_pages_of_versions),
	};

	log_set_max_priority(LOG_WARNING);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
