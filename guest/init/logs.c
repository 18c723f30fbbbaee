/* SPDX-License-Identifier: Apache-2.0 */

#include "logs.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "mayfly/clock.h"

#define READ_BYTES          (16U << 10)
#define TELEMETRY_MAX_BYTES (1U << 20)

static void on_timer(void *user)
{
	logs_send(user);
}

void logs_init(struct logs *logs, struct event_loop *loop, struct channel *channel)
{
	logs->loop = loop;
	logs->channel = channel;
	timer_add(loop, &logs->timer, on_timer, logs);
	for (unsigned i = 0; i < _LOGS_STREAMS; i++)
		logs->streams[i] = (struct logs_stream){
			.logs = logs,
			.source = EVENT_SOURCE_INIT,
			.kind = (enum logs_stream_kind)i,
		};
}

static int source_of(enum logs_stream_kind kind)
{
	static const int sources[_LOGS_STREAMS] = {
		[LOGS_STDOUT] = LOG_SOURCE(STDOUT),
		[LOGS_STDERR] = LOG_SOURCE(STDERR),
		[LOGS_TELEMETRY] = LOG_SOURCE(TELEMETRY),
	};

	return sources[kind];
}

static void reset_batch(struct logs *logs)
{
	logs->entries_len = 0;
	buf_reset(&logs->text);
	timer_disarm(&logs->timer);
}

static void drop_batch(struct logs *logs)
{
	logs->dropped_records += logs->entries_len;
	logs->dropped_bytes += logs->text.len;
	reset_batch(logs);
}

void logs_send(struct logs *logs)
{
	Mayfly__Guest__V1__LogRecord records[LOGS_BATCH_RECORDS];
	Mayfly__Guest__V1__LogRecord *pointers[LOGS_BATCH_RECORDS];
	Mayfly__Guest__V1__LogRecords batch = MAYFLY__GUEST__V1__LOG_RECORDS__INIT;

	if (logs->entries_len == 0 && logs->dropped_records == 0)
		return;
	if (channel_pending(logs->channel) > LOGS_BACKLOG_BYTES) {
		drop_batch(logs);
		timer_arm(&logs->timer, clock_monotonic_us() + LOGS_FLUSH_US);
		return;
	}
	for (size_t i = 0; i < logs->entries_len; i++) {
		const struct logs_entry *entry = &logs->entries[i];
		mayfly__guest__v1__log_record__init(&records[i]);
		records[i].time_us = entry->time_us;
		records[i].source = source_of(entry->kind);
		records[i].telemetry_type = entry->telemetry_type;
		records[i].data.data = logs->text.data + entry->offset;
		records[i].data.len = entry->len;
		pointers[i] = &records[i];
	}
	batch.n_records = logs->entries_len;
	batch.records = pointers;
	batch.dropped_records = logs->dropped_records;
	batch.dropped_bytes = logs->dropped_bytes;
	guest_message message = GUEST_MESSAGE(.logs = &batch, LOGS);
	if (channel_send(logs->channel, &message) < 0) {
		drop_batch(logs);
		return;
	}
	logs->dropped_records = 0;
	logs->dropped_bytes = 0;
	reset_batch(logs);
}

void logs_add(struct logs *logs, enum logs_stream_kind kind, uint32_t telemetry_type,
	      struct slice text, int64_t time_us)
{
	if (logs->discard)
		return;
	if (logs->entries_len == LOGS_BATCH_RECORDS ||
	    logs->text.len + text.len > LOGS_BATCH_BYTES + LOGS_RECORD_BYTES)
		logs_send(logs);
	size_t offset = logs->text.len;
	if (buf_append(&logs->text, text.data, text.len) < 0) {
		logs->dropped_records++;
		logs->dropped_bytes += text.len;
		return;
	}
	logs->entries[logs->entries_len++] = (struct logs_entry){
		.time_us = time_us,
		.telemetry_type = telemetry_type,
		.kind = kind,
		.offset = offset,
		.len = text.len,
	};
	if (logs->text.len > LOGS_BATCH_BYTES)
		logs_send(logs);
	else if (logs->timer.at_us == 0)
		timer_arm(&logs->timer, clock_monotonic_us() + LOGS_FLUSH_US);
}

static void add_split(struct logs_stream *stream, uint32_t type, struct slice text, int64_t time_us)
{
	do {
		size_t len = text.len < LOGS_RECORD_BYTES ? text.len : LOGS_RECORD_BYTES;
		logs_add(stream->logs, stream->kind, type, slice_new(text.data, len), time_us);
		text = slice_new(text.data + len, text.len - len);
	} while (text.len > 0);
}

static void emit_partial(struct logs_stream *stream, int64_t time_us)
{
	if (stream->partial.len == 0)
		return;
	add_split(stream, 0, buf_slice(&stream->partial), time_us);
	buf_reset(&stream->partial);
	if (stream->partial.capacity > READ_BYTES)
		buf_free(&stream->partial);
}

static void keep_partial(struct logs_stream *stream, struct slice rest, int64_t time_us)
{
	if (rest.len == 0)
		return;
	if (buf_append(&stream->partial, rest.data, rest.len) < 0) {
		stream->logs->dropped_records++;
		stream->logs->dropped_bytes += rest.len;
		return;
	}
	if (stream->kind != LOGS_TELEMETRY && stream->partial.len >= LOGS_RECORD_BYTES)
		emit_partial(stream, time_us);
}

static void feed_lines(struct logs_stream *stream, struct slice bytes, int64_t time_us)
{
	while (bytes.len > 0) {
		const uint8_t *end = memchr(bytes.data, '\n', bytes.len);
		if (!end) {
			keep_partial(stream, bytes, time_us);
			return;
		}
		size_t len = (size_t)(end - bytes.data);
		if (stream->partial.len > 0) {
			keep_partial(stream, slice_new(bytes.data, len), time_us);
			emit_partial(stream, time_us);
		} else {
			add_split(stream, 0, slice_new(bytes.data, len), time_us);
		}
		bytes = slice_new(end + 1, bytes.len - len - 1);
	}
}

static void feed_frames(struct logs_stream *stream, struct slice bytes, int64_t time_us)
{
	keep_partial(stream, bytes, time_us);

	size_t offset = 0;
	for (;;) {
		struct telemetry_frame frame;
		struct slice rest =
			slice_new(stream->partial.data + offset, stream->partial.len - offset);
		int r = telemetry_parse(rest, TELEMETRY_MAX_BYTES, &frame);
		if (r == 0)
			break;
		if (r < 0) {
			/* Not frames: kept as text, so that nothing a function says is lost. */
			add_split(stream, 0, rest, time_us);
			offset += rest.len;
			break;
		}
		size_t len = frame.message.len;
		if (len > 0 && frame.message.data[len - 1] == '\n')
			len--;
		add_split(stream, frame.type, slice_new(frame.message.data, len), time_us);
		offset += frame.consumed;
	}
	buf_consume(&stream->partial, offset);
}

void logs_feed(struct logs_stream *stream, struct slice bytes, int64_t time_us)
{
	if (stream->kind == LOGS_TELEMETRY)
		feed_frames(stream, bytes, time_us);
	else
		feed_lines(stream, bytes, time_us);
}

/* Returns how many bytes were read; at most `max`. */
static size_t read_stream(struct logs_stream *stream, size_t max)
{
	uint8_t bytes[READ_BYTES];
	size_t total = 0;

	while (stream->source.fd >= 0 && total < max) {
		ssize_t n = read(stream->source.fd, bytes, sizeof(bytes));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			event_close(stream->logs->loop, &stream->source);
			break;
		}
		logs_feed(stream, slice_new(bytes, (size_t)n), clock_realtime_us());
		total += (size_t)n;
		/* A short read has emptied the pipe. */
		if ((size_t)n < sizeof(bytes))
			break;
	}
	return total;
}

static void on_readable(struct event_source *source, uint32_t events, void *user)
{
	(void)source;
	(void)events;
	(void)read_stream(user, 4 * READ_BYTES);
}

int logs_open_pipes(struct logs *logs, int ret_fds[_LOGS_STREAMS])
{
	logs_close_pipes(logs);
	for (unsigned i = 0; i < _LOGS_STREAMS; i++)
		ret_fds[i] = -1;
	for (unsigned i = 0; i < _LOGS_STREAMS; i++) {
		struct logs_stream *stream = &logs->streams[i];
		int ends[2];

		if (pipe2(ends, O_CLOEXEC) < 0)
			return -errno;
		ret_fds[i] = ends[1];
		(void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
		int r = event_add(logs->loop, &stream->source, ends[0], EPOLLIN, on_readable,
				  stream);
		if (r < 0) {
			(void)close(ends[0]);
			return r;
		}
	}
	return 0;
}

void logs_finish(struct logs *logs)
{
	int64_t now = clock_realtime_us();

	for (unsigned i = 0; i < _LOGS_STREAMS; i++) {
		struct logs_stream *stream = &logs->streams[i];
		(void)read_stream(stream, LOGS_DRAIN_BYTES);
		if (stream->kind != LOGS_TELEMETRY)
			emit_partial(stream, now);
	}
	logs_send(logs);
}

void logs_close_pipes(struct logs *logs)
{
	logs_finish(logs);
	for (unsigned i = 0; i < _LOGS_STREAMS; i++) {
		event_close(logs->loop, &logs->streams[i].source);
		buf_free(&logs->streams[i].partial);
	}
}
