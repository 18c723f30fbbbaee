/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Beside its image a small package is kept as the message that carries it into a guest, and what a
 * guest's language compiled of it as the message that brought that out. Both are there to make
 * starts fast: a guest that gets neither mounts the image and compiles by itself.
 *
 *   STATE_DIR/packages/DIGEST.files               Compile: files, and which are sources
 *   STATE_DIR/packages/DIGEST.RUNTIME.bytecode    Compiled; RUNTIME is the runtime image's digest
 *
 * Each begins with the SHA-256 of the message: what is damaged is -EBADMSG, and then not used.
 *
 * All calls block: to be made in jobs, any thread. */

#include "agent/image/zip.h"
#include "mayfly/guest/v1/guest.pb-c.h"

/* What is small: it is sent to each sandbox and lies in its memory. */
#define PACKAGE_FILES_BYTES    (64U << 10) /* contents */
#define PACKAGE_FILES_COUNT    64U         /* files, folders and links */
#define PACKAGE_BYTECODE_BYTES (512U << 10)

#define PACKAGE_FILES_SUFFIX   ".files"

/* Writes `path`, unless the package is not small: 0 then, too. `tree` was unpacked to `folder`. */
int package_files_save(const struct zip_tree *tree, const char *folder,
		       const char *path) _must_use_;
/* The same of one with layers, whose files count together. */
int package_files_save_layered(const struct zip_tree *code, const char *code_folder,
			       const struct zip_tree *layers, const char *layer_folder,
			       const char *path) _must_use_;

/* *ret is the caller's (…__free_unpacked), or NULL when there is none; set on success only. `image`
 * is package_path(). */
int package_files_load(const char *image, Mayfly__Guest__V1__Compile **ret) _must_use_;

int package_bytecode_save(const char *image, const char *runtime_digest,
			  const Mayfly__Guest__V1__Compiled *compiled) _must_use_;
int package_bytecode_load(const char *image, const char *runtime_digest,
			  Mayfly__Guest__V1__Compiled **ret) _must_use_;

/* The same from a file's bytes, for …_load() and the fuzz target. */
int package_files_parse(struct slice bytes, Mayfly__Guest__V1__Compile **ret) _must_use_;
int package_bytecode_parse(struct slice bytes, Mayfly__Guest__V1__Compiled **ret) _must_use_;

/* The path beside `image` with this ending instead; the caller frees; NULL for lack of memory. */
char *package_sibling(const char *image, const char *ending);
