/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/auth/access_key.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "mayfly/id.h"

#define ID_PREFIX  "AKIA"
#define SCHEME     "Mayfly "
#define SECRET_MAX 256 /* longer ones are not looked at */

#define CAPITALS   "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define SMALL      "abcdefghijklmnopqrstuvwxyz"
#define DIGITS     "0123456789"

static const char id_alphabet[] = CAPITALS "234567";
static const char secret_alphabet[] = CAPITALS SMALL DIGITS "+/";
static const char user_alphabet[] = CAPITALS SMALL DIGITS "_+=,.@-";

/* The alphabets have 32 and 64 characters, so the low bits of a byte are fair. */
static void draw(char *out, size_t count, const char *alphabet, unsigned mask)
{
	uint8_t bytes[ACCESS_KEY_SECRET_CHARS];

	random_bytes(bytes, count);
	for (size_t i = 0; i < count; i++)
		out[i] = alphabet[bytes[i] & mask];
	out[count] = 0;
	OPENSSL_cleanse(bytes, sizeof(bytes));
}

/* What a sealed secret is bound to. */
static void bind_name(const struct access_key *key, char out[64])
{
	(void)snprintf(out, 64, "access-key/%s", key->id);
}

int access_key_draw(struct access_key *key, const struct master_key *master,
		    char ret_secret[ACCESS_KEY_SECRET_BYTES])
{
	_cleanup_buf_ struct buf sealed = BUF_INIT;
	char name[64];
	int r;

	memcpy(key->id, ID_PREFIX, strlen(ID_PREFIX));
	draw(key->id + strlen(ID_PREFIX), ACCESS_KEY_ID_CHARS - strlen(ID_PREFIX), id_alphabet, 31);
	draw(ret_secret, ACCESS_KEY_SECRET_CHARS, secret_alphabet, 63);
	bind_name(key, name);
	r = seal(master, name, slice_from_string(ret_secret), &sealed);
	if (r == 0)
		r = digest_bytes(ret_secret, ACCESS_KEY_SECRET_CHARS, &key->digest);
	if (r < 0)
		return r;
	memcpy(key->sealed, sealed.data, sizeof(key->sealed));
	return 0;
}

int access_key_unseal(struct access_key *key, const struct master_key *master)
{
	_cleanup_buf_ struct buf secret = BUF_INIT;
	char name[64];
	int r;

	bind_name(key, name);
	r = seal_open(master, name, slice_new(key->sealed, sizeof(key->sealed)), &secret);
	if (r < 0)
		return r;
	r = digest_bytes(secret.data, secret.len, &key->digest);
	OPENSSL_cleanse(secret.data, secret.len);
	return r;
}

bool access_key_id_is_valid(const char *id)
{
	return strlen(id) == ACCESS_KEY_ID_CHARS &&
	       strncmp(id, ID_PREFIX, strlen(ID_PREFIX)) == 0 &&
	       strspn(id, id_alphabet) == ACCESS_KEY_ID_CHARS;
}

int access_key_validate_user(const char *user, struct error *error)
{
	size_t len = strlen(user);

	if (len > 0 && len <= ACCESS_KEY_USER_MAX && strspn(user, user_alphabet) == len)
		return 0;
	return error_set(error, ERROR_INVALID_PARAMETER, "user",
			 "The user must have 1 to %d letters, digits and characters of _+=,.@-.",
			 ACCESS_KEY_USER_MAX);
}

bool access_key_matches(const struct access_key *key, struct slice secret)
{
	static const struct access_key nobody;
	struct digest digest;

	if (secret.len > SECRET_MAX || digest_bytes(secret.data, secret.len, &digest) < 0)
		return false;
	bool same = CRYPTO_memcmp(digest.bytes, (key ? key : &nobody)->digest.bytes,
				  sizeof(digest.bytes)) == 0;
	return key && same;
}

bool access_key_is_usable(const struct access_key *key, int64_t now_us)
{
	return !key->inactive && (key->expires_us == 0 || now_us < key->expires_us);
}

int access_key_parse(struct slice authorization, char ret_id[ACCESS_KEY_ID_BYTES],
		     struct slice *ret_secret)
{
	size_t before = strlen(SCHEME) + ACCESS_KEY_ID_CHARS;

	if (authorization.len <= before + 1 ||
	    memcmp(authorization.data, SCHEME, strlen(SCHEME)) != 0 ||
	    authorization.data[before] != ':')
		return -EINVAL;
	memcpy(ret_id, authorization.data + strlen(SCHEME), ACCESS_KEY_ID_CHARS);
	ret_id[ACCESS_KEY_ID_CHARS] = 0;
	*ret_secret = slice_new(authorization.data + before + 1, authorization.len - before - 1);
	return access_key_id_is_valid(ret_id) ? 0 : -EINVAL;
}
