/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whether a package's image still is what its name says, before a VM uses it. A digest costs a
 * read of the whole image, so it is taken once by each process and whenever the file's inode,
 * size or times are not as they were. Blocks; any thread. */

#include "mayfly/cleanup.h"
#include "mayfly/error.h"

struct package_images;

int package_images_new(struct package_images **ret) _must_use_;
struct package_images *package_images_free(struct package_images *images);
DEFINE_CLEANUP(struct package_images, package_images_free)

/* `path` is one of package_path(). -EIO with `error` when the image is missing, is not named by
 * a digest, or has another. */
int package_images_verify(struct package_images *images, const char *path,
			  struct error *error) _must_use_;
