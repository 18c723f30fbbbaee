/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The key under which secrets are kept on disk, and sealing with it: AES-256-GCM with a random
 * nonce. Any thread. */

#include <stdbool.h>
#include <stdint.h>

#include "mayfly/buf.h"
#include "mayfly/error.h"

#define MASTER_KEY_BYTES 32
#define SEAL_NONCE_BYTES 12
#define SEAL_TAG_BYTES   16
#define SEAL_EXTRA_BYTES (SEAL_NONCE_BYTES + SEAL_TAG_BYTES)

struct master_key {
	uint8_t bytes[MASTER_KEY_BYTES];
};

/* Where systemd put the credential of that name for this service: $CREDENTIALS_DIRECTORY/NAME. The
 * caller frees. */
int master_key_credential_path(const char *name, char **ret, struct error *error) _must_use_;

/* Reads the file, which must have 32 bytes, be root's or the agent's own, and neither be readable
 * by others nor writable by its group. With `make` a file that is not there is made, of random
 * bytes, mode 0600. Blocks. */
int master_key_load(const char *path, bool make, struct master_key *ret,
		    struct error *error) _must_use_;

/* Overwrites it. */
void master_key_clear(struct master_key *key);

/* Into an empty buffer: nonce, text, tag. `bound` is what the text belongs to, and must be said
 * again to open it. 0, -ENOMEM or -EIO. */
int seal(const struct master_key *key, const char *bound, struct slice plain,
	 struct buf *ret) _must_use_;

/* -EBADMSG when the key is another, or anything was changed. */
int seal_open(const struct master_key *key, const char *bound, struct slice sealed,
	      struct buf *ret_plain) _must_use_;
