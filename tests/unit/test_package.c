/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_image

/* From an uploaded ZIP to a package image: what is inside, and what is refused. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/image/package.h"
#include "agent/image/package_image.h"
#include "agent/image/tool.h"
#include "agent/image/zip.h"
#include "mayfly/fs.h"
#include "tests/unit/zip_harness.h"

static char folder[64];

static int set_up(void **state _unused_)
{
	(void)snprintf(folder, sizeof(folder), "/var/tmp/mayfly-package-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state _unused_)
{
	return fs_remove_tree(folder);
}

/* Every place of `from` becomes `to`, of the same length. */
static unsigned patch(struct slice zip, const char *from, const char *to, size_t len)
{
	uint8_t *bytes = (uint8_t *)zip.data;
	unsigned count = 0;

	for (size_t i = 0; i + len <= zip.len; i++) {
		if (memcmp(bytes + i, from, len) != 0)
			continue;
		memcpy(bytes + i, to, len);
		count++;
	}
	return count;
}

/* The nth central directory record's byte at `offset`. */
static uint8_t *central(struct slice zip, unsigned n, size_t offset)
{
	uint8_t *bytes = (uint8_t *)zip.data;

	for (size_t i = 0; i + 46 <= zip.len; i++)
		if (memcmp(bytes + i, "PK\1\2", 4) == 0 && n-- == 0)
			return bytes + i + offset;
	fail_msg("the ZIP has no such record");
	return NULL;
}

/* --- what came out --- */

static void extract(const struct package *package, const char *to)
{
	_cleanup_free_ char *path = package_path(folder, package->digest);
	_cleanup_error_ struct error error = ERROR_INIT;
	char option[256];
	const char *const argv[] = { "/usr/bin/fsck.erofs", option, path, NULL };

	(void)snprintf(option, sizeof(option), "--extract=%s", to);
	if (tool_run(argv, &error) < 0)
		fail_msg("%s", error_text(&error));
}

static struct stat stat_in(const char *dir, const char *name)
{
	char path[512];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(lstat(path, &st), 0);
	return st;
}

static bool ends_with(const char *name, const char *suffix)
{
	size_t len = strlen(name), suffix_len = strlen(suffix);

	return len > suffix_len && strcmp(name + len - suffix_len, suffix) == 0;
}

/* Nothing but images, and what lies beside one, may be left. */
static unsigned count_packages(void)
{
	char path[128];
	unsigned count = 0;

	(void)snprintf(path, sizeof(path), "%s/packages", folder);
	DIR *dir = opendir(path);
	if (!dir)
		return 0;
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (ends_with(entry->d_name, ".erofs")) {
			count++;
			continue;
		}
		entry->d_name[DIGEST_HEX_BYTES - 1] = '\0';
		assert_true(package_exists(folder, entry->d_name));
	}
	(void)closedir(dir);
	return count;
}

static void assert_refused(struct slice zip, enum error_code code, const char *says)
{
	struct package package = { 0 };
	_cleanup_error_ struct error built = ERROR_INIT, verified = ERROR_INIT;

	assert_true(package_build(folder, zip, &package, &built) < 0);
	if (!strstr(error_text(&built), says) || built.code != code)
		fail_msg("'%s' instead of '%s'", error_text(&built), says);
	assert_string_equal(built.field, "code.zip_file");
	assert_true(package_verify(folder, zip, &package, &verified) < 0);
	assert_string_equal(error_text(&verified), error_text(&built));
	assert_int_equal(count_packages(), 0);
}

static struct slice make_good(struct zipper *z)
{
	zipper_start(z);
	zipper_add(z, "handler.py", AE_IFREG, 0640, "def f(): pass\n");
	zipper_add(z, "bin/tool", AE_IFREG, 0700, "#!/bin/sh\n");
	zipper_add(z, "bin", AE_IFDIR, 0700, "");
	zipper_add(z, "./lib/deep/er/x", AE_IFREG, 0644, "x");
	zipper_add(z, "lib/link", AE_IFLNK, 0777, "../bin/tool");
	zipper_add(z, "empty", AE_IFREG, 0600, "");
	zipper_add(z, "na\xc3\xafve.txt", AE_IFREG, 0600, "utf-8");
	return zipper_finish(z);
}

static void test_builds(void **state _unused_)
{
	_cleanup_zipper_ struct zipper z = zipper_open(1 << 16);
	struct slice zip = make_good(&z);
	_cleanup_error_ struct error error = ERROR_INIT;
	struct package package;
	char to[128], path[256], target[64] = { 0 };

	if (package_build(folder, zip, &package, &error) < 0)
		fail_msg("%s", error_text(&error));
	assert_int_equal(package.code_size_bytes, zip.len);
	assert_int_equal(package.unzipped_bytes, 14 + 10 + 1 + 5);
	assert_int_equal(package.entries, 10);
	assert_int_equal(strlen(package.code_sha256), 44);
	assert_true(package_exists(folder, package.digest));
	_cleanup_free_ char *image = package_path(folder, package.digest);
	struct stat st;
	assert_int_equal(stat(image, &st), 0);
	assert_true((uint64_t)st.st_size == PACKAGE_DEVICE_BYTES);
	assert_true(st.st_blocks * 512 <= 1 << 20);
	assert_int_equal(st.st_mode & 07777, 0644);

	(void)snprintf(to, sizeof(to), "%s/out", folder);
	extract(&package, to);
	assert_int_equal(stat_in(to, "handler.py").st_mode, S_IFREG | 0644);
	assert_int_equal(stat_in(to, "handler.py").st_mtime, MTIME);
	assert_int_equal(stat_in(to, "bin/tool").st_mode, S_IFREG | 0755);
	assert_int_equal(stat_in(to, "bin").st_mode, S_IFDIR | 0755);
	assert_int_equal(stat_in(to, "lib/deep/er").st_mode, S_IFDIR | 0755);
	assert_int_equal(stat_in(to, "empty").st_size, 0);
	assert_int_equal(stat_in(to, "na\xc3\xafve.txt").st_size, 5);
	(void)snprintf(path, sizeof(path), "%s/lib/link", to);
	assert_int_equal(readlink(path, target, sizeof(target) - 1), 11);
	assert_string_equal(target, "../bin/tool");
}

static void test_equal_zips_give_equal_images(void **state _unused_)
{
	_cleanup_zipper_ struct zipper z = zipper_open(1 << 16);
	struct slice zip = make_good(&z);
	_cleanup_error_ struct error error = ERROR_INIT;
	struct package first, second, third;
	char other[128];

	assert_int_equal(package_build(folder, zip, &first, &error), 0);
	assert_int_equal(package_build(folder, zip, &second, &error), 0);
	assert_string_equal(first.digest, second.digest);
	assert_int_equal(count_packages(), 1);
	/* Elsewhere, so that it is truly built again, under another umask. */
	(void)snprintf(other, sizeof(other), "%s/other", folder);
	mode_t former = umask(0077);
	assert_int_equal(package_build(other, zip, &third, &error), 0);
	(void)umask(former);
	assert_string_equal(first.digest, third.digest);
}

static void test_owners_share_nothing(void **state _unused_)
{
	_cleanup_zipper_ struct zipper z = zipper_open(1 << 16);
	struct slice zip = make_good(&z);
	_cleanup_error_ struct error error = ERROR_INIT;
	struct package all, blue, again, green;

	assert_int_equal(package_build(folder, zip, &all, &error), 0);
	assert_int_equal(package_build_for(folder, zip, "111111111111", &blue, &error), 0);
	assert_int_equal(package_build_for(folder, zip, "222222222222", &green, &error), 0);
	assert_int_equal(package_build_for(folder, zip, "111111111111", &again, &error), 0);
	assert_string_equal(blue.digest, again.digest);
	assert_string_not_equal(blue.digest, green.digest);
	assert_string_not_equal(blue.digest, all.digest);
	/* What a tenant is told is of the ZIP alone. */
	assert_string_equal(blue.code_sha256, green.code_sha256);
	assert_int_equal(blue.code_size_bytes, green.code_size_bytes);
	assert_int_equal(blue.unzipped_bytes, green.unzipped_bytes);
	assert_int_equal(count_packages(), 3);
	assert_int_equal(package_remove(folder, blue.digest, &error), 0);
	assert_true(package_exists(folder, green.digest));
	assert_true(package_exists(folder, all.digest));
}

static void test_zip_without_permissions(void **state _unused_)
{
	_cleanup_zipper_ struct zipper z = zipper_open(1 << 16);
	_cleanup_error_ struct error error = ERROR_INIT;
	struct package package;
	char to[128];

	zipper_start(&z);
	zipper_add(&z, "bootstrap", AE_IFREG, 0644, "#!/bin/sh\n");
	zipper_add(&z, "data", AE_IFREG, 0644, "x");
	struct slice zip = zipper_finish(&z);
	/* Made by MS-DOS: byte 5 of "version made by", and no external attributes. */
	for (unsigned i = 0; i < 2; i++) {
		*central(zip, i, 5) = 0;
		memset(central(zip, i, 38), 0, 4);
	}
	if (package_build(folder, zip, &package, &error) < 0)
		fail_msg("%s", error_text(&error));
	(void)snprintf(to, sizeof(to), "%s/out", folder);
	extract(&package, to);
	assert_int_equal(stat_in(to, "bootstrap").st_mode, S_IFREG | 0755);
	assert_int_equal(stat_in(to, "data").st_mode, S_IFREG | 0755);
}

static void test_refuses_paths(void **state _unused_)
{
	static const struct {
		const char *path;
		const char *says;
	} cases[] = {
		{ "../evil", "leads out" },   { "a/../../evil", "leads out" },
		{ "a/../b", "leads out" },    { "/etc/passwd", "absolute" },
		{ "..", "leads out" },        { "a/..", "leads out" },
		{ "./../evil", "leads out" }, { "a\x1b[2J/..", "'a?[2J/..'" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_zipper_ struct zipper z = zipper_open(1 << 16);
		struct slice zip = zip_one(&z, cases[i].path, AE_IFREG, "x");
		assert_refused(zip, ERROR_INVALID_ZIP, cases[i].says);
	}
}

static void test_refuses_long_and_deep_paths(void **state _unused_)
{
	char path[2048];

	memset(path, 'a', PACKAGE_NAME_BYTES + 1);
	path[PACKAGE_NAME_BYTES + 1] = '\0';
	_cleanup_zipper_ struct zipper name = zipper_open(1 << 16);
	assert_refused(zip_one(&name, path, AE_IFREG, "x"), ERROR_INVALID_ZIP, "too long");

	for (size_t i = 0; i < PACKAGE_PATH_BYTES + 1; i++)
		path[i] = i % 100 == 99 ? '/' : 'a';
	path[PACKAGE_PATH_BYTES + 1] = '\0';
	_cleanup_zipper_ struct zipper whole = zipper_open(1 << 16);
	assert_refused(zip_one(&whole, path, AE_IFREG, "x"), ERROR_INVALID_ZIP, "too long");

	for (size_t i = 0; i < 2 * PACKAGE_DEPTH + 1; i++)
		path[i] = i % 2 ? '/' : 'a';
	path[2 * PACKAGE_DEPTH + 1] = '\0';
	_cleanup_zipper_ struct zipper deep = zipper_open(1 << 16);
	assert_refused(zip_one(&deep, path, AE_IFREG, "x"), ERROR_INVALID_ZIP, "too deeply");
}

static void test_refuses_links_out(void **state _unused_)
{
	static const char *const targets[] = { "/etc/passwd", "../x", "a/../x", "..", "./../x" };

	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		_cleanup_zipper_ struct zipper z = zipper_open(1 << 16);
		struct slice zip = zip_one(&z, "link", AE_IFLNK, targets[i]);
		assert_refused(zip, ERROR_INVALID_ZIP, "'link' is refused: it is a link out");
	}
}

static void test_knows_inner_links(void **state _unused_)
{
	assert_true(zip_target_is_inner("a/b/c", "../../x"));
	assert_false(zip_target_is_inner("a/b/c", "../../../x"));
	assert_true(zip_target_is_inner("a", "b/c"));
	assert_true(zip_target_is_inner("a", "."));
	assert_true(zip_target_is_inner("a/b", "./.././x/"));
	/* Whether this stays inside depends on where d leads. */
	assert_false(zip_target_is_inner("a/b", "d/.."));
	assert_false(zip_target_is_inner("a", ""));
}

static void test_refuses_writing_through_links(void **state _unused_)
{
	_cleanup_zipper_ struct zipper below = zipper_open(1 << 16);
	zipper_start(&below);
	zipper_add(&below, "dir", AE_IFDIR, 0755, "");
	zipper_add(&below, "link", AE_IFLNK, 0777, "dir");
	zipper_add(&below, "link/x", AE_IFREG, 0644, "x");
	assert_refused(zipper_finish(&below), ERROR_INVALID_ZIP, "no folder");

	_cleanup_zipper_ struct zipper twice = zipper_open(1 << 16);
	zipper_start(&twice);
	zipper_add(&twice, "x", AE_IFLNK, 0777, "y");
	zipper_add(&twice, "x", AE_IFREG, 0644, "x");
	assert_refused(zipper_finish(&twice), ERROR_INVALID_ZIP,
		       "'x' is refused: it is there twice");

	_cleanup_zipper_ struct zipper late = zipper_open(1 << 16);
	zipper_start(&late);
	zipper_add(&late, "a/x", AE_IFREG, 0644, "x");
	zipper_add(&late, "a", AE_IFLNK, 0777, "b");
	assert_refused(zipper_finish(&late), ERROR_INVALID_ZIP, "there twice");
}

static void test_refuses_duplicates(void **state _unused_)
{
	_cleanup_zipper_ struct zipper z = zipper_open(1 << 16);

	zipper_start(&z);
	zipper_add(&z, "a/b", AE_IFREG, 0644, "1");
	zipper_add(&z, "./a//b", AE_IFREG, 0644, "2");
	assert_refused(zipper_finish(&z), ERROR_INVALID_ZIP, "'a/b' is refused: it is there twice");
}

/* libarchive ends a name at its NUL: what is left must not slip past another entry. */
static void test_knows_names_with_nul(void **state _unused_)
{
	_cleanup_zipper_ struct zipper z = zipper_open(1 << 16);

	zipper_start(&z);
	zipper_add(&z, "evil", AE_IFREG, 0644, "1");
	zipper_add(&z, "evil_/../../x", AE_IFREG, 0644, "2");
	struct slice zip = zipper_finish(&z);
	assert_int_equal(patch(zip, "evil_/", "evil\0/", 6), 2);
	assert_refused(zip, ERROR_INVALID_ZIP, "'evil' is refused: it is there twice");
}

static void test_refuses_devices(void **state _unused_)
{
	/* A FIFO comes out of libarchive as a file with its content. */
	static const mode_t types[] = { S_IFCHR, S_IFBLK, S_IFSOCK };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		_cleanup_zipper_ struct zipper z = zipper_open(1 << 16);
		struct slice zip = zip_one(&z, "node", AE_IFREG, "x");
		mode_t mode = types[i] | 0666;
		*central(zip, 0, 5) = 3;
		*central(zip, 0, 40) = mode & 0xff;
		*central(zip, 0, 41) = (uint8_t)(mode >> 8);
		assert_refused(zip, ERROR_INVALID_ZIP, "no file, folder or link");
	}
}

static void test_refuses_encrypted(void **state _unused_)
{
	_cleanup_zipper_ struct zipper z = zipper_open(1 << 16);
	struct slice zip = zip_one(&z, "secret", AE_IFREG, "x");

	*central(zip, 0, 8) |= 1;
	((uint8_t *)zip.data)[6] |= 1;
	assert_refused(zip, ERROR_INVALID_ZIP, "'secret' is refused: it is encrypted");
}

static void test_refuses_damage(void **state _unused_)
{
	static const char rubbish[] = "this is not a ZIP, whatever its name says";

	assert_refused(slice_new(rubbish, sizeof(rubbish)), ERROR_INVALID_PARAMETER,
		       ZIP_TEXT_DAMAGED);
	assert_refused(slice_new(rubbish, 0), ERROR_INVALID_PARAMETER, "non-empty zip");

	_cleanup_zipper_ struct zipper cut = zipper_open(1 << 16);
	struct slice whole = make_good(&cut);
	assert_refused(slice_new(whole.data, whole.len / 2), ERROR_INVALID_PARAMETER,
		       ZIP_TEXT_DAMAGED);

	_cleanup_zipper_ struct zipper crc = zipper_open(1 << 16);
	(void)archive_write_set_options(crc.archive, "zip:compression=store");
	struct slice flipped = zip_one(&crc, "x", AE_IFREG, "some content");
	assert_int_equal(patch(flipped, "some content", "same content", 12), 1);
	assert_refused(flipped, ERROR_INVALID_PARAMETER, ZIP_TEXT_DAMAGED);
}

static void test_refuses_empty_zip(void **state _unused_)
{
	static const uint8_t end[22] = { 'P', 'K', 5, 6 };
	_cleanup_error_ struct error error = ERROR_INIT;
	struct package package;

	assert_true(package_build(folder, slice_new(end, sizeof(end)), &package, &error) < 0);
	assert_int_equal(error.code, ERROR_INVALID_PARAMETER);
	assert_int_equal(count_packages(), 0);
}

static void test_refuses_large_zip(void **state _unused_)
{
	uint8_t *large = calloc(1, PACKAGE_ZIPPED_BYTES + 1);

	assert_non_null(large);
	assert_refused(slice_new(large, PACKAGE_ZIPPED_BYTES + 1), ERROR_REQUEST_TOO_LARGE,
		       "Zipped size must be smaller than 52428800 bytes");
	free(large);
}

/* 25 files of 10 MiB are 262,144,000 bytes: just allowed; one byte more is not, and 100 are
 * given up long before the end. What the headers promise does not matter. */
static struct slice make_bomb(struct zipper *z, unsigned files, unsigned more)
{
	static char zeros[1 << 20];
	struct archive_entry *entry = archive_entry_new();

	zipper_start(z);
	for (unsigned i = 0; i < files + (more > 0); i++) {
		size_t left = i < files ? 10 << 20 : more;
		char path[32];
		(void)snprintf(path, sizeof(path), "zeros-%u", i);
		archive_entry_clear(entry);
		archive_entry_set_pathname(entry, path);
		archive_entry_set_filetype(entry, AE_IFREG);
		archive_entry_set_perm(entry, 0644);
		archive_entry_set_size(entry, (la_int64_t)left);
		assert_int_equal(archive_write_header(z->archive, entry), ARCHIVE_OK);
		while (left > 0) {
			size_t n = left < sizeof(zeros) ? left : sizeof(zeros);
			assert_int_equal(archive_write_data(z->archive, zeros, n), n);
			left -= n;
		}
	}
	archive_entry_free(entry);
	return zipper_finish(z);
}

static void test_counts_what_comes_out(void **state _unused_)
{
	_cleanup_zipper_ struct zipper full = zipper_open(1 << 20);
	_cleanup_zipper_ struct zipper over = zipper_open(1 << 20);
	_cleanup_error_ struct error error = ERROR_INIT;
	struct package package;

	assert_int_equal(package_verify(folder, make_bomb(&full, 25, 0), &package, &error), 0);
	assert_int_equal(package.unzipped_bytes, PACKAGE_UNZIPPED_BYTES);
	assert_refused(make_bomb(&over, 25, 1), ERROR_INVALID_PARAMETER,
		       "Unzipped size must be smaller than 262144000 bytes");
}

static void test_refuses_lying_sizes(void **state _unused_)
{
	_cleanup_zipper_ struct zipper z = zipper_open(1 << 20);
	struct slice zip = make_bomb(&z, 1, 0);
	_cleanup_error_ struct error error = ERROR_INIT;
	struct package package;

	/* The central directory says one byte. */
	memcpy(central(zip, 0, 24), "\1\0\0\0", 4);
	int r = package_build(folder, zip, &package, &error);
	/* Either it is damage, or all that came out was counted. */
	if (r == 0)
		assert_int_equal(package.unzipped_bytes, 10 << 20);
	else
		assert_string_equal(error_text(&error), ZIP_TEXT_DAMAGED);
}

static void test_refuses_too_many_entries(void **state _unused_)
{
	_cleanup_zipper_ struct zipper z = zipper_open(32 << 20);
	struct archive_entry *entry = archive_entry_new();

	(void)archive_write_set_options(z.archive, "zip:compression=store");
	zipper_start(&z);
	for (unsigned i = 0; i < PACKAGE_ENTRIES / 2 + 1; i++) {
		char path[32];
		/* The folders, which no entry names, count too. */
		(void)snprintf(path, sizeof(path), "%u/x", i);
		archive_entry_clear(entry);
		archive_entry_set_pathname(entry, path);
		archive_entry_set_filetype(entry, AE_IFREG);
		archive_entry_set_size(entry, 0);
		assert_int_equal(archive_write_header(z.archive, entry), ARCHIVE_OK);
	}
	archive_entry_free(entry);
	assert_refused(zipper_finish(&z), ERROR_INVALID_ZIP, "more than 100000");
}

static bool is_first(const char *digest, void *arg)
{
	return strcmp(digest, arg) == 0;
}

static void test_collects_and_removes(void **state _unused_)
{
	_cleanup_zipper_ struct zipper a = zipper_open(1 << 16), b = zipper_open(1 << 16);
	_cleanup_error_ struct error error = ERROR_INIT;
	struct package first, second;
	char left[256];

	assert_int_equal(package_collect(folder, is_first, NULL, &error), 0);
	assert_int_equal(package_build(folder, zip_one(&a, "a", AE_IFREG, "a"), &first, &error), 0);
	assert_int_equal(package_build(folder, zip_one(&b, "b", AE_IFREG, "b"), &second, &error),
			 0);
	(void)snprintf(left, sizeof(left), "%s/packages/.build-0/tree/x", folder);
	assert_int_equal(fs_make_directories(left, 0755), 0);
	assert_int_equal(package_collect(folder, is_first, first.digest, &error), 0);
	assert_int_equal(count_packages(), 1);
	assert_true(package_exists(folder, first.digest));
	assert_false(package_exists(folder, second.digest));
	assert_int_equal(package_remove(folder, first.digest, &error), 0);
	assert_int_equal(package_remove(folder, first.digest, &error), 0);
	assert_int_equal(count_packages(), 0);
	assert_true(package_remove(folder, "../../etc/passwd", &error) < 0);
	assert_null(package_path(folder, "ABC"));
}

static char *build_good(void)
{
	_cleanup_zipper_ struct zipper z = zipper_open(1 << 16);
	struct package package;
	char *path;

	assert_int_equal(package_build(folder, make_good(&z), &package, NULL), 0);
	path = package_path(folder, package.digest);
	assert_non_null(path);
	return path;
}

static void put_byte(const char *path, off_t at, uint8_t byte)
{
	_cleanup_close_ int fd = open(path, O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

static void test_images_are_verified(void **state _unused_)
{
	_cleanup_(package_images_free_p) struct package_images *images = NULL;
	_cleanup_free_ char *path = build_good();
	_cleanup_error_ struct error error = ERROR_INIT;
	uint8_t byte;
	int fd;

	assert_int_equal(package_images_new(&images), 0);
	assert_int_equal(package_images_verify(images, path, &error), 0);
	assert_int_equal(package_images_verify(images, path, &error), 0);
	assert_true(package_images_verify(images, "/nowhere/image.erofs", NULL) < 0);
	/* Touched: read again, and good. */
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(package_images_verify(images, path, &error), 0);

	fd = open(path, O_RDONLY);
	assert_int_equal(pread(fd, &byte, 1, 2000), 1);
	(void)close(fd);
	put_byte(path, 2000, byte ^ 1);
	assert_true(package_images_verify(images, path, &error) < 0);
	assert_non_null(strstr(error_text(&error), "damaged"));
	put_byte(path, 2000, byte);
	assert_int_equal(package_images_verify(images, path, NULL), 0);

	put_byte(path, 1024, 0); /* the superblock's magic */
	assert_true(package_images_verify(images, path, NULL) < 0);
	assert_int_equal(truncate(path, 1000), 0);
	assert_true(package_images_verify(images, path, NULL) < 0);
	assert_int_equal(unlink(path), 0);
	assert_true(package_images_verify(images, path, NULL) < 0);
}

/* Content that changed behind an unchanged stamp shows that the image was not read again: a page
 * that is dirty already changes without a change of times. */
static void test_a_stamp_spares_reading(void **state _unused_)
{
	_cleanup_(package_images_free_p) struct package_images *images = NULL;
	_cleanup_free_ char *path = build_good();
	int fd = open(path, O_RDWR);
	uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_ptr_not_equal(page, MAP_FAILED);
	page[2000] ^= 1;
	page[2000] ^= 1;
	assert_int_equal(package_images_new(&images), 0);
	assert_int_equal(package_images_verify(images, path, NULL), 0);
	page[2000] ^= 1;
	assert_int_equal(package_images_verify(images, path, NULL), 0);
	assert_int_equal(fchmod(fd, 0600), 0);
	assert_true(package_images_verify(images, path, NULL) < 0);
	assert_int_equal(munmap(page, 4096), 0);
	(void)close(fd);
}

static void test_placeholder(void **state _unused_)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	char path[128];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/placeholder", folder);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(package_create_placeholder(path, &error), 0);
		assert_int_equal(stat(path, &st), 0);
		assert_true((uint64_t)st.st_size == PACKAGE_DEVICE_BYTES);
		assert_int_equal(st.st_blocks, 0);
	}
}

static void test_fails_without_room(void **state _unused_)
{
	_cleanup_zipper_ struct zipper z = zipper_open(1 << 16);
	_cleanup_error_ struct error error = ERROR_INIT;
	struct package package;

	assert_true(package_build("/proc/nowhere", make_good(&z), &package, &error) < 0);
	assert_int_equal(error.code, ERROR_INTERNAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_builds),
		TEST(test_equal_zips_give_equal_images),
		TEST(test_owners_share_nothing),
		TEST(test_zip_without_permissions),
		TEST(test_refuses_paths),
		TEST(test_refuses_long_and_deep_paths),
		TEST(test_refuses_links_out),
		TEST(test_knows_inner_links),
		TEST(test_refuses_writing_through_links),
		TEST(test_refuses_duplicates),
		TEST(test_knows_names_with_nul),
		TEST(test_refuses_devices),
		TEST(test_refuses_encrypted),
		TEST(test_refuses_damage),
		TEST(test_refuses_empty_zip),
		TEST(test_refuses_large_zip),
		TEST(test_counts_what_comes_out),
		TEST(test_refuses_lying_sizes),
		TEST(test_refuses_too_many_entries),
		TEST(test_collects_and_removes),
		TEST(test_placeholder),
		TEST(test_images_are_verified),
		TEST(test_a_stamp_spares_reading),
		TEST(test_fails_without_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
