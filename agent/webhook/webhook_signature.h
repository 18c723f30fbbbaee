/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Signatures of posts (Standard Webhooks 1.0.0, "Signature scheme" and "Webhook headers"). Pure;
 * any thread. */

#include <stdint.h>

#include "mayfly/buf.h"

#define WEBHOOK_KEYS_MAX        2
#define WEBHOOK_SIGNATURE_BYTES 48 /* "v1," and base64 of 32 bytes, with NUL */
#define WEBHOOK_HEADER_BYTES    (WEBHOOK_KEYS_MAX * WEBHOOK_SIGNATURE_BYTES)

/* One signature: "v1," and the HMAC-SHA256, in base64, of "ID.TIME.BODY". Neither the id, which has
 * no full stop, nor the time, in seconds of Unix time, is chosen by who chose the body. 0 or
 * -ENOMEM. */
int webhook_sign(struct slice key, const char *id, int64_t time_s, struct slice body,
		 char ret[WEBHOOK_SIGNATURE_BYTES]) _must_use_;
