/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* SHA-256. Any thread. */

#include <stddef.h>
#include <stdint.h>

#include "mayfly/cleanup.h"

#define DIGEST_BYTES        32
#define DIGEST_HEX_BYTES    65 /* with NUL */
#define DIGEST_BASE64_BYTES 45 /* with NUL */

struct digest {
	uint8_t bytes[DIGEST_BYTES];
};

/* All return 0 or a negative errno. `ret_size` (may be NULL) gets the file's bytes. */
int digest_bytes(const void *data, size_t len, struct digest *ret) _must_use_;
int digest_file(const char *path, struct digest *ret, uint64_t *ret_size) _must_use_;
/* Of the file's first `len` bytes; -EBADMSG when it has fewer. */
int digest_file_start(const char *path, uint64_t len, struct digest *ret) _must_use_;

/* Lower case; base64 with padding, as Lambda prints CodeSha256. */
void digest_hex(const struct digest *digest, char out[DIGEST_HEX_BYTES]);
void digest_base64(const struct digest *digest, char out[DIGEST_BASE64_BYTES]);
