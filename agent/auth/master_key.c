/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/auth/master_key.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mayfly/fs.h"
#include "mayfly/id.h"

#define OTHERS 0027 /* the group may read it */

static void cipher_free(EVP_CIPHER_CTX *cipher)
{
	EVP_CIPHER_CTX_free(cipher);
}
DEFINE_CLEANUP(EVP_CIPHER_CTX, cipher_free)

/* -- the file -- */

static int make_file(const char *path, struct error *error)
{
	struct master_key key;
	int r;

	random_bytes(key.bytes, sizeof(key.bytes));
	r = fs_write_file_atomic(path, slice_new(key.bytes, sizeof(key.bytes)), 0600);
	master_key_clear(&key);
	if (r < 0)
		return error_set_errno(error, r, "cannot make the master key %s", path);
	return 0;
}

static int check_file(int fd, const char *path, struct error *error)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_set_errno(error, errno, "cannot look at the master key %s", path);
	if (!S_ISREG(st.st_mode) || st.st_size != MASTER_KEY_BYTES)
		return error_set(error, ERROR_INVALID_PARAMETER, "auth.master_key_file",
				 "the master key %s is damaged: it must be a file of %d bytes, not "
				 "of %lld",
				 path, MASTER_KEY_BYTES, (long long)st.st_size);
	if (st.st_mode & OTHERS)
		return error_set(error, ERROR_INVALID_PARAMETER, "auth.master_key_file",
				 "the master key %s is open to other users of this host; make it "
				 "new, or close it with 'chmod g-w,o= %s'",
				 path, path);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return error_set(error, ERROR_INVALID_PARAMETER, "auth.master_key_file",
				 "the master key %s belongs to user %u, who is neither root nor "
				 "whom the agent runs as",
				 path, (unsigned)st.st_uid);
	return 0;
}

int master_key_credential_path(const char *name, char **ret, struct error *error)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");

	if (!folder || folder[0] != '/')
		return error_set(error, ERROR_INVALID_PARAMETER, "auth.master_key_credential",
				 "there is no credential %s: $CREDENTIALS_DIRECTORY is not set, "
				 "which systemd does for a unit with LoadCredential= or "
				 "LoadCredentialEncrypted=",
				 name);
	if (asprintf(ret, "%s/%s", folder, name) < 0)
		return error_set_errno(error, ENOMEM, "cannot look for the credential %s", name);
	return 0;
}

int master_key_load(const char *path, bool make, struct master_key *ret, struct error *error)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int r;

	if (fd < 0 && errno == ENOENT && make) {
		r = make_file(path, error);
		return r < 0 ? r : master_key_load(path, false, ret, error);
	}
	if (fd < 0 && errno == ENOENT)
		return error_set(error, ERROR_INVALID_PARAMETER, "auth.master_key_file",
				 "the master key %s is missing; without it the access keys of "
				 "this node cannot be read",
				 path);
	if (fd < 0)
		return error_set_errno(error, errno, "cannot open the master key %s", path);
	r = check_file(fd, path, error);
	if (r < 0)
		return r;
	if (read(fd, ret->bytes, sizeof(ret->bytes)) != (ssize_t)sizeof(ret->bytes))
		return error_set_errno(error, EIO, "cannot read the master key %s", path);
	return 0;
}

void master_key_clear(struct master_key *key)
{
	OPENSSL_cleanse(key, sizeof(*key));
}

/* -- sealing -- */

int seal(const struct master_key *key, const char *bound, struct slice plain, struct buf *ret)
{
	_cleanup_(cipher_free_p) EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
	uint8_t *nonce, *text, *tag;
	int len = 0, more = 0;
	int r = cipher ? buf_reserve(ret, plain.len + SEAL_EXTRA_BYTES) : -ENOMEM;

	if (r < 0)
		return r;
	nonce = ret->data;
	text = nonce + SEAL_NONCE_BYTES;
	tag = text + plain.len;
	random_bytes(nonce, SEAL_NONCE_BYTES);
	if (EVP_EncryptInit_ex(cipher, EVP_aes_256_gcm(), NULL, key->bytes, nonce) != 1 ||
	    EVP_EncryptUpdate(cipher, NULL, &len, (const uint8_t *)bound, (int)strlen(bound)) !=
		    1 ||
	    EVP_EncryptUpdate(cipher, text, &len, plain.data, (int)plain.len) != 1 ||
	    EVP_EncryptFinal_ex(cipher, text + len, &more) != 1 ||
	    EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG_BYTES, tag) != 1)
		return -EIO;
	ret->len = plain.len + SEAL_EXTRA_BYTES;
	return 0;
}

int seal_open(const struct master_key *key, const char *bound, struct slice sealed,
	      struct buf *ret_plain)
{
	_cleanup_(cipher_free_p) EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
	uint8_t tag[SEAL_TAG_BYTES];
	int len = 0, more = 0;
	size_t text_len;
	int r;

	if (sealed.len < SEAL_EXTRA_BYTES || sealed.len > INT32_MAX)
		return -EBADMSG;
	text_len = sealed.len - SEAL_EXTRA_BYTES;
	r = cipher ? buf_reserve(ret_plain, text_len + 1) : -ENOMEM;
	if (r < 0)
		return r;
	memcpy(tag, sealed.data + SEAL_NONCE_BYTES + text_len, sizeof(tag));
	if (EVP_DecryptInit_ex(cipher, EVP_aes_256_gcm(), NULL, key->bytes, sealed.data) != 1 ||
	    EVP_DecryptUpdate(cipher, NULL, &len, (const uint8_t *)bound, (int)strlen(bound)) !=
		    1 ||
	    EVP_DecryptUpdate(cipher, ret_plain->data, &len, sealed.data + SEAL_NONCE_BYTES,
			      (int)text_len) != 1 ||
	    EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG_BYTES, tag) != 1 ||
	    EVP_DecryptFinal_ex(cipher, ret_plain->data + len, &more) != 1) {
		OPENSSL_cleanse(ret_plain->data, text_len);
		return -EBADMSG;
	}
	ret_plain->len = text_len;
	ret_plain->data[text_len] = 0;
	return 0;
}
