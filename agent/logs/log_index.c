/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/logs/log_index.h"

#include <errno.h>
#include <stdlib.h>

#include "mayfly/cleanup.h"

#define BLOCKS_FIRST 4 /* most files are small */

static uint64_t part_bytes(const struct log_part *part)
{
	return sizeof(*part) + strlen(part->name) + 1 + part->capacity * sizeof(*part->blocks);
}

/* -- parts -- */

struct log_part *log_index_find(struct log_index *index, const char *name)
{
	struct log_part *part;

	HASH_FIND_STR(index->parts, name, part);
	return part;
}

struct log_part *log_index_add(struct log_index *index, const char *name)
{
	size_t len = strlen(name);
	struct log_part *part;

	if (index->bytes >= index->max_bytes)
		return NULL;
	part = calloc(1, sizeof(*part) + len + 1);
	if (!part)
		return NULL;
	memcpy(part->name, name, len);
	HASH_ADD_KEYPTR(hh, index->parts, part->name, len, part);
	index->bytes += part_bytes(part);
	return part;
}

static void index_remove(struct log_index *index, struct log_part *part)
{
	HASH_DEL(index->parts, part);
	index->bytes -= part_bytes(part);
	free(part->blocks);
	free(part);
}

void log_index_begin(struct log_index *index)
{
	for (struct log_part *part = index->parts; part; part = part->hh.next)
		part->seen = part->wanted = false;
}

void log_index_sweep(struct log_index *index)
{
	struct log_part *part, *next;

	HASH_ITER (hh, index->parts, part, next)
		if (!part->seen)
			index_remove(index, part);
}

void log_index_clear(struct log_index *index)
{
	log_index_begin(index);
	log_index_sweep(index);
}

/* -- one part -- */

static void part_forget(struct log_part *part)
{
	part->size = 0;
	part->end = 0;
	part->count = 0;
}

static struct log_block *part_new_block(struct log_part *part)
{
	if (part->count == part->capacity) {
		size_t capacity = part->capacity ? 2 * part->capacity : BLOCKS_FIRST;
		struct log_block *blocks = reallocarray(part->blocks, capacity, sizeof(*blocks));

		if (!blocks)
			return NULL;
		part->blocks = blocks;
		part->capacity = capacity;
	}
	return &part->blocks[part->count++];
}

static int add_record(const struct log_record *record, uint64_t offset, size_t bytes, void *arg)
{
	struct log_part *part = arg;
	struct log_block *block = part->count > 0 ? &part->blocks[part->count - 1] : NULL;
	struct log_place place = log_record_place(record);

	if (!block || block->bytes >= LOG_BLOCK_BYTES) {
		block = part_new_block(part);
		if (!block)
			return -ENOMEM;
		*block = (struct log_block){ .offset = offset, .earliest = place, .latest = place };
	}
	block->bytes += bytes;
	if (log_place_compare(place, block->earliest) < 0)
		block->earliest = place;
	if (log_place_compare(place, block->latest) > 0)
		block->latest = place;
	part->end = offset + bytes;
	part->last_offset = offset;
	part->last = place;
	return 0;
}

struct last_record {
	struct log_place place;
	bool found;
};

static int match_last(const struct log_record *record, uint64_t offset, size_t bytes, void *arg)
{
	struct last_record *last = arg;

	(void)offset;
	(void)bytes;
	last->found = log_place_compare(log_record_place(record), last->place) == 0;
	return 0;
}

/* A place is never given twice: where the last record still stands, all before it stands too. */
static int part_is_kept(const struct log_part *part, struct log_scanner *scanner, int fd)
{
	struct last_record last = { .place = part->last };
	int r = log_scan(scanner, fd, part->last_offset, part->end, match_last, &last);

	return r < 0 ? r : last.found;
}

static bool is_same_file(const struct log_part *part, const struct stat *st)
{
	return part->inode == st->st_ino && part->size == st->st_size &&
	       part->written.tv_sec == st->st_mtim.tv_sec &&
	       part->written.tv_nsec == st->st_mtim.tv_nsec;
}

bool log_part_is_current(const struct log_part *part, const struct stat *st)
{
	return part->settled && is_same_file(part, st);
}

int64_t log_quiet_since_us(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * USEC_PER_SEC + st->st_mtim.tv_nsec / 1000 +
	       LOG_MTIME_SLACK_US;
}

static int part_update(struct log_part *part, struct log_scanner *scanner, int fd)
{
	int64_t now_us = clock_realtime_us();
	struct stat st;
	int r = 1;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (part->count > 0)
		r = part_is_kept(part, scanner, fd);
	if (r == 0)
		part_forget(part);
	if (r >= 0)
		r = log_scan(scanner, fd, part->end, (uint64_t)st.st_size, add_record, part);
	if (r < 0)
		return r;
	part->inode = st.st_ino;
	part->size = st.st_size;
	part->written = st.st_mtim;
	part->settled = log_quiet_since_us(&st) < now_us;
	return 0;
}

int log_index_update(struct log_index *index, struct log_part *part, struct log_scanner *scanner,
		     int fd)
{
	uint64_t before = part_bytes(part);
	int r = part_update(part, scanner, fd);

	if (r < 0) {
		part_forget(part);
		part->settled = false;
	}
	index->bytes += part_bytes(part) - before;
	return r;
}
