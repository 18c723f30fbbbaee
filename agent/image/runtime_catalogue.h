/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What guest/image built: the kernel, the initramfs and one read-only image per runtime, as
 * images.json in their folder lists them. Its getters may be called from any thread, and what they
 * return stays as it is until the catalogue is freed: a rebuilt images folder is taken in by
 * runtime_catalogue_refresh(), which puts a new list before the one that was read earlier. */

#include <stddef.h>
#include <stdint.h>

#include "agent/core/digest.h"
#include "mayfly/buf.h"
#include "mayfly/cleanup.h"
#include "mayfly/error.h"

enum runtime_kind { RUNTIME_PYTHON, RUNTIME_NODEJS, RUNTIME_PROVIDED };

/* One file; strings belong to the catalogue. */
struct image_file {
	char *path;
	char digest[DIGEST_HEX_BYTES];
	uint64_t size_bytes;
};

struct runtime_image {
	char *name; /* Lambda's name, such as "python3.13" */
	enum runtime_kind kind;
	char *version;                          /* of the language, such as "3.13.5"; may be "" */
	char packages_digest[DIGEST_HEX_BYTES]; /* of the list of Debian packages inside */
	struct image_file file;
};

struct runtime_catalogue;

/* Reads IMAGES_DIR/images.json and checks that each file is there with its size; contents are
 * checked by runtime_catalogue_verify(). `stamps_path` names a small file that remembers which
 * files were verified (NULL: remembered by this catalogue alone). */
int runtime_catalogue_open(const char *images_dir, const char *stamps_path,
			   struct runtime_catalogue **ret, struct error *error) _must_use_;
struct runtime_catalogue *runtime_catalogue_free(struct runtime_catalogue *catalogue);
DEFINE_CLEANUP(struct runtime_catalogue, runtime_catalogue_free)

/* The same from the text of an images.json, without looking at the files. For
 * runtime_catalogue_open() and the fuzz target. */
int runtime_catalogue_parse(struct slice json, const char *images_dir,
			    struct runtime_catalogue **ret, struct error *error) _must_use_;

/* Reads images.json again if it is another file than was read. 1: there is a new list, which has
 * every runtime of the former one; 0: nothing changed. On failure the former list stays. One
 * thread at a time. */
int runtime_catalogue_refresh(struct runtime_catalogue *catalogue, struct error *error) _must_use_;

/* The runtimes in order of name. */
size_t runtime_catalogue_count(const struct runtime_catalogue *catalogue);
const struct runtime_image *runtime_catalogue_at(const struct runtime_catalogue *catalogue,
						 size_t index);

/* NULL when there is no such runtime. */
const struct runtime_image *runtime_catalogue_find(const struct runtime_catalogue *catalogue,
						   const char *name);

const struct image_file *runtime_catalogue_kernel(const struct runtime_catalogue *catalogue);
const struct image_file *runtime_catalogue_initramfs(const struct runtime_catalogue *catalogue);
const char *runtime_catalogue_kernel_release(const struct runtime_catalogue *catalogue);

/* Compares a file's content with its digest, unless it was found good before and has the same
 * inode, size and times since. Blocks (reads the whole file). Any thread. */
int runtime_catalogue_verify(struct runtime_catalogue *catalogue, const struct image_file *file,
			     struct error *error) _must_use_;
