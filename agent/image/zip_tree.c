/* SPDX-License-Identifier: Apache-2.0 */

/* Names, kinds and modes: what is refused before anything is written. */

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/image/package.h"
#include "agent/image/zip.h"
#include "agent/image/zip_reader.h"

void zip_tree_clear(struct zip_tree *tree)
{
	struct zip_node *node, *next;

	HASH_ITER (hh, tree->nodes, node, next) {
		HASH_DEL(tree->nodes, node);
		free(node->path);
		free(node->target);
		free(node);
	}
	*tree = (struct zip_tree){ 0 };
}

int zip_path_normalize(const char *name, char **ret, const char **ret_why)
{
	_cleanup_free_ char *path = NULL;
	size_t len = 0;
	unsigned depth = 0;

	*ret_why = "its path is absolute";
	if (name[0] == '/')
		return -EINVAL;
	*ret_why = "its path is too long";
	if (strlen(name) > PACKAGE_PATH_BYTES)
		return -EINVAL;
	path = calloc(1, strlen(name) + 1);
	if (!path)
		return -ENOMEM;
	for (const char *part = name; *part;) {
		size_t n = strcspn(part, "/");
		if (n > PACKAGE_NAME_BYTES)
			return -EINVAL;
		*ret_why = "its path leads out of the package";
		if (n == 2 && part[0] == '.' && part[1] == '.')
			return -EINVAL;
		*ret_why = "it is nested too deeply";
		if (n > 0 && !(n == 1 && part[0] == '.')) {
			if (++depth > PACKAGE_DEPTH)
				return -EINVAL;
			if (len > 0)
				path[len++] = '/';
			memcpy(path + len, part, n);
			len += n;
		}
		*ret_why = "its path is too long";
		part += n + (part[n] == '/');
	}
	*ret = TAKE_PTR(path);
	return 0;
}

/* Only leading ".." may be there, fewer than the link's folders: those folders are real (a link
 * never has anything below it), so each step up is one level; after that it can only go down, into
 * real folders or other inner links. */
bool zip_target_is_inner(const char *path, const char *target)
{
	unsigned up = 0, depth = 0;
	bool down = false;

	if (target[0] == '\0' || target[0] == '/' || strlen(target) > PACKAGE_PATH_BYTES)
		return false;
	for (const char *p = path; *p; p++)
		depth += *p == '/';
	for (const char *part = target; *part;) {
		size_t n = strcspn(part, "/");
		bool is_up = n == 2 && part[0] == '.' && part[1] == '.';
		bool is_here = n == 0 || (n == 1 && part[0] == '.');
		if (n > PACKAGE_NAME_BYTES || (is_up && down))
			return false;
		up += is_up;
		down = down || (!is_up && !is_here);
		part += n + (part[n] == '/');
	}
	return up <= depth;
}

static struct zip_node *node_find(struct zip_tree *tree, const char *path, size_t len)
{
	struct zip_node *node;

	HASH_FIND(hh, tree->nodes, path, len, node);
	return node;
}

static int node_add(struct zip_tree *tree, const char *path, size_t len, struct zip_node **ret,
		    struct error *error)
{
	struct zip_node *node;

	if (tree->count == PACKAGE_ENTRIES)
		return error_set(error, ERROR_INVALID_ZIP, "code.zip_file",
				 "The ZIP has more than %u files and folders", PACKAGE_ENTRIES);
	node = calloc(1, sizeof(*node));
	if (!node)
		return error_set_errno(error, ENOMEM, "cannot read the ZIP");
	node->path = strndup(path, len);
	if (!node->path) {
		free(node);
		return error_set_errno(error, ENOMEM, "cannot read the ZIP");
	}
	HASH_ADD_KEYPTR(hh, tree->nodes, node->path, len, node);
	tree->count++;
	*ret = node;
	return 0;
}

/* The folders above `path`; they come first in the tree. */
static int add_parents(struct zip_tree *tree, const char *path, struct error *error)
{
	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		struct zip_node *node = node_find(tree, path, (size_t)(slash - path));
		if (node && node->kind != ZIP_FOLDER)
			return zip_refuse(error, path, "it lies below something that is no folder");
		if (node)
			continue;
		int r = node_add(tree, path, (size_t)(slash - path), &node, error);
		if (r < 0)
			return r;
		node->kind = ZIP_FOLDER;
		node->mode = 0755;
		node->implied = true;
	}
	return 0;
}

static int set_kind(struct zip_node *node, struct archive_entry *entry, struct error *error)
{
	const char *target;

	switch (archive_entry_filetype(entry)) {
	case AE_IFREG:
		node->kind = ZIP_FILE;
		node->mode = archive_entry_perm(entry) & 0111 ? 0755 : 0644;
		return 0;
	case AE_IFDIR:
		node->kind = ZIP_FOLDER;
		node->mode = 0755;
		return 0;
	case AE_IFLNK:
		target = archive_entry_symlink(entry);
		if (!target || !zip_target_is_inner(node->path, target))
			return zip_refuse(error, node->path, "it is a link out of the package");
		node->kind = ZIP_LINK;
		node->target = strdup(target);
		if (!node->target)
			return error_set_errno(error, ENOMEM, "cannot read the ZIP");
		return 0;
	default:
		return zip_refuse(error, node->path, "it is no file, folder or link");
	}
}

/* Seconds that an image can hold; a ZIP has none finer. */
static time_t entry_mtime(struct archive_entry *entry)
{
	time_t mtime = archive_entry_mtime_is_set(entry) ? archive_entry_mtime(entry) : 0;

	return mtime < 0 || mtime > (time_t)UINT32_MAX ? 0 : mtime;
}

static int scan_entry(struct zip_tree *tree, struct archive_entry *entry, struct error *error)
{
	_cleanup_free_ char *path = NULL;
	struct zip_node *node;
	int r;

	r = zip_entry_path(entry, &path, error);
	if (r < 0)
		return r;
	if (archive_entry_is_encrypted(entry))
		return zip_refuse(error, path, "it is encrypted");
	if (archive_entry_hardlink(entry))
		return zip_refuse(error, path, "it is a hard link");
	if (path[0] == '\0' && archive_entry_filetype(entry) == AE_IFDIR)
		return 0;
	if (path[0] == '\0')
		return zip_refuse(error, path, "it has no name");
	r = add_parents(tree, path, error);
	if (r < 0)
		return r;
	node = node_find(tree, path, strlen(path));
	if (node && !(node->implied && archive_entry_filetype(entry) == AE_IFDIR))
		return zip_refuse(error, path, "it is there twice");
	if (!node) {
		r = node_add(tree, path, strlen(path), &node, error);
		if (r < 0)
			return r;
	}
	node->implied = false;
	node->mtime = entry_mtime(entry);
	return set_kind(node, entry, error);
}

/* A ZIP from a system without Unix permissions: libarchive gives all its files 0664, or 0444 when
 * they are read-only. */
static bool lacks_permissions(struct archive_entry *entry)
{
	mode_t mode = archive_entry_perm(entry);

	return archive_entry_filetype(entry) != AE_IFREG || mode == 0664 || mode == 0444 ||
	       mode == 0;
}

int zip_scan(struct slice zip, struct zip_tree *tree, struct error *error)
{
	_cleanup_(zip_reader_clear) struct zip_reader reader = { 0 };
	struct archive_entry *entry;
	bool foreign = true;
	int r;

	r = zip_reader_open(&reader, zip, error);
	if (r < 0)
		return r;
	for (;;) {
		r = zip_reader_next(&reader, &entry, error);
		if (r < 0)
			return r;
		if (r == 0)
			break;
		r = scan_entry(tree, entry, error);
		if (r < 0)
			return r;
		foreign = foreign && lacks_permissions(entry);
	}
	if (tree->count == 0)
		return error_set(error, ERROR_INVALID_PARAMETER, "code.zip_file",
				 "Uploaded file must be a non-empty zip");
	/* Then nothing says which file is a program, so that each may be one. */
	for (struct zip_node *node = tree->nodes; foreign && node; node = node->hh.next)
		if (node->kind == ZIP_FILE)
			node->mode = 0755;
	return 0;
}
