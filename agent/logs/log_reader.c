/* SPDX-License-Identifier: Apache-2.0 */

/* Reads: one job brings the group's index up to date, goes through the blocks that can hold what is
 * wanted, the earliest first, and keeps the earliest events that fit the answer in a heap whose top
 * is the latest of them. It stops at the first block behind all that. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "agent/logs/log_internal.h"
#include "agent/logs/log_name.h"
#include "agent/logs/log_record.h"

struct entry {
	struct log_place place;
	char *stream; /* owned, as the text */
	uint8_t *text;
	size_t len;
};

struct read {
	struct job job;
	struct log_waiter waiter;
	struct log_turn turn;
	struct log_store *store;
	log_read_fn *done;
	void *arg;

	char *path; /* of the group */
	char *stream;
	int64_t start_us, end_us, ingested_before_us;
	struct log_place after; /* the token's; all zero without one: no event is that early */
	size_t limit;

	struct log_scanner scanner;

	struct entry *heap;
	size_t count;
	size_t capacity;
	size_t bytes;
	bool more; /* something was left out: nothing behind it may be in this answer */
	struct log_place more_place; /* the earliest of it */
	struct error error;
};

static void read_free(struct read *read)
{
	for (size_t i = 0; i < read->count; i++) {
		free(read->heap[i].stream);
		free(read->heap[i].text);
	}
	free(read->heap);
	log_scanner_clear(&read->scanner);
	free(read->path);
	free(read->stream);
	error_clear(&read->error);
	free(read);
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a;
	const struct entry *y = b;

	return log_place_compare(x->place, y->place);
}

/* -- the heap -- */

static void heap_swap(struct entry *a, struct entry *b)
{
	struct entry t = *a;

	*a = *b;
	*b = t;
}

static void heap_sink(struct read *read)
{
	for (size_t i = 0, child; (child = 2 * i + 1) < read->count; i = child) {
		if (child + 1 < read->count &&
		    compare_entries(&read->heap[child + 1], &read->heap[child]) > 0)
			child++;
		if (compare_entries(&read->heap[i], &read->heap[child]) >= 0)
			return;
		heap_swap(&read->heap[i], &read->heap[child]);
	}
}

static void leave_out(struct read *read, struct log_place place)
{
	if (!read->more || log_place_compare(place, read->more_place) < 0)
		read->more_place = place;
	read->more = true;
}

static bool is_behind(const struct read *read, struct log_place place)
{
	return read->more && log_place_compare(place, read->more_place) > 0;
}

static void heap_pop(struct read *read)
{
	struct entry *last = &read->heap[read->count - 1];

	leave_out(read, read->heap[0].place);
	heap_swap(&read->heap[0], last);
	read->bytes -= last->len;
	free(last->stream);
	free(last->text);
	read->count--;
	heap_sink(read);
}

static int heap_push(struct read *read, const char *stream, const struct log_record *record)
{
	struct entry entry = { .place = log_record_place(record), .len = record->text.len };

	if (read->count == read->capacity) {
		size_t capacity = read->capacity ? 2 * read->capacity : 64;
		struct entry *heap = reallocarray(read->heap, capacity, sizeof(*heap));

		if (!heap)
			return -ENOMEM;
		read->heap = heap;
		read->capacity = capacity;
	}
	entry.stream = strdup(stream);
	entry.text = malloc(entry.len + 1);
	if (!entry.stream || !entry.text) {
		free(entry.stream);
		free(entry.text);
		return -ENOMEM;
	}
	memcpy(entry.text, record->text.data, entry.len);
	entry.text[entry.len] = '\0';
	read->heap[read->count] = entry;
	read->bytes += entry.len;
	for (size_t i = read->count++; i > 0; i = (i - 1) / 2) {
		if (compare_entries(&read->heap[(i - 1) / 2], &read->heap[i]) >= 0)
			break;
		heap_swap(&read->heap[(i - 1) / 2], &read->heap[i]);
	}
	return 0;
}

/* -- records -- */

static bool is_wanted(const struct read *read, const struct log_record *record)
{
	if (record->time_us < read->start_us)
		return false;
	if (read->end_us > 0 && record->time_us >= read->end_us)
		return false;
	if (read->ingested_before_us > 0 && record->ingestion_us >= read->ingested_before_us)
		return false;
	return log_place_compare(log_record_place(record), read->after) > 0;
}

struct stream_read {
	struct read *read;
	char stream[LOG_STREAM_NAME_BYTES + LOG_GROUP_NAME_MAX];
};

static int read_record(const struct log_record *record, uint64_t offset, size_t bytes, void *arg)
{
	struct stream_read *from = arg;
	struct read *read = from->read;
	int r;

	(void)offset;
	(void)bytes;
	if (!is_wanted(read, record) || is_behind(read, log_record_place(record)))
		return 0;
	r = heap_push(read, from->stream, record);
	if (r < 0)
		return r;
	while (read->count > 1 && (read->count > read->limit || read->bytes > LOG_READ_MAX_BYTES))
		heap_pop(read);
	return 0;
}

static bool set_stream(struct stream_read *from, const char *name)
{
	return log_file_stream(name, from->stream, sizeof(from->stream));
}

/* -- files -- */

/* -ENOENT: trimmed away meanwhile. */
static int open_part(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

/* Beyond the bound of the index a file is gone through for each page. */
static int read_all(struct read *read, struct stream_read *from, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return log_scan(&read->scanner, fd, 0, (uint64_t)st.st_size, read_record, from);
}

static int look_at_part(struct read *read, struct stream_read *from, struct log_part *part,
			int dir_fd, const char *name)
{
	struct log_index *index = &read->turn.shelf->index;
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || log_quiet_since_us(&st) < read->start_us)
		return 0;
	if (part && log_part_is_current(part, &st)) {
		part->wanted = true;
		return 0;
	}
	fd = open_part(dir_fd, name);
	if (fd < 0)
		return fd;
	if (!part)
		part = log_index_add(index, name);
	if (!part)
		return read_all(read, from, fd);
	r = log_index_update(index, part, &read->scanner, fd);
	part->seen = part->wanted = r >= 0;
	return r;
}

static int look_at_folder(struct read *read, DIR *dir)
{
	struct log_index *index = &read->turn.shelf->index;
	struct stream_read from = { .read = read };
	struct log_part *part;
	struct dirent *entry;
	int r = 0;

	log_index_begin(index);
	while (r == 0 && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || !set_stream(&from, entry->d_name))
			continue;
		part = log_index_find(index, entry->d_name);
		if (part)
			part->seen = true;
		if (read->stream && strcmp(from.stream, read->stream) != 0)
			continue;
		r = look_at_part(read, &from, part, dirfd(dir), entry->d_name);
		r = r == -ENOENT ? 0 : r;
	}
	if (r == 0)
		log_index_sweep(index);
	return r;
}

/* -- blocks -- */

struct candidate {
	const struct log_part *part;
	const struct log_block *block;
};

static bool can_hold_wanted(const struct read *read, const struct log_block *block)
{
	return block->latest.time_us >= read->start_us &&
	       (read->end_us <= 0 || block->earliest.time_us < read->end_us) &&
	       log_place_compare(block->latest, read->after) > 0;
}

static size_t find_candidates(const struct read *read, struct candidate *out)
{
	const struct log_part *part = read->turn.shelf->index.parts;
	size_t count = 0;

	for (; part; part = part->hh.next) {
		for (size_t i = 0; part->wanted && i < part->count; i++) {
			if (!can_hold_wanted(read, &part->blocks[i]))
				continue;
			if (out)
				out[count] = (struct candidate){ part, &part->blocks[i] };
			count++;
		}
	}
	return count;
}

static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *x = a;
	const struct candidate *y = b;

	return log_place_compare(x->block->earliest, y->block->earliest);
}

static int read_block(struct read *read, int dir_fd, const struct candidate *candidate)
{
	const struct log_block *block = candidate->block;
	struct stream_read from = { .read = read };
	_cleanup_close_ int fd = open_part(dir_fd, candidate->part->name);

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if (!set_stream(&from, candidate->part->name))
		return 0;
	return log_scan(&read->scanner, fd, block->offset, block->offset + block->bytes,
			read_record, &from);
}

static int read_blocks(struct read *read, int dir_fd)
{
	size_t count = find_candidates(read, NULL);
	_cleanup_free_ struct candidate *candidates = calloc(count + 1, sizeof(*candidates));
	int r = 0;

	if (!candidates)
		return -ENOMEM;
	(void)find_candidates(read, candidates);
	qsort(candidates, count, sizeof(*candidates), compare_candidates);
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (is_behind(read, candidates[i].block->earliest))
			break;
		r = read_block(read, dir_fd, &candidates[i]);
	}
	return r;
}

static void read_work(struct job *job)
{
	struct read *read = container_of(job, struct read, job);
	DIR *dir = opendir(read->path);
	int r;

	if (!dir) {
		if (errno != ENOENT)
			(void)error_set_errno(&read->error, errno, "Cannot read the log group");
		log_index_clear(&read->turn.shelf->index);
		return;
	}
	r = look_at_folder(read, dir);
	if (r == 0)
		r = read_blocks(read, dirfd(dir));
	(void)closedir(dir);
	if (r < 0)
		(void)error_set_errno(&read->error, r, "Cannot read the log group");
	if (read->count > 0)
		qsort(read->heap, read->count, sizeof(*read->heap), compare_entries);
}

/* -- tokens -- */

#define TOKEN_BYTES 64

static void format_token(struct log_place place, char out[TOKEN_BYTES])
{
	(void)snprintf(out, TOKEN_BYTES, "%" PRId64 ".%" PRId64, place.time_us, place.ingestion_us);
}

/* Only what format_token() writes is one; what place it names is of no matter. */
static int parse_token(const char *token, struct log_place *ret, struct error *error)
{
	struct log_place place;
	char again[TOKEN_BYTES];
	char *end;

	place.time_us = strtoll(token, &end, 10);
	place.ingestion_us = *end == '.' ? strtoll(end + 1, NULL, 10) : 0;
	format_token(place, again);
	if (strcmp(token, again) != 0)
		return error_set(error, ERROR_INVALID_PARAMETER, "next_token",
				 "The next token is not one that this service gave.");
	*ret = place;
	return 0;
}

/* -- the read -- */

static void read_done(struct job *job)
{
	struct read *read = container_of(job, struct read, job);
	_cleanup_free_ struct log_event *events = calloc(read->count + 1, sizeof(*events));
	struct log_read_result result = { .events = events, .next_token = "" };
	char token[TOKEN_BYTES];

	if (!events && read->error.code == ERROR_NONE)
		(void)error_set_errno(&read->error, ENOMEM, "Cannot read the log group");
	for (size_t i = 0; events && i < read->count; i++)
		events[i] = (struct log_event){
			.stream = read->heap[i].stream,
			.time_us = read->heap[i].place.time_us,
			.ingestion_us = read->heap[i].place.ingestion_us,
			.text = slice_new(read->heap[i].text, read->heap[i].len),
		};
	if (read->error.code != ERROR_NONE) {
		result.error = &read->error;
	} else {
		result.count = read->count;
		if (read->more && read->count > 0) {
			format_token(read->heap[read->count - 1].place, token);
			result.next_token = token;
		}
	}
	read->done(&result, read->arg);
	read->store->counters.read_bytes += read->scanner.read_bytes;
	log_turn_leave(read->store, &read->turn);
	read_free(read);
}

static void read_submit(void *arg)
{
	struct read *read = arg;

	read->job = (struct job){ .work = read_work, .done = read_done };
	loop_submit(read->store->loop, &read->job);
}

static void read_start(void *arg)
{
	struct read *read = arg;

	if (log_turn_take(&read->turn))
		read_submit(read);
}

static int read_begin(struct read *read, struct error *error)
{
	struct log_store *store = read->store;
	int r = read->path ? log_turn_come(store, read->path, &read->turn) : -ENOMEM;

	if (r == 0) {
		r = log_store_wait(store, &read->waiter);
		if (r < 0)
			log_turn_leave(store, &read->turn);
	}
	return r < 0 ? error_set_errno(error, r, "Cannot read the log group") : 0;
}

int log_store_read(struct log_store *store, const struct log_read_request *request,
		   log_read_fn *done, void *arg, struct error *error)
{
	struct read *read = calloc(1, sizeof(*read));
	int r = 0;

	if (!read)
		return error_set_errno(error, ENOMEM, "Cannot read the log group");
	*read = (struct read){
		.store = store,
		.done = done,
		.arg = arg,
		.waiter = { .fn = read_start, .arg = read },
		.turn = { .fn = read_submit, .arg = read },
		.path = log_group_path(store, request->tenant, request->group),
		.start_us = request->start_us,
		.end_us = request->end_us,
		.ingested_before_us = request->ingested_before_us,
		.limit = request->limit > 0 && request->limit < LOG_READ_MAX_EVENTS
				 ? request->limit
				 : LOG_READ_MAX_EVENTS,
	};
	if (request->stream && request->stream[0] != '\0')
		read->stream = strdup(request->stream);
	if (request->token && request->token[0] != '\0')
		r = parse_token(request->token, &read->after, error);
	if (r == 0)
		r = read_begin(read, error);
	if (r < 0)
		read_free(read);
	return r;
}
