/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_image

/* The catalogue of runtime images and the scratch disks. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "agent/image/runtime_catalogue.h"
#include "agent/image/scratch.h"
#include "agent/image/tool.h"
#include "mayfly/fs.h"

#define ABC_DIGEST  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define ABD_DIGEST  "a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9"
#define ZERO_DIGEST "0000000000000000000000000000000000000000000000000000000000000000"

static char folder[64];

static int set_up(void **state _unused_)
{
	(void)snprintf(folder, sizeof(folder), "/var/tmp/mayfly-image-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state _unused_)
{
	return fs_remove_tree(folder);
}

static const char *in_folder(const char *name)
{
	static char paths[8][256];
	static unsigned next;
	char *path = paths[next++ % 8];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static void write_text(const char *name, const char *text)
{
	assert_int_equal(fs_write_file_atomic(in_folder(name), slice_from_string(text), 0644), 0);
}

#define FILE_OF(name, digest) "\"file\": \"" name "\", \"sha256\": \"" digest "\", \"size\": 3"
#define FILE_ABC(name)        FILE_OF(name, ABC_DIGEST)
#define RUNTIME_OF(name, digest)                                                                   \
	"{\"name\": \"" name "\", \"kind\": \"nodejs\", \"version\": \"1.2\", "                    \
	"\"packages_sha256\": \"" ZERO_DIGEST "\", " FILE_OF("r/" name, digest) "}"
#define RUNTIME(name, kind)                                                                        \
	"{\"name\": \"" name "\", \"kind\": \"" kind                                               \
	"\", \"version\": \"1.2\", \"packages_sha256\": \"" ZERO_DIGEST                            \
	"\", " FILE_ABC("r/" name) "}"
#define CATALOGUE(kernel, runtimes)                                                                \
	"{\"format\": 1, \"kernel\": {\"release\": \"6.12\", " kernel                              \
	"}, \"initramfs\": {" FILE_ABC("initramfs") "}, \"runtimes\": [" runtimes "]}"
#define GOOD CATALOGUE(FILE_ABC("vmlinux"), RUNTIME("z1", "python") ", " RUNTIME("a1", "nodejs"))

static void write_images(void)
{
	assert_int_equal(fs_make_directories(in_folder("r"), 0755), 0);
	write_text("vmlinux", "abc");
	write_text("initramfs", "abc");
	write_text("r/a1", "abc");
	write_text("r/z1", "abc");
	write_text("images.json", GOOD);
}

static void test_catalogue_lists(void **state _unused_)
{
	_cleanup_(runtime_catalogue_free_p) struct runtime_catalogue *catalogue = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;

	write_images();
	assert_int_equal(runtime_catalogue_open(folder, NULL, &catalogue, &error), 0);
	assert_int_equal(runtime_catalogue_count(catalogue), 2);
	assert_string_equal(runtime_catalogue_at(catalogue, 0)->name, "a1");
	assert_string_equal(runtime_catalogue_at(catalogue, 1)->name, "z1");
	assert_null(runtime_catalogue_at(catalogue, 2));
	const struct runtime_image *image = runtime_catalogue_find(catalogue, "a1");
	assert_non_null(image);
	assert_int_equal(image->kind, RUNTIME_NODEJS);
	assert_string_equal(image->version, "1.2");
	assert_string_equal(image->file.path, in_folder("r/a1"));
	assert_string_equal(image->file.digest, ABC_DIGEST);
	assert_int_equal(image->file.size_bytes, 3);
	assert_null(runtime_catalogue_find(catalogue, "a"));
	assert_string_equal(runtime_catalogue_kernel(catalogue)->path, in_folder("vmlinux"));
	assert_string_equal(runtime_catalogue_initramfs(catalogue)->path, in_folder("initramfs"));
	assert_string_equal(runtime_catalogue_kernel_release(catalogue), "6.12");
}

static void assert_open_fails(const char *says)
{
	struct runtime_catalogue *catalogue = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;

	assert_true(runtime_catalogue_open(folder, NULL, &catalogue, &error) < 0);
	assert_null(catalogue);
	assert_non_null(strstr(error_text(&error), says));
}

static void test_catalogue_checks_files(void **state _unused_)
{
	assert_open_fails("are the images built?");
	write_images();
	assert_int_equal(unlink(in_folder("r/a1")), 0);
	assert_open_fails("r/a1");
	write_text("r/a1", "abcd");
	assert_open_fails("another size");
}

static void test_catalogue_refuses(void **state _unused_)
{
	static const struct {
		const char *json;
		const char *says;
	} cases[] = {
		{ "", "not usable" },
		{ "[]", "not an object" },
		{ "{\"format\": 2}", "another version" },
		{ "{\"format\": 1}", "release" },
		{ CATALOGUE(FILE_ABC("../vmlinux"), RUNTIME("a", "python")), "a file name" },
		{ CATALOGUE(FILE_ABC("/vmlinux"), RUNTIME("a", "python")), "a file name" },
		{ CATALOGUE(FILE_ABC("a//b"), RUNTIME("a", "python")), "a file name" },
		{ CATALOGUE(FILE_ABC("a/"), RUNTIME("a", "python")), "a file name" },
		{ CATALOGUE("\"file\": \"a\", \"sha256\": \"abc\", \"size\": 3",
			    RUNTIME("a", "python")),
		  "a digest" },
		{ CATALOGUE("\"file\": \"a\", \"sha256\": \"" ZERO_DIGEST "\", \"size\": 0",
			    RUNTIME("a", "python")),
		  "a size" },
		{ CATALOGUE(FILE_ABC("k"), ""), "list of runtimes" },
		{ CATALOGUE(FILE_ABC("k"), RUNTIME("", "python")), "runtime's name" },
		{ CATALOGUE(FILE_ABC("k"), RUNTIME("a b", "python")), "runtime's name" },
		{ CATALOGUE(FILE_ABC("k"), RUNTIME("a", "cobol")), "runtime's kind" },
		{ CATALOGUE(FILE_ABC("k"), RUNTIME("a", "python") ", " RUNTIME("a", "python")),
		  "there twice" },
		{ "{\"format\": 1, \"format\": 1}", "duplicate" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct runtime_catalogue *catalogue = NULL;
		_cleanup_error_ struct error error = ERROR_INIT;
		assert_true(runtime_catalogue_parse(slice_from_string(cases[i].json), "/x",
						    &catalogue, &error) < 0);
		assert_null(catalogue);
		if (!strstr(error_text(&error), cases[i].says))
			fail_msg("case %zu: %s", i, error_text(&error));
	}
}

static void test_catalogue_verifies_once(void **state _unused_)
{
	const char *stamps = in_folder("stamps");
	_cleanup_error_ struct error error = ERROR_INIT;

	write_images();
	for (unsigned round = 0; round < 2; round++) {
		_cleanup_(runtime_catalogue_free_p) struct runtime_catalogue *catalogue = NULL;
		assert_int_equal(runtime_catalogue_open(folder, stamps, &catalogue, &error), 0);
		assert_int_equal(runtime_catalogue_verify(
					 catalogue, runtime_catalogue_kernel(catalogue), &error),
				 0);
		/* The second round finds the first one's stamp: nothing is written any more. */
		if (round == 0)
			continue;
		write_text("vmlinux", "abd");
		assert_true(runtime_catalogue_verify(catalogue, runtime_catalogue_kernel(catalogue),
						     &error) < 0);
		assert_non_null(strstr(error_text(&error), "damaged"));
	}
}

/* Content that changed behind an unchanged stamp shows that the file was not read again. */
static void test_stamp_spares_reading(void **state _unused_)
{
	_cleanup_(runtime_catalogue_free_p) struct runtime_catalogue *catalogue = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;
	const struct image_file *kernel;
	struct stat st;
	char line[256];

	write_images();
	write_text("vmlinux", "abd");
	assert_int_equal(stat(in_folder("vmlinux"), &st), 0);
	(void)snprintf(line, sizeof(line), "odd line\n%s %ju %ju %ju %ju%09ju %ju%09ju\n",
		       ABC_DIGEST, (uintmax_t)st.st_dev, (uintmax_t)st.st_ino,
		       (uintmax_t)st.st_size, (uintmax_t)st.st_mtim.tv_sec,
		       (uintmax_t)st.st_mtim.tv_nsec, (uintmax_t)st.st_ctim.tv_sec,
		       (uintmax_t)st.st_ctim.tv_nsec);
	write_text("stamps", line);
	assert_int_equal(runtime_catalogue_open(folder, in_folder("stamps"), &catalogue, &error),
			 0);
	kernel = runtime_catalogue_kernel(catalogue);
	assert_int_equal(runtime_catalogue_verify(catalogue, kernel, &error), 0);
	assert_int_equal(chmod(in_folder("vmlinux"), 0600), 0);
	assert_true(runtime_catalogue_verify(catalogue, kernel, &error) < 0);
}

/* As build-images does it while a node runs: first the files, the list last. */
static void test_catalogue_takes_in_a_rebuild(void **state _unused_)
{
	_cleanup_(runtime_catalogue_free_p) struct runtime_catalogue *catalogue = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;
	const struct runtime_image *before, *after;

	write_images();
	assert_int_equal(runtime_catalogue_open(folder, NULL, &catalogue, &error), 0);
	before = runtime_catalogue_find(catalogue, "a1");
	assert_int_equal(runtime_catalogue_verify(catalogue, &before->file, &error), 0);
	assert_int_equal(runtime_catalogue_refresh(catalogue, &error), 0);

	write_text("r/a1", "");
	assert_true(runtime_catalogue_verify(catalogue, &before->file, NULL) < 0);
	assert_int_equal(runtime_catalogue_refresh(catalogue, &error), 0);

	write_text("images.json",
		   CATALOGUE(FILE_ABC("vmlinux"),
			     RUNTIME("z1", "python") ", " RUNTIME_OF("a1", ABD_DIGEST)));
	assert_true(runtime_catalogue_refresh(catalogue, NULL) < 0); /* a file of another size */
	assert_ptr_equal(runtime_catalogue_find(catalogue, "a1"), before);
	write_text("r/a1", "abd");
	assert_int_equal(runtime_catalogue_refresh(catalogue, &error), 1);
	after = runtime_catalogue_find(catalogue, "a1");
	assert_int_equal(runtime_catalogue_verify(catalogue, &after->file, &error), 0);
	/* What was handed out stays what it was. */
	assert_string_equal(before->file.digest, ABC_DIGEST);
	assert_true(runtime_catalogue_verify(catalogue, &before->file, NULL) < 0);

	write_text("images.json", CATALOGUE(FILE_ABC("vmlinux"), RUNTIME("z1", "python")));
	assert_true(runtime_catalogue_refresh(catalogue, &error) < 0);
	assert_non_null(strstr(error_text(&error), "\"a1\""));
	assert_ptr_equal(runtime_catalogue_find(catalogue, "a1"), after);
}

static void test_scratch_is_empty_ext4(void **state _unused_)
{
	const char *base_dir = in_folder("base"), *disk = in_folder("disk.qcow2");
	const char *raw = in_folder("disk.raw");
	const char *const convert[] = { TOOL_QEMU_IMG, "convert", "-O", "raw", disk, raw, NULL };
	_cleanup_error_ struct error error = ERROR_INIT;
	uint16_t mode;
	struct stat st;

	assert_int_equal(scratch_create(base_dir, 512, disk, &error), 0);
	assert_int_equal(stat(disk, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true(st.st_size < 1 << 20);
	assert_int_equal(scratch_create(base_dir, 512, disk, &error), -EEXIST);
	error_clear(&error);

	assert_int_equal(tool_run(convert, &error), 0);
	assert_int_equal(stat(raw, &st), 0);
	assert_true((uint64_t)st.st_size == SCRATCH_DEVICE_BYTES);
	assert_true(st.st_blocks < (16 << 20) / 512);

	/* ext4's superblock: blocks of 4 KiB, 512 MiB of them. */
	_cleanup_close_ int fd = open(raw, O_RDONLY | O_CLOEXEC);
	uint32_t blocks;
	uint16_t magic;
	assert_int_equal(pread(fd, &magic, 2, 1024 + 0x38), 2);
	assert_int_equal(magic, 0xef53);
	assert_int_equal(pread(fd, &blocks, 4, 1024 + 4), 4);
	assert_int_equal(blocks, 512U * 256U);

	/* The root inode, number 2 of the table that the first group descriptor names. */
	uint32_t table;
	assert_int_equal(pread(fd, &table, 4, 4096 + 8), 4);
	assert_int_equal(pread(fd, &mode, 2, (off_t)table * 4096 + 256), 2);
	assert_int_equal(mode, 041777);
	uint16_t links;
	assert_int_equal(pread(fd, &links, 2, (off_t)table * 4096 + 256 + 0x1a), 2);
	assert_int_equal(links, 2);
}

static void *prepare_in_thread(void *arg)
{
	static const char *const failed = "failed";

	return scratch_prepare(arg, 1024, NULL) < 0 ? (void *)failed : NULL;
}

static void test_scratch_many_ask_at_once(void **state _unused_)
{
	char dir[128];
	pthread_t threads[4];
	void *result;

	(void)snprintf(dir, sizeof(dir), "%s/base", folder);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, prepare_in_thread, dir), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_null(result);
	}
}

static void test_scratch_refuses_sizes(void **state _unused_)
{
	static const unsigned sizes[] = { 0, 511, 10241 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_error_ struct error error = ERROR_INIT;
		assert_true(scratch_prepare(folder, sizes[i], &error) < 0);
		assert_int_equal(error.code, ERROR_INVALID_PARAMETER);
	}
}

static void test_scratch_placeholder(void **state _unused_)
{
	const char *path = in_folder("placeholder");
	_cleanup_error_ struct error error = ERROR_INIT;
	struct stat st;

	write_text("placeholder", "torn");
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(scratch_create_placeholder(path, &error), 0);
		assert_int_equal(stat(path, &st), 0);
		assert_true((uint64_t)st.st_size == SCRATCH_DEVICE_BYTES);
		assert_int_equal(st.st_blocks, 0);
	}
}

static void test_tool_says_why(void **state _unused_)
{
	const char *const fails[] = { "/bin/ls", "/nonexistent/folder", NULL };
	const char *const missing[] = { "/nonexistent/program", NULL };
	_cleanup_error_ struct error first = ERROR_INIT, second = ERROR_INIT;

	assert_true(tool_run(fails, &first) < 0);
	assert_non_null(strstr(error_text(&first), "No such file"));
	assert_non_null(strstr(error_text(&first), "status 2"));
	assert_true(tool_run(missing, &second) < 0);
	assert_non_null(strstr(error_text(&second), "cannot run /nonexistent/program"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_catalogue_lists),
		TEST(test_catalogue_checks_files),
		TEST(test_catalogue_refuses),
		TEST(test_catalogue_verifies_once),
		TEST(test_catalogue_takes_in_a_rebuild),
		TEST(test_stamp_spares_reading),
		TEST(test_scratch_is_empty_ext4),
		TEST(test_scratch_many_ask_at_once),
		TEST(test_scratch_refuses_sizes),
		TEST(test_scratch_placeholder),
		TEST(test_tool_says_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
