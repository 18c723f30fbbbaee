/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_deploy mayfly_store mayfly_functions mayfly_core mayfly_base

/* A node that is killed has a function with its version, its aliases and its number as a whole or
 * not at all: the directory refuses to open what is left of half of one. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "agent/deploy/alias_directory.h"
#include "tests/unit/directory_harness.h"
#include "tests/unit/killed_child.h"

#define ROUNDS 20

static void reopen_registry(struct node *node)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/registry.db", node->folder);
	assert_int_equal(registry_open_sqlite(path, &node->registry.inner, NULL), 0);
}

/* -- the child: without assertions, which are the parent's -- */

static void wait_for(struct node *node, const bool *here)
{
	while (!*here)
		(void)sd_event_run(loop_event(node->loop), UINT64_MAX);
}

static uint64_t create_published(struct node *node)
{
	struct directory_create_request request = create_request("f", "zip one");
	struct answer answer = { 0 };

	request.publish = true;
	directory_create(node->directory, &request, take_answer, &answer);
	wait_for(node, &answer.here);
	if (answer.error.code)
		_exit(1);
	uint64_t version = answer.function->version;
	answer_clear(&answer);
	return version;
}

static void alias_done(const struct alias *alias, const struct error *error _unused_, void *arg)
{
	if (!alias)
		_exit(1);
	*(bool *)arg = true;
}

static void create_alias(struct node *node, uint64_t version)
{
	char name[FUNCTION_VERSION_BYTES];
	bool here = false;

	function_version_name(version, name);
	const struct directory_alias_request request = {
		.tenant = TENANT,
		.function_name = "f",
		.name = "live",
		.patch = { .version = name },
	};
	directory_create_alias(node->directory, &request, alias_done, &here);
	wait_for(node, &here);
}

static void delete_function(struct node *node)
{
	struct answer answer = { 0 };

	directory_delete(node->directory, TENANT, "f", take_answer, &answer);
	wait_for(node, &answer.here);
	if (answer.error.code)
		_exit(1);
}

/* Creates f with a version and an alias, deletes it, and says the version's number, over and over.
 */
static void come_and_go(void *arg, unsigned last, int pipe_fd)
{
	struct node *node = arg;

	reopen_registry(node);
	open_directory(node);
	for (;;) {
		uint64_t version = create_published(node);

		if (version <= last)
			_exit(1); /* a number was given twice */
		last = (unsigned)version;
		create_alias(node, version);
		delete_function(node);
		say_done(pipe_fd, last);
	}
}

/* -- what is left of it -- */

static void assert_whole(struct node *node, unsigned last)
{
	const struct alias *alias = directory_find_alias(node->directory, TENANT, "f", "live");
	_cleanup_answer_ struct answer gone = { 0 };
	struct directory_page page;

	assert_int_equal(
		directory_list_versions(node->directory, TENANT, "f", 0, NULL, &page, NULL), 0);
	assert_int_equal(page.count, 2);
	assert_true(page.functions[1]->version > last);
	if (alias)
		assert_int_equal(alias->version, page.functions[1]->version);
	run_until(node, find(node, "f")->state == FUNCTION_ACTIVE);
	ask_delete(node, "f", &gone);
	assert_int_equal(gone.error.code, ERROR_NONE);
}

static void test_a_killed_node_has_all_or_nothing(void **state)
{
	struct node *node = *state;
	unsigned last = 0;

	crash(node);
	for (unsigned round = 0; round < ROUNDS; round++) {
		registry_close(node->registry.inner);
		last = run_until_killed(come_and_go, node, last, 2, round * 90017);
		reopen_registry(node);
		open_directory(node);
		if (find(node, "f"))
			assert_whole(node, last);
		assert_null(directory_find_alias(node->directory, TENANT, "f", "live"));
		crash(node);
	}
	assert_true(last >= 2 * ROUNDS);
	open_directory(node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_killed_node_has_all_or_nothing,
						set_up_sqlite, tear_down),
	};

	log_set_max_priority(LOG_WARNING);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
