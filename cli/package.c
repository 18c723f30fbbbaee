/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/package.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <sys/stat.h>

#include "mayfly/fs.h"

/* 1980-01-01, the first moment a ZIP knows. */
#define FIXED_TIME 315532800

DEFINE_CLEANUP(struct archive, archive_write_free)
DEFINE_CLEANUP(struct archive_entry, archive_entry_free)

static void fts_close_p(FTS **fts)
{
	if (*fts)
		(void)fts_close(*fts);
}

static la_ssize_t append(struct archive *archive, void *out, const void *data, size_t len)
{
	int r = buf_append(out, data, len);
	if (r == 0)
		return (la_ssize_t)len;
	archive_set_error(archive, -r,
			  r == -EMSGSIZE ? "Zipped size must be smaller than 52428800 bytes"
					 : "out of memory");
	return -1;
}

static int archive_failed(struct archive *archive, const char *path, struct error *e)
{
	int number = archive_errno(archive);
	if (number == EMSGSIZE)
		return error_set(e, ERROR_REQUEST_TOO_LARGE, NULL, "%s",
				 archive_error_string(archive));
	return error_set(e, ERROR_INTERNAL, NULL, "cannot zip %s: %s", path,
			 archive_error_string(archive));
}

static int open_zip(struct buf *out, struct archive **ret, struct error *e)
{
	struct archive *zip = archive_write_new();
	if (!zip)
		return error_set_errno(e, ENOMEM, "cannot zip");
	out->max = PACKAGE_MAX_BYTES;
	*ret = zip;
	if (archive_write_set_format_zip(zip) != ARCHIVE_OK ||
	    archive_write_set_bytes_in_last_block(zip, 1) != ARCHIVE_OK ||
	    archive_write_open(zip, out, NULL, append, NULL) != ARCHIVE_OK)
		return archive_failed(zip, "the package", e);
	return 0;
}

static int add_content(struct archive *zip, const char *path, struct error *e)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char chunk[65536];
	ssize_t n;

	if (fd < 0)
		return error_set_errno(e, errno, "cannot read %s", path);
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		if (archive_write_data(zip, chunk, (size_t)n) < 0)
			return archive_failed(zip, path, e);
	return n < 0 ? error_set_errno(e, errno, "cannot read %s", path) : 0;
}

static int add_file(struct archive *zip, const FTSENT *file, const char *name, struct error *e)
{
	_cleanup_(archive_entry_free_p) struct archive_entry *entry = archive_entry_new();
	if (!entry)
		return error_set_errno(e, ENOMEM, "cannot zip %s", name);
	bool link = file->fts_info == FTS_SL || file->fts_info == FTS_SLNONE;
	bool executable = file->fts_statp->st_mode & 0111;

	archive_entry_set_pathname(entry, name);
	archive_entry_set_mtime(entry, FIXED_TIME, 0);
	archive_entry_set_filetype(entry, link ? AE_IFLNK : AE_IFREG);
	archive_entry_set_perm(entry, link ? 0777 : executable ? 0755 : 0644);
	if (link) {
		char target[4096];
		ssize_t n = readlink(file->fts_accpath, target, sizeof(target) - 1);
		if (n < 0)
			return error_set_errno(e, errno, "cannot read %s", file->fts_path);
		target[n] = '\0';
		archive_entry_set_symlink(entry, target);
	} else {
		archive_entry_set_size(entry, file->fts_statp->st_size);
	}
	if (archive_write_header(zip, entry) != ARCHIVE_OK)
		return archive_failed(zip, file->fts_path, e);
	return link ? 0 : add_content(zip, file->fts_accpath, e);
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int add_tree(struct archive *zip, FTS *fts, size_t prefix, unsigned *n, struct error *e)
{
	FTSENT *file;

	while ((file = fts_read(fts))) {
		int r = 0;
		switch (file->fts_info) {
		case FTS_F:
		case FTS_SL:
		case FTS_SLNONE:
			r = add_file(zip, file, file->fts_path + prefix + 1, e);
			(*n)++;
			break;
		case FTS_DNR:
		case FTS_ERR:
		case FTS_NS:
			r = error_set_errno(e, file->fts_errno, "cannot read %s", file->fts_path);
			break;
		default: /* folders follow from their files; sockets and devices are not code */
			break;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

int package_from_directory(const char *path, struct buf *ret, struct error *e)
{
	_cleanup_(archive_write_free_p) struct archive *zip = NULL;
	_cleanup_(fts_close_p) FTS *fts = NULL;
	_cleanup_free_ char *root = realpath(path, NULL);
	struct stat st;
	unsigned n = 0;

	if (!root || stat(root, &st) < 0)
		return error_set(e, ERROR_INVALID_PARAMETER, "dir", "cannot read %s: %m", path);
	if (!S_ISDIR(st.st_mode))
		return error_set(e, ERROR_INVALID_PARAMETER, "dir", "%s is not a folder", path);
	char *roots[] = { root, NULL };
	fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
	if (!fts)
		return error_set_errno(e, errno, "cannot read %s", path);

	int r = open_zip(ret, &zip, e);
	if (r == 0)
		r = add_tree(zip, fts, strlen(root), &n, e);
	if (r < 0)
		return r;
	if (n == 0)
		return error_set(e, ERROR_INVALID_PARAMETER, "dir", "%s has no files", path);
	if (archive_write_close(zip) != ARCHIVE_OK)
		return archive_failed(zip, path, e);
	return 0;
}

int package_from_text(const char *name, const char *text, struct buf *ret, struct error *e)
{
	_cleanup_(archive_write_free_p) struct archive *zip = NULL;
	_cleanup_(archive_entry_free_p) struct archive_entry *entry = archive_entry_new();

	int r = open_zip(ret, &zip, e);
	if (r < 0)
		return r;
	if (!entry)
		return error_set_errno(e, ENOMEM, "cannot zip %s", name);
	archive_entry_set_pathname(entry, name);
	archive_entry_set_mtime(entry, FIXED_TIME, 0);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0755);
	archive_entry_set_size(entry, (la_int64_t)strlen(text));
	if (archive_write_header(zip, entry) != ARCHIVE_OK ||
	    archive_write_data(zip, text, strlen(text)) < 0 ||
	    archive_write_close(zip) != ARCHIVE_OK)
		return archive_failed(zip, name, e);
	return 0;
}

int package_from_file(const char *path, struct buf *ret, struct error *e)
{
	if (strncmp(path, "fileb://", 8) == 0)
		path += 8;
	int r = fs_read_file(path, PACKAGE_MAX_BYTES, ret);
	if (r == -EFBIG)
		return error_set(e, ERROR_REQUEST_TOO_LARGE, "zip",
				 "Zipped size must be smaller than 52428800 bytes");
	if (r < 0)
		return error_set(e, ERROR_INVALID_PARAMETER, "zip", "cannot read %s: %s", path,
				 strerror(-r));
	return 0;
}
