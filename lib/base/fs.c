/* SPDX-License-Identifier: Apache-2.0 */

#include "mayfly/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "mayfly/id.h"

bool fs_exists(const char *path)
{
	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int fs_write_all(int fd, const void *data, size_t len)
{
	const uint8_t *p = data;
	while (len > 0) {
		ssize_t n = write(fd, p, len);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int fs_read_file(const char *path, size_t max, struct buf *ret)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;

	_cleanup_buf_ struct buf content = BUF_INIT;
	for (;;) {
		int r = buf_reserve(&content, 16384);
		if (r < 0)
			return r;
		ssize_t n = read(fd, content.data + content.len, 16384);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		content.len += (size_t)n;
		if (content.len > max)
			return -EFBIG;
	}
	content.data[content.len] = 0;
	buf_free(ret);
	*ret = content;
	content = BUF_INIT;
	return 0;
}

int fs_sync_directory(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return fsync(fd) < 0 ? -errno : 0;
}

static int sync_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (!slash)
		return fs_sync_directory(".");
	if (slash == path)
		return fs_sync_directory("/");
	_cleanup_free_ char *parent = strndup(path, (size_t)(slash - path));
	return parent ? fs_sync_directory(parent) : -ENOMEM;
}

static int write_and_sync(const char *path, struct slice content, mode_t mode)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int r = fs_write_all(fd, content.data, content.len);
	if (r < 0)
		return r;
	if (fchmod(fd, mode) < 0 || fsync(fd) < 0)
		return -errno;
	/* Some file systems report a failed write only here. */
	return close(TAKE_FD(fd)) < 0 ? -errno : 0;
}

int fs_write_file_atomic(const char *path, struct slice content, mode_t mode)
{
	char suffix[HEX_ID_BYTES];
	hex_id_generate(suffix);
	_cleanup_free_ char *temporary = NULL;
	if (asprintf(&temporary, "%s.%.16s.tmp", path, suffix) < 0) {
		temporary = NULL;
		return -ENOMEM;
	}

	int r = write_and_sync(temporary, content, mode);
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlink(temporary);
		return r;
	}
	return sync_parent(path);
}

int fs_make_directories(const char *path, mode_t mode)
{
	_cleanup_free_ char *copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	for (char *p = copy + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	if (mkdir(copy, mode) < 0 && errno != EEXIST)
		return -errno;
	struct stat st;
	if (stat(copy, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

static int remove_entry(int parent, const char *name, unsigned depth);

static int remove_entries(int fd, unsigned depth)
{
	DIR *dir = fdopendir(fd);
	if (!dir) {
		int r = -errno;
		(void)close(fd);
		return r;
	}
	int r = 0;
	for (struct dirent *entry; r == 0 && (entry = readdir(dir));) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		r = remove_entry(dirfd(dir), entry->d_name, depth + 1);
	}
	(void)closedir(dir);
	return r;
}

/* Bounded, because each level holds a descriptor and the tree may be a stranger's. */
#define COPY_BYTES       65536
#define REMOVE_DEPTH_MAX 512

static int remove_entry(int parent, const char *name, unsigned depth)
{
	if (depth > REMOVE_DEPTH_MAX)
		return -ELOOP;
	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = remove_entries(fd, depth);
	if (r < 0)
		return r;
	return unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int fs_remove_tree(const char *path)
{
	return remove_entry(AT_FDCWD, path, 0);
}

/* Between file systems of different kinds. */
static int copy_by_hand(int from, int to, off_t start, off_t end)
{
	char chunk[COPY_BYTES];

	while (start < end) {
		size_t want = end - start < COPY_BYTES ? (size_t)(end - start) : COPY_BYTES;
		ssize_t n = pread(from, chunk, want, start);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		for (ssize_t done = 0; done < n;) {
			ssize_t m = pwrite(to, chunk + done, (size_t)(n - done), start + done);
			if (m < 0 && errno == EINTR)
				continue;
			if (m <= 0)
				return m < 0 ? -errno : -EIO;
			done += m;
		}
		start += n;
	}
	return 0;
}

static int copy_range(int from, int to, off_t start, off_t end)
{
	while (start < end) {
		off_t out = start;
		ssize_t n = copy_file_range(from, &start, to, &out, (size_t)(end - start), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EXDEV || errno == EOPNOTSUPP))
			return copy_by_hand(from, to, start, end);
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO; /* the file shrank under us */
	}
	return 0;
}

static int copy_data_segments(int from, int to)
{
	struct stat st;
	if (fstat(from, &st) < 0 || ftruncate(to, st.st_size) < 0)
		return -errno;
	for (off_t at = 0; at < st.st_size;) {
		off_t start = lseek(from, at, SEEK_DATA);
		if (start < 0)
			return errno == ENXIO ? 0 : -errno;
		off_t end = lseek(from, start, SEEK_HOLE);
		if (end < 0)
			return -errno;
		int r = copy_range(from, to, start, end);
		if (r < 0)
			return r;
		at = end;
	}
	return 0;
}

int fs_copy_sparse(const char *from, const char *to, mode_t mode)
{
	_cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		return -errno;
	_cleanup_close_ int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (out < 0)
		return -errno;
	int r = copy_data_segments(in, out);
	if (r == 0 && fchmod(out, mode) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(to);
	return r;
}
