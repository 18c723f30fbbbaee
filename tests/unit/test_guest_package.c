/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_init_core

/* A small package's way into /var/task: which paths are safe, what is placed, what init says of it.
 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest/init/package.h"
#include "mayfly/fs.h"

#define KIND(n) MAYFLY__GUEST__V1__PACKAGE_FILE_KIND__PACKAGE_FILE_KIND_##n
#define FILES   64

typedef Mayfly__Guest__V1__PackageFile package_file;

static char folder[64];
static int folder_fd;
static package_file files[FILES];
static package_file *pointers[FILES];
static size_t file_count;

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/mayfly-place-XXXXXX");
	file_count = 0;
	if (!mkdtemp(folder))
		return -1;
	folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return folder_fd < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	(void)close(folder_fd);
	return fs_remove_tree(folder);
}

static void add(const char *path, int kind, const char *content, int64_t mtime)
{
	package_file *file = &files[file_count];

	assert_true(file_count < FILES);
	mayfly__guest__v1__package_file__init(file);
	file->path = (char *)(uintptr_t)path;
	file->kind = kind;
	file->data.data = (uint8_t *)(uintptr_t)content;
	file->data.len = strlen(content);
	file->mtime = mtime;
	pointers[file_count++] = file;
}

static int place(char failure[BOOT_FAILURE_SIZE])
{
	return package_place_below(folder_fd, pointers, file_count, failure);
}

static void assert_placed(const char *path, mode_t mode, int64_t mtime, const char *content)
{
	char found[64] = "";
	struct stat st;
	ssize_t n;

	if (fstatat(folder_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		fail_msg("%s: %s", path, strerror(errno));
	assert_int_equal(st.st_mode, mode);
	assert_int_equal(st.st_mtime, mtime);
	if (S_ISDIR(mode))
		return;
	if (S_ISLNK(mode)) {
		n = readlinkat(folder_fd, path, found, sizeof(found) - 1);
	} else {
		_cleanup_close_ int fd = openat(folder_fd, path, O_RDONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		n = read(fd, found, sizeof(found) - 1);
	}
	assert_int_equal(n, strlen(content));
	assert_string_equal(found, content);
}

/* -- paths -- */

static void only_paths_below_are_safe(void **state)
{
	static const char *const good[] = { "a",   "a/b",      ".a",  "a.",          "..a",   "a..",
					    "...", "a/.b/..c", "a b", "caf\xc3\xa9", "\xff\n" };
	static const char *const bad[] = { "",     "/",     "/a",     "a/",    "a//b",
					   ".",    "..",    "a/.",    "a/..",  "./a",
					   "../a", "a/./b", "a/../b", "a/b/.", "a/b/" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		if (!package_path_is_safe(good[i]))
			fail_msg("'%s' is refused", good[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (package_path_is_safe(bad[i]))
			fail_msg("'%s' is taken", bad[i]);
}

static void sources_may_be_of_layers(void **state)
{
	static const char *const good[] = { "a.py", "/opt/a.py", "/opt/python/a.py", "opt/a.py" };
	static const char *const bad[] = { "/opt", "/opt/", "/opt//a", "/opt/../a", "/etc/a", "" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(package_source_is_safe(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(package_source_is_safe(bad[i]));
}

static void long_and_deep_paths_are_refused(void **state)
{
	char path[PACKAGE_PATH_BYTES + 2];

	(void)state;
	memset(path, 'a', sizeof(path));
	path[PACKAGE_PATH_BYTES] = '\0';
	assert_true(package_path_is_safe(path));
	path[PACKAGE_PATH_BYTES] = 'a';
	path[PACKAGE_PATH_BYTES + 1] = '\0';
	assert_false(package_path_is_safe(path));
	for (size_t i = 1; i < 2 * PACKAGE_DEPTH; i += 2)
		path[i] = '/';
	path[2 * PACKAGE_DEPTH - 1] = '\0';
	assert_true(package_path_is_safe(path));
	path[2 * PACKAGE_DEPTH - 1] = '/';
	path[2 * PACKAGE_DEPTH + 1] = '\0';
	assert_false(package_path_is_safe(path));
}

/* -- placing -- */

static void what_is_placed_is_as_in_an_image(void **state)
{
	char failure[BOOT_FAILURE_SIZE] = "";
	struct stat root;

	(void)state;
	add("index.py", KIND(FILE), "pass\n", 1700000000);
	add("bin", KIND(FOLDER), "", 1500000000);
	add("bin/deep", KIND(FOLDER), "", 0);
	add("bin/tool", KIND(EXECUTABLE), "#!", 1600000000);
	add("bin/deep/empty", KIND(FILE), "", 0);
	add("bin/link", KIND(LINK), "../index.py", 1400000000);
	add("gone", KIND(LINK), "nowhere", 0);
	if (place(failure) < 0)
		fail_msg("%s", failure);
	assert_placed("index.py", S_IFREG | 0644, 1700000000, "pass\n");
	/* Though something came into it later. */
	assert_placed("bin", S_IFDIR | 0755, 1500000000, "");
	assert_placed("bin/deep", S_IFDIR | 0755, 0, "");
	assert_placed("bin/tool", S_IFREG | 0755, 1600000000, "#!");
	assert_placed("bin/deep/empty", S_IFREG | 0644, 0, "");
	assert_placed("bin/link", S_IFLNK | 0777, 1400000000, "../index.py");
	assert_placed("gone", S_IFLNK | 0777, 0, "nowhere");
	assert_int_equal(fstatat(folder_fd, ".", &root, 0), 0);
	assert_int_equal(root.st_mtime, 0);
}

static void nothing_is_an_empty_folder(void **state)
{
	char failure[BOOT_FAILURE_SIZE] = "";

	(void)state;
	assert_int_equal(place(failure), 0);
}

static void what_cannot_be_placed_is_named(void **state)
{
	static const char long_target[PACKAGE_PATH_BYTES + 2] = { [0 ... PACKAGE_PATH_BYTES] =
									  'a' };
	static const struct {
		const char *path;
		int kind;
		const char *content;
		int error;
	} cases[] = {
		{ "../out", KIND(FILE), "x", EINVAL },
		{ "", KIND(FOLDER), "", EINVAL },
		{ "a", KIND(UNSPECIFIED), "x", EINVAL },
		{ "a", 99, "x", EINVAL },
		{ "link", KIND(LINK), "", EINVAL },
		{ "link", KIND(LINK), long_target, EINVAL },
		{ "no/folder", KIND(FILE), "x", ENOENT },
		{ "first", KIND(FILE), "x", EEXIST },
		{ "first", KIND(FOLDER), "", EEXIST },
		{ "first", KIND(LINK), "x", EEXIST },
		{ "first/below", KIND(FILE), "x", ENOTDIR },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char failure[BOOT_FAILURE_SIZE] = "", expected[BOOT_FAILURE_SIZE];

		add("first", KIND(FILE), "1", 1);
		add(cases[i].path, cases[i].kind, cases[i].content, 1);
		add("never", KIND(FILE), "3", 1);
		assert_int_equal(place(failure), -cases[i].error);
		(void)snprintf(expected, sizeof(expected), "package file %s: %s", cases[i].path,
			       strerror(cases[i].error));
		assert_string_equal(failure, expected);
		assert_int_equal(faccessat(folder_fd, "never", F_OK, 0), -1);
		/* What was there before is as it was. */
		assert_placed("first", S_IFREG | 0644, 1, "1");
		assert_int_equal(tear_down(state), 0);
		assert_int_equal(set_up(state), 0);
	}
}

/* -- listing -- */

static void the_first_level_is_listed(void **state)
{
	char list[PACKAGE_ENTRIES_BYTES];

	(void)state;
	package_list(pointers, 0, list);
	assert_string_equal(list, "");
	add("index.py", KIND(FILE), "", 0);
	add("lib", KIND(FOLDER), "", 0);
	add("lib/x.py", KIND(FILE), "", 0);
	add("link", KIND(LINK), "lib", 0);
	package_list(pointers, file_count, list);
	assert_string_equal(list, "index.py/lib/link");
}

static void a_list_that_does_not_fit_is_empty(void **state)
{
	char names[PACKAGE_ENTRIES_BYTES / 64][65];
	char list[PACKAGE_ENTRIES_BYTES];

	(void)state;
	/* With what parts and ends them they take the room to the last byte. */
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		memset(names[i], 'n', sizeof(names[i]));
		names[i][63] = names[i][64] = '\0';
		add(names[i], KIND(FILE), "", 0);
	}
	package_list(pointers, file_count, list);
	assert_int_equal(strlen(list), PACKAGE_ENTRIES_BYTES - 1);
	names[0][63] = 'n';
	package_list(pointers, file_count, list);
	assert_string_equal(list, "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(only_paths_below_are_safe),  TEST(long_and_deep_paths_are_refused),
		TEST(sources_may_be_of_layers),   TEST(what_is_placed_is_as_in_an_image),
		TEST(nothing_is_an_empty_folder), TEST(what_cannot_be_placed_is_named),
		TEST(the_first_level_is_listed),  TEST(a_list_that_does_not_fit_is_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
