/* SPDX-License-Identifier: Apache-2.0 */

#include "agent/image/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "agent/image/tool.h"
#include "mayfly/fs.h"

/* Part of the names: what an older recipe made is not used any more. */
#define SCRATCH_RECIPE "1"

/* Makes a sparse raw file of `size` bytes, unless `path` is there already. */
static int create_sparse(const char *path, uint64_t size, struct error *error)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0)
		return error_set_errno(error, errno, "cannot create %s", path);
	if (ftruncate(fd, (off_t)size) < 0) {
		int r = error_set_errno(error, errno, "cannot size %s", path);
		(void)unlink(path);
		return r;
	}
	return 0;
}

int scratch_create_placeholder(const char *path, struct error *error)
{
	struct stat st;

	if (stat(path, &st) == 0 && st.st_size == (off_t)SCRATCH_DEVICE_BYTES)
		return 0;
	(void)unlink(path);
	return create_sparse(path, SCRATCH_DEVICE_BYTES, error);
}

static int sync_file(const char *path, struct error *error)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return error_set_errno(error, errno, "cannot sync %s", path);
	return 0;
}

/* An ext4 of `size_mb` in a device of SCRATCH_DEVICE_BYTES. No journal: the disk dies with its
 * sandbox. assume_storage_prezeroed spares the guest's kernel the zeroing of inode tables. The
 * root is /tmp: mode 1777 and empty. */
static int format_base(const char *path, unsigned size_mb, struct error *error)
{
	char size[16];
	const char *const mkfs[] = { TOOL_MKFS_EXT4,
				     "-q",
				     "-F",
				     "-b",
				     "4096",
				     "-O",
				     "^has_journal",
				     "-m",
				     "0",
				     "-E",
				     "nodiscard,assume_storage_prezeroed=1",
				     path,
				     size,
				     NULL };
	const char *const open_root[] = { TOOL_DEBUGFS, "-w",
					  "-R",         "set_inode_field <2> mode 041777",
					  path,         NULL };
	const char *const empty_root[] = {
		TOOL_DEBUGFS, "-w", "-R", "rmdir lost+found", path, NULL
	};
	int r;

	(void)snprintf(size, sizeof(size), "%uM", size_mb);
	r = create_sparse(path, SCRATCH_DEVICE_BYTES, error);
	if (r < 0)
		return r;
	r = tool_run(mkfs, error);
	if (r < 0)
		return r;
	r = tool_run(open_root, error);
	if (r < 0)
		return r;
	r = tool_run(empty_root, error);
	if (r < 0)
		return r;
	return sync_file(path, error);
}

static int create_overlay(const char *base, const char *path, struct error *error)
{
	const char *const qemu_img[] = { TOOL_QEMU_IMG, "create", "-q", "-f", "qcow2", "-F",
					 "raw",         "-b",     base, path, NULL };
	int r = tool_run(qemu_img, error);

	return r < 0 ? r : sync_file(path, error);
}

/* The four names that belong to one size. */
struct scratch_paths {
	char *base;
	char *overlay;
	char *base_new;
	char *overlay_new;
};

static void scratch_paths_clear(struct scratch_paths *paths)
{
	free(paths->base);
	free(paths->overlay);
	free(paths->base_new);
	free(paths->overlay_new);
}

static char *scratch_path(const char *dir, unsigned size_mb, const char *suffix)
{
	char *path;

	if (asprintf(&path, "%s/%u-" SCRATCH_RECIPE "%s", dir, size_mb, suffix) < 0)
		return NULL;
	return path;
}

static int scratch_paths_set(struct scratch_paths *paths, const char *dir, unsigned size_mb)
{
	paths->base = scratch_path(dir, size_mb, ".ext4");
	paths->overlay = scratch_path(dir, size_mb, ".qcow2");
	paths->base_new = scratch_path(dir, size_mb, ".ext4.new");
	paths->overlay_new = scratch_path(dir, size_mb, ".qcow2.new");
	if (!paths->base || !paths->overlay || !paths->base_new || !paths->overlay_new)
		return -ENOMEM;
	return 0;
}

static int move_into_place(const char *from, const char *to, mode_t mode, struct error *error)
{
	if (chmod(from, mode) < 0 || rename(from, to) < 0)
		return error_set_errno(error, errno, "cannot move %s into place", to);
	return 0;
}

/* The overlay comes last: where it is, its base is whole. */
static int build(const struct scratch_paths *paths, const char *dir, unsigned size_mb,
		 struct error *error)
{
	int r;

	if (!fs_exists(paths->base)) {
		(void)unlink(paths->base_new);
		r = format_base(paths->base_new, size_mb, error);
		if (r < 0)
			return r;
		r = move_into_place(paths->base_new, paths->base, 0444, error);
		if (r < 0)
			return r;
	}
	(void)unlink(paths->overlay_new);
	r = create_overlay(paths->base, paths->overlay_new, error);
	if (r < 0)
		return r;
	r = move_into_place(paths->overlay_new, paths->overlay, 0444, error);
	if (r < 0)
		return r;
	r = fs_sync_directory(dir);
	if (r < 0)
		return error_set_errno(error, -r, "cannot sync %s", dir);
	return 0;
}

static int lock_folder(const char *dir, int *ret, struct error *error)
{
	_cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return error_set_errno(error, errno, "cannot open %s", dir);
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return error_set_errno(error, errno, "cannot lock %s", dir);
	*ret = TAKE_FD(fd);
	return 0;
}

/* Makes base and overlay if need be; *paths are set either way. */
static int prepare(const char *base_dir, unsigned size_mb, struct scratch_paths *paths,
		   struct error *error)
{
	_cleanup_free_ char *dir = NULL;
	_cleanup_close_ int lock = -1;
	int r;

	if (size_mb < SCRATCH_MIN_MB || size_mb > SCRATCH_MAX_MB)
		return error_set(error, ERROR_INVALID_PARAMETER, "ephemeralStorage.size",
				 "Ephemeral storage must be from %u to %u MB, not %u",
				 SCRATCH_MIN_MB, SCRATCH_MAX_MB, size_mb);
	r = fs_make_directories(base_dir, 0755);
	if (r < 0)
		return error_set_errno(error, -r, "cannot make %s", base_dir);
	/* An overlay names its base by this path, wherever QEMU is started. */
	dir = realpath(base_dir, NULL);
	if (!dir)
		return error_set_errno(error, errno, "cannot resolve %s", base_dir);
	r = scratch_paths_set(paths, dir, size_mb);
	if (r < 0)
		return error_set_errno(error, -r, "cannot prepare %s", dir);
	if (fs_exists(paths->overlay) && fs_exists(paths->base))
		return 0;

	r = lock_folder(dir, &lock, error);
	if (r < 0)
		return r;
	if (fs_exists(paths->overlay) && fs_exists(paths->base))
		return 0;
	return build(paths, dir, size_mb, error);
}

int scratch_prepare(const char *base_dir, unsigned size_mb, struct error *error)
{
	_cleanup_(scratch_paths_clear) struct scratch_paths paths = { 0 };

	return prepare(base_dir, size_mb, &paths, error);
}

int scratch_create(const char *base_dir, unsigned size_mb, const char *path, struct error *error)
{
	_cleanup_(scratch_paths_clear) struct scratch_paths paths = { 0 };
	int r = prepare(base_dir, size_mb, &paths, error);

	if (r < 0)
		return r;
	r = fs_copy_sparse(paths.overlay, path, 0600);
	if (r < 0)
		return error_set_errno(error, -r, "cannot create the scratch disk %s", path);
	return 0;
}
