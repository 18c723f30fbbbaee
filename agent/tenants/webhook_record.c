/* SPDX-License-Identifier: Apache-2.0 */

/* The secrets of a webhook as the registry's bytes and back. */

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "agent/core/digest.h"
#include "agent/tenants/record.h"
#include "mayfly/store/v1/tenant.pb-c.h"

typedef Mayfly__Store__V1__StoredWebhookSecret stored_secret;

static void stored_secret_free(stored_secret *stored)
{
	mayfly__store__v1__stored_webhook_secret__free_unpacked(stored, NULL);
}
DEFINE_CLEANUP(stored_secret, stored_secret_free)

void record_webhook_prefix(const char *tenant, char out[RECORD_KEY_BYTES])
{
	(void)snprintf(out, RECORD_KEY_BYTES, WEBHOOK_RECORD_PREFIX "%s/", tenant);
}

int record_webhook_key(const char *tenant, const char *url, char out[RECORD_KEY_BYTES])
{
	char hex[DIGEST_HEX_BYTES];
	struct digest digest;

	if (digest_bytes(url, strlen(url), &digest) < 0)
		return -ENOMEM;
	digest_hex(&digest, hex);
	(void)snprintf(out, RECORD_KEY_BYTES, WEBHOOK_RECORD_PREFIX "%s/%s", tenant, hex);
	return 0;
}

static int seal_secret(const struct webhook_secret *secret, const char *key,
		       const struct master_key *master, struct buf *to, ProtobufCBinaryData *ret)
{
	int r = seal(master, key, slice_new(secret->bytes, sizeof(secret->bytes)), to);

	ret->data = to->data;
	ret->len = to->len;
	return r;
}

int record_encode_webhook(const struct webhook_record *record, const char *key,
			  const struct master_key *master, struct buf *ret)
{
	const struct webhook_secrets *secrets = &record->secrets;
	_cleanup_buf_ struct buf current = BUF_INIT, previous = BUF_INIT;
	stored_secret message = MAYFLY__STORE__V1__STORED_WEBHOOK_SECRET__INIT;
	int r = seal_secret(&secrets->current, key, master, &current, &message.sealed_current);

	if (r == 0 && secrets->has_previous)
		r = seal_secret(&secrets->previous, key, master, &previous,
				&message.sealed_previous);
	if (r < 0)
		return r;
	message.tenant = (char *)(uintptr_t)record->tenant;
	message.url = (char *)(uintptr_t)record->url;
	message.rotated_us = secrets->rotated_us;
	message.previous_until_us = secrets->previous_until_us;
	r = buf_reserve(ret, mayfly__store__v1__stored_webhook_secret__get_packed_size(&message));
	if (r < 0)
		return r;
	ret->len = mayfly__store__v1__stored_webhook_secret__pack(&message, ret->data);
	return 0;
}

static int open_secret(const ProtobufCBinaryData *sealed, const char *key,
		       const struct master_key *master, struct webhook_secret *ret)
{
	_cleanup_buf_ struct buf plain = BUF_INIT;
	int r = seal_open(master, key, slice_new(sealed->data, sealed->len), &plain);

	if (r == 0 && plain.len != sizeof(ret->bytes))
		r = -EBADMSG;
	if (r == 0)
		memcpy(ret->bytes, plain.data, sizeof(ret->bytes));
	OPENSSL_cleanse(plain.data, plain.len);
	return r;
}

int record_decode_webhook(struct slice bytes, const char *key, const struct master_key *master,
			  struct webhook_record *ret, struct error *error)
{
	_cleanup_(stored_secret_free_p) stored_secret *message =
		mayfly__store__v1__stored_webhook_secret__unpack(NULL, bytes.len, bytes.data);
	struct webhook_secrets *secrets = &ret->secrets;

	if (!message || !tenant_id_is_valid(message->tenant) ||
	    webhook_secrets_check_url(message->url, NULL) < 0)
		return error_set(error, ERROR_INTERNAL, NULL,
				 "A webhook's record in the registry is damaged.");
	*ret = (struct webhook_record){
		.secrets = { .has_previous = message->sealed_previous.len > 0,
			     .previous_until_us = message->previous_until_us,
			     .rotated_us = message->rotated_us },
	};
	(void)snprintf(ret->tenant, sizeof(ret->tenant), "%s", message->tenant);
	(void)snprintf(ret->url, sizeof(ret->url), "%s", message->url);
	if (open_secret(&message->sealed_current, key, master, &secrets->current) < 0 ||
	    (secrets->has_previous &&
	     open_secret(&message->sealed_previous, key, master, &secrets->previous) < 0))
		return error_set(error, ERROR_INTERNAL, NULL,
				 "the secret was changed, or kept under another master key");
	return 0;
}
