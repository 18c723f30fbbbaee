/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/webhook/webhook_signature.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdio.h>
#include <string.h>

#include "mayfly/cleanup.h"

#define VERSION    "v1,"
#define HMAC_BYTES 32
#define DIGITS_MAX 24

typedef EVP_MAC_CTX mac_context;
DEFINE_CLEANUP(EVP_MAC, EVP_MAC_free)
DEFINE_CLEANUP(mac_context, EVP_MAC_CTX_free)

static bool update(mac_context *context, const void *data, size_t len)
{
	return EVP_MAC_update(context, data, len) == 1;
}

int webhook_sign(struct slice key, const char *id, int64_t time_s, struct slice body,
		 char ret[WEBHOOK_SIGNATURE_BYTES])
{
	static char digest[] = "SHA256";
	const OSSL_PARAM parameters[] = {
		OSSL_PARAM_utf8_string("digest", digest, sizeof(digest) - 1), OSSL_PARAM_END
	};
	_cleanup_(EVP_MAC_free_p) EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	_cleanup_(EVP_MAC_CTX_free_p) mac_context *context = mac ? EVP_MAC_CTX_new(mac) : NULL;
	uint8_t bytes[HMAC_BYTES];
	char time[DIGITS_MAX];
	size_t len = 0;

	(void)snprintf(time, sizeof(time), ".%" PRId64 ".", time_s);
	if (!context || EVP_MAC_init(context, key.data, key.len, parameters) != 1 ||
	    !update(context, id, strlen(id)) || !update(context, time, strlen(time)) ||
	    !update(context, body.data, body.len) ||
	    EVP_MAC_final(context, bytes, &len, sizeof(bytes)) != 1 || len != sizeof(bytes))
		return -ENOMEM;
	memcpy(ret, VERSION, strlen(VERSION));
	(void)EVP_EncodeBlock((unsigned char *)ret + strlen(VERSION), bytes, sizeof(bytes));
	return 0;
}
