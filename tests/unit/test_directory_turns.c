/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_deploy mayfly_store mayfly_functions mayfly_core mayfly_base

/* Whoever deploys much stands behind himself, not before others. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/directory_harness.h"

#define OTHER "210987654321"

static void create(struct node *node, const char *tenant, const char *name, const char *zip)
{
	_cleanup_answer_ struct answer answer = { 0 };
	struct directory_create_request request = create_request(name, zip);

	request.tenant = tenant;
	ask_create(node, &request, &answer);
	assert_int_equal(answer.error.code, ERROR_NONE);
}

static bool is_active(struct node *node, const char *tenant, const char *name)
{
	return directory_find(node->directory, tenant, name)->state == FUNCTION_ACTIVE;
}

static void test_builds_take_turns(void **state)
{
	struct node *node = *state;
	char name[8], zip[16];

	create(node, TENANT, "first", "SLOW one"); /* is built until the gate opens */
	for (unsigned i = 0; i < 8; i++) {
		(void)snprintf(name, sizeof(name), "f%u", i);
		(void)snprintf(zip, sizeof(zip), "zip %u", i);
		create(node, TENANT, name, zip);
	}
	create(node, OTHER, "g", "zip of others");
	set_gate(true);
	run_until(node, is_active(node, OTHER, "g"));
	assert_true(is_active(node, TENANT, "first"));
	assert_false(is_active(node, TENANT, "f7"));
	run_until(node, is_active(node, TENANT, "f7"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_builds_take_turns),
	};

	log_set_max_priority(LOG_WARNING);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
