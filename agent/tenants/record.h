/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A tenant as the registry's bytes and back. Private to this room. Any thread. */

#include "agent/functions/tenant.h"
#include "mayfly/buf.h"

#define TENANT_RECORD_PREFIX "tenant/"
#define RECORD_KEY_BYTES     64

void record_tenant_key(const char *id, char out[RECORD_KEY_BYTES]);

/* Into an empty buffer; 0 or -ENOMEM. Of a deleted tenant only the id is kept. */
int record_encode_tenant(const struct tenant *tenant, bool deleted, struct buf *ret) _must_use_;
int record_decode_tenant(struct slice bytes, struct tenant *ret, bool *ret_deleted,
			 struct error *error) _must_use_;
