/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where in a group's files which events stand: each part file in blocks of LOG_BLOCK_BYTES, with
 * the earliest and the latest place in each. A read so touches only the blocks that can hold what
 * it answers with, whatever the order of times in the files. It is never written down: the first
 * read makes it, later ones add what was appended since, and it is right to throw it away at any
 * time. Belongs to one thread at a time: the read job that has it, else the loop. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <uthash.h>

#include "agent/logs/log_scan.h"
#include "mayfly/clock.h"

#define LOG_BLOCK_BYTES    (64U << 10) /* a block ends with the record that makes it this long */

#define LOG_MTIME_SLACK_US USEC_PER_SEC /* file times have the kernel's coarse clock */

struct log_block {
	uint64_t offset;
	uint64_t bytes;
	struct log_place earliest;
	struct log_place latest;
};

/* One part file, up to where it was looked at. */
struct log_part {
	UT_hash_handle hh;
	/* Of the file, to see that it changed. */
	ino_t inode;
	off_t size;
	struct timespec written;
	bool settled; /* was not written to just before: a change shows in `written` */

	bool seen;   /* in the folder by the walk under way */
	bool wanted; /* by the read under way */
	uint64_t end;
	uint64_t last_offset; /* the last record begins there */
	struct log_place last;
	struct log_block *blocks; /* one behind the other */
	size_t count;
	size_t capacity;
	char name[]; /* key; of the file */
};

struct log_index {
	struct log_part *parts; /* by name */
	uint64_t bytes;         /* of memory */
	uint64_t max_bytes;     /* it takes up no further part beyond */
};

/* Begins a walk through the folder: nothing is seen or wanted yet. */
void log_index_begin(struct log_index *index);
/* Ends it: what was not seen is gone. */
void log_index_sweep(struct log_index *index);
void log_index_clear(struct log_index *index);

/* NULL when it is not there. */
struct log_part *log_index_find(struct log_index *index, const char *name);
/* A new one; NULL when there is no room. */
struct log_part *log_index_add(struct log_index *index, const char *name);

/* After that nothing was written to the file. */
int64_t log_quiet_since_us(const struct stat *st);

/* Whether the file is as it was when the part was brought up to date last. */
bool log_part_is_current(const struct log_part *part, const struct stat *st);

/* Brings it up to date with its file, which is open for reading. Files only grow, but for a failed
 * append that is cut off again: then it begins anew. On failure it knows nothing. */
int log_index_update(struct log_index *index, struct log_part *part, struct log_scanner *scanner,
		     int fd) _must_use_;
