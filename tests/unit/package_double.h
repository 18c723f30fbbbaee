/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Packages for tests of the rooms above agent/image: the calls of its package.h and
 * package_merge.h, defined in the test program, so that the linker leaves the real ones out. After
 * <cmocka.h>. */

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "agent/core/digest.h"
#include "agent/image/package_merge.h"
#include "mayfly/fs.h"

/* -- packages: "BAD" is refused at once, "LATE" when it is built, "SLOW" waits for the gate -- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool open;
	unsigned waiting;
} gate = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0 };

static void _unused_ set_gate(bool open)
{
	pthread_mutex_lock(&gate.lock);
	gate.open = open;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
}

static void pass_gate(void)
{
	pthread_mutex_lock(&gate.lock);
	gate.waiting++;
	while (!gate.open)
		pthread_cond_wait(&gate.changed, &gate.lock);
	gate.waiting--;
	pthread_mutex_unlock(&gate.lock);
}

static bool starts_with(struct slice zip, const char *word)
{
	return zip.len >= strlen(word) && memcmp(zip.data, word, strlen(word)) == 0;
}

int package_verify(const char *state_dir _unused_, struct slice zip, struct package *ret,
		   struct error *error)
{
	struct digest digest;

	if (starts_with(zip, "BAD"))
		return error_set(error, ERROR_INVALID_ZIP, "zip_file", "Could not unzip");
	assert_int_equal(digest_bytes(zip.data, zip.len, &digest), 0);
	digest_base64(&digest, ret->code_sha256);
	digest_hex(&digest, ret->digest);
	ret->code_size_bytes = zip.len;
	ret->unzipped_bytes = starts_with(zip, "HUGE") ? 200000000 : zip.len;
	return 0;
}

/* For whom the last one was built: "" for all. */
static char _unused_ built_for[32];

int package_build_for(const char *state_dir, struct slice zip, const char *owner,
		      struct package *ret, struct error *error)
{
	_cleanup_free_ char *path = NULL;
	struct package package = { 0 };

	(void)snprintf(built_for, sizeof(built_for), "%s", owner ? owner : "");

	if (starts_with(zip, "SLOW"))
		pass_gate();
	if (starts_with(zip, "LATE"))
		return error_set(error, ERROR_INVALID_ZIP, "zip_file", "Damaged on the way");
	if (package_verify(state_dir, zip, &package, error) < 0)
		return -EILSEQ;
	if (owner) /* digits are digits of a digest, too */
		memcpy(package.digest, owner, strlen(owner));
	path = package_path(state_dir, package.digest);
	if (fs_write_file_atomic(path, zip, 0600) < 0)
		return error_set(error, ERROR_INTERNAL, NULL, "No place for the image");
	*ret = package;
	return 0;
}

/* The image is the code's digest with the ZIPs behind it. */
int package_merge(const char *state_dir, const char *code_digest, const struct slice *layers,
		  size_t count, struct package *ret, struct error *error)
{
	_cleanup_buf_ struct buf image = BUF_INIT;
	_cleanup_free_ char *path = NULL;
	struct package package = { 0 };
	struct digest digest;

	if (!package_exists(state_dir, code_digest))
		return error_set(error, ERROR_INTERNAL, NULL, "There is no such code");
	assert_int_equal(buf_append(&image, code_digest, strlen(code_digest)), 0);
	for (size_t i = 0; i < count; i++) {
		if (starts_with(layers[i], "SLOW"))
			pass_gate();
		if (starts_with(layers[i], "LATE"))
			return error_set(error, ERROR_INVALID_ZIP, "layers", "Damaged on the way");
		assert_int_equal(buf_append(&image, layers[i].data, layers[i].len), 0);
	}
	assert_int_equal(digest_bytes(image.data, image.len, &digest), 0);
	digest_hex(&digest, package.digest);
	path = package_path(state_dir, package.digest);
	assert_int_equal(fs_write_file_atomic(path, buf_slice(&image), 0600), 0);
	*ret = package;
	return 0;
}

int package_check_merged_bytes(uint64_t bytes, struct error *error)
{
	return bytes <= PACKAGE_UNZIPPED_BYTES
		       ? 0
		       : error_set(error, ERROR_INVALID_PARAMETER, "layers", "Too much together");
}

char *package_path(const char *state_dir, const char *digest)
{
	char *path;

	return asprintf(&path, "%s/packages/%s.erofs", state_dir, digest) < 0 ? NULL : path;
}

bool package_exists(const char *state_dir, const char *digest)
{
	_cleanup_free_ char *path = package_path(state_dir, digest);

	return fs_exists(path);
}

int package_remove(const char *state_dir, const char *digest, struct error *error _unused_)
{
	_cleanup_free_ char *path = package_path(state_dir, digest);

	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

int package_collect(const char *state_dir, bool (*is_used)(const char *digest, void *arg),
		    void *arg, struct error *error)
{
	_cleanup_free_ char *folder = NULL;
	struct dirent *file;
	DIR *dir;

	assert_true(asprintf(&folder, "%s/packages", state_dir) > 0);
	dir = opendir(folder);
	assert_non_null(dir);
	while ((file = readdir(dir))) {
		char digest[DIGEST_HEX_BYTES];

		if (file->d_name[0] == '.')
			continue;
		(void)snprintf(digest, sizeof(digest), "%.64s", file->d_name);
		/* What an interrupted build left has a longer name. */
		if (strlen(file->d_name) != 64 + strlen(".erofs")) {
			assert_int_equal(unlinkat(dirfd(dir), file->d_name, 0), 0);
			continue;
		}
		if (!is_used(digest, arg))
			assert_int_equal(package_remove(state_dir, digest, error), 0);
	}
	(void)closedir(dir);
	return 0;
}
