/* SPDX-License-Identifier: Apache-2.0 */

/* Code and layers in one image: what a sandbox has for a package is one disk or one message,
 * however many layers there are. The code comes out of its own image, the layers out of their ZIPs.
 */

#include "agent/image/package_merge.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/image/package_build.h"
#include "agent/image/package_files.h"
#include "agent/image/package_image.h"
#include "agent/image/tool.h"
#include "mayfly/fs.h"

#define CODE_FOLDER  "task"
#define LAYER_FOLDER "opt"

struct merge {
	struct build build; /* its nodes are the code's */
	char *code_folder;
	char *layer_folder;
	int layer_fd;
	struct zip_tree layers; /* all of them together */
	struct zip_tree each[PACKAGE_LAYERS_MAX];
	uint64_t unzipped_bytes;
};

static void merge_clear(struct merge *merge)
{
	build_clear(&merge->build);
	free(merge->code_folder);
	free(merge->layer_folder);
	if (merge->layer_fd >= 0)
		(void)close(merge->layer_fd);
	zip_tree_clear(&merge->layers);
	for (size_t i = 0; i < PACKAGE_LAYERS_MAX; i++)
		zip_tree_clear(&merge->each[i]);
}

int package_check_merged_bytes(uint64_t bytes, struct error *error)
{
	if (bytes <= PACKAGE_UNZIPPED_BYTES)
		return 0;
	return error_set(error, ERROR_INVALID_PARAMETER, "layers",
			 "Function code combined with layers exceeds the maximum allowed size of "
			 "%" PRIu64 " bytes. The actual size is %" PRIu64 " bytes.",
			 (uint64_t)PACKAGE_UNZIPPED_BYTES, bytes);
}

/* What the agent made itself, but disks and power cuts have had it since. */
static int check_image(const char *image, struct error *error)
{
	_cleanup_(package_images_free_p) struct package_images *images = NULL;
	int r = package_images_new(&images);

	if (r < 0)
		return error_set_errno(error, -r, "cannot verify %s", image);
	return package_images_verify(images, image, error);
}

static int extract_code(struct merge *merge, const char *image, struct error *error)
{
	_cleanup_free_ char *extract = NULL;
	int r;

	if (asprintf(&extract, "--extract=%s", merge->code_folder) < 0)
		return error_set_errno(error, ENOMEM, "cannot build the package");
	const char *const argv[] = { TOOL_FSCK_EROFS, "--preserve-perms", extract, image, NULL };
	r = check_image(image, error);
	if (r == 0)
		r = tool_run(argv, error);
	if (r < 0)
		return r;
	r = zip_tree_read(merge->code_folder, &merge->build.nodes, &merge->unzipped_bytes);
	return r < 0 ? error_set_errno(error, -r, "cannot read %s", merge->code_folder) : 0;
}

static int merge_open(const char *state_dir, struct merge *merge, struct error *error)
{
	int r = build_open(state_dir, &merge->build, error);

	if (r < 0)
		return r;
	if (asprintf(&merge->code_folder, "%s/" CODE_FOLDER, merge->build.tree) < 0)
		merge->code_folder = NULL;
	if (asprintf(&merge->layer_folder, "%s/" LAYER_FOLDER, merge->build.tree) < 0)
		merge->layer_folder = NULL;
	if (!merge->code_folder || !merge->layer_folder)
		return error_set_errno(error, ENOMEM, "cannot build the package");
	if (mkdir(merge->layer_folder, 0755) == 0)
		merge->layer_fd =
			open(merge->layer_folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (merge->layer_fd < 0 || fchmod(merge->layer_fd, 0755) < 0)
		return error_set_errno(error, errno, "cannot make %s", merge->layer_folder);
	return 0;
}

static int lay_trees(struct merge *merge, const struct slice *layers, size_t count,
		     struct error *error)
{
	for (size_t i = 0; i < count; i++) {
		int r = zip_scan(layers[i], &merge->each[i], error);
		if (r < 0)
			return r;
		r = zip_tree_lay_over(&merge->layers, &merge->each[i], (unsigned)i);
		if (r < 0)
			return error_set_errno(error, -r, "cannot lay layers over each other");
	}
	for (size_t i = 0; i < count; i++)
		zip_tree_hide(&merge->each[i], &merge->layers, (unsigned)i);
	if (merge->layers.count + merge->build.nodes.count > PACKAGE_ENTRIES)
		return error_set(error, ERROR_INVALID_ZIP, "layers",
				 "Code and layers have more than %u files and folders",
				 PACKAGE_ENTRIES);
	return 0;
}

/* Each layer counts whole, as it does for Lambda: what lies below another, too. */
static int unpack_layers(struct merge *merge, const struct slice *layers, size_t count,
			 struct error *error)
{
	int r = zip_make_folders(&merge->layers, merge->layer_fd, error);

	for (size_t i = 0; r == 0 && i < count; i++) {
		uint64_t bytes = 0;
		r = zip_unpack_files(layers[i], &merge->each[i], merge->layer_fd, &bytes, error);
		merge->unzipped_bytes += bytes;
		if (r == 0)
			r = package_check_merged_bytes(merge->unzipped_bytes, error);
	}
	return r == 0 ? zip_finish_tree(&merge->layers, merge->layer_fd, error) : r;
}

/* The folders that are not anybody's have the same time in every image. */
static int make_image(struct merge *merge, const char *code_digest, struct package *package,
		      struct error *error)
{
	const struct timespec epoch[2] = { 0 };
	char uuid[BUILD_UUID_BYTES];

	if (utimensat(AT_FDCWD, merge->build.tree, epoch, 0) < 0 ||
	    chmod(merge->build.tree, 0755) < 0)
		return error_set_errno(error, errno, "cannot build the package");
	/* Who has no code in common with others has no image in common with them; nor must a
	 * package be taken for this one because its ZIP has the folders task and opt. */
	build_name_image(code_digest, uuid);
	return build_make_image(&merge->build, uuid, package, error);
}

static int publish(const char *state_dir, const struct merge *merge, const char *digest,
		   struct error *error)
{
	_cleanup_free_ char *path = package_path(state_dir, digest);
	_cleanup_free_ char *files = path ? package_sibling(path, PACKAGE_FILES_SUFFIX) : NULL;
	int r = -ENOMEM;

	if (files)
		r = package_files_save_layered(&merge->build.nodes, merge->code_folder,
					       &merge->layers, merge->layer_folder, files);
	if (r < 0)
		return error_set_errno(error, -r, "cannot write the package's files");
	return package_exists(state_dir, digest) ? 0 : build_publish(&merge->build, path, error);
}

int package_merge(const char *state_dir, const char *code_digest, const struct slice *layers,
		  size_t count, struct package *ret, struct error *error)
{
	_cleanup_(merge_clear) struct merge merge = { .layer_fd = -1 };
	_cleanup_free_ char *image = package_path(state_dir, code_digest);
	struct package package = { 0 };
	int r;

	if (!image || count > PACKAGE_LAYERS_MAX)
		return error_set(error, ERROR_INTERNAL, NULL, "'%.80s' is no package digest",
				 code_digest);
	r = merge_open(state_dir, &merge, error);
	if (r == 0)
		r = extract_code(&merge, image, error);
	if (r == 0)
		r = lay_trees(&merge, layers, count, error);
	if (r == 0)
		r = unpack_layers(&merge, layers, count, error);
	if (r == 0)
		r = make_image(&merge, code_digest, &package, error);
	if (r == 0)
		r = publish(state_dir, &merge, package.digest, error);
	if (r < 0)
		return r;
	package.unzipped_bytes = merge.unzipped_bytes;
	package.entries = merge.layers.count + merge.build.nodes.count;
	*ret = package;
	return 0;
}
