/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For tests of published versions and aliases of a function f, over directory_harness.h. After
 * <cmocka.h>. */

#include "mayfly/id.h"
#include "tests/unit/directory_harness.h"

static void ask_publish(struct node *node, struct directory_publish_request request,
			struct answer *answer)
{
	request.tenant = TENANT;
	request.name = "f";
	directory_publish(node->directory, &request, take_answer, answer);
	assert_false(answer->here);
	run_until(node, answer->here);
}

static void _unused_ ask_delete_version(struct node *node, uint64_t version, struct answer *answer)
{
	directory_delete_version(node->directory, TENANT, "f", version, take_answer, answer);
	run_until(node, answer->here);
}

static const struct function *find_version(struct node *node, const char *version)
{
	return directory_find_qualified(node->directory, TENANT, "f", version);
}

/* As it is listed: "$LATEST 1 3". */
static const char _unused_ *list(struct node *node)
{
	static char text[256];
	struct directory_page page;
	size_t len = 0;

	text[0] = 0;
	assert_int_equal(
		directory_list_versions(node->directory, TENANT, "f", 0, NULL, &page, NULL), 0);
	for (size_t i = 0; i < page.count; i++) {
		char name[FUNCTION_VERSION_BYTES];

		function_version_name(page.functions[i]->version, name);
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", i ? " " : "", name);
	}
	return text;
}

static void publish(struct node *node, const char *version)
{
	_cleanup_answer_ struct answer answer = { 0 };

	ask_publish(node, (struct directory_publish_request){ 0 }, &answer);
	assert_int_equal(answer.error.code, ERROR_NONE);
	run_until(node, find_version(node, version)->state == FUNCTION_ACTIVE);
}

static void set_memory(struct node *node, unsigned memory)
{
	const struct function_patch patch = { .memory_size_mb = &memory };
	_cleanup_answer_ struct answer answer = { 0 };

	ask_update_configuration(node, "f", &patch, &answer);
	assert_int_equal(answer.error.code, ERROR_NONE);
	run_until(node, find(node, "f")->update_status == UPDATE_SUCCESSFUL);
}
