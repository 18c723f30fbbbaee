/* SPDX-License-Identifier: Apache-2.0 */

#include "package.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* init's own view of the file system, outside of the runtime's root. */
#define STAGE        "/package"
#define LAYER_STAGE  "/layers"
#define TASK_ROOT    BOOT_ROOT "/var/task"
#define LAYER_ROOT   BOOT_ROOT "/opt"

#define FILE_KIND(n) MAYFLY__GUEST__V1__PACKAGE_FILE_KIND__PACKAGE_FILE_KIND_##n

typedef Mayfly__Guest__V1__PackageFile package_file;

/* Open since the boot: a clone need not look the folders up. */
static int stage_fd = -1;
static int layer_stage_fd = -1;

static int prepare_stage(const char *stage, const char *root, int *ret_fd)
{
	const unsigned long sealed = MS_RDONLY | MS_NODEV | MS_NOSUID;

	(void)mkdir(stage, 0755);
	if (mount("package", stage, "ramfs", MS_NODEV | MS_NOSUID, "mode=755") == 0 &&
	    mount(stage, root, NULL, MS_BIND, NULL) == 0 &&
	    mount(NULL, root, NULL, MS_REMOUNT | MS_BIND | sealed, NULL) == 0)
		*ret_fd = open(stage, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return *ret_fd >= 0 ? 0 : -errno;
}

int package_prepare(char failure[BOOT_FAILURE_SIZE])
{
	int r = prepare_stage(STAGE, TASK_ROOT, &stage_fd);

	if (r == 0)
		r = prepare_stage(LAYER_STAGE, LAYER_ROOT, &layer_stage_fd);
	if (r < 0)
		(void)snprintf(failure, BOOT_FAILURE_SIZE, "place for packages: %s", strerror(-r));
	return r;
}

bool package_has_layer_libraries(void)
{
	struct stat st;

	return stat(LAYER_ROOT "/lib", &st) == 0 && S_ISDIR(st.st_mode);
}

bool package_path_is_safe(const char *path)
{
	unsigned depth = 0;

	if (strlen(path) > PACKAGE_PATH_BYTES)
		return false;
	for (const char *part = path;;) {
		size_t n = strcspn(part, "/");
		bool dots = part[0] == '.' && (n == 1 || (n == 2 && part[1] == '.'));
		if (n == 0 || dots || ++depth > PACKAGE_DEPTH)
			return false;
		if (part[n] == '\0')
			return true;
		part += n + 1;
	}
}

bool package_source_is_safe(const char *path)
{
	size_t prefix = strlen(PACKAGE_LAYER_PREFIX);

	return package_path_is_safe(strncmp(path, PACKAGE_LAYER_PREFIX, prefix) == 0 ? path + prefix
										     : path);
}

static int set_time(int folder, const char *path, int64_t mtime)
{
	const struct timespec times[2] = { { .tv_sec = mtime }, { .tv_sec = mtime } };

	return utimensat(folder, path, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int write_content(int folder, const package_file *file)
{
	mode_t mode = file->kind == FILE_KIND(EXECUTABLE) ? 0755 : 0644;
	const uint8_t *at = file->data.data;
	size_t left = file->data.len;
	_cleanup_close_ int fd = openat(folder, file->path,
					O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);

	if (fd < 0)
		return -errno;
	while (left > 0) {
		ssize_t n = write(fd, at, left);
		if (n < 0)
			return -errno;
		at += n;
		left -= (size_t)n;
	}
	const struct timespec times[2] = { { .tv_sec = file->mtime }, { .tv_sec = file->mtime } };
	return futimens(fd, times) < 0 ? -errno : 0;
}

static int place_link(int folder, const package_file *file)
{
	char target[PACKAGE_PATH_BYTES + 1];

	if (file->data.len == 0 || file->data.len >= sizeof(target))
		return -EINVAL;
	memcpy(target, file->data.data, file->data.len);
	target[file->data.len] = '\0';
	if (symlinkat(target, folder, file->path) < 0)
		return -errno;
	return set_time(folder, file->path, file->mtime);
}

static int place_file(int folder, const package_file *file)
{
	if (!package_path_is_safe(file->path))
		return -EINVAL;
	switch (file->kind) {
	case FILE_KIND(FILE):
	case FILE_KIND(EXECUTABLE):
		return write_content(folder, file);
	case FILE_KIND(FOLDER):
		return mkdirat(folder, file->path, 0755) < 0 ? -errno : 0;
	case FILE_KIND(LINK):
		return place_link(folder, file);
	default:
		return -EINVAL;
	}
}

int package_place_below(int folder, package_file *const *files, size_t count,
			char failure[BOOT_FAILURE_SIZE])
{
	const char *path = "";
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++) {
		path = files[i]->path;
		r = place_file(folder, files[i]);
	}
	/* Folders when all is there: what comes into one changes its time. */
	for (size_t i = count; r == 0 && i-- > 0;) {
		path = files[i]->path;
		if (files[i]->kind == FILE_KIND(FOLDER))
			r = set_time(folder, path, files[i]->mtime);
	}
	/* As in an image. */
	if (r == 0)
		r = set_time(folder, ".", 0);
	if (r < 0)
		(void)snprintf(failure, BOOT_FAILURE_SIZE, "package file %.100s: %s", path,
			       strerror(-r));
	return r;
}

int package_place(package_file *const *files, size_t count, char failure[BOOT_FAILURE_SIZE])
{
	return package_place_below(stage_fd, files, count, failure);
}

int package_place_layers(package_file *const *files, size_t count, char failure[BOOT_FAILURE_SIZE])
{
	return package_place_below(layer_stage_fd, files, count, failure);
}

void package_list(package_file *const *files, size_t count, char ret[PACKAGE_ENTRIES_BYTES])
{
	size_t len = 0;

	for (size_t i = 0; i < count; i++) {
		size_t n = strlen(files[i]->path);
		if (strchr(files[i]->path, '/'))
			continue;
		if (len + n + 2 > PACKAGE_ENTRIES_BYTES) {
			len = 0;
			break;
		}
		if (len > 0)
			ret[len++] = '/';
		memcpy(ret + len, files[i]->path, n);
		len += n;
	}
	ret[len] = '\0';
}
