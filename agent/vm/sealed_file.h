/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A file of a template as it lies on the disk when templates are sealed: AES-256-GCM in chunks,
 * with a key that this one template has. Holes and chunks of zeros are left out. A chunk says which
 * of which file it is, and the end says how many there were, all authenticated: none can be
 * changed, left out, moved, or taken from another file. Blocks; any thread. */

#include <stdint.h>

#include "mayfly/error.h"

#define SEALED_KEY_BYTES   32
#define SEALED_CHUNK_BYTES 65536U

/* Part of every nonce: the key is one for all files of a template, and each is sealed once. */
enum sealed_kind { SEALED_RAM = 1, SEALED_STATE, SEALED_SCRATCH };

/* Into a new file of mode 0400, which is on the disk when this returns. 0 or a negative errno. */
int sealed_file_write(const char *plain_path, const char *sealed_path, enum sealed_kind kind,
		      const uint8_t key[SEALED_KEY_BYTES], struct error *error) _must_use_;

/* Into a new file of this mode, with holes where zeros were. -EBADMSG: it is not what was written
 * with this key, or not of this size; anything else is the machine's. Nothing is left then. */
int sealed_file_read(const char *sealed_path, const char *plain_path, enum sealed_kind kind,
		     uint64_t size_bytes, unsigned mode, const uint8_t key[SEALED_KEY_BYTES],
		     struct error *error) _must_use_;
