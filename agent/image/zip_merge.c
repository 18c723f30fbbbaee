/* SPDX-License-Identifier: Apache-2.0 */

/* Several trees become one, as layers lie over each other. A link never has anything below it here
 * either: a folder that becomes a link loses what it had, and a link that becomes a folder is none
 * any more. So each tree's own promise, that its links stay inside, holds for all of them. */

#include <errno.h>
#include <fts.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/image/package.h"
#include "agent/image/zip.h"

static void node_free(struct zip_node *node)
{
	free(node->path);
	free(node->target);
	free(node);
}

static struct zip_node *find(const struct zip_tree *tree, const char *path, size_t len)
{
	struct zip_node *node;

	HASH_FIND(hh, tree->nodes, path, len, node);
	return node;
}

static struct zip_node *add(struct zip_tree *tree, const char *path)
{
	struct zip_node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->path = strdup(path);
	if (!node->path) {
		free(node);
		return NULL;
	}
	HASH_ADD_KEYPTR(hh, tree->nodes, node->path, strlen(node->path), node);
	tree->count++;
	return node;
}

static int lay_node(struct zip_tree *lower, const struct zip_node *over, unsigned layer)
{
	_cleanup_free_ char *target = over->target ? strdup(over->target) : NULL;
	struct zip_node *node = find(lower, over->path, strlen(over->path));
	bool was_folder = node && node->kind == ZIP_FOLDER;

	if (over->target && !target)
		return -ENOMEM;
	/* A folder that only the paths of the later layer name is the earlier one's still. */
	if (was_folder && over->kind == ZIP_FOLDER && over->implied)
		return 0;
	if (!node)
		node = add(lower, over->path);
	if (!node)
		return -ENOMEM;
	free(node->target);
	node->target = TAKE_PTR(target);
	node->kind = over->kind;
	node->mode = over->mode;
	node->mtime = over->mtime;
	node->implied = over->implied;
	node->layer = layer;
	return 0;
}

static bool lies_in_folders(const struct zip_tree *tree, const char *path)
{
	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		const struct zip_node *node = find(tree, path, (size_t)(slash - path));
		if (!node || node->kind != ZIP_FOLDER)
			return false;
	}
	return true;
}

/* In the tree's order, so that what lay below a removed folder finds it gone. */
static void drop_lost(struct zip_tree *tree)
{
	struct zip_node *node, *next;

	HASH_ITER (hh, tree->nodes, node, next) {
		if (lies_in_folders(tree, node->path))
			continue;
		HASH_DEL(tree->nodes, node);
		tree->count--;
		node_free(node);
	}
}

int zip_tree_lay_over(struct zip_tree *lower, const struct zip_tree *upper, unsigned layer)
{
	for (const struct zip_node *node = upper->nodes; node; node = node->hh.next) {
		int r = lay_node(lower, node, layer);
		if (r < 0)
			return r;
	}
	drop_lost(lower);
	return 0;
}

void zip_tree_hide(struct zip_tree *tree, const struct zip_tree *merged, unsigned layer)
{
	for (struct zip_node *node = tree->nodes; node; node = node->hh.next) {
		const struct zip_node *seen = find(merged, node->path, strlen(node->path));
		node->hidden = !seen || seen->kind != ZIP_FILE || seen->layer != layer;
	}
}

/* -- a folder -- */

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int read_entry(const FTSENT *entry, size_t root_len, struct zip_tree *tree, uint64_t *bytes)
{
	char target[PACKAGE_PATH_BYTES + 1];
	const struct stat *st = entry->fts_statp;
	struct zip_node *node = add(tree, entry->fts_path + root_len + 1);
	ssize_t n;

	if (!node)
		return -ENOMEM;
	node->mtime = st->st_mtime;
	node->mode = entry->fts_info == FTS_D || st->st_mode & 0100 ? 0755 : 0644;
	switch (entry->fts_info) {
	case FTS_D:
		node->kind = ZIP_FOLDER;
		return 0;
	case FTS_F:
		node->kind = ZIP_FILE;
		*bytes += (uint64_t)st->st_size;
		return 0;
	case FTS_SL:
	case FTS_SLNONE:
		node->kind = ZIP_LINK;
		n = readlink(entry->fts_accpath, target, sizeof(target) - 1);
		if (n < 0)
			return -errno;
		target[n] = '\0';
		node->target = strdup(target);
		return node->target ? 0 : -ENOMEM;
	default:
		return -EBADMSG;
	}
}

static void fts_close_p(FTS **fts)
{
	if (*fts)
		(void)fts_close(*fts);
}

int zip_tree_read(const char *folder, struct zip_tree *tree, uint64_t *ret_bytes)
{
	char *const roots[] = { (char *)(uintptr_t)folder, NULL };
	_cleanup_(fts_close_p) FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
	uint64_t bytes = 0;
	FTSENT *entry;

	if (!fts)
		return -errno;
	while (errno = 0, entry = fts_read(fts)) {
		int r = 0;
		if (entry->fts_level > FTS_ROOTLEVEL && entry->fts_info != FTS_DP)
			r = read_entry(entry, strlen(folder), tree, &bytes);
		else if (entry->fts_info != FTS_D && entry->fts_info != FTS_DP)
			r = -EBADMSG;
		if (r < 0)
			return r;
	}
	if (errno)
		return -errno;
	*ret_bytes = bytes;
	return 0;
}
