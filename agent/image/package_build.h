/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* From a folder to a package's image in its place. Private to this room; a job's. */

#include "agent/image/package.h"
#include "agent/image/zip.h"

/* One build: a folder of its own beside the images, removed at the end whatever happens. */
struct build {
	char *packages; /* STATE_DIR/packages */
	char *folder;   /* …/.build-ID, private */
	char *tree;     /* what shall be in the image */
	char *image;
	struct zip_tree nodes; /* of the tree, without layers */
};

int build_open(const char *state_dir, struct build *build, struct error *error) _must_use_;
void build_clear(struct build *build);

#define BUILD_UUID_BYTES 37 /* with NUL */

/* An image's id (of RFC 9562's version 8) made of a digest in hex. */
void build_name_image(const char *digest, char ret[BUILD_UUID_BYTES]);

/* `uuid` makes images of equal trees differ that are not used alike. Fills digest and
 * image_bytes. */
int build_make_image(const struct build *build, const char *uuid, struct package *package,
		     struct error *error) _must_use_;

/* Pads, syncs and renames: from here on it survives a power cut. */
int build_publish(const struct build *build, const char *path, struct error *error) _must_use_;
