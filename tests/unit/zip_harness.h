/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For tests of agent/image: a ZIP in the making. After <cmocka.h>. */

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>

#include "mayfly/buf.h"
#include "mayfly/cleanup.h"

#define MTIME 1700000000

struct zipper {
	struct archive *archive;
	uint8_t *bytes;
	size_t len;
	size_t capacity;
};

static struct zipper zipper_open(size_t capacity)
{
	struct zipper z = { .archive = archive_write_new(), .capacity = capacity };

	z.bytes = calloc(1, capacity);
	assert_non_null(z.archive);
	assert_non_null(z.bytes);
	assert_int_equal(archive_write_set_format_zip(z.archive), ARCHIVE_OK);
	/* Not rounded up to a block: nothing follows the end record. */
	(void)archive_write_set_bytes_in_last_block(z.archive, 1);
	return z;
}

static void zipper_start(struct zipper *z)
{
	assert_int_equal(archive_write_open_memory(z->archive, z->bytes, z->capacity, &z->len),
			 ARCHIVE_OK);
}

static void zipper_add(struct zipper *z, const char *path, mode_t type, mode_t mode,
		       const char *content)
{
	struct archive_entry *entry = archive_entry_new();
	size_t len = type == AE_IFREG ? strlen(content) : 0;

	archive_entry_set_pathname(entry, path);
	archive_entry_set_filetype(entry, type);
	archive_entry_set_perm(entry, mode);
	archive_entry_set_mtime(entry, MTIME, 0);
	archive_entry_set_size(entry, (la_int64_t)len);
	if (type == AE_IFLNK)
		archive_entry_set_symlink(entry, content);
	assert_int_equal(archive_write_header(z->archive, entry), ARCHIVE_OK);
	if (len > 0)
		assert_int_equal(archive_write_data(z->archive, content, len), len);
	archive_entry_free(entry);
}

static struct slice zipper_finish(struct zipper *z)
{
	assert_int_equal(archive_write_close(z->archive), ARCHIVE_OK);
	return slice_new(z->bytes, z->len);
}

static void zipper_clear(struct zipper *z)
{
	(void)archive_write_free(z->archive);
	free(z->bytes);
}
#define _cleanup_zipper_ _cleanup_(zipper_clear)

/* A ZIP of one entry. */
static struct slice _unused_ zip_one(struct zipper *z, const char *path, mode_t type,
				     const char *content)
{
	zipper_start(z);
	zipper_add(z, path, type, 0644, content);
	return zipper_finish(z);
}
