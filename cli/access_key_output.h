/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the access key verbs share. */

#include "cli/messages.h"
#include "cli/verb.h"

const char *name_of_role(int value);
json_t *access_key_json(const Mayfly__V1__AccessKey *key);
int access_key_print(const struct context *context, const Mayfly__V1__AccessKey *key) _must_use_;
/* "never", "in 3 days" and the like, or "expired". */
const char *text_expiry(int64_t expires_at_us, char *out, size_t size);
