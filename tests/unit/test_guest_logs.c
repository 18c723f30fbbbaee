/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_init_core

/* Log capture: lines, frames, limits, drops; and the channel that carries them. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest/init/logs.h"
#include "mayfly/frame.h"

struct world {
	struct event_loop loop;
	struct channel channel;
	struct logs logs;
	int peer;
	struct buf in;
	guest_message *message;
};

static void on_message(const host_message *message, void *user)
{
	(void)message;
	(void)user;
}

static void on_broken(const char *reason, void *user)
{
	(void)reason;
	(void)user;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	int fds[2];

	assert_non_null(w);
	assert_int_equal(event_loop_open(&w->loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(channel_open(&w->channel, &w->loop, fds[0], on_message, on_broken, w), 0);
	logs_init(&w->logs, &w->loop, &w->channel);
	w->peer = fds[1];
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	logs_close_pipes(&w->logs);
	buf_free(&w->logs.text);
	channel_close(&w->channel);
	event_loop_close(&w->loop);
	(void)close(w->peer);
	buf_free(&w->in);
	if (w->message)
		mayfly__guest__v1__guest_message__free_unpacked(w->message, NULL);
	free(w);
	return 0;
}

/* The next LogRecords; borrowed until the next call. NULL when there is none. */
static const Mayfly__Guest__V1__LogRecords *receive(struct world *w)
{
	static char bytes[65536];
	struct slice body;
	size_t consumed;
	ssize_t n;

	do {
		channel_flush(&w->channel);
		while ((n = recv(w->peer, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
			assert_int_equal(buf_append(&w->in, bytes, (size_t)n), 0);
	} while (channel_pending(&w->channel) > 0);
	if (frame_parse(buf_slice(&w->in), &body, &consumed) != 1)
		return NULL;
	if (w->message)
		mayfly__guest__v1__guest_message__free_unpacked(w->message, NULL);
	w->message = mayfly__guest__v1__guest_message__unpack(NULL, body.len, body.data);
	buf_consume(&w->in, consumed);
	assert_non_null(w->message);
	assert_int_equal(w->message->kind_case, MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_LOGS);
	return w->message->logs;
}

static void feed(struct world *w, enum logs_stream_kind kind, const char *text)
{
	logs_feed(&w->logs.streams[kind], slice_from_string(text), 77);
}

static void assert_record(const Mayfly__Guest__V1__LogRecord *record, int source, const char *text)
{
	assert_int_equal(record->source, source);
	assert_int_equal(record->data.len, strlen(text));
	assert_memory_equal(record->data.data, text, strlen(text));
}

static void test_lines(void **state)
{
	struct world *w = *state;

	feed(w, LOGS_STDOUT, "one\n\ntw");
	feed(w, LOGS_STDERR, "err\n");
	feed(w, LOGS_STDOUT, "o\nunfinished");
	logs_finish(&w->logs);
	const Mayfly__Guest__V1__LogRecords *records = receive(w);
	assert_int_equal(records->n_records, 5);
	assert_record(records->records[0], LOG_SOURCE(STDOUT), "one");
	assert_record(records->records[1], LOG_SOURCE(STDOUT), "");
	assert_record(records->records[2], LOG_SOURCE(STDERR), "err");
	assert_record(records->records[3], LOG_SOURCE(STDOUT), "two");
	assert_record(records->records[4], LOG_SOURCE(STDOUT), "unfinished");
	assert_int_equal(records->records[0]->time_us, 77);
	assert_null(receive(w));
}

static void test_long_lines_are_split(void **state)
{
	struct world *w = *state;
	size_t len = 2 * LOGS_RECORD_BYTES + 10, got = 0, count = 0;
	char *text = malloc(len + 2);

	assert_non_null(text);
	memset(text, 'x', len);
	text[len] = '\n';
	text[len + 1] = '\0';
	for (size_t at = 0; at < len + 1; at += 10000)
		logs_feed(&w->logs.streams[LOGS_STDOUT],
			  slice_new(text + at, len + 1 - at < 10000 ? len + 1 - at : 10000), 1);
	logs_finish(&w->logs);
	free(text);
	for (const Mayfly__Guest__V1__LogRecords *r; (r = receive(w));)
		for (size_t i = 0; i < r->n_records; i++, count++) {
			assert_true(r->records[i]->data.len <= LOGS_RECORD_BYTES);
			got += r->records[i]->data.len;
		}
	assert_int_equal(got, len);
	assert_int_equal(count, 3);
}

/* A telemetry frame with a three-byte message. */
#define FRAME                                                                                      \
	"\xa5\x5a\x00\x0f\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x09"                         \
	"a\nb"

static void test_telemetry_frames(void **state)
{
	struct world *w = *state;
	static const char bytes[] = FRAME FRAME "no frame";

	for (size_t i = 0; i + 1 < sizeof(bytes); i++)
		logs_feed(&w->logs.streams[LOGS_TELEMETRY], slice_new(bytes + i, 1), 5);
	logs_finish(&w->logs);
	const Mayfly__Guest__V1__LogRecords *records = receive(w);
	assert_int_equal(records->n_records, 2 + 2);
	assert_record(records->records[0], LOG_SOURCE(TELEMETRY), "a\nb");
	assert_record(records->records[1], LOG_SOURCE(TELEMETRY), "a\nb");
	assert_int_equal(records->records[0]->telemetry_type, 0xa55a000f);
	assert_int_equal(records->records[2]->telemetry_type, 0);
}

static void test_telemetry_parse(void **state)
{
	struct telemetry_frame frame;
	struct slice in = slice_new(FRAME, sizeof(FRAME) - 1);

	(void)state;
	for (size_t len = 0; len < in.len; len++)
		assert_int_equal(telemetry_parse(slice_new(in.data, len), 100, &frame), 0);
	assert_int_equal(telemetry_parse(in, 100, &frame), 1);
	assert_int_equal(frame.time_us, 9);
	assert_int_equal(frame.consumed, in.len);
	assert_int_equal(telemetry_parse(in, 2, &frame), -EBADMSG);
	assert_int_equal(telemetry_parse(slice_from_string("abcd"), 100, &frame), -EBADMSG);
}

static void test_pipes(void **state)
{
	struct world *w = *state;
	int fds[_LOGS_STREAMS];

	assert_int_equal(logs_open_pipes(&w->logs, fds), 0);
	assert_int_equal(write(fds[LOGS_STDERR], "hello\n", 6), 6);
	assert_int_equal(event_loop_step(&w->loop, 100000), 0);
	/* Not sent at once: more may follow. */
	assert_null(receive(w));
	assert_int_equal(write(fds[LOGS_STDERR], "again", 5), 5);
	logs_finish(&w->logs);
	const Mayfly__Guest__V1__LogRecords *records = receive(w);
	assert_int_equal(records->n_records, 2);
	assert_record(records->records[1], LOG_SOURCE(STDERR), "again");
	for (unsigned i = 0; i < _LOGS_STREAMS; i++)
		(void)close(fds[i]);
}

static void test_timer_sends(void **state)
{
	struct world *w = *state;
	const Mayfly__Guest__V1__LogRecords *records = NULL;

	feed(w, LOGS_STDOUT, "x\n");
	for (int i = 0; i < 100 && !(records = receive(w)); i++)
		assert_int_equal(event_loop_step(&w->loop, 10000), 0);
	assert_non_null(records);
}

static void test_flood_is_dropped_and_counted(void **state)
{
	struct world *w = *state;
	char line[1025];
	uint64_t records = 0, dropped = 0;
	const unsigned lines = 40000;

	memset(line, 'y', 1023);
	line[1023] = '\n';
	line[1024] = '\0';
	/* Nobody reads the channel meanwhile. */
	for (unsigned i = 0; i < lines; i++)
		feed(w, LOGS_STDOUT, line);
	assert_true(channel_pending(&w->channel) < LOGS_BACKLOG_BYTES + (1U << 20));
	for (const Mayfly__Guest__V1__LogRecords *r; (r = receive(w));)
		records += r->n_records;
	logs_finish(&w->logs);
	for (const Mayfly__Guest__V1__LogRecords *r; (r = receive(w));) {
		records += r->n_records;
		dropped += r->dropped_records;
	}
	assert_true(dropped > 0);
	assert_int_equal(records + dropped, lines);
}

static void test_discard(void **state)
{
	struct world *w = *state;

	w->logs.discard = true;
	feed(w, LOGS_STDOUT, "ping\n");
	logs_finish(&w->logs);
	assert_null(receive(w));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_lines),
		T(test_long_lines_are_split),
		T(test_telemetry_frames),
		T(test_telemetry_parse),
		T(test_pipes),
		T(test_timer_sends),
		T(test_flood_is_dropped_and_counted),
		T(test_discard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
