/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For tests of agent/deploy: the directory with both registries, and with packages of
 * package_double.h, so that a build can be held or fail late. After <cmocka.h>. */

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "agent/auth/master_key.h"
#include "agent/deploy/directory.h"
#include "agent/store/registry.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"
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
	struct master_key master_key;
	struct full_registry registry;
	struct loop *loop;
	struct directory *directory;
	unsigned created, changed, deleted;
	unsigned hooked;        /* calls of the hook */
	bool hold_hook;         /* keeps its answer back */
	const char *hook_fails; /* its reason */
	uint64_t code_storage;  /* what a tenant may have; 0: no limit */
	directory_prepared_fn *held;
	void *held_arg;
	uint64_t provisioned_mb; /* 0: as much as anybody likes */
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

static uint64_t limit_provisioned(const char *tenant, void *arg)
{
	assert_string_equal(tenant, TENANT);
	return ((struct node *)arg)->provisioned_mb;
}

static uint64_t code_storage_of_tenant(const char *tenant _unused_, void *arg)
{
	const struct node *node = arg;

	return node->code_storage ? node->code_storage : UINT64_MAX;
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
		.master_key = &node->master_key,
		.concurrency_limit = 1000,
		.unreserved_minimum = 100,
		.code_storage_of_tenant = code_storage_of_tenant,
		.provisioned_mb_of_tenant = node->provisioned_mb ? limit_provisioned : NULL,
		.limit_of_tenant_arg = node,
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

static int _unused_ set_up_memory(void **state)
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

static const enum snap_start _unused_ latest = SNAP_START_LATEST;

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

static void _unused_ create_active(struct node *node, const char *name, const char *zip)
{
	_cleanup_answer_ struct answer answer = { 0 };
	const struct directory_create_request request = create_request(name, zip);

	ask_create(node, &request, &answer);
	assert_int_equal(answer.error.code, ERROR_NONE);
	run_until(node, find(node, name)->state == FUNCTION_ACTIVE);
}

static void _unused_ ask_update_code(struct node *node, const char *name, const char *zip,
				     bool dry_run, const char *revision_id, struct answer *answer)
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

static void _unused_ ask_update_configuration(struct node *node, const char *name,
					      const struct function_patch *patch,
					      struct answer *answer)
{
	const struct directory_update_configuration_request request = {
		.tenant = TENANT,
		.name = name,
		.config = *patch,
	};

	directory_update_configuration(node->directory, &request, take_answer, answer);
	run_until(node, answer->here);
}

static void _unused_ ask_delete(struct node *node, const char *name, struct answer *answer)
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

static void _unused_ assert_nothing_made(struct node *node, const char *name)
{
	assert_null(find(node, name));
	assert_int_equal(count_files(node, "uploads"), 0);
	assert_int_equal(count_files(node, "packages"), 0);
	assert_int_equal(node->created, 0);
}

#define BOTH(test)                                                                                 \
	{ #test " (memory)", test, set_up_memory, tear_down, NULL },                               \
	{                                                                                          \
#test " (SQLite)", test, set_up_sqlite, tear_down, NULL                            \
	}
