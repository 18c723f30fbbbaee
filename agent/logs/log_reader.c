/* SPDX-License-Identifier: Apache-2.0 */

/* Reads: one job goes through a group's files and keeps the earliest events that fit the answer, in
 * a heap whose top is the latest of them. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "agent/logs/log_internal.h"
#include "agent/logs/log_name.h"
#include "agent/logs/log_record.h"
#include "mayfly/clock.h"

#define MTIME_SLACK_US USEC_PER_SEC /* file times have the kernel's coarse clock */

struct entry {
	int64_t time_us;
	int64_t ingestion_us;
	char *stream; /* owned, as the text */
	uint8_t *text;
	size_t len;
};

struct read {
	struct job job;
	struct log_waiter waiter;
	struct loop *loop;
	log_read_fn *done;
	void *arg;

	char *path; /* of the group */
	char *stream;
	int64_t start_us, end_us, ingested_before_us;
	int64_t after_time_us, after_ingestion_us; /* the token's */
	bool has_token;
	size_t limit;

	struct entry *heap;
	size_t count;
	size_t capacity;
	size_t bytes;
	bool more; /* something was left out: nothing behind it may be in this answer */
	int64_t more_time_us, more_ingestion_us; /* the earliest of it */
	struct error error;
};

static void read_free(struct read *read)
{
	for (size_t i = 0; i < read->count; i++) {
		free(read->heap[i].stream);
		free(read->heap[i].text);
	}
	free(read->heap);
	free(read->path);
	free(read->stream);
	error_clear(&read->error);
	free(read);
}

static int compare_place(int64_t a_time, int64_t a_ingestion, int64_t b_time, int64_t b_ingestion)
{
	if (a_time != b_time)
		return a_time < b_time ? -1 : 1;
	if (a_ingestion != b_ingestion)
		return a_ingestion < b_ingestion ? -1 : 1;
	return 0;
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a;
	const struct entry *y = b;

	return compare_place(x->time_us, x->ingestion_us, y->time_us, y->ingestion_us);
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

static void leave_out(struct read *read, int64_t time_us, int64_t ingestion_us)
{
	if (!read->more ||
	    compare_place(time_us, ingestion_us, read->more_time_us, read->more_ingestion_us) < 0) {
		read->more_time_us = time_us;
		read->more_ingestion_us = ingestion_us;
	}
	read->more = true;
}

static void heap_pop(struct read *read)
{
	struct entry *last = &read->heap[read->count - 1];

	leave_out(read, read->heap[0].time_us, read->heap[0].ingestion_us);
	heap_swap(&read->heap[0], last);
	read->bytes -= last->len;
	free(last->stream);
	free(last->text);
	read->count--;
	heap_sink(read);
}

static int heap_push(struct read *read, const char *stream, const struct log_record *record)
{
	struct entry entry = { .time_us = record->time_us,
			       .ingestion_us = record->ingestion_us,
			       .len = record->text.len };

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

/* -- files -- */

static bool is_wanted(const struct read *read, const struct log_record *record)
{
	if (record->time_us < read->start_us)
		return false;
	if (read->end_us > 0 && record->time_us >= read->end_us)
		return false;
	if (read->ingested_before_us > 0 && record->ingestion_us >= read->ingested_before_us)
		return false;
	return !read->has_token || compare_place(record->time_us, record->ingestion_us,
						 read->after_time_us, read->after_ingestion_us) > 0;
}

static int read_record(struct read *read, const char *stream, const struct log_record *record)
{
	int r;

	if (!is_wanted(read, record))
		return 0;
	if (read->more && compare_place(record->time_us, record->ingestion_us, read->more_time_us,
					read->more_ingestion_us) > 0)
		return 0;
	r = heap_push(read, stream, record);
	if (r < 0)
		return r;
	while (read->count > 1 && (read->count > read->limit || read->bytes > LOG_READ_MAX_BYTES))
		heap_pop(read);
	return 0;
}

static int read_records(struct read *read, const char *stream, struct slice in)
{
	struct log_record record;
	size_t consumed;
	int r = 0;

	/* Whatever does not parse is the torn end. */
	while (r == 0 && log_record_parse(in, &record, &consumed) > 0) {
		r = read_record(read, stream, &record);
		in = slice_new(in.data + consumed, in.len - consumed);
	}
	return r;
}

/* Not mapped: a failed append is cut off again, which would pull the pages from under us. */
static int read_content(struct read *read, const char *stream, int fd, size_t size)
{
	_cleanup_free_ uint8_t *content = malloc(size + 1);
	size_t len = 0;
	ssize_t n;

	if (!content)
		return -ENOMEM;
	while (len < size && (n = pread(fd, content + len, size - len, (off_t)len)) != 0) {
		if (n < 0 && errno != EINTR)
			return -errno;
		len += n > 0 ? (size_t)n : 0;
	}
	return read_records(read, stream, slice_new(content, len));
}

static int read_file(struct read *read, int dir_fd, const char *name)
{
	_cleanup_close_ int fd = -1;
	char stream[LOG_STREAM_NAME_BYTES + LOG_GROUP_NAME_MAX];
	struct stat st;

	if (!log_file_stream(name, stream, sizeof(stream)) ||
	    (read->stream && strcmp(stream, read->stream) != 0))
		return 0;
	fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno; /* trimmed away meanwhile */
	if (fstat(fd, &st) < 0)
		return -errno;
	if ((int64_t)st.st_mtim.tv_sec * USEC_PER_SEC + st.st_mtim.tv_nsec / 1000 + MTIME_SLACK_US <
	    read->start_us)
		return 0;
	return read_content(read, stream, fd, (size_t)st.st_size);
}

static void read_work(struct job *job)
{
	struct read *read = container_of(job, struct read, job);
	DIR *dir = opendir(read->path);
	int r = 0;

	if (!dir) {
		if (errno != ENOENT)
			(void)error_set_errno(&read->error, errno, "Cannot read the log group");
		return;
	}
	for (struct dirent *entry; r == 0 && (entry = readdir(dir));)
		if (entry->d_name[0] != '.')
			r = read_file(read, dirfd(dir), entry->d_name);
	(void)closedir(dir);
	if (r < 0)
		(void)error_set_errno(&read->error, r, "Cannot read the log group");
	if (read->count > 0)
		qsort(read->heap, read->count, sizeof(*read->heap), compare_entries);
}

static void read_done(struct job *job)
{
	struct read *read = container_of(job, struct read, job);
	_cleanup_free_ struct log_event *events = calloc(read->count + 1, sizeof(*events));
	struct log_read_result result = { .events = events, .next_token = "" };
	char token[64];

	if (!events && read->error.code == ERROR_NONE)
		(void)error_set_errno(&read->error, ENOMEM, "Cannot read the log group");
	for (size_t i = 0; events && i < read->count; i++)
		events[i] = (struct log_event){
			.stream = read->heap[i].stream,
			.time_us = read->heap[i].time_us,
			.ingestion_us = read->heap[i].ingestion_us,
			.text = slice_new(read->heap[i].text, read->heap[i].len),
		};
	if (read->error.code != ERROR_NONE) {
		result.error = &read->error;
	} else {
		result.count = read->count;
		if (read->more && read->count > 0) {
			const struct log_event *last = &events[read->count - 1];

			(void)snprintf(token, sizeof(token), "%" PRId64 ".%" PRId64, last->time_us,
				       last->ingestion_us);
			result.next_token = token;
		}
	}
	read->done(&result, read->arg);
	read_free(read);
}

static void read_start(void *arg)
{
	struct read *read = arg;

	read->job = (struct job){ .work = read_work, .done = read_done };
	loop_submit(read->loop, &read->job);
}

static int read_parse_token(struct read *read, const char *token, struct error *error)
{
	char *end = NULL;

	if (!token || token[0] == '\0')
		return 0;
	errno = 0;
	read->after_time_us = strtoll(token, &end, 10);
	if (end != token && *end == '.' && errno == 0) {
		const char *second = end + 1;

		read->after_ingestion_us = strtoll(second, &end, 10);
		if (end != second && *end == '\0' && errno == 0) {
			read->has_token = true;
			return 0;
		}
	}
	return error_set(error, ERROR_INVALID_PARAMETER, "next_token",
			 "The next token is not one that this service gave.");
}

int log_store_read(struct log_store *store, const struct log_read_request *request,
		   log_read_fn *done, void *arg, struct error *error)
{
	struct read *read = calloc(1, sizeof(*read));
	int r;

	if (!read)
		return error_set_errno(error, ENOMEM, "Cannot read the log group");
	*read = (struct read){
		.loop = store->loop,
		.done = done,
		.arg = arg,
		.waiter = { .fn = read_start, .arg = read },
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
	r = read->path ? read_parse_token(read, request->token, error) : -ENOMEM;
	if (r >= 0)
		r = log_store_wait(store, &read->waiter);
	if (r < 0) {
		(void)error_set_errno(error, r, "Cannot read the log group");
		read_free(read);
	}
	return r;
}
