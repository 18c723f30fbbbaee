/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Tenants and access keys as the registry's bytes and back. Private to this room. Any thread. */

#include "agent/auth/access_key.h"
#include "agent/functions/tenant.h"
#include "mayfly/buf.h"

#define TENANT_RECORD_PREFIX     "tenant/"
#define ACCESS_KEY_RECORD_PREFIX "access-key/"
#define RECORD_KEY_BYTES         64

void record_tenant_key(const char *id, char out[RECORD_KEY_BYTES]);

/* Into an empty buffer; 0 or -ENOMEM. Of a deleted tenant only the id is kept. */
int record_encode_tenant(const struct tenant *tenant, bool deleted, struct buf *ret) _must_use_;
int record_decode_tenant(struct slice bytes, struct tenant *ret, bool *ret_deleted,
			 struct error *error) _must_use_;

void record_access_key_key(const char *id, char out[RECORD_KEY_BYTES]);

/* The digest of the secret is not kept. */
int record_encode_access_key(const struct access_key *key, struct buf *ret) _must_use_;
int record_decode_access_key(struct slice bytes, struct access_key *ret,
			     struct error *error) _must_use_;
