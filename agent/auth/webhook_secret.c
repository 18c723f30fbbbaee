/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/auth/webhook_secret.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "mayfly/buf.h"
#include "mayfly/id.h"

#define PURPOSE "mayfly webhook secret"

void webhook_root_draw(struct webhook_root *ret)
{
	random_bytes(ret->bytes, sizeof(ret->bytes));
}

void webhook_secret_draw(struct webhook_secret *ret)
{
	random_bytes(ret->bytes, sizeof(ret->bytes));
}

int webhook_secret_derive(const struct webhook_root *root, const char *tenant, const char *url,
			  struct webhook_secret *ret)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	unsigned len = 0;
	/* With the NULs, so that no two pairs are one text. */
	int r = buf_append(&text, PURPOSE, sizeof(PURPOSE));

	if (r == 0)
		r = buf_append(&text, tenant, strlen(tenant) + 1);
	if (r == 0)
		r = buf_append(&text, url, strlen(url) + 1);
	if (r < 0)
		return r;
	if (!HMAC(EVP_sha256(), root->bytes, sizeof(root->bytes), text.data, text.len, ret->bytes,
		  &len) ||
	    len != sizeof(ret->bytes))
		return -ENOMEM;
	return 0;
}

void webhook_secret_print(const struct webhook_secret *secret, char out[WEBHOOK_SECRET_TEXT_BYTES])
{
	memcpy(out, WEBHOOK_SECRET_PREFIX, sizeof(WEBHOOK_SECRET_PREFIX));
	(void)EVP_EncodeBlock((unsigned char *)out + strlen(WEBHOOK_SECRET_PREFIX), secret->bytes,
			      sizeof(secret->bytes));
}
