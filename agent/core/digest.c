/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/core/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>

#include "mayfly/id.h"

#define READ_BYTES (256U * 1024U)

DEFINE_CLEANUP(EVP_MD_CTX, EVP_MD_CTX_free)

int digest_bytes(const void *data, size_t len, struct digest *ret)
{
	struct digest digest;
	unsigned size = 0;

	if (!EVP_Digest(len ? data : "", len, digest.bytes, &size, EVP_sha256(), NULL))
		return -EIO;
	*ret = digest;
	return 0;
}

static int hash_descriptor(EVP_MD_CTX *context, int fd, uint64_t limit, uint64_t *ret_size)
{
	_cleanup_free_ uint8_t *chunk = malloc(READ_BYTES);
	uint64_t size = 0;
	ssize_t n;

	if (!chunk)
		return -ENOMEM;
	while (size < limit) {
		n = read(fd, chunk, limit - size < READ_BYTES ? limit - size : READ_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		if (!EVP_DigestUpdate(context, chunk, (size_t)n))
			return -EIO;
		size += (uint64_t)n;
	}
	*ret_size = size;
	return 0;
}

static int hash_file(const char *path, uint64_t limit, struct digest *ret, uint64_t *ret_size)
{
	_cleanup_(EVP_MD_CTX_free_p) EVP_MD_CTX *context = EVP_MD_CTX_new();
	_cleanup_close_ int fd = -1;
	struct digest digest;
	uint64_t size = 0;
	int r;

	if (!context)
		return -ENOMEM;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!EVP_DigestInit_ex(context, EVP_sha256(), NULL))
		return -EIO;
	r = hash_descriptor(context, fd, limit, &size);
	if (r < 0)
		return r;
	if (!EVP_DigestFinal_ex(context, digest.bytes, NULL))
		return -EIO;
	*ret = digest;
	*ret_size = size;
	return 0;
}

int digest_file(const char *path, struct digest *ret, uint64_t *ret_size)
{
	uint64_t size;

	return hash_file(path, UINT64_MAX, ret, ret_size ? ret_size : &size);
}

int digest_file_start(const char *path, uint64_t len, struct digest *ret)
{
	struct digest digest;
	uint64_t size;
	int r = hash_file(path, len, &digest, &size);

	if (r < 0)
		return r;
	if (size < len)
		return -EBADMSG;
	*ret = digest;
	return 0;
}

void digest_hex(const struct digest *digest, char out[DIGEST_HEX_BYTES])
{
	hex_encode(digest->bytes, DIGEST_BYTES, out);
}

void digest_base64(const struct digest *digest, char out[DIGEST_BASE64_BYTES])
{
	(void)EVP_EncodeBlock((unsigned char *)out, digest->bytes, DIGEST_BYTES);
}
