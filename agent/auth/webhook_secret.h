/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What posts to one address of one tenant are signed with (Standard Webhooks 1.0.0, "Signature
 * scheme": 24 to 64 random bytes, one secret for each endpoint). A value; any thread. */

#include <stdint.h>

#include "mayfly/cleanup.h"

#define WEBHOOK_SECRET_BYTES       32
#define WEBHOOK_SECRET_PREFIX      "whsec_"
#define WEBHOOK_SECRET_TEXT_BYTES  (sizeof(WEBHOOK_SECRET_PREFIX) + 44)
#define WEBHOOK_ROOT_BYTES         32
#define WEBHOOK_OVERLAP_DEFAULT_US (86400LL * 1000000)      /* of a rotation */
#define WEBHOOK_OVERLAP_MAX_US     (30LL * 86400 * 1000000) /* likewise */

struct webhook_secret {
	uint8_t bytes[WEBHOOK_SECRET_BYTES];
};

/* What a node derives the first secret of every address from. */
struct webhook_root {
	uint8_t bytes[WEBHOOK_ROOT_BYTES];
};

/* From the system's random source. */
void webhook_root_draw(struct webhook_root *ret);
void webhook_secret_draw(struct webhook_secret *ret);

/* The one that an address has until it is rotated: the root's HMAC of tenant and URL, so that who
 * knows that of one address knows nothing of another's. 0 or -ENOMEM. */
int webhook_secret_derive(const struct webhook_root *root, const char *tenant, const char *url,
			  struct webhook_secret *ret) _must_use_;

/* whsec_ and base64, as receivers are given it. */
void webhook_secret_print(const struct webhook_secret *secret, char out[WEBHOOK_SECRET_TEXT_BYTES]);
