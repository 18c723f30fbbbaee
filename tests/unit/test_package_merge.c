/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_image

/* Code and layers in one package: which file wins, what links and folders may do to each other, how
 * large it may be, and what goes into a guest in a message. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/image/package_files.h"
#include "agent/image/package_merge.h"
#include "mayfly/fs.h"
#include "tests/unit/zip_harness.h"

#define ZIP_BYTES (4U << 20)
#define FILE_MODE (S_IFREG | 0644)
#define EXEC_MODE (S_IFREG | 0755)
#define DIR_MODE  (S_IFDIR | 0755)
#define LINK_MODE (S_IFLNK | 0777)

static char folder[64];
static unsigned extractions;

/* What one ZIP has. */
struct item {
	const char *path;
	mode_t type;
	const char *content;
};

struct layers {
	struct zipper zippers[PACKAGE_LAYERS_MAX + 1];
	struct slice zips[PACKAGE_LAYERS_MAX + 1];
	size_t count;
};

static int set_up(void **state _unused_)
{
	(void)snprintf(folder, sizeof(folder), "/var/tmp/mayfly-merge-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state _unused_)
{
	return fs_remove_tree(folder);
}

static void add_zip(struct layers *layers, const struct item *items)
{
	struct zipper *z = &layers->zippers[layers->count];

	*z = zipper_open(ZIP_BYTES);
	zipper_start(z);
	for (; items->path; items++)
		zipper_add(z, items->path, items->type, strstr(items->path, "bin/") ? 0755 : 0644,
			   items->content);
	layers->zips[layers->count++] = zipper_finish(z);
}

static void layers_clear(struct layers *layers)
{
	for (size_t i = 0; i < layers->count; i++)
		zipper_clear(&layers->zippers[i]);
}
#define _cleanup_layers_ _cleanup_(layers_clear)

static void build_code(const struct item *items, struct package *ret)
{
	_cleanup_layers_ struct layers code = { 0 };
	_cleanup_error_ struct error error = ERROR_INIT;

	add_zip(&code, items);
	if (package_build(folder, code.zips[0], ret, &error) < 0)
		fail_msg("%s", error.message);
}

static const struct item plain_code[] = { { "app.py", AE_IFREG, "code" },
					  { "opt/x", AE_IFREG, "code's own" },
					  { NULL, 0, NULL } };

static void merge(struct layers *layers, struct package *ret)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct package code;

	build_code(plain_code, &code);
	if (package_merge(folder, code.digest, layers->zips, layers->count, ret, &error) < 0)
		fail_msg("%s", error.message);
}

/* The folder to which the image of this digest is unpacked; the caller frees. */
static char *extract(const char *digest)
{
	_cleanup_free_ char *path = package_path(folder, digest);
	_cleanup_free_ char *option = NULL;
	char *to;
	int status;
	pid_t pid;

	assert_true(asprintf(&to, "%s/out-%u", folder, extractions++) > 0);
	assert_true(asprintf(&option, "--extract=%s", to) > 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)execl("/usr/bin/fsck.erofs", "fsck.erofs", option, path, NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return to;
}

/* `content` NULL: it is not there. */
static void assert_file(const char *root, const char *path, mode_t mode, const char *content)
{
	_cleanup_free_ char *full = NULL;
	char found[64] = "";
	struct stat st;
	ssize_t n = 0;

	assert_true(asprintf(&full, "%s/%s", root, path) > 0);
	if (!content) {
		assert_int_equal(lstat(full, &st), -1);
		return;
	}
	if (lstat(full, &st) < 0)
		fail_msg("%s: %s", path, strerror(errno));
	if (S_ISLNK(mode)) {
		n = readlink(full, found, sizeof(found) - 1);
	} else if (S_ISREG(mode)) {
		_cleanup_close_ int fd = open(full, O_RDONLY | O_CLOEXEC);
		n = read(fd, found, sizeof(found) - 1);
	}
	assert_true(n >= 0);
	assert_int_equal(st.st_mode, mode);
	if (!S_ISDIR(mode))
		assert_string_equal(found, content);
}

static void later_layers_lie_over_earlier_ones(void **state _unused_)
{
	_cleanup_layers_ struct layers layers = { 0 };
	_cleanup_free_ char *root = NULL;
	struct package package;

	add_zip(&layers, (struct item[]){ { "python/both.py", AE_IFREG, "first" },
					  { "python/one.py", AE_IFREG, "one" },
					  { NULL, 0, NULL } });
	add_zip(&layers, (struct item[]){ { "python/both.py", AE_IFREG, "second" },
					  { "bin/tool", AE_IFREG, "tool" },
					  { NULL, 0, NULL } });
	merge(&layers, &package);
	root = extract(package.digest);
	assert_file(root, "task/app.py", FILE_MODE, "code");
	assert_file(root, "task/opt/x", FILE_MODE, "code's own");
	assert_file(root, "opt/python/both.py", FILE_MODE, "second");
	assert_file(root, "opt/python/one.py", FILE_MODE, "one");
	assert_file(root, "opt/bin/tool", EXEC_MODE, "tool");
	assert_file(root, "opt/x", 0, NULL);
	assert_int_equal(package.unzipped_bytes, 4 + 10 + 5 + 3 + 6 + 4);
}

static void kinds_change_with_a_layer(void **state _unused_)
{
	_cleanup_layers_ struct layers layers = { 0 };
	_cleanup_free_ char *root = NULL;
	struct package package;

	add_zip(&layers, (struct item[]){ { "a/x", AE_IFREG, "lost" },
					  { "a/deep/y", AE_IFREG, "lost" },
					  { "b", AE_IFREG, "lost" },
					  { "link", AE_IFLNK, "kept" },
					  { "kept/z", AE_IFREG, "z" },
					  { NULL, 0, NULL } });
	/* A folder becomes a file, a file a folder, a link a folder with a file of its own. */
	add_zip(&layers, (struct item[]){ { "a", AE_IFREG, "file" },
					  { "b/x", AE_IFREG, "x" },
					  { "link/z", AE_IFREG, "other" },
					  { NULL, 0, NULL } });
	/* And back: nothing of the first layer returns. */
	add_zip(&layers, (struct item[]){ { "a/new", AE_IFREG, "new" }, { NULL, 0, NULL } });
	merge(&layers, &package);
	root = extract(package.digest);
	assert_file(root, "opt/a/new", FILE_MODE, "new");
	assert_file(root, "opt/a/x", 0, NULL);
	assert_file(root, "opt/a/deep", 0, NULL);
	assert_file(root, "opt/b/x", FILE_MODE, "x");
	assert_file(root, "opt/link", DIR_MODE, "");
	assert_file(root, "opt/link/z", FILE_MODE, "other");
	/* Not written through the link that was there. */
	assert_file(root, "opt/kept/z", FILE_MODE, "z");
}

static void a_link_cannot_be_led_out_by_another_layer(void **state _unused_)
{
	_cleanup_layers_ struct layers layers = { 0 };
	_cleanup_free_ char *root = NULL;
	struct package package;

	/* d/up would lead out if d were one folder less deep than it was said to be: the second
	 * layer makes d a link, and takes away what lay below it. */
	add_zip(&layers, (struct item[]){ { "d/e/up", AE_IFLNK, "../../inner" },
					  { "inner", AE_IFREG, "inner" },
					  { NULL, 0, NULL } });
	add_zip(&layers, (struct item[]){ { "d", AE_IFLNK, "inner" }, { NULL, 0, NULL } });
	merge(&layers, &package);
	root = extract(package.digest);
	assert_file(root, "opt/d", LINK_MODE, "inner");
	assert_file(root, "opt/d/e", 0, NULL);
}

static void refuse(const struct item *items)
{
	_cleanup_layers_ struct layers layers = { 0 };
	_cleanup_error_ struct error error = ERROR_INIT;
	struct package code, package;

	build_code(plain_code, &code);
	add_zip(&layers, items);
	assert_true(package_merge(folder, code.digest, layers.zips, 1, &package, &error) < 0);
	assert_int_equal(error.code, ERROR_INVALID_ZIP);
}

static void nothing_leads_out_of_opt(void **state _unused_)
{
	refuse((struct item[]){ { "../task/app.py", AE_IFREG, "x" }, { NULL, 0, NULL } });
	refuse((struct item[]){ { "/etc/passwd", AE_IFREG, "x" }, { NULL, 0, NULL } });
	refuse((struct item[]){ { "python", AE_IFLNK, "../task" }, { NULL, 0, NULL } });
	refuse((struct item[]){ { "python", AE_IFLNK, "/var/task" }, { NULL, 0, NULL } });
	refuse((struct item[]){ { "a/b", AE_IFLNK, "../../x" }, { NULL, 0, NULL } });
}

static void equal_inputs_give_equal_images(void **state _unused_)
{
	static const struct item items[] = { { "python/m.py", AE_IFREG, "m" }, { NULL, 0, NULL } };
	static const struct item same_tree[] = { { "task/app.py", AE_IFREG, "code" },
						 { "task/opt/x", AE_IFREG, "code's own" },
						 { "opt/python/m.py", AE_IFREG, "m" },
						 { NULL, 0, NULL } };
	_cleanup_layers_ struct layers layers = { 0 };
	struct package one, two, other;

	add_zip(&layers, items);
	merge(&layers, &one);
	merge(&layers, &two);
	assert_string_equal(one.digest, two.digest);
	/* Code that looks like a merged package is not taken for one. */
	build_code(same_tree, &other);
	assert_string_not_equal(one.digest, other.digest);
}

static void a_small_one_goes_in_a_message(void **state _unused_)
{
	_cleanup_layers_ struct layers layers = { 0 };
	_cleanup_free_ char *path = NULL;
	Mayfly__Guest__V1__Compile *message = NULL;
	struct package package;

	add_zip(&layers,
		(struct item[]){ { "python/m.py", AE_IFREG, "m = 1" }, { NULL, 0, NULL } });
	merge(&layers, &package);
	path = package_path(folder, package.digest);
	assert_int_equal(package_files_load(path, &message), 0);
	assert_non_null(message);
	assert_int_equal(message->n_files, 3);
	assert_string_equal(message->files[0]->path, "app.py");
	assert_int_equal(message->n_layer_files, 2);
	assert_string_equal(message->layer_files[0]->path, "python");
	assert_string_equal(message->layer_files[1]->path, "python/m.py");
	assert_int_equal(message->n_sources, 2);
	assert_string_equal(message->sources[0], "app.py");
	assert_string_equal(message->sources[1], "/opt/python/m.py");
	mayfly__guest__v1__compile__free_unpacked(message, NULL);
}

static void a_large_one_goes_on_its_disk(void **state _unused_)
{
	static char big[PACKAGE_FILES_BYTES];
	_cleanup_layers_ struct layers layers = { 0 };
	_cleanup_free_ char *path = NULL;
	Mayfly__Guest__V1__Compile *message = NULL;
	struct package package;

	memset(big, 'x', sizeof(big) - 1);
	add_zip(&layers, (struct item[]){ { "big", AE_IFREG, big }, { NULL, 0, NULL } });
	merge(&layers, &package);
	path = package_path(folder, package.digest);
	assert_int_equal(package_files_load(path, &message), 0);
	assert_null(message);
}

static void all_count_together(void **state _unused_)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	assert_int_equal(package_check_merged_bytes(PACKAGE_UNZIPPED_BYTES, &error), 0);
	assert_true(package_check_merged_bytes(PACKAGE_UNZIPPED_BYTES + 1, &error) < 0);
	assert_string_equal(error.message,
			    "Function code combined with layers exceeds the maximum allowed size "
			    "of 262144000 bytes. The actual size is 262144001 bytes.");
}

static void damaged_code_is_not_built_upon(void **state _unused_)
{
	static char bytes[64U << 10], big[10000];
	const struct item items[] = { { "big", AE_IFREG, big }, { NULL, 0, NULL } };
	_cleanup_layers_ struct layers layers = { 0 };
	_cleanup_error_ struct error error = ERROR_INIT;
	_cleanup_free_ char *path = NULL;
	struct package code, package;

	memset(big, 'x', sizeof(big) - 1);
	memcpy(big, "BEGIN", 5);
	build_code(items, &code);
	path = package_path(folder, code.digest);
	/* A file's content, of which nothing but the image's own digest tells. */
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	ssize_t len = read(fd, bytes, sizeof(bytes));
	const char *found = len > 0 ? memmem(bytes, (size_t)len, "BEGIN", 5) : NULL;
	assert_non_null(found);
	assert_int_equal(pwrite(fd, "!", 1, found - bytes), 1);
	(void)close(fd);
	add_zip(&layers, (struct item[]){ { "m", AE_IFREG, "m" }, { NULL, 0, NULL } });
	assert_true(package_merge(folder, code.digest, layers.zips, 1, &package, &error) < 0);
	assert_int_equal(error.code, ERROR_INTERNAL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(later_layers_lie_over_earlier_ones),
		TEST(kinds_change_with_a_layer),
		TEST(a_link_cannot_be_led_out_by_another_layer),
		TEST(nothing_leads_out_of_opt),
		TEST(equal_inputs_give_equal_images),
		TEST(a_small_one_goes_in_a_message),
		TEST(a_large_one_goes_on_its_disk),
		TEST(all_count_together),
		TEST(damaged_code_is_not_built_upon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
