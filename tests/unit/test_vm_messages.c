/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_vm

/* What a hostile guest or QEMU may say: checked messages, monitor lines, and both connections
 * driven over a socket pair. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "agent/vm/channel.h"
#include "agent/vm/qmp.h"
#include "mayfly/clock.h"
#include "mayfly/frame.h"

typedef Mayfly__Guest__V1__GuestMessage guest_message;

static char *text_of(const char *text)
{
	return (char *)(uintptr_t)text;
}

static int parse_packed(const guest_message *message, guest_message **ret)
{
	uint8_t bytes[4096];
	size_t len = mayfly__guest__v1__guest_message__get_packed_size(message);

	assert_true(len <= sizeof(bytes));
	(void)mayfly__guest__v1__guest_message__pack(message, bytes);
	return guest_message_parse(slice_new(bytes, len), ret);
}

static int parse_fatal(const char *text)
{
	Mayfly__Guest__V1__Fatal fatal = MAYFLY__GUEST__V1__FATAL__INIT;
	guest_message message = MAYFLY__GUEST__V1__GUEST_MESSAGE__INIT;
	guest_message *parsed = NULL;
	int r;

	fatal.message = text_of(text);
	message.kind_case = MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_FATAL;
	message.fatal = &fatal;
	r = parse_packed(&message, &parsed);
	if (r >= 0) {
		assert_string_equal(parsed->fatal->message, text);
		mayfly__guest__v1__guest_message__free_unpacked(parsed, NULL);
	}
	return r;
}

static void text_must_be_utf8(void **state _unused_)
{
	static const char *const good[] = {
		"", "plain", "caf\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\xa6\x8b", "two\nlines\t"
	};
	static const char *const bad[] = {
		"\xff",     "\xc3",     "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
		"\xe2\x82", "\x1b[31m", "\x7f",     "\x80",
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(parse_fatal(good[i]), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse_fatal(bad[i]), -EBADMSG);
}

static void outcomes_are_checked(void **state _unused_)
{
	Mayfly__Guest__V1__Outcome outcome = MAYFLY__GUEST__V1__OUTCOME__INIT;
	Mayfly__Guest__V1__InvocationDone done = MAYFLY__GUEST__V1__INVOCATION_DONE__INIT;
	guest_message message = MAYFLY__GUEST__V1__GUEST_MESSAGE__INIT;
	guest_message *parsed = NULL;

	message.kind_case = MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_INVOCATION_DONE;
	message.invocation_done = &done;
	done.request_id = text_of("01234567-89ab-4cde-8f01-23456789abcd");
	assert_int_equal(parse_packed(&message, &parsed), -EBADMSG); /* no outcome */
	done.outcome = &outcome;
	assert_int_equal(parse_packed(&message, &parsed), -EBADMSG); /* unspecified */
	outcome.status = (Mayfly__Guest__V1__Status)99;
	assert_int_equal(parse_packed(&message, &parsed), -EBADMSG);
	outcome.status = MAYFLY__GUEST__V1__STATUS__STATUS_OK;
	assert_int_equal(parse_packed(&message, &parsed), 0);
	mayfly__guest__v1__guest_message__free_unpacked(parsed, NULL);
	done.request_id = text_of("../../etc/passwd");
	assert_int_equal(parse_packed(&message, &parsed), -EBADMSG);
}

static void empty_and_garbage_are_refused(void **state _unused_)
{
	static const uint8_t garbage[] = { 0xff, 0xff, 0xff, 0xff, 0x0f };
	guest_message *parsed = NULL;

	assert_int_equal(guest_message_parse(slice_new("", 0), &parsed), -EBADMSG);
	assert_int_equal(guest_message_parse(slice_new(garbage, sizeof(garbage)), &parsed),
			 -EBADMSG);
}

static void monitor_lines(void **state _unused_)
{
	static const struct {
		const char *text;
		int result;
		enum qmp_kind kind;
	} cases[] = {
		{ "{\"QMP\": {\"version\": {}, \"capabilities\": []}}", 0, QMP_GREETING },
		{ "{\"return\": {}, \"id\": 7}", 0, QMP_REPLY },
		{ "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}, \"id\": 7}", 0,
		  QMP_ERROR },
		{ "{\"event\": \"STOP\", \"timestamp\": {}}", 0, QMP_EVENT },
		{ "{}", 0, QMP_OTHER },
		{ "{\"return\": {}}", -EBADMSG, QMP_OTHER },
		{ "{\"return\": {}, \"id\": -1}", -EBADMSG, QMP_OTHER },
		{ "{\"error\": {}, \"id\": 1}", -EBADMSG, QMP_OTHER },
		{ "[]", -EBADMSG, QMP_OTHER },
		{ "{\"a\": 1, \"a\": 2}", -EBADMSG, QMP_OTHER },
		{ "nonsense", -EBADMSG, QMP_OTHER },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct qmp_line line = { 0 };

		assert_int_equal(qmp_line_parse(slice_from_string(cases[i].text), &line),
				 cases[i].result);
		if (cases[i].result < 0)
			continue;
		assert_int_equal(line.kind, cases[i].kind);
		qmp_line_clear(&line);
	}
}

/* ---- over a socket pair ---- */

struct scene {
	struct loop *loop;
	int peer;
	char log[512];
	unsigned closed;
	struct timer limit;
};

static void note(struct scene *scene, const char *text)
{
	size_t len = strlen(scene->log);

	(void)snprintf(scene->log + len, sizeof(scene->log) - len, "%s;", text);
}

static void on_limit(void *arg)
{
	struct scene *scene = arg;

	loop_exit(scene->loop, 99);
}

static int scene_open(struct scene *scene)
{
	int fds[2];

	*scene = (struct scene){ 0 };
	assert_int_equal(loop_new(1, &scene->loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
			 0);
	scene->peer = fds[1];
	assert_int_equal(timer_arm(&scene->limit, scene->loop,
				   clock_monotonic_us() + 5 * USEC_PER_SEC, on_limit, scene),
			 0);
	return fds[0];
}

static void scene_close(struct scene *scene)
{
	timer_disarm(&scene->limit);
	(void)close(scene->peer);
	(void)loop_free(scene->loop);
}

static void say(const struct scene *scene, const char *text)
{
	assert_int_equal(send(scene->peer, text, strlen(text), 0), (ssize_t)strlen(text));
}

static void on_event(const char *event, const json_t *data _unused_, void *user)
{
	note(user, event);
}

static void on_closed(const char *reason _unused_, void *user)
{
	struct scene *scene = user;

	note(scene, "closed");
	scene->closed++;
	loop_exit(scene->loop, 0);
}

static void on_reply(const json_t *result, const char *error, void *arg)
{
	note(arg, error ? error : result ? "ok" : "nothing");
}

static void monitor_dialog(void **state _unused_)
{
	static const struct qmp_events events = { .on_event = on_event, .on_closed = on_closed };
	struct scene scene;
	struct qmp *qmp = NULL;
	int fd = scene_open(&scene);

	assert_int_equal(qmp_new(scene.loop, fd, &events, &scene, &qmp), 0);
	assert_int_equal(qmp_execute(qmp, "stop", NULL, -1, on_reply, &scene), 0);
	assert_int_equal(qmp_execute(qmp, "cont", NULL, -1, on_reply, &scene), 0);
	assert_int_equal(qmp_execute(qmp, "quit", NULL, -1, on_reply, &scene), 0);
	say(&scene, "{\"QMP\": {}}\r\n{\"return\": {}, \"id\": 1}\r\n{\"event\": \"STOP\"}\r\n");
	/* Answers come to those who asked, in whatever order and pieces. */
	say(&scene, "{\"error\": {\"desc\": \"no\"}, \"id\": 3}\r\n{\"retu");
	say(&scene, "rn\": {}, \"id\": 2}\r\nnonsense\r\n");
	assert_int_equal(loop_run(scene.loop), 0);
	assert_string_equal(scene.log, "STOP;no;ok;QEMU's monitor sent a malformed line;closed;");
	assert_int_equal(qmp_execute(qmp, "stop", NULL, -1, NULL, NULL), -ENOTCONN);
	(void)qmp_free(qmp);
	scene_close(&scene);
}

static void on_guest_message(const guest_message *message _unused_, void *user)
{
	note(user, "message");
}

static void guest_sends_too_much(void **state _unused_)
{
	static const struct channel_events events = { .on_message = on_guest_message,
						      .on_closed = on_closed };
	static const uint8_t huge[] = { 0xff, 0xff, 0xff, 0x7f };
	struct scene scene;
	struct channel *channel = NULL;
	int fd = scene_open(&scene);

	assert_int_equal(channel_new(scene.loop, fd, &events, &scene, &channel), 0);
	assert_int_equal(send(scene.peer, huge, sizeof(huge), 0), sizeof(huge));
	assert_int_equal(loop_run(scene.loop), 0);
	assert_string_equal(scene.log, "closed;");
	(void)channel_free(channel);
	scene_close(&scene);
}

static void queue_is_bounded(void **state _unused_)
{
	static const struct channel_events events = { .on_message = on_guest_message,
						      .on_closed = on_closed };
	Mayfly__Guest__V1__PayloadChunk chunk = MAYFLY__GUEST__V1__PAYLOAD_CHUNK__INIT;
	Mayfly__Guest__V1__HostMessage message = MAYFLY__GUEST__V1__HOST_MESSAGE__INIT;
	struct scene scene;
	struct channel *channel = NULL;
	int fd = scene_open(&scene);
	unsigned sent = 0;
	int r = 0;

	chunk.data.len = FRAME_MAX_BYTES - 64;
	chunk.data.data = calloc(1, chunk.data.len);
	assert_non_null(chunk.data.data);
	message.kind_case = MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_PAYLOAD;
	message.payload = &chunk;
	assert_int_equal(channel_new(scene.loop, fd, &events, &scene, &channel), 0);
	while (sent < 100 && (r = channel_send(channel, &message)) == 0)
		sent++;
	assert_int_equal(r, -ENOBUFS);
	assert_true(sent >= 60 && sent <= 66);
	chunk.data.len = FRAME_MAX_BYTES;
	free(chunk.data.data);
	chunk.data.data = calloc(1, chunk.data.len);
	assert_int_equal(channel_send(channel, &message), -EMSGSIZE);
	free(chunk.data.data);
	(void)channel_free(channel);
	scene_close(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_must_be_utf8),
		cmocka_unit_test(outcomes_are_checked),
		cmocka_unit_test(empty_and_garbage_are_refused),
		cmocka_unit_test(monitor_lines),
		cmocka_unit_test(monitor_dialog),
		cmocka_unit_test(guest_sends_too_much),
		cmocka_unit_test(queue_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
