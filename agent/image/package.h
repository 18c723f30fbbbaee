/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Packages: a function's ZIP, which nobody has checked yet, becomes a read-only erofs image
 * STATE_DIR/packages/<hex SHA-256>.erofs. Equal ZIPs of one owner give equal images. All calls
 * block and touch nothing but the file system: to be made in jobs, any thread. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/core/digest.h"
#include "mayfly/buf.h"
#include "mayfly/error.h"

/* Every package's image, and the placeholder in the template, is padded with a hole to this
 * size, so that a clone may bring its own disk without a rebind in the guest. */
#define PACKAGE_DEVICE_BYTES   (512ULL << 20)

#define PACKAGE_ZIPPED_BYTES   52428800ULL  /* Lambda: direct upload */
#define PACKAGE_UNZIPPED_BYTES 262144000ULL /* Lambda: sum of all files */
#define PACKAGE_ENTRIES        100000U      /* files and folders */
#define PACKAGE_PATH_BYTES     1024U        /* of one entry's path, without NUL */
#define PACKAGE_NAME_BYTES     255U         /* of one part of a path */
#define PACKAGE_DEPTH          64U          /* parts of a path */

struct package {
	char digest[DIGEST_HEX_BYTES];         /* of the image: its address */
	char code_sha256[DIGEST_BASE64_BYTES]; /* of the ZIP: Lambda's CodeSha256 */
	uint64_t code_size_bytes;              /* of the ZIP: Lambda's CodeSize */
	uint64_t unzipped_bytes;
	uint64_t image_bytes; /* without the padding */
	uint32_t entries;
};

/* Verifies the ZIP and builds its image, unless one of the same digest is there already.
 * `error` gets Lambda's words: ERROR_REQUEST_TOO_LARGE; ERROR_INVALID_PARAMETER for what is
 * empty, damaged or too large unzipped; ERROR_INVALID_ZIP for an entry that is refused, which is
 * named.
 * After 0 the image survives a power cut; after an error nothing is left. */
int package_build(const char *state_dir, struct slice zip, struct package *ret,
		  struct error *error) _must_use_;
/* The same for an owner (of at most 64 bytes), whose images nobody else has; NULL: package_build(),
 * whose images all have who built of the same ZIP. */
int package_build_for(const char *state_dir, struct slice zip, const char *owner,
		      struct package *ret, struct error *error) _must_use_;

/* The same checks, building nothing (DryRun): digest and image_bytes stay empty. */
int package_verify(const char *state_dir, struct slice zip, struct package *ret,
		   struct error *error) _must_use_;

/* STATE_DIR/packages/<digest>.erofs, which the caller frees; NULL when `digest` is not 64
 * lower-case hex digits or memory is short. Does not look whether it is there. */
char *package_path(const char *state_dir, const char *digest);

/* Whether the image is there with its whole size. */
bool package_exists(const char *state_dir, const char *digest);

/* Removes an image; 0 when it was not there. The directory calls it when no version names the
 * digest any more; sandboxes that have it open keep it until they end. */
int package_remove(const char *state_dir, const char *digest, struct error *error) _must_use_;

/* Removes every image that `is_used` does not claim, and what an interrupted build left. To be
 * called at start, before any build. */
int package_collect(const char *state_dir, bool (*is_used)(const char *digest, void *arg),
		    void *arg, struct error *error) _must_use_;

/* A sparse file of PACKAGE_DEVICE_BYTES without content: what a base template has for a
 * package. Does nothing when it is there already. */
int package_create_placeholder(const char *path, struct error *error) _must_use_;
