/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Function logs: per tenant and group a folder, per stream (one sandbox) one or more part files of
 * records. Writes are gathered and appended by jobs, so the loop never waits for a disk; a full
 * disk costs log records, never an invocation. All calls and callbacks: loop thread. */

#include <stdint.h>

#include "agent/core/loop.h"
#include "agent/logs/log_lines.h"
#include "mayfly/buf.h"
#include "mayfly/error.h"

#define LOG_EVENT_MAX_BYTES   (1U << 20) /* longer texts are cut */
#define LOG_GROUP_NAME_MAX    512
#define LOG_STREAM_NAME_BYTES 192 /* with NUL */

struct log_store;
struct log_stream;

struct log_store_config {
	const char *directory;      /* STATE/logs; made when it is not there */
	uint64_t part_max_bytes;    /* of one file; 0: 8 MiB */
	uint64_t group_max_bytes;   /* beyond it the oldest files go; 0: 256 MiB */
	uint64_t tenant_max_bytes;  /* likewise, of all groups of a tenant together, and 4 KiB for
				       each file and folder; 0: 4 GiB */
	uint64_t waiting_max_bytes; /* not yet written, of all streams; 0: 32 MiB */
	uint64_t index_max_bytes;   /* of memory, to read quickly; 0: 16 MiB */
	int64_t flush_after_us;     /* 0: 20 ms */
};

int log_store_open(const struct log_store_config *config, struct loop *loop, struct log_store **ret,
		   struct error *error) _must_use_;

/* Writes what waits and calls done(arg) when it is on its way to the disk; for a clean stop. */
void log_store_flush(struct log_store *store, loop_fn *done, void *arg);

/* After the loop ended; what still waits is written here, blocking. Streams, tails and reads
 * must be gone. Copes with NULL. */
struct log_store *log_store_close(struct log_store *store);
DEFINE_CLEANUP(struct log_store, log_store_close)

/* The group of a function: `configured`, or /aws/lambda/NAME when that is NULL or empty. */
void log_group_name(const char *function_name, const char *configured,
		    char out[LOG_GROUP_NAME_MAX + 1]);

/* YYYY/MM/DD/[VERSION]ID, or with a group of the user's choice YYYY/MM/DD/NAME[VERSION][ID]. */
void log_stream_name(int64_t realtime_us, const char *function_name, const char *version,
		     const char *sandbox_id, const char *configured_group,
		     char out[LOG_STREAM_NAME_BYTES]);

/* A stream to append to. Its file is made with the first record. */
int log_stream_open(struct log_store *store, const char *tenant, const char *group,
		    const char *name, struct log_stream **ret) _must_use_;
/* What had to be dropped is said in the stream as soon as it can be, in this style; text at first.
 */
void log_stream_set_style(struct log_stream *stream, struct line_style style);
struct log_stream *log_stream_close(struct log_stream *stream);
DEFINE_CLEANUP(struct log_stream, log_stream_close)

/* One event; closing newlines are taken off. Never fails: what cannot be kept is dropped and
 * counted. */
void log_stream_write(struct log_stream *stream, int64_t realtime_us, struct slice text);

/* The same of what a guest says, whose clock may be some milliseconds behind ours: never earlier
 * than the event before it in the stream, or it would be read before the START that it follows. */
void log_stream_write_guest(struct log_stream *stream, int64_t realtime_us, struct slice text);

/* Collects the last `max` bytes of what is written from here on (an invocation's log result);
 * log_stream_capture_end() appends them to `to` (may be NULL) and stops. */
void log_stream_capture_begin(struct log_stream *stream, size_t max);
void log_stream_capture_end(struct log_stream *stream, struct buf *to);

/* One event as it is read or heard. Borrowed during the call. */
struct log_event {
	const char *stream;
	int64_t time_us;      /* realtime, as the writer said */
	int64_t ingestion_us; /* unique in this store and growing */
	struct slice text;
};

#define LOG_READ_MAX_EVENTS 10000
#define LOG_READ_MAX_BYTES  (1U << 20)

struct log_read_request {
	const char *tenant;
	const char *group;
	const char *stream;         /* NULL or "": all */
	int64_t start_us;           /* inclusive */
	int64_t end_us;             /* exclusive; 0: no end */
	int64_t ingested_before_us; /* exclusive; 0: no end */
	unsigned limit;             /* 0: LOG_READ_MAX_EVENTS */
	const char *token;          /* NULL or "": from the beginning */
};

struct log_read_result {
	const struct error *error; /* NULL when all is well */
	const struct log_event *events;
	size_t count;
	const char *next_token; /* "" when there is no more */
};

/* Reads events in order of time, all that was written before the call included. `done` comes
 * once; the result is borrowed during it. The request is copied. A group nobody wrote to has no
 * events. -EINVAL with `error` set for a bad token. A token is a place in the order: it stays good
 * whatever is written or trimmed between pages, and with other filters. The first read of a group
 * goes through its files; a page after that costs about what it answers with. */
typedef void log_read_fn(const struct log_read_result *result, void *arg);
int log_store_read(struct log_store *store, const struct log_read_request *request,
		   log_read_fn *done, void *arg, struct error *error) _must_use_;

/* Hears a group's events as they are written, in batches from the loop. `*ret_since_us` is where
 * it begins: events with ingestion_us before it are to be read with ingested_before_us. */
struct log_tail;
typedef void log_tail_fn(const struct log_event *event, void *arg);
int log_tail_start(struct log_store *store, const char *tenant, const char *group, log_tail_fn *fn,
		   void *arg, struct log_tail **ret, int64_t *ret_since_us) _must_use_;
struct log_tail *log_tail_stop(struct log_tail *tail);

struct log_store_counters {
	uint64_t records;
	uint64_t bytes;
	uint64_t dropped_records; /* disk full, or too many waiting */
	uint64_t dropped_bytes;
	uint64_t read_bytes; /* of files, by reads */
};
struct log_store_counters log_store_counters(const struct log_store *store);
