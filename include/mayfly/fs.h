/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Files: the few operations that must be done right everywhere. Any thread. All return 0
 * or a negative errno. */

#include <stdbool.h>
#include <sys/types.h>

#include "mayfly/buf.h"

/* Reads a whole file of at most `max` bytes (-EFBIG beyond) into an empty buffer. */
int fs_read_file(const char *path, size_t max, struct buf *ret) _must_use_;

/* Writes a temporary file beside `path`, syncs it, renames it over and syncs the folder: after 0
 * the new content survives a power cut, after an error the old content stands. */
int fs_write_file_atomic(const char *path, struct slice content, mode_t mode) _must_use_;

/* mkdir -p; existing folders keep their mode. */
int fs_make_directories(const char *path, mode_t mode) _must_use_;

/* rm -rf below and including `path`, never across symbolic links; 0 when it is not there. */
int fs_remove_tree(const char *path) _must_use_;

/* Syncs a folder's entries. */
int fs_sync_directory(const char *path) _must_use_;

/* Copies keeping holes (SEEK_DATA), into a new file; removes it again on failure. */
int fs_copy_sparse(const char *from, const char *to, mode_t mode) _must_use_;

/* writes all, restarting on EINTR and short writes. */
int fs_write_all(int fd, const void *data, size_t len) _must_use_;

bool fs_exists(const char *path);
