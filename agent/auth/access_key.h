/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What an access key is. A value; any thread. Its secret is there as a digest, and sealed. */

#include "agent/auth/master_key.h"
#include "agent/auth/principal.h"
#include "agent/core/digest.h"

#define ACCESS_KEY_ID_CHARS     20 /* AKIA and 16 of A-Z2-7 */
#define ACCESS_KEY_ID_BYTES     (ACCESS_KEY_ID_CHARS + 1)
#define ACCESS_KEY_SECRET_CHARS 40
#define ACCESS_KEY_SECRET_BYTES (ACCESS_KEY_SECRET_CHARS + 1)
#define ACCESS_KEY_USER_MAX     64
#define ACCESS_KEY_SEALED_BYTES (ACCESS_KEY_SECRET_CHARS + SEAL_EXTRA_BYTES)

struct access_key {
	char id[ACCESS_KEY_ID_BYTES];
	char tenant[TENANT_ID_BYTES];
	char user[ACCESS_KEY_USER_MAX + 1];
	enum role role;
	bool inactive;
	int64_t created_us; /* realtime */
	int64_t expires_us; /* 0: never */
	struct digest digest;
	uint8_t sealed[ACCESS_KEY_SEALED_BYTES];
};

/* Draws id and secret from the system's random source. 0 or a negative errno. */
int access_key_draw(struct access_key *key, const struct master_key *master,
		    char ret_secret[ACCESS_KEY_SECRET_BYTES]) _must_use_;

/* The digest from the sealed secret; -EBADMSG when that was not sealed for this key with `master`.
 */
int access_key_unseal(struct access_key *key, const struct master_key *master) _must_use_;

bool access_key_id_is_valid(const char *id);
int access_key_validate_user(const char *user, struct error *error) _must_use_;

/* Is it this secret? In a time that does not depend on where they differ; `key` NULL takes as long
 * and is never it. */
bool access_key_matches(const struct access_key *key, struct slice secret);

/* May it be used at that time? */
bool access_key_is_usable(const struct access_key *key, int64_t now_us);

/* "Mayfly ID:SECRET" to its parts; `ret_secret` is borrowed from the text. -EINVAL when it is no
 * such thing. */
int access_key_parse(struct slice authorization, char ret_id[ACCESS_KEY_ID_BYTES],
		     struct slice *ret_secret) _must_use_;
