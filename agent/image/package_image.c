/* SPDX-License-Identifier: Apache-2.0 */

#include "agent/image/package_image.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include <uthash.h>

#include "agent/image/stamps.h"
#include "mayfly/fs.h"

#define SUFFIX            ".erofs"
/* The superblock says how long the image is without its padding. */
#define SUPERBLOCK_OFFSET 1024
#define SUPERBLOCK_BYTES  40
#define SUPERBLOCK_MAGIC  0xE0F5E1E2U
#define MAGIC_AT          0
#define BLOCK_BITS_AT     12
#define BLOCKS_AT         36
#define BLOCK_BITS_MIN    9U
#define BLOCK_BITS_MAX    16U

/* An image that was found good, by its digest. */
struct known {
	UT_hash_handle hh;
	struct stamp stamp;
};

struct package_images {
	pthread_mutex_t lock;
	struct known *known;
};

int package_images_new(struct package_images **ret)
{
	struct package_images *images = calloc(1, sizeof(*images));

	if (!images)
		return -ENOMEM;
	(void)pthread_mutex_init(&images->lock, NULL);
	*ret = images;
	return 0;
}

struct package_images *package_images_free(struct package_images *images)
{
	struct known *known;
	struct known *next;

	if (!images)
		return NULL;
	HASH_ITER (hh, images->known, known, next) {
		HASH_DEL(images->known, known);
		free(known);
	}
	(void)pthread_mutex_destroy(&images->lock);
	free(images);
	return NULL;
}

static bool is_known(struct package_images *images, const struct stamp *stamp)
{
	struct known *known;
	bool same;

	(void)pthread_mutex_lock(&images->lock);
	HASH_FIND_STR(images->known, stamp->digest, known);
	same = known && stamp_equals(&known->stamp, stamp);
	(void)pthread_mutex_unlock(&images->lock);
	return same;
}

/* Without memory for it the image is read again next time. */
static void remember(struct package_images *images, const struct stamp *stamp)
{
	struct known *known;

	(void)pthread_mutex_lock(&images->lock);
	HASH_FIND_STR(images->known, stamp->digest, known);
	if (!known) {
		known = calloc(1, sizeof(*known));
		if (known) {
			known->stamp = *stamp;
			HASH_ADD_STR(images->known, stamp.digest, known);
		}
	} else {
		known->stamp = *stamp;
	}
	(void)pthread_mutex_unlock(&images->lock);
}

static uint32_t read_le32(const uint8_t *from)
{
	return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
	       (uint32_t)from[3] << 24;
}

static int read_length(const char *path, uint64_t *ret)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t block[SUPERBLOCK_BYTES];
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = pread(fd, block, sizeof(block), SUPERBLOCK_OFFSET);
	if (n < 0)
		return -errno;
	if (n != sizeof(block) || read_le32(block + MAGIC_AT) != SUPERBLOCK_MAGIC ||
	    block[BLOCK_BITS_AT] < BLOCK_BITS_MIN || block[BLOCK_BITS_AT] > BLOCK_BITS_MAX)
		return -EBADMSG;
	*ret = (uint64_t)read_le32(block + BLOCKS_AT) << block[BLOCK_BITS_AT];
	return 0;
}

static int digest_image(const char *path, char out[DIGEST_HEX_BYTES])
{
	struct digest digest;
	uint64_t length = 0;
	int r;

	r = read_length(path, &length);
	if (r >= 0)
		r = digest_file_start(path, length, &digest);
	if (r >= 0)
		digest_hex(&digest, out);
	return r;
}

/* The digest that the file is named by. */
static int expected_digest(const char *path, char out[DIGEST_HEX_BYTES])
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	if (strspn(name, "0123456789abcdef") != DIGEST_HEX_BYTES - 1 ||
	    strcmp(name + DIGEST_HEX_BYTES - 1, SUFFIX) != 0)
		return -EINVAL;
	memcpy(out, name, DIGEST_HEX_BYTES - 1);
	out[DIGEST_HEX_BYTES - 1] = '\0';
	return 0;
}

int package_images_verify(struct package_images *images, const char *path, struct error *error)
{
	char expected[DIGEST_HEX_BYTES];
	char found[DIGEST_HEX_BYTES];
	struct stamp stamp;
	int r;

	r = expected_digest(path, expected);
	/* Taken before reading: a change meanwhile leaves a stamp that fits nothing. */
	if (r >= 0)
		r = stamp_of_file(path, expected, &stamp);
	if (r >= 0 && is_known(images, &stamp))
		return 0;
	if (r >= 0)
		r = digest_image(path, found);
	if (r < 0 && r != -EBADMSG)
		return error_set(error, ERROR_INTERNAL, NULL,
				 "cannot verify the package image %s: %s", path, strerror(-r));
	if (r < 0 || strcmp(found, expected) != 0)
		return error_set(
			error, ERROR_INTERNAL, NULL,
			"the package image %s is damaged: it has not the digest that it is "
			"named by; deploy the code again",
			path);
	remember(images, &stamp);
	return 0;
}
