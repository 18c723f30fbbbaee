/* SPDX-License-Identifier: Apache-2.0 */

/* Contents: what comes out is counted, never what a header promises. */

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/image/package.h"
#include "agent/image/zip.h"
#include "agent/image/zip_reader.h"
#include "mayfly/fs.h"

#define CHUNK_BYTES 65536U

static int set_times(int root_fd, const struct zip_node *node)
{
	struct timespec times[2] = { { .tv_sec = node->mtime }, { .tv_sec = node->mtime } };

	return utimensat(root_fd, node->path, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* The mode is set again because of the agent's umask. */
static int make_folders(const struct zip_tree *tree, int root_fd)
{
	for (const struct zip_node *node = tree->nodes; node; node = node->hh.next) {
		if (node->kind != ZIP_FOLDER)
			continue;
		if (mkdirat(root_fd, node->path, 0755) < 0 ||
		    fchmodat(root_fd, node->path, 0755, 0) < 0)
			return -errno;
	}
	return 0;
}

static int make_links(const struct zip_tree *tree, int root_fd)
{
	for (const struct zip_node *node = tree->nodes; node; node = node->hh.next) {
		if (node->kind != ZIP_LINK)
			continue;
		if (symlinkat(node->target, root_fd, node->path) < 0)
			return -errno;
	}
	return 0;
}

/* Last, for making an entry changes its folder's time. */
static int set_all_times(const struct zip_tree *tree, int root_fd)
{
	const struct timespec epoch[2] = { 0 };

	for (const struct zip_node *node = tree->nodes; node; node = node->hh.next) {
		int r = set_times(root_fd, node);
		if (r < 0)
			return r;
	}
	return futimens(root_fd, epoch) < 0 ? -errno : 0;
}

static int read_content(struct zip_reader *reader, int fd, uint64_t *total, struct error *error)
{
	_cleanup_free_ uint8_t *chunk = malloc(CHUNK_BYTES);

	if (!chunk)
		return error_set_errno(error, ENOMEM, "cannot unpack the ZIP");
	for (;;) {
		ssize_t n = zip_reader_read(reader, chunk, CHUNK_BYTES, error);
		if (n <= 0)
			return (int)n;
		*total += (uint64_t)n;
		if (*total > PACKAGE_UNZIPPED_BYTES)
			return error_set(error, ERROR_INVALID_PARAMETER, "code.zip_file",
					 "Unzipped size must be smaller than %" PRIu64 " bytes",
					 (uint64_t)PACKAGE_UNZIPPED_BYTES);
		int r = fd >= 0 ? fs_write_all(fd, chunk, (size_t)n) : 0;
		if (r < 0)
			return error_set_errno(error, -r, "cannot unpack the ZIP");
	}
}

static int unpack_file(struct zip_reader *reader, const struct zip_node *node, int root_fd,
		       uint64_t *total, struct error *error)
{
	_cleanup_close_ int fd = -1;

	if (root_fd >= 0) {
		fd = openat(root_fd, node->path,
			    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0)
			return error_set_errno(error, errno, "cannot unpack the ZIP");
		if (fchmod(fd, node->mode) < 0)
			return error_set_errno(error, errno, "cannot unpack the ZIP");
	}
	return read_content(reader, fd, total, error);
}

static int unpack_entry(struct zip_reader *reader, struct zip_tree *tree,
			struct archive_entry *entry, int root_fd, uint64_t *total,
			struct error *error)
{
	_cleanup_free_ char *path = NULL;
	struct zip_node *node;
	int r;

	r = zip_entry_path(entry, &path, error);
	if (r < 0)
		return r;
	HASH_FIND_STR(tree->nodes, path, node);
	/* The scan has seen the same entries, so that every file is there once. */
	if (!node || node->kind != ZIP_FILE)
		return 0;
	if (node->unpacked)
		return zip_damaged(error);
	node->unpacked = true;
	return unpack_file(reader, node, node->hidden ? -1 : root_fd, total, error);
}

int zip_unpack_files(struct slice zip, struct zip_tree *tree, int root_fd, uint64_t *total,
		     struct error *error)
{
	_cleanup_(zip_reader_clear) struct zip_reader reader = { 0 };
	struct archive_entry *entry;
	int r;

	r = zip_reader_open(&reader, zip, error);
	if (r < 0)
		return r;
	for (;;) {
		r = zip_reader_next(&reader, &entry, error);
		if (r <= 0)
			return r;
		r = unpack_entry(&reader, tree, entry, root_fd, total, error);
		if (r < 0)
			return r;
	}
}

int zip_make_folders(const struct zip_tree *tree, int root_fd, struct error *error)
{
	int r = make_folders(tree, root_fd);

	return r < 0 ? error_set_errno(error, -r, "cannot unpack the ZIP") : 0;
}

int zip_finish_tree(const struct zip_tree *tree, int root_fd, struct error *error)
{
	int r = make_links(tree, root_fd);

	if (r == 0)
		r = set_all_times(tree, root_fd);
	return r < 0 ? error_set_errno(error, -r, "cannot unpack the ZIP") : 0;
}

int zip_unpack(struct slice zip, struct zip_tree *tree, int root_fd, uint64_t *ret_bytes,
	       struct error *error)
{
	uint64_t total = 0;
	int r;

	r = root_fd >= 0 ? zip_make_folders(tree, root_fd, error) : 0;
	if (r == 0)
		r = zip_unpack_files(zip, tree, root_fd, &total, error);
	if (r == 0 && root_fd >= 0)
		r = zip_finish_tree(tree, root_fd, error);
	if (r < 0)
		return r;
	*ret_bytes = total;
	return 0;
}
