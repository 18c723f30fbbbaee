/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "agent/deploy/internal.h"
#include "mayfly/fs.h"

static char *upload_folder(const char *state_dir)
{
	char *path;

	return asprintf(&path, "%s/uploads", state_dir) < 0 ? NULL : path;
}

static char *upload_path(const char *state_dir, const char *upload_id)
{
	char *path;

	return asprintf(&path, "%s/uploads/%s", state_dir, upload_id) < 0 ? NULL : path;
}

int upload_save(const char *state_dir, const char *upload_id, struct slice zip, struct error *error)
{
	_cleanup_free_ char *folder = upload_folder(state_dir);
	_cleanup_free_ char *path = upload_path(state_dir, upload_id);
	int r = -ENOMEM;

	if (folder && path)
		r = fs_make_directories(folder, 0700);
	if (r == 0)
		r = fs_write_file_atomic(path, zip, 0600);
	if (r == -ENOSPC || r == -EDQUOT)
		return error_set(error, ERROR_UNAVAILABLE, NULL,
				 "The disk of the node's state is full; nothing was changed.");
	return r < 0 ? error_set_errno(error, r, "Cannot save the uploaded package") : 0;
}

void upload_remove(const char *state_dir, const char *upload_id)
{
	_cleanup_free_ char *path = upload_path(state_dir, upload_id);

	/* One that stays is removed at the next start. */
	if (path)
		(void)unlink(path);
}

int upload_build(const char *state_dir, const char *upload_id, const char *owner,
		 struct package *ret, struct error *error)
{
	_cleanup_free_ char *path = upload_path(state_dir, upload_id);
	_cleanup_close_ int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	struct stat st;
	void *zip;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set_errno(error, path ? errno : ENOMEM,
				       "The uploaded package cannot be read");
	if (st.st_size <= 0)
		return error_set(error, ERROR_INTERNAL, NULL, "The uploaded package is empty.");
	zip = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (zip == MAP_FAILED)
		return error_set_errno(error, errno, "The uploaded package cannot be read");
	r = package_build_for(state_dir, slice_new(zip, (size_t)st.st_size), owner, ret, error);
	(void)munmap(zip, (size_t)st.st_size);
	return r;
}

static bool is_named(const struct directory *directory, const char *upload_id)
{
	for (struct entry *entry = directory->entries; entry; entry = entry->hh.next)
		if (strcmp(entry->upload_id, upload_id) == 0)
			return true;
	return false;
}

int upload_collect(struct directory *directory, struct error *error)
{
	_cleanup_free_ char *folder = upload_folder(directory->state_dir);
	DIR *dir;

	if (!folder)
		return error_set_errno(error, ENOMEM, "Cannot look through the uploads");
	dir = opendir(folder);
	if (!dir && errno == ENOENT)
		return 0;
	if (!dir)
		return error_set_errno(error, errno, "Cannot look through %s", folder);
	for (struct dirent *file; (file = readdir(dir));)
		if (file->d_name[0] != '.' && !is_named(directory, file->d_name))
			(void)unlinkat(dirfd(dir), file->d_name, 0);
	(void)closedir(dir);
	return 0;
}
