/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_tenants mayfly_auth mayfly_store mayfly_functions mayfly_core mayfly_base

/* The secrets of webhooks: whose is whose, what a rotation does, what is there after a restart, and
 * how they are kept. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "agent/store/registry.h"
#include "agent/tenants/webhook_secrets.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"

#define DEADLINE_US 20000000
#define DEFAULT     "123456789012"
#define OTHER       "210987654321"
#define URL         "https://hooks.example.com/a?b=c"
#define DAY         (86400 * USEC_PER_SEC)

static struct {
	char folder[64];
	char key_path[96];
	struct registry *registry;
	struct loop *loop;
	struct tenants *tenants;
	bool is_answered;
	struct webhook_secrets secrets; /* of the last answer */
	struct error error;
} node;

static int try_open(struct tenants **ret, struct error *error)
{
	const struct tenants_config config = { .default_tenant = DEFAULT,
					       .master_key_path = node.key_path,
					       .make_master_key = true };

	return tenants_open(&config, node.registry, node.loop, ret, error);
}

static void open_tenants(void)
{
	assert_int_equal(loop_new(1, &node.loop), 0);
	assert_int_equal(try_open(&node.tenants, NULL), 0);
}

static void close_tenants(void)
{
	node.tenants = tenants_close(node.tenants);
	node.loop = loop_free(node.loop);
}

static int set_up(void **state _unused_)
{
	memset(&node, 0, sizeof(node));
	(void)snprintf(node.folder, sizeof(node.folder), "/tmp/mayfly-webhooks-XXXXXX");
	assert_non_null(mkdtemp(node.folder));
	(void)snprintf(node.key_path, sizeof(node.key_path), "%s/key", node.folder);
	assert_int_equal(registry_open_memory(&node.registry, NULL), 0);
	open_tenants();
	return 0;
}

static int tear_down(void **state _unused_)
{
	close_tenants();
	error_clear(&node.error);
	(void)registry_close(node.registry);
	assert_int_equal(fs_remove_tree(node.folder), 0);
	return 0;
}

static void turn_until_answered(void)
{
	while (!node.is_answered)
		assert_true(sd_event_run(loop_event(node.loop), DEADLINE_US) > 0);
}

static void on_tenant(const struct tenant *tenant _unused_, const struct error *error,
		      void *arg _unused_)
{
	assert_null(error);
	node.is_answered = true;
}

static void create_other(void)
{
	node.is_answered = false;
	tenants_create(node.tenants, &(struct tenants_request){ .id = OTHER }, on_tenant, NULL);
	turn_until_answered();
}

static void delete_other(void)
{
	node.is_answered = false;
	tenants_delete(node.tenants, OTHER, on_tenant, NULL);
	turn_until_answered();
}

static void on_rotated(const struct webhook_secrets *secrets, const char *tenant _unused_,
		       const char *url _unused_, const struct error *error, void *arg _unused_)
{
	assert_int_equal(!secrets, error != NULL);
	error_clear(&node.error);
	if (error)
		assert_int_equal(error_copy(&node.error, error), 0);
	else
		node.secrets = *secrets;
	node.is_answered = true;
}

static enum error_code rotate(const char *tenant, const char *url, int64_t overlap_us)
{
	node.is_answered = false;
	webhook_secrets_rotate(node.tenants, tenant, url, overlap_us, on_rotated, NULL);
	assert_false(node.is_answered);
	turn_until_answered();
	return node.error.code;
}

static struct webhook_secrets find_at(const char *tenant, const char *url, int64_t now_us)
{
	struct webhook_secrets secrets;

	assert_int_equal(webhook_secrets_find(node.tenants, tenant, url, now_us, &secrets), 0);
	return secrets;
}

static struct webhook_secrets find(const char *tenant, const char *url)
{
	return find_at(tenant, url, clock_realtime_us());
}

static bool same(const struct webhook_secret *a, const struct webhook_secret *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static void test_each_address_has_its_own(void **state _unused_)
{
	struct webhook_secrets first = find(DEFAULT, URL), again, other;

	assert_false(first.has_previous);
	assert_int_equal(first.rotated_us, 0);
	other = find(DEFAULT, URL "d");
	assert_false(same(&first.current, &other.current));
	other = find(OTHER, URL);
	assert_false(same(&first.current, &other.current));
	close_tenants();
	open_tenants();
	again = find(DEFAULT, URL);
	assert_true(same(&first.current, &again.current));
}

static void check_both(const struct webhook_secrets *now, const struct webhook_secrets *before)
{
	assert_true(now->has_previous);
	assert_false(same(&now->current, &before->current));
	assert_true(same(&now->previous, &before->current));
}

static void test_both_count_during_the_overlap(void **state _unused_)
{
	struct webhook_secrets before = find(DEFAULT, URL), now, other = find(DEFAULT, URL "d");
	int64_t end_us;

	assert_int_equal(rotate(DEFAULT, URL, DAY), ERROR_NONE);
	end_us = node.secrets.previous_until_us;
	assert_int_equal(end_us, node.secrets.rotated_us + DAY);
	check_both(&node.secrets, &before);
	for (unsigned i = 0; i < 2; i++) {
		now = find(DEFAULT, URL);
		check_both(&now, &before);
		assert_true(same(&now.current, &node.secrets.current));
		now = find_at(DEFAULT, URL, end_us - 1);
		assert_true(now.has_previous);
		now = find_at(DEFAULT, URL, end_us);
		assert_false(now.has_previous);
		assert_int_equal(now.previous_until_us, 0);
		assert_true(same(&now.current, &node.secrets.current));
		now = find(DEFAULT, URL "d");
		assert_true(same(&now.current, &other.current));
		close_tenants(); /* and again from what is kept */
		open_tenants();
	}
}

static void test_another_one_during_the_overlap(void **state _unused_)
{
	struct webhook_secrets first, now;

	assert_int_equal(rotate(DEFAULT, URL, DAY), ERROR_NONE);
	first = node.secrets;
	assert_int_equal(rotate(DEFAULT, URL, DAY), ERROR_CONFLICT);
	now = find(DEFAULT, URL);
	assert_true(same(&now.current, &first.current));
	assert_int_equal(rotate(DEFAULT, URL, 0), ERROR_NONE);
	now = find(DEFAULT, URL);
	assert_false(now.has_previous);
	assert_false(same(&now.current, &first.current));
	assert_int_equal(rotate(DEFAULT, URL, 1), ERROR_NONE); /* nothing overlaps any more */
	check_both(&node.secrets, &now);
}

static void test_refusals(void **state _unused_)
{
	static const char *const urls[] = { "",
					    "hooks",
					    "https://",
					    "ftp://host/",
					    "https://h/#x",
					    "arn:aws:sqs:us-east-1:" DEFAULT ":failed" };

	for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
		assert_int_equal(rotate(DEFAULT, urls[i], DAY), ERROR_INVALID_PARAMETER);
		assert_string_equal(node.error.field, "url");
	}
	assert_int_equal(rotate(DEFAULT, URL, WEBHOOK_OVERLAP_MAX_US + 1), ERROR_INVALID_PARAMETER);
	assert_string_equal(node.error.field, "overlap_s");
	assert_int_equal(rotate(OTHER, URL, DAY), ERROR_NOT_FOUND);
	assert_int_equal(rotate(DEFAULT, URL, WEBHOOK_OVERLAP_MAX_US), ERROR_NONE);
}

static void test_no_more_than_so_many(void **state _unused_)
{
	char url[64];

	create_other();
	for (unsigned i = 0; i < WEBHOOK_ROTATED_MAX; i++) {
		(void)snprintf(url, sizeof(url), "https://host/%u", i);
		assert_int_equal(rotate(DEFAULT, url, 0), ERROR_NONE);
	}
	assert_int_equal(rotate(DEFAULT, URL, 0), ERROR_TOO_MANY_REQUESTS);
	assert_int_equal(rotate(DEFAULT, url, 0), ERROR_NONE);
	assert_int_equal(rotate(OTHER, URL, 0), ERROR_NONE);
}

static void test_they_go_with_their_tenant(void **state _unused_)
{
	struct webhook_secrets first = find(OTHER, URL), now;

	create_other();
	assert_int_equal(rotate(OTHER, URL, DAY), ERROR_NONE);
	assert_int_equal(rotate(DEFAULT, URL, DAY), ERROR_NONE);
	delete_other();
	for (unsigned i = 0; i < 2; i++) {
		now = find(OTHER, URL);
		assert_true(same(&now.current, &first.current));
		now = find(DEFAULT, URL);
		assert_true(now.has_previous);
		close_tenants();
		open_tenants();
	}
}

/* -- how they are kept -- */

static int look(const char *key, struct slice value, uint64_t revision _unused_, void *arg)
{
	const struct webhook_secret *secret = arg;

	if (memmem(value.data, value.len, secret, sizeof(*secret)))
		fail_msg("%s has it as it is", key);
	return 0;
}

static int copy_key(const char *key, struct slice value _unused_, uint64_t revision _unused_,
		    void *arg)
{
	(void)snprintf(arg, REGISTRY_KEY_BYTES, "%s", key);
	return 0;
}

static void spoil(const char *key)
{
	_cleanup_buf_ struct buf value = BUF_INIT;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct tenants *tenants = NULL;
	uint64_t revision;

	assert_int_equal(registry_get(node.registry, key, &value, &revision, NULL), 0);
	for (unsigned i = 0; i < 2; i++) { /* and put back */
		value.data[value.len / 2] ^= 1;
		const struct registry_write write = { .key = key,
						      .value = buf_slice(&value),
						      .revision = REGISTRY_ANY_REVISION };
		assert_int_equal(registry_commit(node.registry, &write, 1, NULL, NULL), 0);
		if (i > 0)
			return;
		assert_true(try_open(&tenants, &error) < 0);
		assert_non_null(strstr(error_text(&error), key));
	}
}

static void test_they_are_sealed(void **state _unused_)
{
	char key[REGISTRY_KEY_BYTES] = "";

	assert_int_equal(rotate(DEFAULT, URL, DAY), ERROR_NONE);
	assert_int_equal(
		registry_list(node.registry, "", NULL, 0, look, &node.secrets.current, NULL), 0);
	assert_int_equal(
		registry_list(node.registry, "", NULL, 0, look, &node.secrets.previous, NULL), 0);
	assert_int_equal(registry_list(node.registry, "webhook-secret/" DEFAULT "/", NULL, 0,
				       copy_key, key, NULL),
			 0);
	assert_true(strlen(key) > 0);
	spoil(key);
	spoil("auth/webhook-root");
	close_tenants();
	open_tenants();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_each_address_has_its_own),
		TEST(test_both_count_during_the_overlap),
		TEST(test_another_one_during_the_overlap),
		TEST(test_refusals),
		TEST(test_no_more_than_so_many),
		TEST(test_they_go_with_their_tenant),
		TEST(test_they_are_sealed),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
