/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vm/sealed_file.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "mayfly/cleanup.h"
#include "mayfly/fs.h"

#define MAGIC       "MayflyS1"
#define TAG_BYTES   16
#define NONCE_BYTES 12
#define PAGE_BYTES  4096U
#define LAST        UINT32_MAX /* the index of the end */

/* Numbers are little-endian. */
struct header {
	char magic[8];
	uint32_t kind;
	uint32_t chunk_bytes;
	uint64_t size_bytes;
};
_Static_assert(sizeof(struct header) == 24, "no padding on the disk");

/* Before each chunk; of the end `len` is how many there were. */
struct record {
	uint32_t index;
	uint32_t len;
};

/* One file on its way. */
struct sealing {
	EVP_CIPHER_CTX *cipher;
	int plain;
	int sealed;
	struct header header;
	uint32_t count; /* chunks so far: a nonce is used once */
	uint8_t plain_chunk[SEALED_CHUNK_BYTES];
	uint8_t sealed_chunk[SEALED_CHUNK_BYTES + TAG_BYTES];
};

static struct sealing *sealing_free(struct sealing *sealing)
{
	if (!sealing)
		return NULL;
	EVP_CIPHER_CTX_free(sealing->cipher);
	if (sealing->plain >= 0)
		(void)close(sealing->plain);
	if (sealing->sealed >= 0)
		(void)close(sealing->sealed);
	OPENSSL_cleanse(sealing->plain_chunk, sizeof(sealing->plain_chunk));
	free(sealing);
	return NULL;
}
DEFINE_CLEANUP(struct sealing, sealing_free)

static struct sealing *sealing_new(void)
{
	struct sealing *sealing = calloc(1, sizeof(*sealing));

	if (!sealing)
		return NULL;
	sealing->plain = sealing->sealed = -1;
	sealing->cipher = EVP_CIPHER_CTX_new();
	return sealing->cipher ? sealing : sealing_free(sealing);
}

static void fill_header(struct sealing *sealing, enum sealed_kind kind, uint64_t size_bytes)
{
	memcpy(sealing->header.magic, MAGIC, sizeof(sealing->header.magic));
	sealing->header.kind = htole32((uint32_t)kind);
	sealing->header.chunk_bytes = htole32(SEALED_CHUNK_BYTES);
	sealing->header.size_bytes = htole64(size_bytes);
}

static size_t chunk_len(uint64_t size_bytes, uint64_t index)
{
	uint64_t left = size_bytes - index * SEALED_CHUNK_BYTES;

	return left < SEALED_CHUNK_BYTES ? (size_t)left : SEALED_CHUNK_BYTES;
}

/* Begins a chunk's cipher: the nonce is its number in this file, and header and record are
 * authenticated with it. */
static bool start_chunk(struct sealing *sealing, const struct record *record, bool sealing_it,
			const uint8_t *key)
{
	uint8_t nonce[NONCE_BYTES] = { 0 };
	uint64_t number = htole64(sealing->count);
	int len;

	memcpy(nonce, &sealing->header.kind, 4);
	memcpy(nonce + 4, &number, sizeof(number));
	return EVP_CipherInit_ex(sealing->cipher, EVP_aes_256_gcm(), NULL, key, nonce,
				 sealing_it) == 1 &&
	       EVP_CipherUpdate(sealing->cipher, NULL, &len, (const uint8_t *)&sealing->header,
				(int)sizeof(sealing->header)) == 1 &&
	       EVP_CipherUpdate(sealing->cipher, NULL, &len, (const uint8_t *)record,
				(int)sizeof(*record)) == 1;
}

/* -- writing -- */

static int write_record(struct sealing *sealing, uint32_t index, uint32_t number, size_t len,
			const uint8_t *key)
{
	const struct record record = { .index = htole32(index), .len = htole32(number) };
	int written = 0, more = 0;
	int r;

	if (!start_chunk(sealing, &record, true, key) ||
	    (len > 0 && EVP_CipherUpdate(sealing->cipher, sealing->sealed_chunk, &written,
					 sealing->plain_chunk, (int)len) != 1) ||
	    EVP_CipherFinal_ex(sealing->cipher, sealing->sealed_chunk + written, &more) != 1 ||
	    EVP_CIPHER_CTX_ctrl(sealing->cipher, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES,
				sealing->sealed_chunk + len) != 1)
		return -EIO;
	r = fs_write_all(sealing->sealed, &record, sizeof(record));
	return r < 0 ? r : fs_write_all(sealing->sealed, sealing->sealed_chunk, len + TAG_BYTES);
}

static int read_fully(int fd, uint8_t *to, size_t len, off_t at)
{
	while (len > 0) {
		ssize_t n = pread(fd, to, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		to += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
	return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

/* The chunk in which data comes next, or one beyond the last. */
static uint64_t skip_hole(int fd, uint64_t index, uint64_t count)
{
	off_t data = lseek(fd, (off_t)(index * SEALED_CHUNK_BYTES), SEEK_DATA);

	if (data >= 0)
		return (uint64_t)data / SEALED_CHUNK_BYTES;
	return errno == ENXIO ? count : index; /* else no such notion here: all of it is data */
}

static int write_chunks(struct sealing *sealing, uint64_t size_bytes, const uint8_t *key)
{
	uint64_t count = (size_bytes + SEALED_CHUNK_BYTES - 1) / SEALED_CHUNK_BYTES;
	int r = count >= LAST ? -EFBIG : 0;

	for (uint64_t i = 0;
	     r >= 0 && i < count && (i = skip_hole(sealing->plain, i, count)) < count; i++) {
		size_t len = chunk_len(size_bytes, i);

		r = read_fully(sealing->plain, sealing->plain_chunk, len,
			       (off_t)(i * SEALED_CHUNK_BYTES));
		if (r < 0 || is_zero(sealing->plain_chunk, len))
			continue;
		r = write_record(sealing, (uint32_t)i, (uint32_t)len, len, key);
		sealing->count++;
	}
	return r < 0 ? r : write_record(sealing, LAST, sealing->count, 0, key);
}

int sealed_file_write(const char *plain_path, const char *sealed_path, enum sealed_kind kind,
		      const uint8_t key[SEALED_KEY_BYTES], struct error *error)
{
	_cleanup_(sealing_free_p) struct sealing *sealing = sealing_new();
	struct stat status;
	int r;

	if (!sealing)
		return error_set_errno(error, ENOMEM, "cannot seal %s", plain_path);
	sealing->plain = open(plain_path, O_RDONLY | O_CLOEXEC);
	sealing->sealed = open(sealed_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	if (sealing->plain < 0 || sealing->sealed < 0 || fstat(sealing->plain, &status) < 0)
		return error_set_errno(error, errno, "cannot seal %s", plain_path);
	fill_header(sealing, kind, (uint64_t)status.st_size);
	r = fs_write_all(sealing->sealed, &sealing->header, sizeof(sealing->header));
	if (r >= 0)
		r = write_chunks(sealing, (uint64_t)status.st_size, key);
	if (r >= 0 && fsync(sealing->sealed) < 0)
		r = -errno;
	return r < 0 ? error_set_errno(error, r, "cannot seal %s", plain_path) : 0;
}

/* -- reading -- */

/* All of it, or -EBADMSG at an end that comes too early. */
static int read_next(int fd, void *to, size_t len)
{
	uint8_t *at = to;

	while (len > 0) {
		ssize_t n = read(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EBADMSG;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int open_record(struct sealing *sealing, const struct record *record, size_t len,
		       const uint8_t *key)
{
	int written = 0, more = 0;
	int r = read_next(sealing->sealed, sealing->sealed_chunk, len + TAG_BYTES);

	if (r < 0)
		return r;
	if (!start_chunk(sealing, record, false, key) ||
	    (len > 0 && EVP_CipherUpdate(sealing->cipher, sealing->plain_chunk, &written,
					 sealing->sealed_chunk, (int)len) != 1) ||
	    EVP_CIPHER_CTX_ctrl(sealing->cipher, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES,
				sealing->sealed_chunk + len) != 1 ||
	    EVP_CipherFinal_ex(sealing->cipher, sealing->plain_chunk + written, &more) != 1)
		return -EBADMSG;
	return 0;
}

/* Pages of zeros stay holes. */
static int write_pages(int fd, const uint8_t *chunk, size_t len, off_t at)
{
	for (size_t from = 0; from < len; from += PAGE_BYTES) {
		size_t n = len - from < PAGE_BYTES ? len - from : PAGE_BYTES;

		if (is_zero(chunk + from, n))
			continue;
		if (pwrite(fd, chunk + from, n, at + (off_t)from) != (ssize_t)n)
			return errno ? -errno : -EIO;
	}
	return 0;
}

/* 1: a chunk; 0: the end. Each has a higher index than the one before. */
static int read_chunk(struct sealing *sealing, uint64_t size_bytes, uint64_t *next,
		      const uint8_t *key)
{
	struct record record;
	uint64_t index;
	size_t len;
	int r = read_next(sealing->sealed, &record, sizeof(record));

	if (r < 0)
		return r;
	index = le32toh(record.index);
	if (index == LAST)
		return le32toh(record.len) == sealing->count ? open_record(sealing, &record, 0, key)
							     : -EBADMSG;
	if (index < *next || index * SEALED_CHUNK_BYTES >= size_bytes)
		return -EBADMSG;
	len = chunk_len(size_bytes, index);
	if (le32toh(record.len) != len)
		return -EBADMSG;
	r = open_record(sealing, &record, len, key);
	if (r >= 0)
		r = write_pages(sealing->plain, sealing->plain_chunk, len,
				(off_t)(index * SEALED_CHUNK_BYTES));
	sealing->count++;
	*next = index + 1;
	return r < 0 ? r : 1;
}

static int read_chunks(struct sealing *sealing, uint64_t size_bytes, const uint8_t *key)
{
	struct header header;
	uint64_t next = 0;
	uint8_t more;
	int r = read_next(sealing->sealed, &header, sizeof(header));

	if (r >= 0 && memcmp(&header, &sealing->header, sizeof(header)) != 0)
		r = -EBADMSG;
	if (r >= 0 && ftruncate(sealing->plain, (off_t)size_bytes) < 0)
		r = -errno;
	if (r < 0)
		return r;
	do
		r = read_chunk(sealing, size_bytes, &next, key);
	while (r > 0);
	if (r == 0 && read_next(sealing->sealed, &more, 1) != -EBADMSG)
		r = -EBADMSG; /* something behind the end */
	return r;
}

int sealed_file_read(const char *sealed_path, const char *plain_path, enum sealed_kind kind,
		     uint64_t size_bytes, unsigned mode, const uint8_t key[SEALED_KEY_BYTES],
		     struct error *error)
{
	_cleanup_(sealing_free_p) struct sealing *sealing = sealing_new();
	int r;

	if (!sealing)
		return error_set_errno(error, ENOMEM, "cannot open %s", sealed_path);
	sealing->sealed = open(sealed_path, O_RDONLY | O_CLOEXEC);
	if (sealing->sealed < 0 && errno == ENOENT) {
		(void)error_set(error, ERROR_INTERNAL, NULL, "template file %s is missing",
				sealed_path);
		return -EBADMSG;
	}
	sealing->plain = open(plain_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (sealing->sealed < 0 || sealing->plain < 0)
		return error_set_errno(error, errno, "cannot open %s", sealed_path);
	fill_header(sealing, kind, size_bytes);
	r = read_chunks(sealing, size_bytes, key);
	if (r >= 0)
		return 0;
	(void)unlink(plain_path);
	if (r != -EBADMSG)
		return error_set_errno(error, r, "cannot open %s", sealed_path);
	(void)error_set(error, ERROR_INTERNAL, NULL,
			"template file %s is not what was sealed: it was altered, or its key is "
			"another",
			sealed_path);
	return -EBADMSG;
}
