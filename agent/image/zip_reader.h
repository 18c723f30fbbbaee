/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* libarchive, set to read a ZIP in memory by its central directory. Private to this room. */

#include <locale.h>

#include "mayfly/buf.h"
#include "mayfly/error.h"

struct archive;
struct archive_entry;

struct zip_reader {
	struct archive *archive;
	locale_t utf8; /* names are UTF-8, whatever the program's own locale */
	locale_t former;
};

/* The reader is used and cleared on one thread. */
int zip_reader_open(struct zip_reader *reader, struct slice zip, struct error *error) _must_use_;
void zip_reader_clear(struct zip_reader *reader);

/* 1 with the next entry (borrowed until the next call), 0 at the end. */
int zip_reader_next(struct zip_reader *reader, struct archive_entry **ret,
		    struct error *error) _must_use_;

/* Up to `len` bytes of the entry's content, 0 at its end. */
ssize_t zip_reader_read(struct zip_reader *reader, void *data, size_t len, struct error *error);

/* The entry's normalized path. */
int zip_entry_path(struct archive_entry *entry, char **ret, struct error *error) _must_use_;

/* ERROR_INVALID_ZIP naming the entry, made printable. */
int zip_refuse(struct error *error, const char *path, const char *why);

int zip_damaged(struct error *error);
