/* SPDX-License-Identifier: Apache-2.0 */

/* Environment variables are kept sealed: they often are secrets. Bound to whose they are, so that
 * the bytes of one function open as nobody else's. */

#include "agent/deploy/record_environment.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>

#include "agent/functions/function.h"

#define BOUND_BYTES (sizeof("environment ") + TENANT_ID_DIGITS + 1 + FUNCTION_NAME_MAX)

typedef Mayfly__Store__V1__StoredEnvironment stored_environment;

static void bound_name(const char *tenant, const char *name, char out[BOUND_BYTES])
{
	(void)snprintf(out, BOUND_BYTES, "environment %s/%s", tenant, name);
}

static void wipe(struct buf *text)
{
	OPENSSL_cleanse(text->data, text->len);
	buf_free(text);
}

int record_seal_environment(const struct master_key *key, const char *tenant, const char *name,
			    Mayfly__Store__V1__StoredVariable **variables, size_t count,
			    struct buf *ret)
{
	_cleanup_(wipe) struct buf plain = BUF_INIT;
	stored_environment message = MAYFLY__STORE__V1__STORED_ENVIRONMENT__INIT;
	char bound[BOUND_BYTES];
	int r;

	message.variables = variables;
	message.n_variables = count;
	r = buf_reserve(&plain, mayfly__store__v1__stored_environment__get_packed_size(&message));
	if (r < 0)
		return r;
	plain.len = mayfly__store__v1__stored_environment__pack(&message, plain.data);
	bound_name(tenant, name, bound);
	return seal(key, bound, buf_slice(&plain), ret);
}

int record_open_environment(const struct master_key *key, const char *tenant, const char *name,
			    struct slice sealed, stored_environment **ret)
{
	_cleanup_(wipe) struct buf plain = BUF_INIT;
	char bound[BOUND_BYTES];
	int r;

	bound_name(tenant, name, bound);
	r = seal_open(key, bound, sealed, &plain);
	if (r < 0)
		return r;
	*ret = mayfly__store__v1__stored_environment__unpack(NULL, plain.len, plain.data);
	return *ret ? 0 : -EBADMSG;
}
