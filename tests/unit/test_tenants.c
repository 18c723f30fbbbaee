/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_tenants mayfly_auth mayfly_store mayfly_functions mayfly_core mayfly_base

/* Tenants and access keys: what each change does, what is refused, what is there after a restart,
 * and how secrets are kept. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/store/registry.h"
#include "agent/tenants/keys.h"
#include "agent/tenants/tenants.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"

#define DEADLINE_US 20000000
#define DEFAULT     "123456789012"
#define OTHER       "210987654321"
#define THIRD       "000000000003"

struct node {
	char folder[64];
	char key_path[96];
	bool make_master_key;
	struct registry *registry;
	struct loop *loop;
	struct tenants *tenants;
	unsigned functions; /* of OTHER */
	const char *only_one;
	/* The last answer. */
	bool has_tenant;
	struct tenant tenant;
	struct error error;
	struct access_key key;
	char secret[ACCESS_KEY_SECRET_BYTES];
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
					       .master_key_path = node->key_path,
					       .make_master_key = node->make_master_key,
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

	(void)snprintf(node->folder, sizeof(node->folder), "/tmp/mayfly-tenants-XXXXXX");
	assert_non_null(mkdtemp(node->folder));
	(void)snprintf(node->key_path, sizeof(node->key_path), "%s/key", node->folder);
	node->make_master_key = true;
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
	assert_int_equal(fs_remove_tree(node->folder), 0);
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
					      .concurrent_executions = 7,
					      .has_weight = true,
					      .weight = 1000 };
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
	assert_int_equal(tenant_weight(tenant), 1000);
	assert_int_equal(tenant_weight(tenants_find(node->tenants, DEFAULT)), 100);
	assert_int_equal(tenant_weight(NULL), 100);
}

static void test_update(void **state)
{
	const struct tenant_limits both = { .has_concurrent_executions = true,
					    .concurrent_executions = 1,
					    .has_code_storage_bytes = true,
					    .code_storage_bytes = 5,
					    .has_waiting_events = true,
					    .waiting_events = 0,
					    .has_provisioned_memory_mb = true,
					    .provisioned_memory_mb = 4096 };
	const struct tenant_limits none = { 0 };
	const struct tenant_limits over = { .has_concurrent_executions = true,
					    .concurrent_executions = 1000001 };
	const struct tenant_limits events = { .has_waiting_events = true,
					      .waiting_events = 10000001 };
	const struct tenant_limits memory = { .has_provisioned_memory_mb = true,
					      .provisioned_memory_mb = (1ULL << 30) + 1 };
	const struct tenant_limits nothing = { .has_concurrent_executions = true };
	const struct tenant_limits weightless = { .has_weight = true };
	const struct tenant_limits heavy = { .has_weight = true, .weight = 1001 };
	char long_name[TENANT_NAME_MAX + 2];
	struct node *node = *state;

	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = 0;
	assert_int_equal(create(node, OTHER, "blue", NULL), ERROR_NONE);
	assert_int_equal(update(node, OTHER, NULL, &both), ERROR_NONE);
	assert_string_equal(node->tenant.name, "blue");
	assert_int_equal(node->tenant.limits.code_storage_bytes, 5);
	close_tenants(node);
	open_tenants(node);
	assert_true(tenants_find(node->tenants, OTHER)->limits.has_waiting_events);
	assert_int_equal(tenants_find(node->tenants, OTHER)->limits.waiting_events, 0);
	assert_int_equal(tenants_find(node->tenants, OTHER)->limits.provisioned_memory_mb, 4096);
	assert_int_equal(update(node, OTHER, "green", NULL), ERROR_NONE);
	assert_string_equal(node->tenant.name, "green");
	assert_true(node->tenant.limits.has_code_storage_bytes);
	assert_int_equal(update(node, OTHER, NULL, &none), ERROR_NONE);
	assert_false(node->tenant.limits.has_concurrent_executions);

	assert_int_equal(update(node, OTHER, NULL, &events), ERROR_INVALID_PARAMETER);
	assert_string_equal(node->error.field, "limits.waiting_events");
	assert_int_equal(update(node, OTHER, NULL, &memory), ERROR_INVALID_PARAMETER);
	assert_string_equal(node->error.field, "limits.provisioned_memory_mb");
	assert_int_equal(update(node, OTHER, NULL, &over), ERROR_INVALID_PARAMETER);
	assert_string_equal(node->error.field, "limits.concurrent_executions");
	assert_int_equal(update(node, OTHER, NULL, &nothing), ERROR_INVALID_PARAMETER);
	assert_int_equal(update(node, OTHER, NULL, &weightless), ERROR_INVALID_PARAMETER);
	assert_int_equal(update(node, OTHER, NULL, &heavy), ERROR_INVALID_PARAMETER);
	assert_string_equal(node->error.field, "limits.weight");
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
	assert_null(tenants_warning(node->tenants));
}

/* As when the host's KVM is gone: what is there stays, can be managed, and does not run. */
static void test_only_one_of_several_runs(void **state)
{
	struct node *node = *state;
	_cleanup_error_ struct error error = ERROR_INIT;

	assert_int_equal(create(node, OTHER, "", NULL), ERROR_NONE);
	assert_null(tenants_why_not_run(node->tenants, OTHER));
	assert_null(tenants_warning(node->tenants));
	close_tenants(node);
	node->only_one = "There may be one, because.";
	open_tenants(node);
	assert_non_null(strstr(tenants_warning(node->tenants), node->only_one));
	assert_null(tenants_why_not_run(node->tenants, DEFAULT));
	assert_int_equal(tenants_check_runs(node->tenants, DEFAULT, &error), 0);
	assert_true(tenants_check_runs(node->tenants, OTHER, &error) < 0);
	assert_int_equal(error.code, ERROR_ACCESS_DENIED);
	assert_string_equal(error_text(&error), tenants_why_not_run(node->tenants, OTHER));
	assert_int_equal(tenants_check(node->tenants, OTHER, ACCESS_CHANGE, false, NULL), 0);
	assert_int_equal(delete (node, OTHER), ERROR_NONE);
	assert_null(tenants_warning(node->tenants));
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
	const struct tenants_config config = { .default_tenant = DEFAULT,
					       .master_key_path = node->key_path };
	struct tenants *tenants = NULL;

	assert_int_equal(registry_commit(node->registry, &write, 1, NULL, NULL), 0);
	assert_true(tenants_open(&config, node->registry, node->loop, &tenants, &node->error) < 0);
	assert_non_null(strstr(error_text(&node->error), "tenant/" OTHER));
}

/* -- access keys -- */

static void on_key(const struct access_key *key, const char *secret, const struct error *error,
		   void *arg)
{
	struct node *node = arg;

	if (key)
		node->key = *key;
	if (secret)
		memcpy(node->secret, secret, sizeof(node->secret));
	on_answer(NULL, error, node);
}

static enum error_code create_key(struct node *node, const char *tenant, const char *user,
				  enum role role, int64_t expires_us)
{
	const struct keys_create_request request = {
		.tenant = tenant, .user = user, .role = role, .expires_us = expires_us
	};

	node->inside = true;
	keys_create(node->tenants, &request, on_key, node);
	return wait_answer(node);
}

static enum error_code set_inactive(struct node *node, const char *tenant, const char *id,
				    bool inactive)
{
	node->inside = true;
	keys_set_inactive(node->tenants, tenant, id, inactive, on_key, node);
	return wait_answer(node);
}

static enum error_code delete_key(struct node *node, const char *tenant, const char *id)
{
	node->inside = true;
	keys_delete(node->tenants, tenant, id, on_key, node);
	return wait_answer(node);
}

static int show(const struct node *node, const char *id, const char *secret, int64_t now_us,
		struct principal *ret)
{
	char text[128];

	(void)snprintf(text, sizeof(text), "Mayfly %s:%s", id, secret);
	return keys_authenticate(node->tenants, slice_from_string(text), now_us, ret);
}

static void test_key_says_who(void **state)
{
	struct node *node = *state;
	struct principal who;
	char wrong[ACCESS_KEY_SECRET_BYTES];

	assert_int_equal(create(node, OTHER, "", NULL), ERROR_NONE);
	assert_int_equal(create_key(node, OTHER, "ann", ROLE_DEVELOPER, 0), ERROR_NONE);
	assert_true(access_key_id_is_valid(node->key.id));
	assert_int_equal(strlen(node->secret), 40);
	assert_int_equal(show(node, node->key.id, node->secret, 1, &who), 0);
	assert_int_equal(who.kind, PRINCIPAL_USER);
	assert_string_equal(who.tenant, OTHER);
	assert_string_equal(who.name, "ann");
	assert_string_equal(who.key_id, node->key.id);
	assert_int_equal(who.role, ROLE_DEVELOPER);

	memcpy(wrong, node->secret, sizeof(wrong));
	wrong[39] = wrong[39] == 'A' ? 'B' : 'A';
	assert_int_equal(show(node, node->key.id, wrong, 1, &who), -EPERM);
	assert_int_equal(show(node, node->key.id, "", 1, &who), -EPERM);
	assert_int_equal(show(node, "AKIAAAAAAAAAAAAAAAAA", node->secret, 1, &who), -EPERM);
	close_tenants(node);
	open_tenants(node);
	assert_int_equal(show(node, node->key.id, node->secret, 1, &who), 0);
	assert_string_equal(who.name, "ann");
}

static void test_key_that_may_not_be_used(void **state)
{
	const int64_t soon = clock_realtime_us() + 1000000000;
	struct node *node = *state;
	struct principal who;
	char id[ACCESS_KEY_ID_BYTES];

	assert_int_equal(create(node, OTHER, "", NULL), ERROR_NONE);
	assert_int_equal(create_key(node, OTHER, "ann", ROLE_ADMIN, soon), ERROR_NONE);
	memcpy(id, node->key.id, sizeof(id));
	assert_int_equal(show(node, id, node->secret, soon - 1, &who), 0);
	assert_int_equal(show(node, id, node->secret, soon, &who), -EPERM);

	assert_int_equal(set_inactive(node, DEFAULT, id, true), ERROR_NOT_FOUND);
	assert_int_equal(set_inactive(node, OTHER, id, true), ERROR_NONE);
	assert_true(node->key.inactive);
	assert_int_equal(show(node, id, node->secret, 1, &who), -EPERM);
	close_tenants(node);
	open_tenants(node);
	assert_int_equal(show(node, id, node->secret, 1, &who), -EPERM);
	assert_int_equal(set_inactive(node, OTHER, id, false), ERROR_NONE);
	assert_int_equal(show(node, id, node->secret, 1, &who), 0);

	assert_int_equal(delete_key(node, DEFAULT, id), ERROR_NOT_FOUND);
	assert_int_equal(delete_key(node, OTHER, id), ERROR_NONE);
	assert_int_equal(show(node, id, node->secret, 1, &who), -EPERM);
	assert_int_equal(delete_key(node, OTHER, id), ERROR_NOT_FOUND);
}

static void test_key_refusals(void **state)
{
	struct node *node = *state;

	assert_int_equal(create_key(node, DEFAULT, "", ROLE_ADMIN, 0), ERROR_INVALID_PARAMETER);
	assert_string_equal(node->error.field, "user");
	assert_int_equal(create_key(node, DEFAULT, "a b", ROLE_ADMIN, 0), ERROR_INVALID_PARAMETER);
	assert_int_equal(create_key(node, DEFAULT, "a", (enum role) - 1, 0),
			 ERROR_INVALID_PARAMETER);
	assert_string_equal(node->error.field, "role");
	assert_int_equal(create_key(node, DEFAULT, "a", ROLE_ADMIN, 1), ERROR_INVALID_PARAMETER);
	assert_string_equal(node->error.field, "expires_at_us");
	assert_int_equal(create_key(node, OTHER, "a", ROLE_ADMIN, 0), ERROR_NOT_FOUND);
	assert_int_equal(delete_key(node, DEFAULT, "akia"), ERROR_INVALID_PARAMETER);
	assert_string_equal(node->error.field, "access_key_id");
}

static void test_keys_go_with_their_tenant(void **state)
{
	const struct access_key *keys[ACCESS_KEYS_MAX];
	struct node *node = *state;
	struct principal who = { 0 };

	assert_int_equal(create(node, OTHER, "", NULL), ERROR_NONE);
	assert_int_equal(create_key(node, DEFAULT, "stays", ROLE_ADMIN, 0), ERROR_NONE);
	for (unsigned i = 0; i < ACCESS_KEYS_MAX; i++)
		assert_int_equal(create_key(node, OTHER, "ann", ROLE_ADMIN, 0), ERROR_NONE);
	assert_int_equal(create_key(node, OTHER, "ann", ROLE_ADMIN, 0), ERROR_CONFLICT);
	assert_int_equal(keys_list(node->tenants, OTHER, keys), ACCESS_KEYS_MAX);
	for (unsigned i = 1; i < ACCESS_KEYS_MAX; i++)
		assert_true(strcmp(keys[i - 1]->id, keys[i]->id) < 0);
	assert_int_equal(delete (node, OTHER), ERROR_NONE);
	assert_int_equal(show(node, node->key.id, node->secret, 1, &who), -EPERM);
	close_tenants(node);
	open_tenants(node);
	assert_int_equal(keys_list(node->tenants, OTHER, keys), 0);
	assert_int_equal(keys_list(node->tenants, DEFAULT, keys), 1);
}

/* -- the master key -- */

static void assert_refused(struct node *node, const char *why)
{
	const struct tenants_config config = { .default_tenant = DEFAULT,
					       .master_key_path = node->key_path,
					       .make_master_key = true };
	_cleanup_error_ struct error error = ERROR_INIT;
	struct tenants *tenants = NULL;

	assert_true(tenants_open(&config, node->registry, node->loop, &tenants, &error) < 0);
	assert_non_null(strstr(error_text(&error), why));
	assert_non_null(strstr(error_text(&error), node->key_path));
}

static void write_key(const struct node *node, size_t len, mode_t mode)
{
	uint8_t bytes[64] = { 7 };

	(void)unlink(node->key_path);
	assert_int_equal(fs_write_file_atomic(node->key_path, slice_new(bytes, len), mode), 0);
}

static void test_wrong_master_key(void **state)
{
	struct node *node = *state;
	_cleanup_buf_ struct buf good = BUF_INIT;
	struct stat st;

	assert_int_equal(stat(node->key_path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, 32);
	assert_int_equal(fs_read_file(node->key_path, 64, &good), 0);

	write_key(node, 32, 0600);
	assert_refused(node, "is not the one");
	write_key(node, 31, 0600);
	assert_refused(node, "is damaged");
	write_key(node, 32, 0604);
	assert_refused(node, "open to other users");
	assert_int_equal(unlink(node->key_path), 0);
	assert_refused(node, "is missing"); /* and none is made in its place */
	assert_int_equal(access(node->key_path, F_OK), -1);

	assert_int_equal(fs_write_file_atomic(node->key_path, buf_slice(&good), 0600), 0);
	close_tenants(node);
	open_tenants(node);
}

static void test_a_key_file_of_the_operator_is_not_made(void **state)
{
	struct node *node = *state;
	const struct tenants_config config = { .default_tenant = DEFAULT,
					       .master_key_path = "/nowhere/key" };
	struct registry *registry = NULL;
	struct tenants *tenants = NULL;

	assert_int_equal(registry_open_memory(&registry, NULL), 0);
	assert_true(tenants_open(&config, registry, node->loop, &tenants, &node->error) < 0);
	assert_non_null(strstr(error_text(&node->error), "is missing"));
	(void)registry_close(registry);
}

struct kept {
	bool found;
	const char *secret;
};

static int look_for_secret(const char *key _unused_, struct slice value, uint64_t revision _unused_,
			   void *arg)
{
	struct kept *kept = arg;

	kept->found |= memmem(value.data, value.len, kept->secret, 40) != NULL;
	return 0;
}

static void test_secret_is_not_kept_as_it_is(void **state)
{
	struct node *node = *state;
	struct kept kept = { .secret = node->secret };
	uint64_t revision;
	_cleanup_buf_ struct buf value = BUF_INIT;
	char key[64];

	assert_int_equal(create_key(node, DEFAULT, "ann", ROLE_ADMIN, 0), ERROR_NONE);
	assert_int_equal(registry_list(node->registry, "", NULL, 0, look_for_secret, &kept, NULL),
			 0);
	assert_false(kept.found);

	/* One changed bit of what is kept, and the agent does not start. */
	(void)snprintf(key, sizeof(key), "access-key/%s", node->key.id);
	assert_int_equal(registry_get(node->registry, key, &value, &revision, NULL), 0);
	value.data[value.len - 1] ^= 1;
	const struct registry_write write = { .key = key,
					      .value = buf_slice(&value),
					      .revision = REGISTRY_ANY_REVISION };
	assert_int_equal(registry_commit(node->registry, &write, 1, NULL, NULL), 0);
	const struct tenants_config config = { .default_tenant = DEFAULT,
					       .master_key_path = node->key_path };
	struct tenants *tenants = NULL;
	assert_true(tenants_open(&config, node->registry, node->loop, &tenants, &node->error) < 0);
	assert_non_null(strstr(error_text(&node->error), key));
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
		cmocka_unit_test_setup_teardown(test_only_one_of_several_runs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_pages, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damaged_record, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_key_says_who, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_key_that_may_not_be_used, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_key_refusals, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_keys_go_with_their_tenant, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_wrong_master_key, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_key_file_of_the_operator_is_not_made, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_secret_is_not_kept_as_it_is, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
