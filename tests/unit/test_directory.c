/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_deploy mayfly_store mayfly_functions mayfly_core mayfly_base

/* The directory with both registries, and with packages of package_double.h, so that a build can
 * be held or fail late. */

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "agent/deploy/directory.h"
#include "agent/store/registry.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"
#include "mayfly/id.h"
#include "mayfly/log.h"
#include "tests/unit/package_double.h"

#define REGION       "eu-central-1"
#define TENANT       "123456789012"
#define DEADLINE_SEC 20

/* -- a registry whose disk can fill up -- */

struct full_registry {
	struct registry base;
	struct registry *inner; /* owned */
	bool full;              /* read in jobs, changed while none is under way */
};

static int full_get(struct registry *registry, const char *key, struct buf *ret_value,
		    uint64_t *ret_revision, struct error *error)
{
	struct full_registry *full = container_of(registry, struct full_registry, base);

	return registry_get(full->inner, key, ret_value, ret_revision, error);
}

static int full_list(struct registry *registry, const char *prefix, const char *after, size_t limit,
		     registry_entry_fn *fn, void *arg, struct error *error)
{
	struct full_registry *full = container_of(registry, struct full_registry, base);

	return registry_list(full->inner, prefix, after, limit, fn, arg, error);
}

static int full_commit(struct registry *registry, const struct registry_write *writes, size_t count,
		       uint64_t *ret_revision, struct error *error)
{
	struct full_registry *full = container_of(registry, struct full_registry, base);

	if (__atomic_load_n(&full->full, __ATOMIC_SEQ_CST))
		return error_set(error, ERROR_UNAVAILABLE, NULL, "The disk is full.");
	return registry_commit(full->inner, writes, count, ret_revision, error);
}

static const struct registry_ops full_ops = {
	.get = full_get,
	.list = full_list,
	.commit = full_commit,
};

/* -- the node under test -- */

struct node {
	char folder[64];
	struct full_registry registry;
	struct loop *loop;
	struct directory *directory;
	unsigned created, changed, deleted;
	unsigned hooked;        /* calls of the hook */
	bool hold_hook;         /* keeps its answer back */
	const char *hook_fails; /* its reason */
	directory_prepared_fn *held;
	void *held_arg;
};

static void on_event(const struct function *function, enum directory_event event, void *arg)
{
	struct node *node = arg;

	assert_non_null(function);
	node->created += event == DIRECTORY_CREATED;
	node->changed += event == DIRECTORY_CHANGED;
	node->deleted += event == DIRECTORY_DELETED;
}

struct hook_answer {
	struct node *node;
	directory_prepared_fn *done;
	void *arg;
};

static void answer_hook(void *arg)
{
	_cleanup_free_ struct hook_answer *answer = arg;
	_cleanup_error_ struct error error = ERROR_INIT;

	if (!answer->node->hook_fails) {
		answer->done(NULL, answer->arg);
		return;
	}
	(void)error_set(&error, ERROR_SNAPSTART_FAILED, NULL, "%s", answer->node->hook_fails);
	answer->done(&error, answer->arg);
}

static void hook(const struct function *function, const struct function_config *config,
		 directory_prepared_fn *done, void *done_arg, void *user)
{
	struct node *node = user;
	struct hook_answer *answer;

	assert_non_null(function->name);
	assert_non_null(config->package_digest);
	assert_true(package_exists(node->folder, config->package_digest));
	node->hooked++;
	if (node->hold_hook) {
		node->held = done;
		node->held_arg = done_arg;
		return;
	}
	answer = calloc(1, sizeof(*answer));
	*answer = (struct hook_answer){ node, done, done_arg };
	loop_post(node->loop, answer_hook, answer);
}

static void open_directory(struct node *node)
{
	static const char *const runtimes[] = { "nodejs20.x", "provided.al2023", "python3.13" };
	const struct directory_config config = {
		.state_dir = node->folder,
		.region = REGION,
		.default_tenant = TENANT,
		.runtimes = runtimes,
		.runtime_count = ARRAY_SIZE(runtimes),
	};
	const struct deploy_hooks hooks = { .prepare = hook, .user = node };
	_cleanup_error_ struct error error = ERROR_INIT;

	assert_int_equal(loop_new(2, &node->loop), 0);
	if (directory_open(&config, &node->registry.base, node->loop, &node->directory, &error) < 0)
		fail_msg("%s", error_text(&error));
	directory_set_hooks(node->directory, &hooks);
	assert_int_equal(directory_add_listener(node->directory, on_event, node), 0);
	directory_start(node->directory);
}

/* As a crash leaves it: what was in flight is forgotten, what was written stays. */
static void crash(struct node *node)
{
	set_gate(true);
	node->loop = loop_free(node->loop);
	node->directory = directory_close(node->directory);
	set_gate(false);
}

static int set_up(void **state, bool is_sqlite)
{
	struct node *node = calloc(1, sizeof(*node));
	char path[128];

	(void)snprintf(node->folder, sizeof(node->folder), "/tmp/mayfly-directory-XXXXXX");
	assert_non_null(mkdtemp(node->folder));
	(void)snprintf(path, sizeof(path), "%s/packages", node->folder);
	assert_int_equal(fs_make_directories(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/registry.db", node->folder);
	node->registry.base.ops = &full_ops;
	assert_int_equal(is_sqlite ? registry_open_sqlite(path, &node->registry.inner, NULL)
				   : registry_open_memory(&node->registry.inner, NULL),
			 0);
	set_gate(false);
	open_directory(node);
	*state = node;
	return 0;
}

static int set_up_memory(void **state)
{
	return set_up(state, false);
}

static int set_up_sqlite(void **state)
{
	return set_up(state, true);
}

static int tear_down(void **state)
{
	struct node *node = *state;

	crash(node);
	registry_close(node->registry.inner);
	assert_int_equal(fs_remove_tree(node->folder), 0);
	free(node);
	return 0;
}

/* Turns the loop until the condition holds. */
#define run_until(node, condition)                                                                 \
	do {                                                                                       \
		int64_t _deadline = clock_monotonic_us() + DEADLINE_SEC * USEC_PER_SEC;            \
		while (!(condition)) {                                                             \
			assert_true(clock_monotonic_us() < _deadline);                             \
			assert_true(sd_event_run(loop_event((node)->loop), 50000) >= 0);           \
		}                                                                                  \
	} while (0)

struct answer {
	bool here;
	struct function *function; /* copy */
	struct error error;
};

static void take_answer(const struct function *function, const struct error *error, void *arg)
{
	struct answer *answer = arg;

	assert_false(answer->here);
	answer->here = true;
	if (function)
		assert_int_equal(function_copy(function, &answer->function), 0);
	if (error)
		assert_int_equal(error_copy(&answer->error, error), 0);
}

static void answer_clear(struct answer *answer)
{
	function_free(answer->function);
	error_clear(&answer->error);
}
#define _cleanup_answer_ _cleanup_(answer_clear)

static struct directory_create_request create_request(const char *name, const char *zip)
{
	return (struct directory_create_request){
		.tenant = TENANT,
		.name = name,
		.config = { .runtime = "python3.13", .handler = "app.handler" },
		.zip = slice_from_string(zip),
	};
}

static void ask_create(struct node *node, const struct directory_create_request *request,
		       struct answer *answer)
{
	directory_create(node->directory, request, take_answer, answer);
	assert_false(answer->here);
	run_until(node, answer->here);
}

static const struct function *find(struct node *node, const char *name)
{
	return directory_find(node->directory, TENANT, name);
}

static void create_active(struct node *node, const char *name, const char *zip)
{
	_cleanup_answer_ struct answer answer = { 0 };
	const struct directory_create_request request = create_request(name, zip);

	ask_create(node, &request, &answer);
	assert_int_equal(answer.error.code, ERROR_NONE);
	run_until(node, find(node, name)->state == FUNCTION_ACTIVE);
}

static void ask_update_code(struct node *node, const char *name, const char *zip, bool dry_run,
			    const char *revision_id, struct answer *answer)
{
	const struct directory_update_code_request request = {
		.tenant = TENANT,
		.name = name,
		.zip = slice_from_string(zip),
		.dry_run = dry_run,
		.revision_id = revision_id,
	};

	directory_update_code(node->directory, &request, take_answer, answer);
	run_until(node, answer->here);
}

static void ask_update_configuration(struct node *node, const char *name,
				     const struct function_patch *patch, struct answer *answer)
{
	const struct directory_update_configuration_request request = {
		.tenant = TENANT,
		.name = name,
		.config = *patch,
	};

	directory_update_configuration(node->directory, &request, take_answer, answer);
	run_until(node, answer->here);
}

static void ask_delete(struct node *node, const char *name, struct answer *answer)
{
	directory_delete(node->directory, TENANT, name, take_answer, answer);
	run_until(node, answer->here);
}

static unsigned count_files(const struct node *node, const char *folder)
{
	char path[128];
	struct dirent *file;
	unsigned n = 0;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "%s/%s", node->folder, folder);
	dir = opendir(path);
	while (dir && (file = readdir(dir)))
		n += file->d_name[0] != '.';
	if (dir)
		(void)closedir(dir);
	return n;
}

/* -- tests -- */

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
	assert_int_equal(node->hooked, 0);
}

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

static void assert_nothing_made(struct node *node, const char *name)
{
	assert_null(find(node, name));
	assert_int_equal(count_files(node, "uploads"), 0);
	assert_int_equal(count_files(node, "packages"), 0);
	assert_int_equal(node->created, 0);
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

	directory_create(node->directory, &request, take_answer, &first);
	directory_create(node->directory, &request, take_answer, &second);
	run_until(node, first.here && second.here);
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
		assert_int_equal(directory_list(node->directory, TENANT, 3, marker, &page, &error),
				 0);
		for (size_t i = 0; i < page.count; i++) {
			(void)snprintf(expected, sizeof(expected), "f%u", seen++);
			assert_string_equal(page.functions[i]->name, expected);
		}
		memcpy(marker, page.next_marker, sizeof(marker));
	} while (marker[0]);
	assert_int_equal(seen, 7);
	assert_int_equal(page.count, 1);
	assert_int_equal(directory_list(node->directory, TENANT, 7, "", &page, &error), 0);
	assert_string_equal(page.next_marker, "");
	assert_int_equal(directory_list(node->directory, "999999999999", 0, "", &page, &error), 0);
	assert_int_equal(page.count, 0);
	assert_int_equal(directory_list(node->directory, TENANT, 0, "zz", &page, &error), -EINVAL);
	assert_string_equal(error.field, "marker");
	error_clear(&error);
	assert_int_equal(directory_list(node->directory, TENANT, 10001, "", &page, &error),
			 -EINVAL);
	assert_string_equal(error.field, "max_items");
}

static const enum snap_start latest = SNAP_START_LATEST;

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

	create_active(node, "g", "zip two");
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

static void reopen_registry(struct node *node)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/registry.db", node->folder);
	assert_int_equal(registry_open_sqlite(path, &node->registry.inner, NULL), 0);
}

/* Creates f0, f1, ... and says each number once its creation is acknowledged. */
static _Noreturn void create_until_killed(struct node *node, unsigned first, int pipe_fd)
{
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
		if (answer.error.code || write(pipe_fd, &n, sizeof(n)) != sizeof(n))
			_exit(1);
	}
}

/* Returns the number of acknowledged creations. */
static unsigned kill_a_node(struct node *node, unsigned first, unsigned delay)
{
	unsigned n, last = 0;
	int pipe_fds[2], status;
	pid_t pid;

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		create_until_killed(node, first, pipe_fds[1]);
	(void)close(pipe_fds[1]);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(read(pipe_fds[0], &last, sizeof(last)), sizeof(last));
	for (volatile unsigned spin = 0; spin < delay; spin++)
		;
	assert_int_equal(kill(pid, SIGKILL), 0);
	while (read(pipe_fds[0], &n, sizeof(n)) == sizeof(n))
		last = n;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	(void)close(pipe_fds[0]);
	return last + 1;
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
	unsigned functions = 0, acknowledged;

	crash(node);
	for (unsigned round = 0; round < 20; round++) {
		registry_close(node->registry.inner);
		acknowledged = kill_a_node(node, functions, round * 60013);
		reopen_registry(node);
		open_directory(node);
		functions = take_census(node).all;
		/* Perhaps the one under way was written, but not yet acknowledged. */
		assert_true(functions == acknowledged || functions == acknowledged + 1);
		run_until(node, take_census(node).active == functions);
		assert_int_equal(count_files(node, "packages"), functions);
		assert_int_equal(count_files(node, "uploads"), 0);
		crash(node);
	}
	open_directory(node);
}

#define BOTH(test)                                                                                 \
	{ #test " (memory)", test, set_up_memory, tear_down, NULL },                               \
	{                                                                                          \
#test " (SQLite)", test, set_up_sqlite, tear_down, NULL                            \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_create_becomes_active),
		BOTH(test_active_function_survives),
		BOTH(test_bad_requests_change_nothing),
		BOTH(test_same_name_at_once),
		BOTH(test_late_failure_is_told),
		BOTH(test_update_code_serves_the_old_until_ready),
		BOTH(test_failed_update_keeps_the_old),
		BOTH(test_dry_run_and_revision),
		BOTH(test_update_configuration),
		BOTH(test_missing_function),
		BOTH(test_delete_and_create_anew),
		BOTH(test_delete_while_it_is_built),
		BOTH(test_shared_package_stays),
		BOTH(test_list_in_pages),
		BOTH(test_snap_start_needs_its_template),
		BOTH(test_snap_start_failure_is_told),
		BOTH(test_delete_while_its_template_is_made),
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
