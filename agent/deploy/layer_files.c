/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "agent/deploy/layer_internal.h"
#include "agent/image/package_merge.h"
#include "mayfly/fs.h"

static char *layer_file_path(const char *state_dir, const char *content)
{
	char *path;

	return asprintf(&path, "%s/layers/%s", state_dir, content) < 0 ? NULL : path;
}

int layer_file_save(const char *state_dir, const char *content, struct slice zip,
		    struct error *error)
{
	_cleanup_free_ char *folder = layer_file_path(state_dir, "");
	_cleanup_free_ char *path = layer_file_path(state_dir, content);
	int r = -ENOMEM;

	if (folder && path)
		r = fs_make_directories(folder, 0700);
	if (r == 0)
		r = fs_write_file_atomic(path, zip, 0600);
	if (r == -ENOSPC || r == -EDQUOT)
		return error_set(error, ERROR_UNAVAILABLE, NULL,
				 "The disk of the node's state is full; nothing was changed.");
	return r < 0 ? error_set_errno(error, r, "Cannot save the layer") : 0;
}

void layer_file_remove(const char *state_dir, const char *content)
{
	_cleanup_free_ char *path = layer_file_path(state_dir, content);

	/* One that stays is removed at the next start. */
	if (path)
		(void)unlink(path);
}

/* -- merging -- */

struct mapping {
	void *data;
	size_t len;
};

static void unmap_all(struct mapping (*maps)[LAYERS_OF_FUNCTION_MAX])
{
	for (size_t i = 0; i < LAYERS_OF_FUNCTION_MAX; i++)
		if ((*maps)[i].data)
			(void)munmap((*maps)[i].data, (*maps)[i].len);
}

static int map(const char *state_dir, const char *content, struct mapping *ret)
{
	_cleanup_free_ char *path = layer_file_path(state_dir, content);
	_cleanup_close_ int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	struct stat st;
	void *data;

	if (!path)
		return -ENOMEM;
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size <= 0)
		return -EBADMSG;
	data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		return -errno;
	*ret = (struct mapping){ data, (size_t)st.st_size };
	return 0;
}

int layer_files_merge(const char *state_dir, const char *code_digest,
		      const struct function_config *config, struct package *ret,
		      struct error *error)
{
	_cleanup_(unmap_all) struct mapping maps[LAYERS_OF_FUNCTION_MAX] = { 0 };
	struct slice zips[LAYERS_OF_FUNCTION_MAX];

	for (size_t i = 0; i < config->layer_count; i++) {
		int r = map(state_dir, config->layers[i].content, &maps[i]);
		if (r < 0)
			return error_set_errno(error, -r, "The layer %s cannot be read",
					       config->layers[i].arn);
		zips[i] = slice_new(maps[i].data, maps[i].len);
	}
	return package_merge(state_dir, code_digest, zips, config->layer_count, ret, error);
}
