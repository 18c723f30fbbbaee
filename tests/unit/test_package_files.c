/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_image

/* What lies beside a package's image: the files of a small one, and its bytecode. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/image/package.h"
#include "agent/image/package_files.h"
#include "mayfly/fs.h"
#include "tests/unit/zip_harness.h"

#define KIND(n)     MAYFLY__GUEST__V1__PACKAGE_FILE_KIND__PACKAGE_FILE_KIND_##n
#define ZIP_BYTES   (1U << 20)
#define DIGEST_ONE  "1111111111111111111111111111111111111111111111111111111111111111"
#define DIGEST_TWO  "2222222222222222222222222222222222222222222222222222222222222222"
#define BYTECODE_OF ".1111111111111111.bytecode"

typedef Mayfly__Guest__V1__PackageFile package_file;
typedef Mayfly__Guest__V1__Compile compile_message;
typedef Mayfly__Guest__V1__Compiled compiled_message;

static void compile_free(compile_message **message)
{
	if (*message)
		mayfly__guest__v1__compile__free_unpacked(*message, NULL);
}
#define _cleanup_compile_ _cleanup_(compile_free)

static void compiled_free(compiled_message **message)
{
	if (*message)
		mayfly__guest__v1__compiled__free_unpacked(*message, NULL);
}
#define _cleanup_compiled_ _cleanup_(compiled_free)

static char folder[64];
static char *image; /* of the package built last */

static int set_up(void **state _unused_)
{
	(void)snprintf(folder, sizeof(folder), "/var/tmp/mayfly-files-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state _unused_)
{
	free(image);
	image = NULL;
	return fs_remove_tree(folder);
}

/* Takes the ZIP over, and leaves the path of what it became in `image`. */
static void build(struct zipper *z)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct package package;

	if (package_build(folder, zipper_finish(z), &package, &error) < 0)
		fail_msg("%s", error_text(&error));
	free(image);
	image = package_path(folder, package.digest);
	assert_non_null(image);
}

static bool is_beside(const char *ending)
{
	_cleanup_free_ char *path = package_sibling(image, ending);

	assert_non_null(path);
	return fs_exists(path);
}

static void write_beside(const char *ending, struct slice content)
{
	_cleanup_free_ char *path = package_sibling(image, ending);

	assert_non_null(path);
	assert_int_equal(fs_write_file_atomic(path, content, 0600), 0);
}

static void read_beside(const char *ending, struct buf *ret)
{
	_cleanup_free_ char *path = package_sibling(image, ending);

	assert_non_null(path);
	assert_int_equal(fs_read_file(path, ZIP_BYTES, ret), 0);
}

static compile_message *load_files(void)
{
	compile_message *files = NULL;

	assert_int_equal(package_files_load(image, &files), 0);
	return files;
}

/* -- files -- */

static void assert_file(const package_file *file, const char *path, int kind, const char *content,
			int64_t mtime)
{
	assert_string_equal(file->path, path);
	assert_int_equal(file->kind, kind);
	assert_int_equal(file->data.len, strlen(content));
	assert_memory_equal(file->data.data, content, strlen(content));
	assert_int_equal(file->mtime, mtime);
}

static void a_small_package_has_its_files_beside_its_image(void **state _unused_)
{
	_cleanup_zipper_ struct zipper z = zipper_open(ZIP_BYTES);
	_cleanup_compile_ compile_message *files = NULL;

	zipper_start(&z);
	zipper_add(&z, "index.py", AE_IFREG, 0640, "pass\n");
	zipper_add(&z, "bin/tool", AE_IFREG, 0700, "#!/bin/sh\n");
	zipper_add(&z, "lib", AE_IFDIR, 0700, "");
	zipper_add(&z, "lib/link.py", AE_IFLNK, 0777, "../index.py");
	zipper_add(&z, "lib/caf\xc3\xa9.py", AE_IFREG, 0755, "");
	zipper_add(&z, ".py", AE_IFREG, 0644, "x");
	zipper_add(&z, "lib/line\n.py", AE_IFREG, 0644, "x");
	zipper_add(&z, "lib/lat\xefn.py", AE_IFREG, 0644, "x");
	build(&z);
	files = load_files();
	assert_non_null(files);
	assert_int_equal(files->n_files, 9);
	assert_file(files->files[0], "index.py", KIND(FILE), "pass\n", MTIME);
	/* Which no entry of the ZIP names. */
	assert_file(files->files[1], "bin", KIND(FOLDER), "", 0);
	assert_file(files->files[2], "bin/tool", KIND(EXECUTABLE), "#!/bin/sh\n", MTIME);
	assert_file(files->files[3], "lib", KIND(FOLDER), "", MTIME);
	assert_file(files->files[4], "lib/link.py", KIND(LINK), "../index.py", MTIME);
	assert_file(files->files[5], "lib/caf\xc3\xa9.py", KIND(EXECUTABLE), "", MTIME);
	assert_file(files->files[6], ".py", KIND(FILE), "x", MTIME);
	/* No links, no file without a name, nothing that a guest may not name in its answer. */
	assert_int_equal(files->n_sources, 2);
	assert_string_equal(files->sources[0], "index.py");
	assert_string_equal(files->sources[1], "lib/caf\xc3\xa9.py");
}

static void add_file_of(struct zipper *z, const char *path, size_t bytes)
{
	char *content = malloc(bytes + 1);

	assert_non_null(content);
	memset(content, 'x', bytes);
	content[bytes] = '\0';
	zipper_add(z, path, AE_IFREG, 0644, content);
	free(content);
}

static void more_bytes_than_the_limit_are_not_small(void **state _unused_)
{
	/* In one file, in the last of three, and by folders' and links' contents, which count not.
	 */
	static const struct {
		size_t first, second;
		bool small;
	} cases[] = {
		{ PACKAGE_FILES_BYTES - 1, 1, true },  { PACKAGE_FILES_BYTES - 1, 2, false },
		{ PACKAGE_FILES_BYTES, 0, true },      { PACKAGE_FILES_BYTES + 1, 0, false },
		{ 0, PACKAGE_FILES_BYTES + 1, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_zipper_ struct zipper z = zipper_open(ZIP_BYTES);
		_cleanup_compile_ compile_message *files = NULL;

		zipper_start(&z);
		add_file_of(&z, "first", cases[i].first);
		zipper_add(&z, "folder/link", AE_IFLNK, 0777, "../second");
		add_file_of(&z, "second", cases[i].second);
		build(&z);
		assert_int_equal(is_beside(PACKAGE_FILES_SUFFIX), cases[i].small);
		files = load_files();
		assert_int_equal(files != NULL, cases[i].small);
		assert_true(fs_exists(image));
	}
}

static void more_entries_than_the_limit_are_not_small(void **state _unused_)
{
	for (unsigned extra = 0; extra < 2; extra++) {
		_cleanup_zipper_ struct zipper z = zipper_open(ZIP_BYTES);
		_cleanup_compile_ compile_message *files = NULL;
		char path[32];

		zipper_start(&z);
		/* The folder is one of them. */
		for (unsigned i = 1; i < PACKAGE_FILES_COUNT + extra; i++) {
			(void)snprintf(path, sizeof(path), "folder/%u.py", i);
			zipper_add(&z, path, AE_IFREG, 0644, "x");
		}
		build(&z);
		files = load_files();
		assert_int_equal(files != NULL, !extra);
		assert_int_equal(is_beside(PACKAGE_FILES_SUFFIX), !extra);
		assert_true(!files || files->n_files == PACKAGE_FILES_COUNT);
		assert_true(!files || files->n_sources == PACKAGE_FILES_COUNT - 1);
	}
}

/* The longest paths that there are, in a link and in a source, and as much content as may be. */
static void the_largest_small_package_can_be_read(void **state _unused_)
{
	_cleanup_zipper_ struct zipper z = zipper_open(ZIP_BYTES);
	_cleanup_compile_ compile_message *files = NULL;
	char path[PACKAGE_PATH_BYTES + 1];

	for (size_t i = 0; i < PACKAGE_PATH_BYTES; i++)
		path[i] = i % 250 == 249 ? '/' : 'd';
	memcpy(path + PACKAGE_PATH_BYTES - 3, ".py", 4);
	zipper_start(&z);
	for (unsigned i = 0; i < PACKAGE_FILES_COUNT - 4; i++) {
		path[PACKAGE_PATH_BYTES - 4] = (char)('0' + i);
		if (i % 2 == 0)
			zipper_add(&z, path, AE_IFLNK, 0777, path);
		else
			add_file_of(&z, path, i == 1 ? PACKAGE_FILES_BYTES : 0);
	}
	build(&z);
	files = load_files();
	assert_non_null(files);
	assert_int_equal(files->n_files, PACKAGE_FILES_COUNT);
	assert_int_equal(files->n_sources, (PACKAGE_FILES_COUNT - 4) / 2);
}

/* -- bytecode -- */

#define SOURCES 2

struct made {
	compiled_message message;
	Mayfly__Guest__V1__Outcome outcome;
	Mayfly__Guest__V1__Bytecode files[SOURCES];
	Mayfly__Guest__V1__Bytecode *pointers[SOURCES];
	char name[8];
	uint8_t data[4];
};

static void make_bytecode(struct made *made)
{
	*made = (struct made){ .name = "a.py", .data = { 0, 1, 0xff, 0 } };
	mayfly__guest__v1__compiled__init(&made->message);
	mayfly__guest__v1__outcome__init(&made->outcome);
	made->outcome.status = MAYFLY__GUEST__V1__STATUS__STATUS_OK;
	for (size_t i = 0; i < SOURCES; i++) {
		mayfly__guest__v1__bytecode__init(&made->files[i]);
		made->files[i].path = made->name;
		made->files[i].data.data = made->data;
		made->files[i].data.len = sizeof(made->data) - i;
		made->pointers[i] = &made->files[i];
	}
	made->message.outcome = &made->outcome;
	made->message.bytecode = made->pointers;
	made->message.n_bytecode = SOURCES;
}

static void build_one(void)
{
	_cleanup_zipper_ struct zipper z = zipper_open(ZIP_BYTES);

	zipper_start(&z);
	zipper_add(&z, "a.py", AE_IFREG, 0644, "pass\n");
	build(&z);
}

static void bytecode_is_kept_for_one_runtime(void **state _unused_)
{
	_cleanup_compiled_ compiled_message *found = NULL;
	struct made made;

	build_one();
	make_bytecode(&made);
	assert_int_equal(package_bytecode_load(image, DIGEST_ONE, &found), 0);
	assert_null(found);
	assert_int_equal(package_bytecode_save(image, DIGEST_ONE, &made.message), 0);
	assert_true(is_beside(BYTECODE_OF));
	assert_int_equal(package_bytecode_load(image, DIGEST_TWO, &found), 0);
	assert_null(found);
	assert_int_equal(package_bytecode_load(image, DIGEST_ONE, &found), 0);
	assert_non_null(found);
	/* How it went is no part of it. */
	assert_null(found->outcome);
	assert_non_null(made.message.outcome);
	assert_int_equal(found->n_bytecode, SOURCES);
	assert_string_equal(found->bytecode[1]->path, "a.py");
	assert_int_equal(found->bytecode[1]->data.len, 3);
	assert_memory_equal(found->bytecode[1]->data.data, made.data, 3);
}

static void nothing_to_say_is_an_answer(void **state _unused_)
{
	_cleanup_compiled_ compiled_message *found = NULL;
	struct made made;

	build_one();
	make_bytecode(&made);
	made.message.n_bytecode = 0;
	assert_int_equal(package_bytecode_save(image, DIGEST_ONE, &made.message), 0);
	assert_int_equal(package_bytecode_load(image, DIGEST_ONE, &found), 0);
	assert_non_null(found);
	assert_int_equal(found->n_bytecode, 0);
}

/* -- damage -- */

/* Neither is taken, and nothing is set. */
static void assert_damaged(const char *ending, struct slice content)
{
	compile_message *files = (compile_message *)folder;
	compiled_message *bytecode = (compiled_message *)folder;

	write_beside(ending, content);
	if (strcmp(ending, PACKAGE_FILES_SUFFIX) == 0)
		assert_int_equal(package_files_load(image, &files), -EBADMSG);
	else
		assert_int_equal(package_bytecode_load(image, DIGEST_ONE, &bytecode), -EBADMSG);
	assert_ptr_equal(files, folder);
	assert_ptr_equal(bytecode, folder);
}

static void damaged_ones_are_an_error(void **state _unused_)
{
	static const char *const endings[] = { PACKAGE_FILES_SUFFIX, BYTECODE_OF };
	struct made made;

	build_one();
	make_bytecode(&made);
	assert_int_equal(package_bytecode_save(image, DIGEST_ONE, &made.message), 0);
	for (size_t k = 0; k < ARRAY_SIZE(endings); k++) {
		_cleanup_buf_ struct buf good = BUF_INIT;

		read_beside(endings[k], &good);
		/* At any byte: some of what is left could be read as a shorter message. */
		for (size_t i = 0; i < good.len; i++)
			assert_damaged(endings[k], slice_new(good.data, i));
		for (size_t i = 0; i < good.len; i++) {
			good.data[i] ^= 1;
			assert_damaged(endings[k], buf_slice(&good));
			good.data[i] ^= 1;
		}
		assert_int_equal(buf_append(&good, "", 1), 0);
		assert_damaged(endings[k], buf_slice(&good));
	}
}

static void what_is_no_message_is_an_error(void **state _unused_)
{
	uint8_t bytes[DIGEST_BYTES + 3] = { 0 };
	compiled_message *bytecode = NULL;
	compile_message *files = NULL;
	struct digest digest;

	/* A field that is longer than what there is, under a digest that is right. */
	memcpy(bytes + DIGEST_BYTES, "\x0a\x7fz", 3);
	assert_int_equal(digest_bytes(bytes + DIGEST_BYTES, 3, &digest), 0);
	memcpy(bytes, digest.bytes, DIGEST_BYTES);
	assert_int_equal(package_files_parse(slice_new(bytes, sizeof(bytes)), &files), -EBADMSG);
	assert_int_equal(package_bytecode_parse(slice_new(bytes, sizeof(bytes)), &bytecode),
			 -EBADMSG);
}

static void what_is_too_large_is_an_error(void **state _unused_)
{
	_cleanup_free_ uint8_t *bytes = calloc(1, 4U << 20);
	compiled_message *bytecode = NULL;
	compile_message *files = NULL;

	build_one();
	assert_non_null(bytes);
	write_beside(PACKAGE_FILES_SUFFIX, slice_new(bytes, 4U << 20));
	write_beside(BYTECODE_OF, slice_new(bytes, 4U << 20));
	assert_int_equal(package_files_load(image, &files), -EFBIG);
	assert_int_equal(package_bytecode_load(image, DIGEST_ONE, &bytecode), -EFBIG);
}

/* -- life -- */

static void the_same_code_again_brings_its_files_back(void **state _unused_)
{
	_cleanup_compile_ compile_message *files = NULL, *again = NULL;
	_cleanup_free_ char *path = NULL;

	build_one();
	path = package_sibling(image, PACKAGE_FILES_SUFFIX);
	assert_int_equal(unlink(path), 0);
	assert_null(load_files());
	build_one();
	files = load_files();
	assert_non_null(files);
	assert_damaged(PACKAGE_FILES_SUFFIX, SLICE_INIT);
	build_one();
	again = load_files();
	assert_non_null(again);
}

static void siblings_go_with_the_image(void **state _unused_)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	char digest[DIGEST_HEX_BYTES];
	struct made made;
	char other[256];

	build_one();
	make_bytecode(&made);
	assert_int_equal(package_bytecode_save(image, DIGEST_ONE, &made.message), 0);
	assert_int_equal(package_bytecode_save(image, DIGEST_TWO, &made.message), 0);
	/* Another package's stay. */
	(void)snprintf(other, sizeof(other), "%s/packages/" DIGEST_ONE ".files", folder);
	assert_int_equal(fs_write_file_atomic(other, SLICE_INIT, 0600), 0);
	memcpy(digest, strrchr(image, '/') + 1, DIGEST_HEX_BYTES - 1);
	digest[DIGEST_HEX_BYTES - 1] = '\0';
	assert_int_equal(package_remove(folder, digest, &error), 0);
	assert_false(fs_exists(image));
	assert_false(is_beside(PACKAGE_FILES_SUFFIX));
	assert_false(is_beside(BYTECODE_OF));
	assert_false(is_beside(".2222222222222222.bytecode"));
	assert_true(fs_exists(other));
	assert_int_equal(package_remove(folder, digest, &error), 0);
}

static bool is_in_image_path(const char *digest, void *arg)
{
	return strstr(arg, digest) != NULL;
}

static void a_collection_takes_what_nobody_uses(void **state _unused_)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct made made;
	char torn[512], other[256];

	build_one();
	make_bytecode(&made);
	assert_int_equal(package_bytecode_save(image, DIGEST_ONE, &made.message), 0);
	/* Without an image; and a write that a power cut ended, beside an image that is used. */
	(void)snprintf(other, sizeof(other), "%s/packages/" DIGEST_ONE ".files", folder);
	(void)snprintf(torn, sizeof(torn), "%s.0123456789abcdef.tmp", image);
	assert_int_equal(fs_write_file_atomic(other, SLICE_INIT, 0600), 0);
	assert_int_equal(fs_write_file_atomic(torn, SLICE_INIT, 0600), 0);
	assert_int_equal(package_collect(folder, is_in_image_path, image, &error), 0);
	assert_false(fs_exists(other));
	assert_false(fs_exists(torn));
	assert_true(fs_exists(image));
	assert_true(is_beside(PACKAGE_FILES_SUFFIX));
	assert_true(is_beside(BYTECODE_OF));
	assert_int_equal(package_collect(folder, is_in_image_path, other, &error), 0);
	assert_false(fs_exists(image));
	assert_false(is_beside(PACKAGE_FILES_SUFFIX));
	assert_false(is_beside(BYTECODE_OF));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_small_package_has_its_files_beside_its_image),
		TEST(more_bytes_than_the_limit_are_not_small),
		TEST(more_entries_than_the_limit_are_not_small),
		TEST(the_largest_small_package_can_be_read),
		TEST(bytecode_is_kept_for_one_runtime),
		TEST(nothing_to_say_is_an_answer),
		TEST(damaged_ones_are_an_error),
		TEST(what_is_no_message_is_an_error),
		TEST(what_is_too_large_is_an_error),
		TEST(the_same_code_again_brings_its_files_back),
		TEST(siblings_go_with_the_image),
		TEST(a_collection_takes_what_nobody_uses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
