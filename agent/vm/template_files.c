/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vm/template_files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "mayfly/id.h"

#define PAGE_BYTES  4096U
#define CHUNK_PAGES 256U

static void file_clear(struct template_file *file)
{
	free(file->path);
	*file = (struct template_file){ 0 };
}

void template_files_clear(struct template_files *files)
{
	file_clear(&files->ram);
	file_clear(&files->state);
	file_clear(&files->scratch);
}

static int stamp_take(const char *path, struct file_stamp *ret)
{
	struct stat status;

	if (stat(path, &status) < 0)
		return -errno;
	*ret = (struct file_stamp){
		.device = status.st_dev,
		.inode = status.st_ino,
		.size = status.st_size,
		.modified_ns = status.st_mtim.tv_sec * 1000000000LL + status.st_mtim.tv_nsec,
	};
	return 0;
}

static bool stamp_equals(const struct file_stamp *a, const struct file_stamp *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	       a->modified_ns == b->modified_ns;
}

static int stale(struct error *error, const struct template_file *file, const char *how)
{
	(void)error_set(error, ERROR_INTERNAL, NULL, "template file %s %s", file->path, how);
	return -ESTALE;
}

static int file_check_stamp(const struct template_file *file, struct error *error)
{
	struct file_stamp now;

	if (!file->path)
		return 0;
	if (stamp_take(file->path, &now) < 0)
		return stale(error, file, "is missing");
	if ((uint64_t)now.size != file->size_bytes)
		return stale(error, file, "has another size than its manifest says");
	if (file->stamped && !stamp_equals(&now, &file->stamp))
		return stale(error, file, "was altered");
	return 0;
}

int template_files_check_stamps(const struct template_files *files, struct error *error)
{
	int r;

	r = file_check_stamp(&files->ram, error);
	if (r >= 0)
		r = file_check_stamp(&files->state, error);
	return r < 0 ? r : file_check_stamp(&files->scratch, error);
}

struct ram_reader {
	int fd;
	bool punch;
	EVP_MD_CTX *context;
	uint8_t buffer[PAGE_BYTES * CHUNK_PAGES];
};

static bool page_is_zero(const uint8_t *page, size_t len)
{
	return page[0] == 0 && memcmp(page, page + 1, len - 1) == 0;
}

static int digest_page(struct ram_reader *reader, off_t offset, const uint8_t *page, size_t len)
{
	uint64_t at = (uint64_t)offset;
	uint8_t header[8];

	if (page_is_zero(page, len)) {
		/* A file system without holes keeps its zeros. */
		if (reader->punch)
			(void)fallocate(reader->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					offset, (off_t)len);
		return 0;
	}
	for (unsigned i = 0; i < sizeof(header); i++)
		header[i] = (uint8_t)(at >> (8 * i));
	if (!EVP_DigestUpdate(reader->context, header, sizeof(header)) ||
	    !EVP_DigestUpdate(reader->context, page, len))
		return -EIO;
	return 0;
}

static int digest_range(struct ram_reader *reader, off_t from, off_t to)
{
	ssize_t n;
	int r;

	while (from < to) {
		size_t want = sizeof(reader->buffer);

		if ((off_t)want > to - from)
			want = (size_t)(to - from);
		n = pread(reader->fd, reader->buffer, want, from);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		for (size_t at = 0; at < (size_t)n; at += PAGE_BYTES) {
			size_t len = (size_t)n - at < PAGE_BYTES ? (size_t)n - at : PAGE_BYTES;

			r = digest_page(reader, from + (off_t)at, reader->buffer + at, len);
			if (r < 0)
				return r;
		}
		from += n;
	}
	return 0;
}

static int digest_data(struct ram_reader *reader, off_t size)
{
	off_t at = 0;
	int r;

	while (at < size) {
		off_t data = lseek(reader->fd, at, SEEK_DATA);
		off_t hole;

		if (data < 0 && errno == ENXIO)
			return 0;
		if (data < 0) /* no such notion here: all of it is data */
			return digest_range(reader, at, size);
		hole = lseek(reader->fd, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		/* Pages begin at multiples of their size wherever the file system cuts. */
		data -= data % PAGE_BYTES;
		hole += (PAGE_BYTES - hole % PAGE_BYTES) % PAGE_BYTES;
		if (hole > size)
			hole = size;
		r = digest_range(reader, data, hole);
		if (r < 0)
			return r;
		at = hole;
	}
	return 0;
}

int ram_digest(const char *path, bool punch, char out[DIGEST_HEX_BYTES], uint64_t *ret_size)
{
	uint8_t digest[DIGEST_BYTES];
	struct ram_reader *reader;
	struct stat status;
	int r = -EIO;

	reader = calloc(1, sizeof(*reader));
	if (!reader)
		return -ENOMEM;
	reader->punch = punch;
	reader->fd = open(path, (punch ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	reader->context = EVP_MD_CTX_new();
	if (reader->fd < 0 || fstat(reader->fd, &status) < 0)
		r = -errno;
	else if (reader->context && EVP_DigestInit_ex(reader->context, EVP_sha256(), NULL))
		r = digest_data(reader, status.st_size);
	if (r >= 0 && punch && fsync(reader->fd) < 0)
		r = -errno;
	if (r >= 0 && (!EVP_DigestUpdate(reader->context, &status.st_size, sizeof(off_t)) ||
		       !EVP_DigestFinal_ex(reader->context, digest, NULL)))
		r = -EIO;
	if (r >= 0) {
		hex_encode(digest, sizeof(digest), out);
		*ret_size = (uint64_t)status.st_size;
	}
	EVP_MD_CTX_free(reader->context);
	if (reader->fd >= 0)
		(void)close(reader->fd);
	free(reader);
	return r;
}

static int plain_digest(const char *path, char out[DIGEST_HEX_BYTES], uint64_t *ret_size)
{
	struct digest digest;
	int r;

	r = digest_file(path, &digest, ret_size);
	if (r >= 0)
		digest_hex(&digest, out);
	return r;
}

static int file_verify(struct template_file *file, bool is_ram, struct error *error)
{
	char digest[DIGEST_HEX_BYTES];
	struct file_stamp before;
	struct file_stamp after;
	uint64_t size;
	int r;

	if (!file->path)
		return 0;
	r = stamp_take(file->path, &before);
	if (r >= 0)
		r = is_ram ? ram_digest(file->path, false, digest, &size)
			   : plain_digest(file->path, digest, &size);
	if (r < 0)
		return stale(error, file, "cannot be read");
	if (size != file->size_bytes)
		return stale(error, file, "has another size than its manifest says");
	if (strcmp(digest, file->digest) != 0)
		return stale(error, file, "does not have its manifest's digest");
	if (stamp_take(file->path, &after) < 0 || !stamp_equals(&before, &after))
		return stale(error, file, "changed while it was read");
	file->stamp = after;
	file->stamped = true;
	return 0;
}

int template_files_verify(struct template_files *files, struct error *error)
{
	int r;

	r = file_verify(&files->ram, true, error);
	if (r >= 0)
		r = file_verify(&files->state, false, error);
	return r < 0 ? r : file_verify(&files->scratch, false, error);
}

static int file_stamp(struct template_file *file, struct error *error)
{
	int r = file->path ? stamp_take(file->path, &file->stamp) : 0;

	if (r < 0)
		return error_set_errno(error, r, "cannot look at %s", file->path);
	file->stamped = file->path != NULL;
	return 0;
}

int template_files_stamp(struct template_files *files, struct error *error)
{
	int r;

	r = file_stamp(&files->ram, error);
	if (r >= 0)
		r = file_stamp(&files->state, error);
	return r < 0 ? r : file_stamp(&files->scratch, error);
}

static int sync_file(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int file_seal(struct template_file *file, bool is_ram, struct error *error)
{
	int r;

	if (!file->path)
		return 0;
	r = is_ram ? ram_digest(file->path, true, file->digest, &file->size_bytes)
		   : plain_digest(file->path, file->digest, &file->size_bytes);
	if (r >= 0)
		r = sync_file(file->path);
	if (r >= 0)
		r = stamp_take(file->path, &file->stamp);
	if (r < 0)
		return error_set_errno(error, r, "cannot seal template file %s", file->path);
	file->stamped = true;
	return 0;
}

int template_files_seal(struct template_files *files, struct error *error)
{
	int r;

	r = file_seal(&files->ram, true, error);
	if (r >= 0)
		r = file_seal(&files->state, false, error);
	return r < 0 ? r : file_seal(&files->scratch, false, error);
}
