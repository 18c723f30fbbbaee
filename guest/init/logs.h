/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Captures what the function's processes write to stdout, stderr and the telemetry descriptor:
 * one record per line (or telemetry frame), stamped when read, batched into LogRecords.
 * Bounded everywhere: what does not fit is dropped and counted. */

#include "channel.h"
#include "event.h"
#include "mayfly/buf.h"
#include "telemetry.h"

#define LOGS_RECORD_BYTES  (256U << 10) /* longer lines are split */
#define LOGS_BATCH_BYTES   (128U << 10)
#define LOGS_BATCH_RECORDS 512
#define LOGS_BACKLOG_BYTES (8U << 20) /* of the channel; above it records are dropped */
#define LOGS_DRAIN_BYTES   (1U << 20) /* read at most at an invocation's end, per stream */
#define LOGS_FLUSH_US      20000

enum logs_stream_kind { LOGS_STDOUT, LOGS_STDERR, LOGS_TELEMETRY, _LOGS_STREAMS };

struct logs;

struct logs_stream {
	struct logs *logs; /* weak: its owner */
	struct event_source source;
	enum logs_stream_kind kind;
	struct buf partial; /* the line or frame that is not complete yet */
};

struct logs_entry {
	int64_t time_us;
	uint32_t telemetry_type;
	enum logs_stream_kind kind;
	size_t offset;
	size_t len;
};

struct logs {
	struct event_loop *loop; /* borrowed for life */
	struct channel *channel; /* borrowed for life */
	struct event_timer timer;
	struct logs_stream streams[_LOGS_STREAMS];
	struct buf text;
	struct logs_entry entries[LOGS_BATCH_RECORDS];
	size_t entries_len;
	uint64_t dropped_records;
	uint64_t dropped_bytes;
	bool discard; /* while warming: what the shim's own ping prints is nobody's log */
};

void logs_init(struct logs *logs, struct event_loop *loop, struct channel *channel);

/* New pipes; `ret_fds` are the write ends for a new process, to be closed after the fork. */
int logs_open_pipes(struct logs *logs, int ret_fds[_LOGS_STREAMS]) _must_use_;

/* Reads what is there, emits unfinished lines too, and sends everything. */
void logs_finish(struct logs *logs);

/* logs_finish() and closes the pipes. */
void logs_close_pipes(struct logs *logs);

/* Takes bytes of one stream as read at `time_us`; the readers' and the fuzzer's door. */
void logs_feed(struct logs_stream *stream, struct slice bytes, int64_t time_us);

/* One record; sends the batch first when it does not fit. */
void logs_add(struct logs *logs, enum logs_stream_kind kind, uint32_t telemetry_type,
	      struct slice text, int64_t time_us);

/* Queues the batch on the channel. */
void logs_send(struct logs *logs);
