/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_init_core

/* The link to a shim, error bodies, and environments. */

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest/init/environment.h"
#include "guest/init/outcome.h"
#include "guest/init/shim.h"

struct world {
	struct event_loop loop;
	struct shim shim;
	int peer;
	struct buf heard; /* one letter per event, with the data of some */
};

static void say(struct world *w, const char *what, struct slice data)
{
	assert_int_equal(buf_append_string(&w->heard, what), 0);
	assert_int_equal(buf_append(&w->heard, data.data, data.len < 40 ? data.len : 40), 0);
	assert_int_equal(buf_append_string(&w->heard, ";"), 0);
}

static void on_hello(struct slice v, void *u)
{
	say(u, "hello ", v);
}
static void on_pong(void *u)
{
	say(u, "pong", SLICE_INIT);
}
static void on_next(void *u)
{
	say(u, "next", SLICE_INIT);
}
static void on_init_error(struct slice t, struct slice b, void *u)
{
	(void)b;
	say(u, "init-error ", t);
}
static void on_start(struct slice t, bool s, void *u)
{
	say(u, s ? "stream " : "start ", t);
}
static void on_data(struct slice d, void *u)
{
	say(u, "data ", d);
}
static void on_end(void *u)
{
	say(u, "end", SLICE_INIT);
}
static void on_large(void *u)
{
	say(u, "large", SLICE_INIT);
}
static void on_error(struct slice t, struct slice b, void *u)
{
	(void)b;
	say(u, "error ", t);
}
static void on_hooks(struct slice t, struct slice b, void *u)
{
	(void)b;
	say(u, "hooks ", t);
}
static void on_compiled(struct slice p, struct slice b, void *u)
{
	say(u, "compiled ", p);
	say(u, "bytecode ", b);
}
static void on_leaving(void *u)
{
	say(u, "leaving", SLICE_INIT);
}
static void on_broken(const char *reason, void *u)
{
	say(u, "broken ", slice_from_string(reason));
	shim_close(&((struct world *)u)->shim);
}

static const struct runtime_listener listener = {
	.on_hello = on_hello,
	.on_pong = on_pong,
	.on_next = on_next,
	.on_init_error = on_init_error,
	.on_response_start = on_start,
	.on_response_data = on_data,
	.on_response_end = on_end,
	.on_response_too_large = on_large,
	.on_error = on_error,
	.on_hooks_done = on_hooks,
	.on_compiled = on_compiled,
	.on_leaving = on_leaving,
	.on_broken = on_broken,
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	int fds[2];

	assert_non_null(w);
	assert_int_equal(event_loop_open(&w->loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(shim_open(&w->shim, &w->loop, fds[0], &listener, w), 0);
	w->peer = fds[1];
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	shim_close(&w->shim);
	event_loop_close(&w->loop);
	(void)close(w->peer);
	buf_free(&w->heard);
	free(w);
	return 0;
}

static void put_frame(struct buf *b, uint8_t type, const char *meta, size_t data_len, char fill)
{
	size_t meta_len = strlen(meta), length = meta_len + data_len;
	uint8_t header[SHIM_HEADER_BYTES] = { (uint8_t)length,
					      (uint8_t)(length >> 8),
					      (uint8_t)(length >> 16),
					      (uint8_t)(length >> 24),
					      type,
					      0,
					      (uint8_t)meta_len,
					      0 };

	assert_int_equal(buf_append(b, header, sizeof(header)), 0);
	assert_int_equal(buf_append_string(b, meta), 0);
	assert_int_equal(buf_reserve(b, data_len), 0);
	memset(b->data + b->len, fill, data_len);
	b->len += data_len;
}

static void feed_all(struct world *w, struct buf *b, size_t step)
{
	for (size_t at = 0; at < b->len; at += step)
		shim_feed(&w->shim,
			  slice_new(b->data + at, b->len - at < step ? b->len - at : step));
	buf_free(b);
}

static void test_frames_in_any_pieces(void **state)
{
	struct world *w = *state;

	for (size_t step = 1; step < 80; step += 13) {
		struct buf b = BUF_INIT;
		put_frame(&b, SHIM_HELLO, "3.13", 0, 0);
		put_frame(&b, SHIM_READY, "", 0, 0);
		put_frame(&b, SHIM_RESPONSE, "a/b", 3, 'x');
		put_frame(&b, SHIM_STREAM_START, "c/d", 0, 0);
		put_frame(&b, SHIM_STREAM_CHUNK, "", 2, 'y');
		put_frame(&b, SHIM_STREAM_END, "", 0, 0);
		put_frame(&b, SHIM_ERROR, "Bad", 2, '{');
		put_frame(&b, SHIM_INIT_ERROR, "Worse", 0, 0);
		put_frame(&b, SHIM_HOOKS_DONE, "", 0, 0);
		put_frame(&b, SHIM_COMPILED, "a.py", 3, 'b');
		put_frame(&b, SHIM_COMPILED, "", 0, 0);
		put_frame(&b, SHIM_PONG, "", 0, 0);
		buf_reset(&w->heard);
		feed_all(w, &b, step);
		assert_string_equal(buf_string(&w->heard),
				    "hello 3.13;next;start a/b;data xxx;end;next;stream c/d;"
				    "data yy;end;next;error Bad;next;init-error Worse;hooks ;"
				    "compiled a.py;bytecode bbb;compiled ;bytecode ;pong;");
	}
}

static void test_oversized_responses_are_skipped(void **state)
{
	struct world *w = *state;
	const size_t sizes[] = { OUTCOME_LIMIT_BYTES + 1, SHIM_FRAME_BYTES + 1,
				 3U * SHIM_FRAME_BYTES };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct buf b = BUF_INIT;
		put_frame(&b, SHIM_RESPONSE, "", sizes[i], 'z');
		put_frame(&b, SHIM_PONG, "", 0, 0);
		buf_reset(&w->heard);
		feed_all(w, &b, 65536);
		assert_string_equal(buf_string(&w->heard), "large;next;pong;");
	}
}

static void test_broken_frames(void **state)
{
	struct world *w = *state;
	static const uint8_t frames[][SHIM_HEADER_BYTES] = {
		{ 0, 0, 0, 0, 1, 0, 0, 0 },                    /* init's own type */
		{ 0, 0, 0, 0, 200, 0, 0, 0 },                  /* unknown type */
		{ 0, 0, 0, 0, SHIM_COMPILED + 1, 0, 0, 0 },    /* the first such */
		{ 0, 0, 0, 1, SHIM_COMPILED, 0, 0, 0 },        /* oversized bytecode */
		{ 1, 0, 0, 0, SHIM_PONG, 0, 2, 0 },            /* meta beyond the frame */
		{ 0, 0, 0, 0x7f, SHIM_STREAM_CHUNK, 0, 0, 0 }, /* oversized, not an answer */
	};

	for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
		int fds[2];
		shim_close(&w->shim);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		(void)close(w->peer);
		w->peer = fds[1];
		assert_int_equal(shim_open(&w->shim, &w->loop, fds[0], &listener, w), 0);
		buf_reset(&w->heard);
		shim_feed(&w->shim, slice_new(frames[i], SHIM_HEADER_BYTES));
		assert_memory_equal(buf_string(&w->heard), "broken ", 7);
		assert_false(shim_is_open(&w->shim));
	}
}

static void test_event_frame(void **state)
{
	struct world *w = *state;
	const struct runtime_event event = {
		.request_id = "id",
		.function_arn = "arn",
		.trace_id = "",
		.tenant_id = "blue",
		.content_type = "",
		.client_context = { (const uint8_t *)"a\0b", 3 },
		.payload = { (const uint8_t *)"{}", 2 },
		.deadline_ms = 5,
	};
	static const char expected[] = "id\0arn\0"
				       "5\0\0a\0\0blue\0\0{}";
	uint8_t bytes[128];

	assert_int_equal(shim_send_event(&w->shim, &event), 0);
	ssize_t n = recv(w->peer, bytes, sizeof(bytes), MSG_DONTWAIT);
	assert_int_equal(n, SHIM_HEADER_BYTES + sizeof(expected) - 1);
	assert_int_equal(bytes[0], sizeof(expected) - 1);
	assert_int_equal(bytes[4], SHIM_INVOKE);
	assert_int_equal(bytes[6], sizeof(expected) - 3);
	assert_memory_equal(bytes + SHIM_HEADER_BYTES, expected, sizeof(expected) - 1);
}

static void test_a_slow_reader_gets_everything(void **state)
{
	struct world *w = *state;
	size_t size = 6U << 20, got = 0;
	uint8_t *data = calloc(1, size);
	static uint8_t sink[65536];

	assert_non_null(data);
	assert_int_equal(shim_send(&w->shim, SHIM_PING, 0, SLICE_INIT, slice_new(data, size)), 0);
	while (got < size + SHIM_HEADER_BYTES) {
		ssize_t n = recv(w->peer, sink, sizeof(sink), MSG_DONTWAIT);
		if (n > 0)
			got += (size_t)n;
		else
			assert_int_equal(event_loop_step(&w->loop, 100000), 0);
	}
	free(data);
	assert_int_equal(got, size + SHIM_HEADER_BYTES);
}

static void test_error_bodies(void **state)
{
	_cleanup_outcome_ struct outcome o = OUTCOME_OK;

	(void)state;
	outcome_set_timeout(&o, "id", 1000);
	assert_string_equal(buf_string(&o.body),
			    "{\"errorType\":\"Sandbox.Timedout\",\"errorMessage\":"
			    "\"RequestId: id Error: Task timed out after 1.00 seconds\"}");
	outcome_set_timeout(&o, NULL, 2500);
	assert_string_equal(buf_string(&o.body),
			    "{\"errorType\":\"Sandbox.Timedout\",\"errorMessage\":"
			    "\"Error: Task timed out after 2.50 seconds\"}");
	outcome_set_exit(&o, "id", 127 << 8, false);
	assert_string_equal(buf_string(&o.body),
			    "{\"errorType\":\"Runtime.ExitError\",\"errorMessage\":"
			    "\"RequestId: id Error: Runtime exited with error: exit status 127\"}");
	outcome_set_exit(&o, "id", SIGKILL, true);
	assert_int_equal(o.status, STATUS(OUT_OF_MEMORY));
	assert_non_null(strstr(buf_string(&o.body), "signal: killed"));
	outcome_set_exit(&o, "id", 0, false);
	assert_non_null(strstr(buf_string(&o.body), "Runtime exited without providing a reason"));
	outcome_set_too_large(&o);
	assert_string_equal(o.type, "Function.ResponseSizeTooLarge");
}

static void test_error_types(void **state)
{
	static const char *const cases[][2] = {
		{ "Runtime.Mine", "Runtime.Mine" },
		{ "Function.Mine", "Function.Mine" },
		{ "Function.mine", "Function.Unknown" },
		{ "Function.A1", "Function.Unknown" },
		{ "Runtime.A", "Runtime.Unknown" },
		{ "TypeError", "Runtime.Unknown" },
		{ "", "Runtime.Unknown" },
		{ "XRuntime.Mine", "Runtime.Unknown" },
	};
	char out[OUTCOME_TYPE_BYTES];
	char huge[500];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		outcome_normalise_type(slice_from_string(cases[i][0]), out);
		assert_string_equal(out, cases[i][1]);
	}
	memset(huge, 'A', sizeof(huge));
	memcpy(huge, "Function.", 9);
	outcome_normalise_type(slice_new(huge, sizeof(huge)), out);
	assert_string_equal(out, "Function.Unknown");
}

static void test_environment(void **state)
{
	_cleanup_environment_ struct environment e = { 0 };
	initialize_message f = MAYFLY__GUEST__V1__INITIALIZE__INIT;
	Mayfly__Guest__V1__EnvironmentVariable v = MAYFLY__GUEST__V1__ENVIRONMENT_VARIABLE__INIT;
	Mayfly__Guest__V1__EnvironmentVariable *list[] = { &v };
	char runtime[] = "python3.13", key[] = "LANG", value[] = "de", handler[] = "a.b";

	(void)state;
	v.key = key;
	v.value = value;
	f.runtime_name = runtime;
	f.handler = handler;
	f.memory_mb = 128;
	f.n_environment = 1;
	f.environment = list;
	assert_int_equal(environment_set_function(&e, RUNTIME(PYTHON), &f), 0);
	assert_string_equal(environment_get(&e, "LANG"), "de");
	assert_string_equal(environment_get(&e, "AWS_EXECUTION_ENV"), "AWS_Lambda_python3.13");
	assert_string_equal(environment_get(&e, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), "128");
	assert_string_equal(environment_get(&e, "AWS_LAMBDA_INITIALIZATION_TYPE"), "on-demand");
	assert_null(environment_get(&e, "AWS_LAMBDA_LOG_FORMAT"));
	assert_null(environment_get(&e, "LAN"));
	assert_true(environment_needs_restart(&f));
	char mine[] = "MINE", handler_key[] = "_HANDLER";
	v.key = mine;
	assert_false(environment_needs_restart(&f));
	/* What is reserved stays ours. */
	v.key = handler_key;
	environment_clear(&e);
	f.initialization_type = INIT_TYPE(SNAP_START);
	assert_int_equal(environment_set_function(&e, RUNTIME(PROVIDED), &f), 0);
	assert_string_equal(environment_get(&e, "_HANDLER"), "a.b");
	assert_null(environment_get(&e, "AWS_EXECUTION_ENV"));
	assert_null(environment_get(&e, "AWS_LAMBDA_LOG_STREAM_NAME"));
	assert_string_equal(environment_get(&e, "AWS_LAMBDA_INITIALIZATION_TYPE"), "snap-start");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_frames_in_any_pieces),
		T(test_oversized_responses_are_skipped),
		T(test_broken_frames),
		T(test_event_frame),
		T(test_a_slow_reader_gets_everything),
		cmocka_unit_test(test_error_bodies),
		cmocka_unit_test(test_error_types),
		cmocka_unit_test(test_environment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
