/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_store mayfly_base mayfly_pkg_sqlite
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "agent/store/registry.h"
#include "mayfly/fs.h"
#include "tests/unit/killed_child.h"

struct place {
	char folder[64];
	char path[96];
	struct registry *registry;
	bool is_sqlite;
};

static void open_registry(struct place *place)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	int r = place->is_sqlite ? registry_open_sqlite(place->path, &place->registry, &error)
				 : registry_open_memory(&place->registry, &error);

	assert_int_equal(r, 0);
}

static int set_up(void **state, bool is_sqlite)
{
	struct place *place = calloc(1, sizeof(*place));

	place->is_sqlite = is_sqlite;
	(void)snprintf(place->folder, sizeof(place->folder), "/tmp/mayfly-registry-XXXXXX");
	assert_non_null(mkdtemp(place->folder));
	(void)snprintf(place->path, sizeof(place->path), "%s/registry.db", place->folder);
	open_registry(place);
	*state = place;
	return 0;
}

static int set_up_sqlite(void **state)
{
	return set_up(state, true);
}

static int set_up_memory(void **state)
{
	return set_up(state, false);
}

static int tear_down(void **state)
{
	struct place *place = *state;

	assert_null(registry_close(place->registry));
	assert_int_equal(fs_remove_tree(place->folder), 0);
	free(place);
	return 0;
}

static int put(struct registry *registry, const char *key, const char *value, uint64_t revision,
	       uint64_t *ret_revision, struct error *error)
{
	const struct registry_write write = { .key = key,
					      .value = slice_from_string(value),
					      .revision = revision };

	return registry_commit(registry, &write, 1, ret_revision, error);
}

static void assert_value(struct registry *registry, const char *key, const char *expected)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	_cleanup_buf_ struct buf value = BUF_INIT;
	uint64_t revision = 0;
	int r = registry_get(registry, key, &value, &revision, &error);

	assert_int_equal(error.code, ERROR_NONE);
	if (!expected) {
		assert_int_equal(r, -ENOENT);
		return;
	}
	assert_int_equal(r, 0);
	assert_true(revision > 0);
	assert_string_equal(buf_string(&value), expected);
}

static void test_put_get_delete(void **state)
{
	struct place *place = *state;
	_cleanup_error_ struct error error = ERROR_INIT;
	uint64_t first = 0, second = 0;
	const struct registry_write gone = { .key = "a",
					     .remove = true,
					     .revision = REGISTRY_ANY_REVISION };

	assert_value(place->registry, "a", NULL);
	assert_int_equal(put(place->registry, "a", "one", 0, &first, &error), 0);
	assert_value(place->registry, "a", "one");
	assert_int_equal(put(place->registry, "a", "", first, &second, &error), 0);
	assert_true(second > first);
	assert_value(place->registry, "a", "");
	assert_int_equal(registry_commit(place->registry, &gone, 1, NULL, &error), 0);
	assert_value(place->registry, "a", NULL);
	assert_int_equal(registry_commit(place->registry, &gone, 1, NULL, &error), 0);
}

static void test_a_whole_prefix_goes(void **state)
{
	struct place *place = *state;
	const char *const keys[] = {
		"f/a", "f/a:", "f/a:1", "f/a:\xf0\x9f\xa6\x8b", "f/a;", "f/b"
	};
	const struct registry_write writes[] = {
		{ .key = "f/a:", .whole_prefix = true },
		{ .key = "f/b", .remove = true, .revision = REGISTRY_ANY_REVISION },
	};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		assert_int_equal(put(place->registry, keys[i], keys[i], 0, NULL, NULL), 0);
	assert_int_equal(registry_commit(place->registry, writes, 2, NULL, NULL), 0);
	assert_value(place->registry, "f/a", "f/a");
	assert_value(place->registry, "f/a;", "f/a;");
	assert_value(place->registry, "f/a:", NULL);
	assert_value(place->registry, "f/a:1", NULL);
	assert_value(place->registry, keys[3], NULL);
	assert_value(place->registry, "f/b", NULL);
}

static void test_compare_refuses_all_of_a_transaction(void **state)
{
	struct place *place = *state;
	_cleanup_error_ struct error error = ERROR_INIT;
	uint64_t revision = 0;

	assert_int_equal(put(place->registry, "b", "old", 0, &revision, &error), 0);
	const struct registry_write writes[] = {
		{ .key = "a", .value = slice_from_string("new"), .revision = 0 },
		{ .key = "b", .value = slice_from_string("new"), .revision = revision + 1 },
	};
	assert_int_equal(registry_commit(place->registry, writes, 2, NULL, &error), -ESTALE);
	assert_int_equal(error.code, ERROR_PRECONDITION_FAILED);
	assert_value(place->registry, "a", NULL);
	assert_value(place->registry, "b", "old");

	error_clear(&error);
	assert_int_equal(put(place->registry, "b", "x", 0, NULL, &error), -ESTALE);
	error_clear(&error);
	assert_int_equal(put(place->registry, "c", "x", revision, NULL, &error), -ESTALE);
}

struct listing {
	char keys[256];
	int left;
};

static int add_key(const char *key, struct slice value, uint64_t revision, void *arg)
{
	struct listing *listing = arg;
	size_t len = strlen(listing->keys);

	assert_true(revision > 0);
	assert_int_equal(value.len, 1);
	(void)snprintf(listing->keys + len, sizeof(listing->keys) - len, "%s ", key);
	return listing->left-- == 0 ? -ECANCELED : 0;
}

static void assert_list(struct registry *registry, const char *prefix, const char *after,
			size_t limit, const char *expected)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct listing listing = { .left = 100 };

	assert_int_equal(registry_list(registry, prefix, after, limit, add_key, &listing, &error),
			 0);
	assert_string_equal(listing.keys, expected);
}

static void test_list_by_prefix_in_pages(void **state)
{
	struct place *place = *state;
	_cleanup_error_ struct error error = ERROR_INIT;
	static const char *const keys[] = { "f/2", "f/1", "f0", "e/9", "f/3", "f/" };
	struct listing stopped = { .left = 1 };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		assert_int_equal(put(place->registry, keys[i], "v", 0, NULL, &error), 0);
	assert_list(place->registry, "f/", NULL, 0, "f/ f/1 f/2 f/3 ");
	assert_list(place->registry, "f/", NULL, 2, "f/ f/1 ");
	assert_list(place->registry, "f/", "f/1", 2, "f/2 f/3 ");
	assert_list(place->registry, "f/", "f/3", 2, "");
	assert_list(place->registry, "f/", "a", 1, "f/ ");
	assert_list(place->registry, "", NULL, 0, "e/9 f/ f/1 f/2 f/3 f0 ");
	assert_list(place->registry, "g", NULL, 0, "");
	assert_int_equal(registry_list(place->registry, "f/", NULL, 0, add_key, &stopped, &error),
			 -ECANCELED);
	assert_string_equal(stopped.keys, "f/ f/1 ");
}

static void test_limits(void **state)
{
	struct place *place = *state;
	_cleanup_error_ struct error error = ERROR_INIT;
	_cleanup_free_ char *key = calloc(1, REGISTRY_KEY_BYTES + 2);
	_cleanup_free_ uint8_t *value = calloc(1, REGISTRY_VALUE_BYTES + 1);
	struct registry_write write = { .key = key, .revision = REGISTRY_ANY_REVISION };

	assert_int_equal(registry_commit(place->registry, &write, 1, NULL, &error), -EIO);
	memset(key, 'k', REGISTRY_KEY_BYTES);
	write.value = slice_new(value, REGISTRY_VALUE_BYTES);
	error_clear(&error);
	assert_int_equal(registry_commit(place->registry, &write, 1, NULL, &error), 0);
	write.value.len++;
	assert_int_equal(registry_commit(place->registry, &write, 1, NULL, &error), -EIO);
	write.value.len = 0;
	key[REGISTRY_KEY_BYTES] = 'k';
	error_clear(&error);
	assert_int_equal(registry_commit(place->registry, &write, 1, NULL, &error), -EIO);
}

static void test_reopened_has_everything(void **state)
{
	struct place *place = *state;
	_cleanup_error_ struct error error = ERROR_INIT;
	uint64_t before = 0, after = 0;
	struct stat st;

	assert_int_equal(put(place->registry, "a", "one", 0, &before, &error), 0);
	place->registry = registry_close(place->registry);
	open_registry(place);
	assert_value(place->registry, "a", "one");
	assert_int_equal(put(place->registry, "a", "two", before, &after, &error), 0);
	assert_true(after > before);
	assert_int_equal(stat(place->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void alter(struct place *place, const char *sql)
{
	sqlite3 *connection;

	place->registry = registry_close(place->registry);
	assert_int_equal(sqlite3_open(place->path, &connection), SQLITE_OK);
	assert_int_equal(sqlite3_exec(connection, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(connection), SQLITE_OK);
}

static void assert_refused(struct place *place, const char *expected)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	assert_true(registry_open_sqlite(place->path, &place->registry, &error) < 0);
	assert_non_null(strstr(error_text(&error), expected));
	assert_null(place->registry);
}

static void test_newer_version_is_refused(void **state)
{
	alter(*state, "PRAGMA user_version = 2");
	assert_refused(*state, "has version 2; this program knows versions up to 1");
}

static void test_foreign_database_is_refused(void **state)
{
	alter(*state, "PRAGMA application_id = 7");
	assert_refused(*state, "is not a registry of this program");
}

static void test_damaged_file_is_refused(void **state)
{
	struct place *place = *state;
	_cleanup_close_ int fd = -1;
	uint8_t junk[512];

	alter(place, "PRAGMA wal_checkpoint(TRUNCATE)");
	memset(junk, 0xa5, sizeof(junk));
	fd = open(place->path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	for (off_t at = 4096; at < 5 * 4096; at += 512)
		if (pwrite(fd, junk, sizeof(junk), at) != (ssize_t)sizeof(junk))
			fail();
	assert_refused(place, "damaged");
}

static void test_full_disk_changes_nothing(void **state)
{
	struct place *place = *state;
	_cleanup_error_ struct error error = ERROR_INIT;
	_cleanup_free_ char *large = calloc(1, 256 * 1024);
	struct rlimit limit, before;
	int r;

	assert_int_equal(put(place->registry, "a", "kept", 0, NULL, &error), 0);
	memset(large, 'x', 256 * 1024 - 1);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = 64 * 1024;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	r = put(place->registry, "b", large, 0, NULL, &error);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);

	assert_true(r < 0);
	assert_int_equal(error.code, ERROR_UNAVAILABLE);
	assert_value(place->registry, "a", "kept");
	assert_value(place->registry, "b", NULL);
	error_clear(&error);
	assert_int_equal(put(place->registry, "b", large, 0, NULL, &error), 0);
	place->registry = registry_close(place->registry);
	open_registry(place);
	assert_value(place->registry, "a", "kept");
	assert_value(place->registry, "b", large);
}

/* Numbered pairs, each said once it is acknowledged. */
static void write_one_by_one(void *arg, unsigned first, int pipe_fd)
{
	const char *path = arg;
	struct registry *registry = NULL;
	char key[32], twin[32];

	if (registry_open_sqlite(path, &registry, NULL) < 0)
		_exit(1);
	for (unsigned n = first;; n++) {
		(void)snprintf(key, sizeof(key), "k/%08u", n);
		(void)snprintf(twin, sizeof(twin), "t/%08u", n);
		const struct registry_write writes[] = {
			{ .key = key, .value = slice_from_string(key), .revision = 0 },
			{ .key = twin, .value = slice_from_string(twin), .revision = 0 },
		};

		if (registry_commit(registry, writes, 2, NULL, NULL) < 0)
			_exit(1);
		say_done(pipe_fd, n);
	}
}

struct count {
	uint32_t keys;
};

static int count_key(const char *key _unused_, struct slice value _unused_,
		     uint64_t revision _unused_, void *arg)
{
	((struct count *)arg)->keys++;
	return 0;
}

static void test_kill_loses_nothing_acknowledged(void **state)
{
	struct place *place = *state;
	uint32_t next = 0;

	for (unsigned round = 0; round < 30; round++) {
		_cleanup_error_ struct error error = ERROR_INIT;
		struct count keys = { 0 }, twins = { 0 };
		uint32_t last;

		place->registry = registry_close(place->registry);
		last = run_until_killed(write_one_by_one, place->path, next, 5, round * 40009);
		open_registry(place);
		assert_int_equal(
			registry_list(place->registry, "k/", NULL, 0, count_key, &keys, &error), 0);
		assert_int_equal(
			registry_list(place->registry, "t/", NULL, 0, count_key, &twins, &error),
			0);
		/* All acknowledged ones; perhaps the one under way, then whole. */
		assert_true(keys.keys == last + 1 || keys.keys == last + 2);
		assert_int_equal(keys.keys, twins.keys);
		next = keys.keys;
	}
}

#define BOTH(test)                                                                                 \
	{ #test " (memory)", test, set_up_memory, tear_down, NULL },                               \
	{                                                                                          \
#test " (SQLite)", test, set_up_sqlite, tear_down, NULL                            \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_put_get_delete),
		BOTH(test_a_whole_prefix_goes),
		BOTH(test_compare_refuses_all_of_a_transaction),
		BOTH(test_list_by_prefix_in_pages),
		BOTH(test_limits),
		cmocka_unit_test_setup_teardown(test_reopened_has_everything, set_up_sqlite,
						tear_down),
		cmocka_unit_test_setup_teardown(test_newer_version_is_refused, set_up_sqlite,
						tear_down),
		cmocka_unit_test_setup_teardown(test_foreign_database_is_refused, set_up_sqlite,
						tear_down),
		cmocka_unit_test_setup_teardown(test_damaged_file_is_refused, set_up_sqlite,
						tear_down),
		cmocka_unit_test_setup_teardown(test_full_disk_changes_nothing, set_up_sqlite,
						tear_down),
		cmocka_unit_test_setup_teardown(test_kill_loses_nothing_acknowledged, set_up_sqlite,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
