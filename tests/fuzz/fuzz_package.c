/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_image

/* Any bytes as an uploaded ZIP: refused with a text, or unpacked into a temporary folder with
 * nothing beside it. */

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "agent/image/package.h"
#include "agent/image/zip.h"
#include "mayfly/fs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every node is below the folder, as what it should be. */
static void check_nodes(const struct zip_tree *tree, int fd)
{
	for (const struct zip_node *node = tree->nodes; node; node = node->hh.next) {
		struct stat st;
		if (node->kind == ZIP_FILE && !node->unpacked)
			continue;
		assert(fstatat(fd, node->path, &st, AT_SYMLINK_NOFOLLOW) == 0);
		assert(S_ISREG(st.st_mode) || node->kind != ZIP_FILE);
		assert(S_ISDIR(st.st_mode) || node->kind != ZIP_FOLDER);
		assert(S_ISLNK(st.st_mode) || node->kind != ZIP_LINK);
	}
}

static void unpack(struct slice zip, const char *folder)
{
	_cleanup_(zip_tree_clear) struct zip_tree tree = { 0 };
	_cleanup_error_ struct error error = ERROR_INIT;
	_cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t bytes = 0;

	assert(fd >= 0);
	if (zip_scan(zip, &tree, &error) < 0 || zip_unpack(zip, &tree, fd, &bytes, &error) < 0) {
		assert(error.code && error.message);
		return;
	}
	assert(bytes <= PACKAGE_UNZIPPED_BYTES);
	check_nodes(&tree, fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char outer[] = "/tmp/mayfly-fuzz-package-XXXXXX", inner[sizeof(outer) + 8];
	struct stat st;
	int r;

	if (size > 1 << 20)
		return 0;
	assert(mkdtemp(outer));
	(void)snprintf(inner, sizeof(inner), "%s/tree", outer);
	assert(mkdir(inner, 0755) == 0);
	unpack(slice_new(data, size), inner);
	/* Three links: its name, its "." and the tree: no folder came out beside it. */
	assert(stat(outer, &st) == 0 && st.st_nlink == 3);
	r = fs_remove_tree(outer);
	assert(r == 0);
	return r;
}
