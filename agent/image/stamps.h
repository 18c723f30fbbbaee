/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which files were found to have which digest, so that a large one is not read again at every
 * start: a small text file with a line per stamp. Private to this room; the caller locks. */

#include <stdbool.h>

#include "agent/core/digest.h"

/* What would change if the file did. */
struct stamp {
	char digest[DIGEST_HEX_BYTES];
	uint64_t device;
	uint64_t inode;
	uint64_t size;
	uint64_t modified_ns;
	uint64_t changed_ns;
};

int stamp_of_file(const char *path, const char *digest, struct stamp *ret) _must_use_;
bool stamp_equals(const struct stamp *a, const struct stamp *b);

struct stamps;

/* `path` NULL: kept in memory only. An unreadable or odd file counts as empty. */
int stamps_open(const char *path, struct stamps **ret) _must_use_;
struct stamps *stamps_free(struct stamps *stamps);
DEFINE_CLEANUP(struct stamps, stamps_free)

bool stamps_has(const struct stamps *stamps, const struct stamp *stamp);

/* Replaces the stamp of the same digest, and writes the file. */
int stamps_add(struct stamps *stamps, const struct stamp *stamp) _must_use_;
