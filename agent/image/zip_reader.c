/* SPDX-License-Identifier: Apache-2.0 */

#include "agent/image/zip_reader.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>

#include "agent/image/zip.h"

#define SHOWN_PATH_BYTES 200

int zip_damaged(struct error *error)
{
	return error_set(error, ERROR_INVALID_PARAMETER, "code.zip_file", "%s", ZIP_TEXT_DAMAGED);
}

int zip_refuse(struct error *error, const char *path, const char *why)
{
	char shown[SHOWN_PATH_BYTES + 1];
	size_t len = strnlen(path, SHOWN_PATH_BYTES);

	for (size_t i = 0; i < len; i++)
		shown[i] = path[i] >= ' ' && path[i] < 0x7f ? path[i] : '?';
	shown[len] = '\0';
	return error_set(error, ERROR_INVALID_ZIP, "code.zip_file",
			 "The ZIP's entry '%s' is refused: %s", shown, why);
}

int zip_reader_open(struct zip_reader *reader, struct slice zip, struct error *error)
{
	reader->utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	if (!reader->utf8)
		return error_set_errno(error, errno, "cannot read names in UTF-8");
	reader->former = uselocale(reader->utf8);
	reader->archive = archive_read_new();
	if (!reader->archive)
		return error_set_errno(error, ENOMEM, "cannot read the ZIP");
	/* By its central directory only: what two readers could see differently is not guessed. */
	if (archive_read_support_format_zip_seekable(reader->archive) != ARCHIVE_OK)
		return error_set(error, ERROR_INTERNAL, NULL, "libarchive cannot read ZIPs: %s",
				 archive_error_string(reader->archive));
	if (archive_read_open_memory(reader->archive, zip.data, zip.len) != ARCHIVE_OK)
		return zip_damaged(error);
	return 0;
}

void zip_reader_clear(struct zip_reader *reader)
{
	if (reader->archive)
		(void)archive_read_free(reader->archive);
	if (!reader->utf8)
		return;
	(void)uselocale(reader->former);
	freelocale(reader->utf8);
}

int zip_reader_next(struct zip_reader *reader, struct archive_entry **ret, struct error *error)
{
	switch (archive_read_next_header(reader->archive, ret)) {
	case ARCHIVE_OK:
		return 1;
	case ARCHIVE_EOF:
		return 0;
	default:
		return zip_damaged(error);
	}
}

ssize_t zip_reader_read(struct zip_reader *reader, void *data, size_t len, struct error *error)
{
	ssize_t n = archive_read_data(reader->archive, data, len);

	return n < 0 ? zip_damaged(error) : n;
}

int zip_entry_path(struct archive_entry *entry, char **ret, struct error *error)
{
	const char *name = archive_entry_pathname(entry);
	const char *why;
	int r;

	if (!name)
		return zip_damaged(error);
	r = zip_path_normalize(name, ret, &why);
	if (r == -EINVAL)
		return zip_refuse(error, name, why);
	if (r < 0)
		return error_set_errno(error, -r, "cannot read the ZIP");
	return 0;
}
