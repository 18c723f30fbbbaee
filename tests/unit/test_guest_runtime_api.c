/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_init_core

/* The Runtime API over a socket pair: every status, header and error body that a runtime may
 * get, and what the listener hears. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest/init/runtime_api.h"
#include "guest/init/runtime_api_errors.h"

struct world {
	struct event_loop loop;
	struct runtime_api api;
	int peer;
	unsigned nexts, starts, ends, too_large, errors, init_errors, restore_nexts, hooks;
	bool streaming;
	char type[64];
	struct buf data;
	struct buf error;
	struct buf answer;
};

static void keep(char *out, size_t size, struct slice text)
{
	(void)snprintf(out, size, "%.*s", (int)text.len, text.len ? (const char *)text.data : "");
}

static void add(struct buf *b, struct slice data)
{
	assert_int_equal(buf_append(b, data.data, data.len), 0);
}

static void on_next(void *user)
{
	((struct world *)user)->nexts++;
}

static void on_restore_next(void *user)
{
	((struct world *)user)->restore_nexts++;
}

static void on_response_start(struct slice type, bool streaming, void *user)
{
	struct world *w = user;

	w->starts++;
	w->streaming = streaming;
	keep(w->type, sizeof(w->type), type);
}

static void on_response_data(struct slice data, void *user)
{
	add(&((struct world *)user)->data, data);
}

static void on_response_end(void *user)
{
	((struct world *)user)->ends++;
}

static void on_too_large(void *user)
{
	((struct world *)user)->too_large++;
}

static void on_error(struct slice type, struct slice body, void *user)
{
	struct world *w = user;

	w->errors++;
	keep(w->type, sizeof(w->type), type);
	buf_reset(&w->error);
	add(&w->error, body);
}

static void on_init_error(struct slice type, struct slice body, void *user)
{
	struct world *w = user;

	w->init_errors++;
	keep(w->type, sizeof(w->type), type);
	buf_reset(&w->error);
	add(&w->error, body);
}

static void on_hooks_done(struct slice type, struct slice body, void *user)
{
	(void)body;
	((struct world *)user)->hooks++;
	keep(((struct world *)user)->type, 64, type);
}

static const struct runtime_listener listener = {
	.on_next = on_next,
	.on_restore_next = on_restore_next,
	.on_response_start = on_response_start,
	.on_response_data = on_response_data,
	.on_response_end = on_response_end,
	.on_response_too_large = on_too_large,
	.on_error = on_error,
	.on_init_error = on_init_error,
	.on_hooks_done = on_hooks_done,
};

static void connect_peer(struct world *w)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(runtime_api_accept(&w->api, fds[0]), 0);
	w->peer = fds[1];
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	assert_int_equal(event_loop_open(&w->loop), 0);
	runtime_api_init(&w->api, &w->loop, &listener, w);
	connect_peer(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	runtime_api_close(&w->api);
	event_loop_close(&w->loop);
	(void)close(w->peer);
	buf_free(&w->data);
	buf_free(&w->error);
	buf_free(&w->answer);
	free(w);
	return 0;
}

static void turn(struct world *w)
{
	for (int i = 0; i < 4; i++)
		assert_int_equal(event_loop_step(&w->loop, 0), 0);
}

/* Sends text in pieces of `step` bytes and reads what comes back. */
static const char *talk_in(struct world *w, const char *text, size_t len, size_t step)
{
	char bytes[8192];
	ssize_t n;

	buf_reset(&w->answer);
	for (size_t at = 0; at < len; at += step) {
		size_t piece = len - at < step ? len - at : step;
		assert_int_equal(send(w->peer, text + at, piece, MSG_NOSIGNAL), (ssize_t)piece);
		turn(w);
	}
	while ((n = recv(w->peer, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		add(&w->answer, slice_new(bytes, (size_t)n));
	return buf_string(&w->answer);
}

static const char *talk(struct world *w, const char *text)
{
	return talk_in(w, text, strlen(text), strlen(text));
}

static const char *read_answer(struct world *w)
{
	return talk_in(w, "", 0, 1);
}

#define NEXT "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"
#define POST(path, headers, body_len)                                                              \
	"POST /2018-06-01/runtime/" path " HTTP/1.1\r\nHost: x\r\n" headers                        \
	"Content-Length: " body_len "\r\n\r\n"

static const struct runtime_event event = {
	.request_id = "id-1",
	.function_arn = "arn:aws:lambda:eu:0:function:f",
	.trace_id = "Root=1",
	.tenant_id = "",
	.content_type = "",
	.client_context = { (const uint8_t *)"{\"a\":1}", 7 },
	.payload = { (const uint8_t *)"{\"x\":2}", 7 },
	.deadline_ms = 1234567890123,
};

static void begin(struct world *w)
{
	assert_string_equal(talk(w, NEXT), "");
	assert_int_equal(runtime_api_send_event(&w->api, &event), 0);
	(void)read_answer(w);
}

static void test_next_has_the_headers(void **state)
{
	struct world *w = *state;

	assert_string_equal(talk(w, NEXT), "");
	assert_int_equal(w->nexts, 1);
	assert_int_equal(runtime_api_send_event(&w->api, &event), 0);
	assert_string_equal(
		read_answer(w),
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
		"Lambda-Runtime-Aws-Request-Id: id-1\r\n"
		"Lambda-Runtime-Deadline-Ms: 1234567890123\r\n"
		"Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu:0:function:f\r\n"
		"Lambda-Runtime-Trace-Id: Root=1\r\n"
		"Lambda-Runtime-Client-Context: {\"a\":1}\r\n"
		"Content-Length: 7\r\n\r\n{\"x\":2}");
	assert_int_equal(runtime_api_send_event(&w->api, &event), -EAGAIN);
}

static void test_header_injection_is_refused(void **state)
{
	struct world *w = *state;
	struct runtime_event bad = event;

	bad.trace_id = "Root=1\r\nEvil: yes";
	(void)talk(w, NEXT);
	assert_int_equal(runtime_api_send_event(&w->api, &bad), -EINVAL);
}

static void test_response(void **state)
{
	struct world *w = *state;

	begin(w);
	const char *answer =
		talk(w, POST("invocation/id-1/response", "Content-Type: a/b\r\n", "3") "abc");
	assert_string_equal(answer, "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n"
				    "Content-Length: 16\r\n\r\n{\"status\":\"OK\"}\n");
	assert_int_equal(w->starts, 1);
	assert_int_equal(w->ends, 1);
	assert_false(w->streaming);
	assert_string_equal(w->type, "a/b");
	assert_string_equal(buf_string(&w->data), "abc");
	(void)talk(w, NEXT);
	assert_int_equal(w->nexts, 2);
}

static void test_every_split_of_a_request(void **state)
{
	struct world *w = *state;
	static const char text[] =
		POST("invocation/id-1/response", "Content-Type: a/b\r\n", "3") "abc" NEXT;

	for (size_t step = 1; step < sizeof(text); step += 7) {
		runtime_api_reset(&w->api, false);
		(void)close(w->peer);
		connect_peer(w);
		buf_reset(&w->data);
		w->nexts = 0;
		begin(w);
		(void)talk_in(w, text, sizeof(text) - 1, step);
		assert_string_equal(buf_string(&w->data), "abc");
		assert_string_equal(w->type, "a/b");
		assert_int_equal(w->nexts, 2);
	}
}

static void assert_refusal(const char *answer, const char *status, const char *body)
{
	assert_memory_equal(answer, status, strlen(status));
	const char *text = strstr(answer, "\r\n\r\n");
	assert_non_null(text);
	assert_string_equal(text + 4, body);
}

static void test_refusals(void **state)
{
	struct world *w = *state;

	assert_refusal(
		talk(w, POST("invocation/id-1/response", "", "0")), "HTTP/1.1 400 Bad Request",
		"{\"errorMessage\":\"Invalid request ID\",\"errorType\":\"InvalidRequestID\"}");
	begin(w);
	assert_refusal(
		talk(w, POST("invocation/other/error", "", "0")), "HTTP/1.1 400 Bad Request",
		"{\"errorMessage\":\"Invalid request ID\",\"errorType\":\"InvalidRequestID\"}");
	assert_refusal(talk(w, NEXT), "HTTP/1.1 403 Forbidden",
		       "{\"errorMessage\":\"State transition from Running to Ready failed for "
		       "runtime. Error: State transition is not allowed\","
		       "\"errorType\":\"InvalidStateTransition\"}");
	assert_refusal(talk(w, POST("init/error", "", "0")), "HTTP/1.1 403 Forbidden",
		       "{\"errorMessage\":\"State transition from Running to InitError failed for "
		       "runtime. Error: State transition is not allowed\","
		       "\"errorType\":\"InvalidStateTransition\"}");
	(void)talk(w, POST("invocation/id-1/response", "", "2") "{}");
	assert_refusal(talk(w, POST("invocation/id-1/response", "", "2") "{}"),
		       "HTTP/1.1 403 Forbidden",
		       "{\"errorMessage\":\"State transition from ResponseSent to "
		       "InvocationResponse failed for runtime. Error: State transition is not "
		       "allowed\",\"errorType\":\"InvalidStateTransition\"}");
	assert_int_equal(w->starts, 1);
}

static void test_unknown_paths_and_methods(void **state)
{
	struct world *w = *state;

	assert_non_null(strstr(talk(w, "GET /x HTTP/1.1\r\n\r\n"), "404 Not Found"));
	assert_non_null(strstr(talk(w, "PUT /2018-06-01/runtime/invocation/next HTTP/1.1\r\n"
				       "Content-Length: 0\r\n\r\n"),
			       "405 Method Not Allowed"));
	assert_non_null(strstr(talk(w, "GET /2018-06-01/ping HTTP/1.1\r\n\r\n"), "\r\n\r\npong"));
	/* No HTTP: an answer, and the end of the connection. */
	assert_string_equal(talk(w, "nonsense\r\n\r\n"),
			    "HTTP/1.1 400 Bad Request\r\n"
			    "Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
			    "Content-Length: 15\r\n\r\n400 Bad Request");
	assert_int_equal(w->api.connections_len, 0);
}

static void test_errors_pass_through(void **state)
{
	struct world *w = *state;

	begin(w);
	(void)talk(w,
		   POST("invocation/id-1/error",
			"Lambda-Runtime-Function-Error-Type: Runtime.Mine\r\n", "7") "{\"e\":1}");
	assert_int_equal(w->errors, 1);
	assert_string_equal(w->type, "Runtime.Mine");
	assert_string_equal(buf_string(&w->error), "{\"e\":1}");
}

static void test_error_cause_is_stripped(void **state)
{
	struct world *w = *state;

	begin(w);
	(void)talk(w, POST("invocation/id-1/error",
			   "Content-Type: application/vnd.aws.lambda.error.cause+json\r\n",
			   "37") "{\"errorMessage\":\"m\",\"causes\":[1,2,3]}");
	assert_string_equal(buf_string(&w->error), "{\"errorMessage\":\"m\"}");
}

static void test_init_error(void **state)
{
	struct world *w = *state;

	assert_non_null(strstr(
		talk(w, POST("init/error", "lambda-runtime-function-error-type: Runtime.No\r\n",
			     "2") "{}"),
		"202 Accepted"));
	assert_int_equal(w->init_errors, 1);
	assert_string_equal(w->type, "Runtime.No");
	assert_non_null(strstr(talk(w, NEXT), "403 Forbidden"));
}

static void test_response_over_the_limit(void **state)
{
	struct world *w = *state;
	size_t len = 6291557;
	char *text = malloc(len + 256);

	assert_non_null(text);
	begin(w);
	int head = snprintf(text, 256, POST("invocation/id-1/response", "", "6291557"));
	memset(text + head, 'x', len);
	assert_refusal(talk_in(w, text, (size_t)head + len, 60000),
		       "HTTP/1.1 413 Request Entity Too Large",
		       "{\"errorMessage\":\"Exceeded maximum allowed payload size (6291556 "
		       "bytes).\",\"errorType\":\"RequestEntityTooLarge\"}");
	free(text);
	assert_int_equal(w->too_large, 1);
	assert_int_equal(w->starts, 0);
	(void)talk(w, NEXT);
	assert_int_equal(w->nexts, 2);
}

#define STREAM                                                                                     \
	"POST /2018-06-01/runtime/invocation/id-1/response HTTP/1.1\r\n"                           \
	"Lambda-Runtime-Function-Response-Mode: streaming\r\nContent-Type: text/plain\r\n"         \
	"Transfer-Encoding: chunked\r\n"                                                           \
	"Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n"

static void test_streaming_passes_chunks_on(void **state)
{
	struct world *w = *state;

	begin(w);
	assert_string_equal(talk(w, STREAM "3\r\nabc\r\n"), "");
	assert_int_equal(w->starts, 1);
	assert_true(w->streaming);
	assert_string_equal(buf_string(&w->data), "abc");
	assert_int_equal(w->ends, 0);
	assert_non_null(strstr(talk(w, "2\r\nde\r\n0\r\n\r\n"), "202 Accepted"));
	assert_string_equal(buf_string(&w->data), "abcde");
	assert_int_equal(w->ends, 1);
}

static void test_streaming_error_trailers(void **state)
{
	struct world *w = *state;

	begin(w);
	(void)talk(w, STREAM "1\r\na\r\n0\r\n"
			     "Lambda-Runtime-Function-Error-Type: Runtime.Mid\r\n"
			     "Lambda-Runtime-Function-Error-Body: eyJlIjoxfQ==\r\n\r\n");
	assert_int_equal(w->errors, 1);
	assert_int_equal(w->ends, 0);
	assert_string_equal(w->type, "Runtime.Mid");
	assert_string_equal(buf_string(&w->error), "{\"e\":1}");
}

#define TRUNCATED_ANSWER                                                                           \
	"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n"                           \
	"Connection: close\r\nContent-Length: 88\r\n\r\n"                                          \
	"{\"errorMessage\":\"HTTP request detected as truncated\","                                \
	"\"errorType\":\"TruncatedHTTPRequest\"}"
#define TRUNCATED_ERROR                                                                            \
	"{\"errorType\":\"Runtime.TruncatedResponse\",\"errorMessage\":\"Truncated response\"}"

/* Sends the text, ends this side, and reads what comes back. */
static const char *talk_and_end(struct world *w, const char *text)
{
	(void)talk(w, text);
	assert_int_equal(shutdown(w->peer, SHUT_WR), 0);
	turn(w);
	return read_answer(w);
}

static void reconnect(struct world *w)
{
	(void)close(w->peer);
	turn(w);
	assert_int_equal(w->api.connections_len, 0);
	connect_peer(w);
}

/* The end of a request in its midst: answered, and the invocation's error once it is over. */
static void test_truncated_response(void **state)
{
	static const char *const texts[] = {
		POST("invocation/id-1/response", "", "100") "short",
		POST("invocation/id-1/response", "", "100"),
		STREAM "5\r\nab",
		STREAM "5\r\nabcde\r\n",
		STREAM,
	};
	struct world *w = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(texts); i++) {
		w->nexts = w->errors = 0;
		begin(w);
		assert_string_equal(talk_and_end(w, texts[i]), TRUNCATED_ANSWER);
		reconnect(w);
		assert_non_null(strstr(talk(w, POST("invocation/id-1/response", "", "2") "{}"),
				       "403 Forbidden"));
		assert_int_equal(w->errors, 0);
		assert_string_equal(talk(w, NEXT), "");
		assert_int_equal(w->errors, 1);
		assert_string_equal(w->type, "Runtime.TruncatedResponse");
		assert_string_equal(buf_string(&w->error), TRUNCATED_ERROR);
		assert_int_equal(w->nexts, 2);
		assert_int_equal(w->ends, 0);
		assert_int_equal(runtime_api_send_event(&w->api, &event), 0);
		(void)talk(w, POST("invocation/id-1/response", "", "2") "{}");
		assert_int_equal(w->ends, 1);
		w->ends = 0;
	}
}

/* What is no chunk cannot be read to its end either. */
static void test_garbage_in_a_response(void **state)
{
	struct world *w = *state;

	begin(w);
	assert_string_equal(talk(w, STREAM "1\r\na\r\nno chunk\r\n"), TRUNCATED_ANSWER);
	reconnect(w);
	(void)talk(w, NEXT);
	assert_int_equal(w->errors, 1);
	assert_string_equal(w->type, "Runtime.TruncatedResponse");
}

/* Whoever did not answer the invocation may do so still. */
static void test_truncated_other_requests(void **state)
{
	static const char *const texts[] = {
		"GET /2018-06-01/runtime/invoc",
		POST("invocation/other/response", "", "100") "short",
		POST("invocation/id-1/error", "", "100") "{",
	};
	struct world *w = *state;

	begin(w);
	for (unsigned i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_string_equal(talk_and_end(w, texts[i]), TRUNCATED_ANSWER);
		reconnect(w);
	}
	assert_non_null(
		strstr(talk(w, POST("invocation/id-1/response", "", "2") "{}"), "202 Accepted"));
	(void)talk(w, NEXT);
	assert_int_equal(w->errors, 0);
	assert_int_equal(w->ends, 1);
}

/* A runtime that crashes with its response on the way is told of by its exit alone. */
static void test_crash_within_a_response(void **state)
{
	struct world *w = *state;

	begin(w);
	(void)talk(w, STREAM "5\r\nab");
	assert_int_equal(shutdown(w->peer, SHUT_RDWR), 0);
	turn(w);
	assert_int_equal(w->api.connections_len, 0);
	assert_int_equal(w->errors, 0);
	runtime_api_reset(&w->api, false);
	reconnect(w);
	(void)talk(w, NEXT);
	assert_int_equal(w->errors, 0);
}

/* What a held back sender sent counts, though it ended its side behind it. */
static void test_held_back_and_ended(void **state)
{
	struct world *w = *state;

	begin(w);
	(void)talk(w, STREAM "3\r\nabc\r\n");
	runtime_api_pause(&w->api, true);
	assert_string_equal(talk_and_end(w, "2\r\nde\r\n0\r\n\r\n"), "");
	assert_string_equal(buf_string(&w->data), "abc");
	runtime_api_pause(&w->api, false);
	turn(w);
	assert_non_null(strstr(read_answer(w), "202 Accepted"));
	assert_string_equal(buf_string(&w->data), "abcde");
	assert_int_equal(w->ends, 1);
}

static void test_unknown_response_mode(void **state)
{
	struct world *w = *state;

	begin(w);
	assert_refusal(talk(w, POST("invocation/id-1/response",
				    "Lambda-Runtime-Function-Response-Mode: odd\r\n", "0")),
		       "HTTP/1.1 400 Bad Request",
		       "{\"errorMessage\":\"Invalid function response mode\","
		       "\"errorType\":\"InvalidFunctionResponseMode\"}");
	assert_string_equal(w->type, "Runtime.InvalidResponseModeHeader");
}

#define RESTORE_NEXT "GET /2018-06-01/runtime/restore/next HTTP/1.1\r\n\r\n"

static void test_restore(void **state)
{
	struct world *w = *state;

	assert_non_null(strstr(talk(w, RESTORE_NEXT), "403 Forbidden"));
	runtime_api_reset(&w->api, true);
	(void)close(w->peer);
	connect_peer(w);
	assert_string_equal(talk(w, RESTORE_NEXT), "");
	assert_int_equal(w->restore_nexts, 1);
	assert_int_equal(runtime_api_send_restored(&w->api), 0);
	assert_string_equal(read_answer(w), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	(void)talk(w, POST("restore/error",
			   "Lambda-Runtime-Function-Error-Type: Runtime.AfterRestoreError\r\n",
			   "2") "{}");
	assert_int_equal(w->hooks, 1);
	assert_string_equal(w->type, "Runtime.AfterRestoreError");
}

static void test_expect_continue(void **state)
{
	struct world *w = *state;

	begin(w);
	assert_string_equal(
		talk(w, POST("invocation/id-1/response", "Expect: 100-continue\r\n", "1")),
		"HTTP/1.1 100 Continue\r\n\r\n");
	assert_non_null(strstr(talk(w, "x"), "202 Accepted"));
}

static void test_a_new_waiter_replaces_the_old(void **state)
{
	struct world *w = *state;
	int old = w->peer;

	(void)talk(w, NEXT);
	connect_peer(w);
	(void)talk(w, NEXT);
	assert_int_equal(w->nexts, 1);
	assert_int_equal(runtime_api_send_event(&w->api, &event), 0);
	assert_non_null(strstr(read_answer(w), "200 OK"));
	assert_int_equal(w->api.connections_len, 1);
	(void)close(w->peer);
	w->peer = old;
	assert_string_equal(
		read_answer(w),
		"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\n"
		"Connection: close\r\nContent-Length: 74\r\n\r\n"
		"{\"errorMessage\":\"Internal Server "
		"Error\",\"errorType\":\"InternalServerError\"}");
}

static void test_too_many_connections(void **state)
{
	struct world *w = *state;
	int peers[RUNTIME_API_CONNECTIONS];
	unsigned refused = 0;

	for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
		int fds[2];
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		peers[i] = fds[1];
		refused += runtime_api_accept(&w->api, fds[0]) == -EMFILE;
	}
	assert_int_equal(refused, 1);
	for (size_t i = 0; i < ARRAY_SIZE(peers); i++)
		(void)close(peers[i]);
}

static void test_oversized_headers_end_the_connection(void **state)
{
	struct world *w = *state;
	char *text = malloc(200000);

	assert_non_null(text);
	memset(text, 'a', 200000);
	static const char head[] = "GET / HTTP/1.1\r\nX: ";
	memcpy(text, head, sizeof(head) - 1);
	for (size_t at = 0; at < 200000 && w->api.connections_len > 0; at += 4000) {
		(void)send(w->peer, text + at, 4000, MSG_NOSIGNAL);
		turn(w);
	}
	free(text);
	assert_int_equal(w->api.connections_len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_next_has_the_headers),
		T(test_header_injection_is_refused),
		T(test_response),
		T(test_every_split_of_a_request),
		T(test_refusals),
		T(test_unknown_paths_and_methods),
		T(test_errors_pass_through),
		T(test_error_cause_is_stripped),
		T(test_init_error),
		T(test_response_over_the_limit),
		T(test_streaming_passes_chunks_on),
		T(test_streaming_error_trailers),
		T(test_truncated_response),
		T(test_garbage_in_a_response),
		T(test_truncated_other_requests),
		T(test_crash_within_a_response),
		T(test_held_back_and_ended),
		T(test_unknown_response_mode),
		T(test_restore),
		T(test_expect_continue),
		T(test_a_new_waiter_replaces_the_old),
		T(test_too_many_connections),
		T(test_oversized_headers_end_the_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
