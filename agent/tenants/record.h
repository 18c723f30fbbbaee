/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Tenants, access keys and webhooks' secrets as the registry's bytes and back. Private to this
 * room. Any thread. */

#include "agent/auth/access_key.h"
#include "agent/functions/destination.h"
#include "agent/functions/tenant.h"
#include "agent/tenants/webhook_secrets.h"
#include "mayfly/buf.h"

#define TENANT_RECORD_PREFIX     "tenant/"
#define ACCESS_KEY_RECORD_PREFIX "access-key/"
#define WEBHOOK_RECORD_PREFIX    "webhook-secret/"
#define RECORD_KEY_BYTES         96

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

/* The secrets of one address that was rotated. */
struct webhook_record {
	char tenant[TENANT_ID_BYTES];
	char url[DESTINATION_MAX + 1];
	struct webhook_secrets
		secrets; /* has_previous: it is kept, whether it still signs or not */
};

/* Of an address, and what those of all addresses of a tenant begin with. 0 or -ENOMEM. */
int record_webhook_key(const char *tenant, const char *url, char out[RECORD_KEY_BYTES]) _must_use_;
void record_webhook_prefix(const char *tenant, char out[RECORD_KEY_BYTES]);

/* Sealed with the master key, for the record's key alone. */
int record_encode_webhook(const struct webhook_record *record, const char *key,
			  const struct master_key *master, struct buf *ret) _must_use_;
int record_decode_webhook(struct slice bytes, const char *key, const struct master_key *master,
			  struct webhook_record *ret, struct error *error) _must_use_;
