/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A function as the registry's bytes and back. Private to this room. Any thread. */

#include "agent/functions/function.h"
#include "mayfly/buf.h"

#define RECORD_PREFIX    "function/"
#define RECORD_KEY_BYTES (sizeof(RECORD_PREFIX) + TENANT_ID_DIGITS + 1 + FUNCTION_NAME_MAX)

void record_key(const char *tenant, const char *name, char out[RECORD_KEY_BYTES]);

/* `upload_id` may be "". Into an empty buffer; 0 or -ENOMEM. */
int record_encode(const struct function *function, const char *upload_id,
		  struct buf *ret) _must_use_;

/* `ret_upload_id` is the caller's, "" when there is none; generation is left 0. */
int record_decode(struct slice bytes, struct function **ret, char **ret_upload_id,
		  struct error *error) _must_use_;
