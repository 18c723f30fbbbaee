/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_deploy mayfly_store mayfly_functions mayfly_core mayfly_base

/* What outlives a crash, a stop and a full disk. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/directory_harness.h"
#include "tests/unit/killed_child.h"

static void test_active_function_survives(void **state)
{
	struct node *node = *state;
	static const struct environment_variable variables[] = { { (char *)"KEY",
								   (char *)"value" } };
	struct directory_create_request request = create_request("f", "zip one");
	_cleanup_answer_ struct answer answer = { 0 };
	const struct function *function;
	const unsigned memory = 256;
	const enum log_format format = LOG_JSON;

	request.config.has_environment = true;
	request.config.environment = variables;
	request.config.environment_count = 1;
	request.config.memory_size_mb = &memory;
	request.config.log_format = &format;
	ask_create(node, &request, &answer);
	run_until(node, find(node, "f")->state == FUNCTION_ACTIVE);
	function_free(answer.function);
	answer.function = NULL;
	assert_int_equal(function_copy(find(node, "f"), &answer.function), 0);

	crash(node);
	open_directory(node);
	function = find(node, "f");
	assert_int_equal(function->state, FUNCTION_ACTIVE);
	assert_string_equal(function->revision_id, answer.function->revision_id);
	assert_int_equal(function->last_modified_us, answer.function->last_modified_us);
	assert_string_equal(function->config.package_digest,
			    answer.function->config.package_digest);
	assert_string_equal(function->config.environment[0].value, "value");
	assert_int_equal(function->config.memory_size_mb, 256);
	assert_int_equal(function->config.log_format, LOG_JSON);
	assert_string_equal(function->config.application_log_level, "INFO");
	assert_true(package_exists(node->folder, function->config.package_digest));
}

/* Adds up the places of a text in the registry's file and its log. */
static unsigned count_on_disk(const struct node *node, const char *text)
{
	static const char *const files[] = { "registry.db", "registry.db-wal" };
	unsigned count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_buf_ struct buf content = BUF_INIT;
		char path[128];

		(void)snprintf(path, sizeof(path), "%s/%s", node->folder, files[i]);
		if (fs_read_file(path, 64U << 20, &content) == 0 &&
		    memmem(content.data, content.len, text, strlen(text)))
			count++;
	}
	return count;
}

static void test_environments_are_sealed(void **state)
{
	struct node *node = *state;
	static const struct environment_variable variables[] = { { (char *)"PASSWORD",
								   (char *)"correct-horse" } };
	struct directory_create_request request = create_request("f", "zip one");
	_cleanup_answer_ struct answer answer = { 0 };
	_cleanup_error_ struct error error = ERROR_INIT;
	static const char *const runtimes[] = { "python3.13" };
	struct master_key other = { { 1 } };
	const struct directory_config config = { .state_dir = node->folder,
						 .region = REGION,
						 .default_tenant = TENANT,
						 .runtimes = runtimes,
						 .runtime_count = 1,
						 .master_key = &other };

	request.config.has_environment = true;
	request.config.environment = variables;
	request.config.environment_count = 1;
	ask_create(node, &request, &answer);
	run_until(node, find(node, "f")->state == FUNCTION_ACTIVE);
	crash(node);
	assert_int_equal(count_on_disk(node, "correct-horse"), 0);
	assert_int_equal(count_on_disk(node, "PASSWORD"), 0);
	/* With another key it is not the environment of nobody: the node does not start. */
	assert_int_equal(loop_new(1, &node->loop), 0);
	assert_true(directory_open(&config, &node->registry.base, node->loop, &node->directory,
				   &error) < 0);
	assert_non_null(strstr(error_text(&error), "sealed with another master key"));
	node->loop = loop_free(node->loop);
	open_directory(node);
	assert_string_equal(find(node, "f")->config.environment[0].value, "correct-horse");
}

static void test_crash_in_a_creation_is_finished(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer answer = { 0 };
	const struct directory_create_request request = create_request("f", "SLOW");

	ask_create(node, &request, &answer);
	crash(node);
	open_directory(node);
	assert_int_equal(find(node, "f")->state, FUNCTION_PENDING);
	assert_string_equal(find(node, "f")->revision_id, answer.function->revision_id);
	set_gate(true);
	run_until(node, find(node, "f")->state == FUNCTION_ACTIVE);
	assert_int_equal(count_files(node, "uploads"), 0);
}

static void test_crash_in_updates_is_finished(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer code = { 0 }, configuration = { 0 };
	const unsigned memory = 512;
	const struct function_patch patch = { .memory_size_mb = &memory, .snap_start = &latest };

	create_active(node, "f", "zip one");
	create_active(node, "g", "zip one");
	node->hold_hook = true;
	ask_update_code(node, "f", "SLOW", false, NULL, &code);
	ask_update_configuration(node, "g", &patch, &configuration);
	run_until(node, node->held);
	crash(node);
	node->hold_hook = false;
	open_directory(node);
	assert_int_equal(find(node, "f")->update_status, UPDATE_IN_PROGRESS);
	assert_int_equal(find(node, "g")->update_status, UPDATE_IN_PROGRESS);
	set_gate(true);
	run_until(node, find(node, "f")->update_status == UPDATE_SUCCESSFUL);
	run_until(node, find(node, "g")->update_status == UPDATE_SUCCESSFUL);
	assert_int_equal(find(node, "f")->config.code_size_bytes, 4);
	assert_int_equal(find(node, "g")->config.memory_size_mb, 512);
}

static void test_lost_upload_fails_the_creation(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer answer = { 0 };
	const struct directory_create_request request = create_request("f", "SLOW");
	char path[128];

	ask_create(node, &request, &answer);
	crash(node);
	(void)snprintf(path, sizeof(path), "%s/uploads", node->folder);
	assert_int_equal(fs_remove_tree(path), 0);
	open_directory(node);
	run_until(node, find(node, "f")->state == FUNCTION_FAILED);
	assert_string_equal(find(node, "f")->state_reason_code, "InternalError");
	assert_non_null(strstr(find(node, "f")->state_reason, "cannot be read"));
}

static void test_start_removes_what_nobody_needs(void **state)
{
	struct node *node = *state;
	char path[192];

	create_active(node, "f", "zip one");
	crash(node);
	(void)snprintf(path, sizeof(path), "%s/uploads/0123456789abcdef0123456789abcdef",
		       node->folder);
	assert_int_equal(fs_write_file_atomic(path, slice_from_string("x"), 0600), 0);
	(void)snprintf(path, sizeof(path), "%s/packages/%064d.erofs", node->folder, 7);
	assert_int_equal(fs_write_file_atomic(path, slice_from_string("x"), 0600), 0);
	open_directory(node);
	assert_int_equal(count_files(node, "uploads"), 0);
	assert_int_equal(count_files(node, "packages"), 1);
}

/* -- a full disk -- */

static void set_full(struct node *node, bool full)
{
	__atomic_store_n(&node->registry.full, full, __ATOMIC_SEQ_CST);
}

static void test_full_disk_refuses_and_leaves_nothing(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer answer = { 0 }, deletion = { 0 };
	const struct directory_create_request request = create_request("f", "zip one");

	set_full(node, true);
	ask_create(node, &request, &answer);
	assert_int_equal(answer.error.code, ERROR_UNAVAILABLE);
	assert_nothing_made(node, "f");
	set_full(node, false);
	create_active(node, "f", "zip one");
	set_full(node, true);
	ask_delete(node, "f", &deletion);
	assert_int_equal(deletion.error.code, ERROR_UNAVAILABLE);
	assert_int_equal(find(node, "f")->state, FUNCTION_ACTIVE);
	assert_true(package_exists(node->folder, find(node, "f")->config.package_digest));
}

static void test_outcome_is_written_once_there_is_space(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer answer = { 0 }, other = { 0 };
	const struct directory_create_request request = create_request("f", "SLOW");
	const struct directory_create_request other_request = create_request("g", "zip one");

	ask_create(node, &request, &answer);
	set_full(node, true);
	set_gate(true);
	run_until(node, count_files(node, "packages") == 1);
	ask_create(node, &other_request, &other);
	assert_int_equal(other.error.code, ERROR_UNAVAILABLE);
	assert_int_equal(find(node, "f")->state, FUNCTION_PENDING);
	set_full(node, false);
	run_until(node, find(node, "f")->state == FUNCTION_ACTIVE);
	assert_true(package_exists(node->folder, find(node, "f")->config.package_digest));
}

/* -- a stop -- */

static void note_stopped(void *arg)
{
	*(bool *)arg = true;
}

static void test_stop_ends_jobs_and_refuses(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer answer = { 0 }, late = { 0 };
	const struct directory_create_request request = create_request("f", "SLOW");
	const struct directory_create_request late_request = create_request("g", "zip one");
	bool stopped = false;

	ask_create(node, &request, &answer);
	directory_stop(node->directory, note_stopped, &stopped);
	directory_create(node->directory, &late_request, take_answer, &late);
	run_until(node, late.here);
	assert_int_equal(late.error.code, ERROR_UNAVAILABLE);
	assert_false(stopped);
	set_gate(true);
	run_until(node, stopped);
	assert_int_equal(find(node, "f")->state, FUNCTION_PENDING);
	crash(node);
	open_directory(node);
	set_gate(true);
	run_until(node, find(node, "f")->state == FUNCTION_ACTIVE);
}

/* -- nodes that are killed -- */

static void reopen_registry(struct node *node)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/registry.db", node->folder);
	assert_int_equal(registry_open_sqlite(path, &node->registry.inner, NULL), 0);
}

/* Creates f0, f1, ... and says each number once its creation is acknowledged. */
static void create_one_by_one(void *arg, unsigned first, int pipe_fd)
{
	struct node *node = arg;
	char name[16], zip[32];

	reopen_registry(node);
	open_directory(node);
	for (unsigned n = first;; n++) {
		_cleanup_answer_ struct answer answer = { 0 };
		struct directory_create_request request;

		(void)snprintf(name, sizeof(name), "f%u", n);
		(void)snprintf(zip, sizeof(zip), "zip %u", n);
		request = create_request(name, zip);
		directory_create(node->directory, &request, take_answer, &answer);
		while (!answer.here)
			(void)sd_event_run(loop_event(node->loop), UINT64_MAX);
		if (answer.error.code)
			_exit(1);
		say_done(pipe_fd, n);
	}
}

struct census {
	unsigned all;
	unsigned active;
};

static void count_function(const struct function *function, void *arg)
{
	struct census *census = arg;

	census->all++;
	census->active += function->state == FUNCTION_ACTIVE;
}

static struct census take_census(struct node *node)
{
	struct census census = { 0 };

	directory_each(node->directory, count_function, &census);
	return census;
}

static void test_killed_node_keeps_what_it_acknowledged(void **state)
{
	struct node *node = *state;
	unsigned functions = 0, last;

	crash(node);
	for (unsigned round = 0; round < 20; round++) {
		registry_close(node->registry.inner);
		last = run_until_killed(create_one_by_one, node, functions, 3, round * 60013);
		reopen_registry(node);
		open_directory(node);
		functions = take_census(node).all;
		/* Perhaps the one under way was written, but not yet acknowledged. */
		assert_true(functions == last + 1 || functions == last + 2);
		run_until(node, take_census(node).active == functions);
		assert_int_equal(count_files(node, "packages"), functions);
		assert_int_equal(count_files(node, "uploads"), 0);
		crash(node);
	}
	open_directory(node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_active_function_survives),
		BOTH(test_environments_are_sealed),
		BOTH(test_crash_in_a_creation_is_finished),
		BOTH(test_crash_in_updates_is_finished),
		BOTH(test_lost_upload_fails_the_creation),
		BOTH(test_start_removes_what_nobody_needs),
		BOTH(test_full_disk_refuses_and_leaves_nothing),
		BOTH(test_outcome_is_written_once_there_is_space),
		BOTH(test_stop_ends_jobs_and_refuses),
		cmocka_unit_test_setup_teardown(test_killed_node_keeps_what_it_acknowledged,
						set_up_sqlite, tear_down),
	};

	log_set_max_priority(LOG_WARNING);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
