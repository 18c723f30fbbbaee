/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_tenants mayfly_auth mayfly_store mayfly_functions mayfly_core mayfly_base

/* Tenants: what each change does, what is refused, what is there after a restart. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "agent/store/registry.h"
#include "agent/tenants/tenants.h"

#define DEADLINE_US 20000000
#define DEFAULT     "123456789012"
#define OTHER       "210987654321"
#define THIRD       "000000000003"

struct node {
	struct registry *registry;
	struct loop *loop;
	struct tenants *tenants;
	unsigned functions; /* of OTHER */
	const char *only_one;
	/* The last answer. */
	bool has_tenant;
	struct tenant tenant;
	struct error error;
	bool inside; /* a call is under way */
	bool answered;
};

static unsigned count_functions(const char *tenant, void *arg)
{
	return strcmp(tenant, OTHER) == 0 ? ((struct node *)arg)->functions : 0;
}

static void open_tenants(struct node *node)
{
	const struct tenants_config config = { .default_tenant = DEFAULT,
					       .only_one = node->only_one,
					       .count_functions = count_functions,
					       .user = node };

	assert_int_equal(loop_new(1, &node->loop), 0);
	assert_int_equal(tenants_open(&config, node->registry, node->loop, &node->tenants, NULL),
			 0);
}

static void close_tenants(struct node *node)
{
	node->tenants = tenants_close(node->tenants);
	node->loop = loop_free(node->loop);
}

static int set_up(void **state)
{
	struct node *node = calloc(1, sizeof(*node));

	assert_int_equal(registry_open_memory(&node->registry, NULL), 0);
	open_tenants(node);
	*state = node;
	return 0;
}

static int tear_down(void **state)
{
	struct node *node = *state;

	close_tenants(node);
	error_clear(&node->error);
	(void)registry_close(node->registry);
	free(node);
	return 0;
}

static void on_answer(const struct tenant *tenant, const struct error *error, void *arg)
{
	struct node *node = arg;

	assert_false(node->inside);
	node->has_tenant = tenant != NULL;
	if (tenant)
		node->tenant = *tenant;
	error_clear(&node->error);
	if (error)
		assert_int_equal(error_copy(&node->error, error), 0);
	node->answered = true;
}

static enum error_code wait_answer(struct node *node)
{
	node->inside = false;
	node->answered = false;
	while (!node->answered)
		assert_true(sd_event_run(loop_event(node->loop), DEADLINE_US) > 0);
	return node->error.code;
}

static enum error_code create(struct node *node, const char *id, const char *name,
			      const struct tenant_limits *limits)
{
	const struct tenants_request request = { .id = id, .name = name, .limits = limits };

	node->inside = true;
	tenants_create(node->tenants, &request, on_answer, node);
	return wait_answer(node);
}

static enum error_code update(struct node *node, const char *id, const char *name,
			      const struct tenant_limits *limits)
{
	const struct tenants_request request = { .id = id, .name = name, .limits = limits };

	node->inside = true;
	tenants_update(node->tenants, &request, on_answer, node);
	return wait_answer(node);
}

static enum error_code set_state(struct node *node, const char *id, enum tenant_state to)
{
	node->inside = true;
	tenants_set_state(node->tenants, id, to, on_answer, node);
	return wait_answer(node);
}

static enum error_code delete (struct node *node, const char *id) {
	node->inside = true; tenants_delete(node->tenants, id, on_answer, node);
	return wait_answer(node);
}

static void test_default_is_there(void **state)
{
	struct node *node = *state;
	const struct tenant *tenant = tenants_find(node->tenants, DEFAULT);

	assert_non_null(tenant);
	assert_int_equal(tenant->state, TENANT_ACTIVE);
	assert_int_equal(tenants_count(node->tenants), 1);
	assert_int_equal(delete (node, DEFAULT), ERROR_CONFLICT);
	assert_non_null(tenants_find(node->tenants, DEFAULT));
}

static void test_create_and_restart(void **state)
{
	const struct tenant_limits limits = { .has_concurrent_executions = true,
					      .concurrent_executions = 7 };
	struct node *node = *state;
	const struct tenant *tenant;

	assert_int_equal(create(node, OTHER, "blue", &limits), ERROR_NONE);
	assert_string_equal(node->tenant.id, OTHER);
	assert_int_equal(create(node, OTHER, "again", NULL), ERROR_CONFLICT);
	assert_int_equal(create(node, "12", "", NULL), ERROR_INVALID_PARAMETER);
	assert_string_equal(node->error.field, "tenant");
	assert_int_equal(create(node, "", "drawn", NULL), ERROR_NONE);
	assert_true(tenant_id_is_valid(node->tenant.id));
	assert_int_equal(set_state(node, OTHER, TENANT_SUSPENDED), ERROR_NONE);

	close_tenants(node);
	open_tenants(node);
	assert_int_equal(tenants_count(node->tenants), 3);
	tenant = tenants_find(node->tenants, OTHER);
	assert_non_null(tenant);
	assert_string_equal(tenant->name, "blue");
	assert_int_equal(tenant->state, TENANT_SUSPENDED);
	assert_true(tenant->limits.has_concurrent_executions);
	assert_int_equal(tenant->limits.concurrent_executions, 7);
	assert_false(tenant->limits.has_code_storage_bytes);
}

static void test_update(void **state)
{
	const struct tenant_limits both = { .has_concurrent_executions = true,
					    .has_code_storage_bytes = true,
					    .code_storage_bytes = 5 };
	const struct tenant_limits none = { 0 };
	const struct tenant_limits over = { .has_concurrent_executions = true,
					    .concurrent_executions = 1000001 };
	char long_name[TENANT_NAME_MAX + 2];
	struct node *node = *state;

	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = 0;
	assert_int_equal(create(node, OTHER, "blue", NULL), ERROR_NONE);
	assert_int_equal(update(node, OTHER, NULL, &both), ERROR_NONE);
	assert_string_equal(node->tenant.name, "blue");
	assert_int_equal(node->tenant.limits.code_storage_bytes, 5);
	assert_int_equal(update(node, OTHER, "green", NULL), ERROR_NONE);
	assert_string_equal(node->tenant.name, "green");
	assert_true(node->tenant.limits.has_code_storage_bytes);
	assert_int_equal(update(node, OTHER, NULL, &none), ERROR_NONE);
	assert_false(node->tenant.limits.has_concurrent_executions);

	assert_int_equal(update(node, OTHER, NULL, &over), ERROR_INVALID_PARAMETER);
	assert_string_equal(node->error.field, "limits.concurrent_executions");
	assert_int_equal(update(node, OTHER, long_name, NULL), ERROR_INVALID_PARAMETER);
	assert_int_equal(update(node, OTHER, "a\nb", NULL), ERROR_INVALID_PARAMETER);
	assert_string_equal(node->error.field, "name");
	assert_int_equal(update(node, THIRD, "x", NULL), ERROR_NOT_FOUND);
	assert_int_equal(update(node, "", "x", NULL), ERROR_INVALID_PARAMETER);
	assert_string_equal(tenants_find(node->tenants, OTHER)->name, "green");
}

static void test_suspended(void **state)
{
	static const struct {
		enum access_effect effect;
		bool operator_may, user_may;
	} rows[] = { { ACCESS_READ, true, true },
		     { ACCESS_INVOKE, false, false },
		     { ACCESS_CHANGE, false, false },
		     { ACCESS_MANAGE, true, false } };
	struct node *node = *state;

	assert_int_equal(create(node, OTHER, "", NULL), ERROR_NONE);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(tenants_check(node->tenants, OTHER, rows[i].effect, false, NULL),
				 0);
	assert_int_equal(set_state(node, OTHER, TENANT_SUSPENDED), ERROR_NONE);
	assert_int_equal(set_state(node, OTHER, TENANT_SUSPENDED), ERROR_NONE);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_error_ struct error error = ERROR_INIT;

		assert_int_equal(
			tenants_check(node->tenants, OTHER, rows[i].effect, true, &error) == 0,
			rows[i].operator_may);
		assert_int_equal(
			tenants_check(node->tenants, OTHER, rows[i].effect, false, &error) == 0,
			rows[i].user_may);
		if (!rows[i].user_may)
			assert_int_equal(error.code, ERROR_ACCESS_DENIED);
	}
	assert_int_equal(set_state(node, OTHER, TENANT_ACTIVE), ERROR_NONE);
	assert_int_equal(tenants_check(node->tenants, OTHER, ACCESS_INVOKE, false, NULL), 0);
	assert_true(tenants_check(node->tenants, THIRD, ACCESS_READ, true, &node->error) < 0);
	assert_int_equal(node->error.code, ERROR_NOT_FOUND);
	assert_string_equal(error_text(&node->error), "Tenant not found: " THIRD);
}

static void test_delete(void **state)
{
	struct node *node = *state;

	assert_int_equal(create(node, OTHER, "", NULL), ERROR_NONE);
	node->functions = 3;
	assert_int_equal(delete (node, OTHER), ERROR_CONFLICT);
	assert_non_null(strstr(error_text(&node->error), "has 3 functions"));
	assert_non_null(tenants_find(node->tenants, OTHER));
	node->functions = 0;

	node->inside = true;
	tenants_delete(node->tenants, OTHER, on_answer, node);
	assert_int_equal(wait_answer(node), ERROR_NONE);
	assert_false(node->has_tenant);
	assert_null(tenants_find(node->tenants, OTHER));
	assert_int_equal(tenants_count(node->tenants), 1);
	assert_int_equal(delete (node, OTHER), ERROR_NOT_FOUND);

	/* Nobody shall find what the one before left, in logs for one. */
	assert_int_equal(create(node, OTHER, "", NULL), ERROR_CONFLICT);
	close_tenants(node);
	open_tenants(node);
	assert_null(tenants_find(node->tenants, OTHER));
	assert_int_equal(create(node, OTHER, "", NULL), ERROR_CONFLICT);
}

static void test_only_one(void **state)
{
	struct node *node = *state;

	close_tenants(node);
	node->only_one = "There may be one, because.";
	open_tenants(node);
	assert_int_equal(create(node, OTHER, "", NULL), ERROR_CONFLICT);
	assert_string_equal(error_text(&node->error), node->only_one);
	assert_int_equal(tenants_count(node->tenants), 1);
}

static void test_pages(void **state)
{
	struct node *node = *state;
	struct tenants_page page;
	char marker[TENANT_ID_BYTES] = "";
	unsigned seen = 0;
	char id[32], last[TENANT_ID_BYTES] = "";

	for (unsigned i = 0; i < 9; i++) {
		(void)snprintf(id, sizeof(id), "%012u", (i * 7) % 9 + 1);
		assert_int_equal(create(node, id, "", NULL), ERROR_NONE);
	}
	assert_int_equal(delete (node, "000000000004"), ERROR_NONE);
	do {
		assert_int_equal(tenants_list(node->tenants, 2, marker, &page, NULL), 0);
		assert_true(page.count <= 2);
		for (size_t i = 0; i < page.count; i++, seen++) {
			assert_true(strcmp(page.tenants[i]->id, last) > 0);
			memcpy(last, page.tenants[i]->id, sizeof(last));
		}
		memcpy(marker, page.next_marker, sizeof(marker));
	} while (marker[0]);
	assert_int_equal(seen, 9);
	assert_string_equal(last, DEFAULT);
	assert_true(tenants_list(node->tenants, 10001, "", &page, NULL) < 0);
	assert_true(tenants_list(node->tenants, 0, "x", &page, NULL) < 0);
}

static void test_damaged_record(void **state)
{
	struct node *node = *state;
	const struct registry_write write = { .key = "tenant/" OTHER,
					      .value = slice_from_string("\xff\xff") };
	const struct tenants_config config = { .default_tenant = DEFAULT };
	struct tenants *tenants = NULL;

	assert_int_equal(registry_commit(node->registry, &write, 1, NULL, NULL), 0);
	assert_true(tenants_open(&config, node->registry, node->loop, &tenants, &node->error) < 0);
	assert_non_null(strstr(error_text(&node->error), "tenant/" OTHER));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_default_is_there, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_create_and_restart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_update, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_suspended, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_delete, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_only_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_pages, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damaged_record, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
