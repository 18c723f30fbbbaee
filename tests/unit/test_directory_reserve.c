/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_deploy mayfly_store mayfly_functions mayfly_core mayfly_base

/* Reserved concurrency: what may be reserved, and that it stays with its function. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/directory_harness.h"

#define NO_ROOM                                                                                    \
	"Specified ReservedConcurrentExecutions for function decreases account's "                 \
	"UnreservedConcurrentExecution below its minimum value of [100]."

/* An error's code; `reserved` below 0 takes it back. */
static enum error_code reserve(struct node *node, const char *name, int reserved)
{
	_cleanup_answer_ struct answer answer = { 0 };
	const unsigned value = (unsigned)reserved;

	directory_set_reserved_concurrency(node->directory, TENANT, name,
					   reserved < 0 ? NULL : &value, take_answer, &answer);
	run_until(node, answer.here);
	if (answer.error.code == ERROR_INVALID_PARAMETER) {
		assert_string_equal(answer.error.field, "reserved_concurrent_executions");
		assert_string_equal(answer.error.message, NO_ROOM);
	}
	if (answer.error.code == ERROR_NONE) {
		assert_int_equal(answer.function->has_reserved_concurrency, reserved >= 0);
		assert_int_equal(answer.function->reserved_concurrency,
				 reserved < 0 ? 0 : reserved);
	}
	return answer.error.code;
}

static void assert_reserved(struct node *node, const char *name, unsigned reserved)
{
	assert_true(find(node, name)->has_reserved_concurrency);
	assert_int_equal(find(node, name)->reserved_concurrency, reserved);
}

static void test_a_reservation_is_durable(void **state)
{
	struct node *node = *state;
	unsigned changed;

	create_active(node, "f", "zip one");
	create_active(node, "g", "zip one");
	changed = node->changed;
	assert_int_equal(reserve(node, "f", 7), ERROR_NONE);
	assert_int_equal(node->changed, changed + 1);
	assert_int_equal(reserve(node, "g", 0), ERROR_NONE);
	crash(node);
	open_directory(node);
	assert_reserved(node, "f", 7);
	assert_reserved(node, "g", 0);
	assert_int_equal(reserve(node, "f", -1), ERROR_NONE);
	/* Again is as once. */
	assert_int_equal(reserve(node, "f", -1), ERROR_NONE);
	crash(node);
	open_directory(node);
	assert_false(find(node, "f")->has_reserved_concurrency);
	assert_reserved(node, "g", 0);
}

static void test_others_keep_their_minimum(void **state)
{
	struct node *node = *state;

	create_active(node, "f", "zip one");
	create_active(node, "g", "zip one");
	assert_int_equal(reserve(node, "f", 901), ERROR_INVALID_PARAMETER);
	assert_false(find(node, "f")->has_reserved_concurrency);
	assert_int_equal(reserve(node, "f", 900), ERROR_NONE);
	assert_int_equal(reserve(node, "g", 1), ERROR_INVALID_PARAMETER);
	assert_int_equal(reserve(node, "g", 0), ERROR_NONE);
	/* Its own is not counted twice. */
	assert_int_equal(reserve(node, "f", 899), ERROR_NONE);
	assert_int_equal(reserve(node, "g", 1), ERROR_NONE);
	assert_int_equal(reserve(node, "f", 900), ERROR_INVALID_PARAMETER);
	assert_reserved(node, "f", 899);
	assert_int_equal(reserve(node, "g", INT32_MAX), ERROR_INVALID_PARAMETER);
}

static void test_two_at_once_do_not_take_the_same_room(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer f = { 0 }, g = { 0 };
	const unsigned most = 600;

	create_active(node, "f", "zip one");
	create_active(node, "g", "zip one");
	directory_set_reserved_concurrency(node->directory, TENANT, "f", &most, take_answer, &f);
	directory_set_reserved_concurrency(node->directory, TENANT, "g", &most, take_answer, &g);
	run_until(node, f.here && g.here);
	assert_int_equal(f.error.code, ERROR_NONE);
	assert_int_equal(g.error.code, ERROR_INVALID_PARAMETER);
}

static void test_it_stays_with_the_function(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer updated = { 0 }, deleted = { 0 };

	create_active(node, "f", "zip one");
	ask_update_code(node, "f", "SLOW two", false, NULL, &updated);
	/* While an update is under way, too, whose package is still to be built. */
	assert_int_equal(reserve(node, "f", 5), ERROR_NONE);
	assert_int_equal(find(node, "f")->update_status, UPDATE_IN_PROGRESS);
	assert_int_equal(count_files(node, "uploads"), 1);
	crash(node);
	set_gate(true);
	open_directory(node);
	run_until(node, find(node, "f")->update_status == UPDATE_SUCCESSFUL);
	assert_int_equal(find(node, "f")->config.code_size_bytes, 8);
	assert_reserved(node, "f", 5);
	ask_delete(node, "f", &deleted);
	create_active(node, "f", "zip one");
	assert_false(find(node, "f")->has_reserved_concurrency);
}

static void test_only_functions_have_reservations(void **state)
{
	struct node *node = *state;

	assert_int_equal(reserve(node, "none", 5), ERROR_NOT_FOUND);
	assert_int_equal(reserve(node, "none", -1), ERROR_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_a_reservation_is_durable),
		BOTH(test_others_keep_their_minimum),
		BOTH(test_two_at_once_do_not_take_the_same_room),
		BOTH(test_it_stays_with_the_function),
		BOTH(test_only_functions_have_reservations),
	};

	log_set_max_priority(LOG_WARNING);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
