/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_rpc

#include "rpc_harness.h"

#include <sys/stat.h>

#define SECOND USEC_PER_SEC

static void test_unary_over(struct harness *h, const char *address, enum rpc_peer_kind kind)
{
	_cleanup_(rpc_channel_free_p) struct rpc_channel *channel = harness_channel(address);
	_cleanup_rpc_answer_ struct rpc_answer answer = RPC_ANSWER_INIT;
	_cleanup_error_ struct error e = ERROR_INIT;

	int r = harness_call(channel, "näme", 10 * SECOND, &answer, &e);
	assert_string_equal(error_text(&e), "no error");
	assert_int_equal(r, 0);
	const Mayfly__V1__Function *function = (const Mayfly__V1__Function *)answer.message;
	assert_string_equal(function->function_name, "näme");
	struct slice trailer = rpc_answer_trailer(&answer, "mayfly-test-bin");
	assert_int_equal(trailer.len, 3);
	assert_memory_equal(trailer.data, "\0\1\2", 3);
	assert_true(answer.received_us >= answer.sent_us && answer.sent_us > 0);
	assert_true(gate_wait(&h->served, 1, GATE_LIMIT_S));
	assert_int_equal(h->peer.kind, kind);
}

static void test_unary_unix(void **state)
{
	struct harness *h = *state;
	test_unary_over(h, h->address, RPC_PEER_UNIX);
	assert_int_equal(h->peer.uid, getuid());
	assert_int_equal(h->peer.pid, getpid());
}

static void test_unary_tcp(void **state)
{
	struct harness *h = *state;
	test_unary_over(h, h->tcp, RPC_PEER_TCP);
	assert_int_equal(h->peer.uid, (uid_t)-1);
}

static void fail_not_found(struct harness *h _unused_, struct rpc_call *call,
			   const Mayfly__V1__GetFunctionRequest *request)
{
	_cleanup_error_ struct error e = ERROR_INIT;
	(void)error_set(&e, ERROR_NOT_FOUND, "function_name", "Function not found: %s",
			request->function_name);
	rpc_call_fail(call, &e);
}

static void test_rich_error(void **state)
{
	struct harness *h = *state;
	_cleanup_(rpc_channel_free_p) struct rpc_channel *channel = harness_channel(h->address);
	_cleanup_rpc_answer_ struct rpc_answer answer = RPC_ANSWER_INIT;
	_cleanup_error_ struct error e = ERROR_INIT;

	harness_set(h, fail_not_found, 0);
	assert_int_equal(harness_call(channel, "größe", 10 * SECOND, &answer, &e), -ENOENT);
	assert_int_equal(e.code, ERROR_NOT_FOUND);
	assert_string_equal(e.field, "function_name");
	assert_string_equal(e.message, "Function not found: größe");
	assert_null(answer.message);
}

static void fail_at_length(struct harness *h _unused_, struct rpc_call *call,
			   const Mayfly__V1__GetFunctionRequest *request _unused_)
{
	_cleanup_error_ struct error e = ERROR_INIT;
	(void)error_set(&e, ERROR_INTERNAL, NULL, "%05000d", 7);
	rpc_call_fail(call, &e);
}

static void test_long_message_is_cut(void **state)
{
	struct harness *h = *state;
	_cleanup_(rpc_channel_free_p) struct rpc_channel *channel = harness_channel(h->address);
	_cleanup_rpc_answer_ struct rpc_answer answer = RPC_ANSWER_INIT;
	_cleanup_error_ struct error e = ERROR_INIT;

	harness_set(h, fail_at_length, 0);
	assert_int_equal(harness_call(channel, "f", 10 * SECOND, &answer, &e), -EIO);
	assert_int_equal(strlen(e.message), 2000);
}

static void test_method_without_handler(void **state)
{
	struct harness *h = *state;
	_cleanup_(rpc_channel_free_p) struct rpc_channel *channel = harness_channel(h->address);
	_cleanup_rpc_answer_ struct rpc_answer answer = RPC_ANSWER_INIT;
	_cleanup_error_ struct error e = ERROR_INIT;
	Mayfly__V1__ListFunctionsRequest request = MAYFLY__V1__LIST_FUNCTIONS_REQUEST__INIT;

	int r = rpc_channel_call(channel, &mayfly__v1__function_service__descriptor, "List",
				 &request.base, 10 * SECOND, &answer, &e);
	assert_int_equal(r, -ENOSYS);
	assert_non_null(strstr(e.message, "/mayfly.v1.FunctionService/List"));
}

static void test_oversized(void **state)
{
	struct harness *h = *state;
	_cleanup_(rpc_channel_free_p) struct rpc_channel *channel = harness_channel(h->address);
	_cleanup_rpc_answer_ struct rpc_answer answer = RPC_ANSWER_INIT;
	_cleanup_error_ struct error e = ERROR_INIT;
	_cleanup_free_ char *name = malloc((2 << 20) + 1);

	assert_non_null(name);
	memset(name, 'n', 2 << 20);
	name[2 << 20] = '\0';
	assert_int_equal(harness_call(channel, name, 10 * SECOND, &answer, &e), -E2BIG);
	assert_int_equal(e.code, ERROR_REQUEST_TOO_LARGE);
}

static void test_invalid_utf8(void **state)
{
	struct harness *h = *state;
	_cleanup_(rpc_channel_free_p) struct rpc_channel *channel = harness_channel(h->address);
	_cleanup_rpc_answer_ struct rpc_answer answer = RPC_ANSWER_INIT;
	_cleanup_error_ struct error e = ERROR_INIT;

	assert_int_equal(harness_call(channel, "a\xff", 10 * SECOND, &answer, &e), -EINVAL);
	assert_int_equal(e.code, ERROR_INVALID_PARAMETER);
	assert_string_equal(e.field, "function_name");
}

static void hold_call(struct harness *h, struct rpc_call *call,
		      const Mayfly__V1__GetFunctionRequest *request _unused_)
{
	h->held = call;
	rpc_call_set_cancelled(call, harness_stream_cancelled, h);
	gate_add(&h->entered, 1);
}

static void test_deadline(void **state)
{
	struct harness *h = *state;
	_cleanup_(rpc_channel_free_p) struct rpc_channel *channel = harness_channel(h->address);
	_cleanup_rpc_answer_ struct rpc_answer answer = RPC_ANSWER_INIT;
	_cleanup_error_ struct error e = ERROR_INIT;

	harness_set(h, hold_call, 0);
	assert_int_equal(harness_call(channel, "f", SECOND / 5, &answer, &e), -ETIMEDOUT);
	assert_int_equal(e.code, ERROR_DEADLINE_EXCEEDED);
	assert_true(gate_wait(&h->cancelled, 1, GATE_LIMIT_S));
}

static volatile sig_atomic_t cancel_flag;

static void *cancel_when_entered(void *arg)
{
	struct harness *h = arg;
	(void)gate_wait(&h->entered, 1, GATE_LIMIT_S);
	__atomic_store_n(&cancel_flag, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void test_cancel(void **state)
{
	struct harness *h = *state;
	_cleanup_(rpc_channel_free_p) struct rpc_channel *channel = harness_channel(h->address);
	_cleanup_rpc_answer_ struct rpc_answer answer = RPC_ANSWER_INIT;
	_cleanup_error_ struct error e = ERROR_INIT;
	pthread_t thread;

	harness_set(h, hold_call, 0);
	cancel_flag = 0;
	rpc_channel_set_cancel_flag(channel, &cancel_flag);
	assert_int_equal(pthread_create(&thread, NULL, cancel_when_entered, h), 0);
	assert_int_equal(harness_call(channel, "f", RPC_NO_TIMEOUT, &answer, &e), -ECANCELED);
	(void)pthread_join(thread, NULL);
	assert_true(gate_wait(&h->cancelled, 1, GATE_LIMIT_S));
}

static struct rpc_stream *open_tail(struct rpc_channel *channel)
{
	Mayfly__V1__TailLogsRequest request = MAYFLY__V1__TAIL_LOGS_REQUEST__INIT;
	struct rpc_stream *stream = NULL;
	assert_int_equal(rpc_stream_open(channel, &mayfly__v1__log_service__descriptor, "Tail",
					 &request.base, RPC_NO_TIMEOUT, &stream, NULL),
			 0);
	return stream;
}

/* A client that does not read holds the sender back; one that reads gets everything. */
static void test_back_pressure(void **state)
{
	struct harness *h = *state;
	_cleanup_(rpc_channel_free_p) struct rpc_channel *channel = harness_channel(h->address);

	harness_set(h, NULL, 256 << 10);
	struct rpc_stream *stream = open_tail(channel);
	assert_true(gate_wait(&h->sent, 1, GATE_LIMIT_S));
	assert_false(gate_wait(&h->sent, 64, 1)); /* 16 MiB would mean that nothing holds it */
	for (int i = 0; i < 80; i++) {
		ProtobufCMessage *message = NULL;
		assert_int_equal(rpc_stream_next(stream, &message, NULL), 1);
		const Mayfly__V1__LogEvent *event = (const Mayfly__V1__LogEvent *)message;
		assert_int_equal(strlen(event->message), h->chunk_bytes);
		protobuf_c_message_free_unpacked(message, NULL);
	}
	(void)rpc_stream_close(stream);
	assert_true(gate_wait(&h->cancelled, 1, GATE_LIMIT_S));
}

struct drain {
	struct rpc_stream *stream;
	volatile bool stop;
};

static void *drain_stream(void *arg)
{
	struct drain *drain = arg;
	ProtobufCMessage *message = NULL;
	while (!__atomic_load_n(&drain->stop, __ATOMIC_RELAXED) &&
	       rpc_stream_next(drain->stream, &message, NULL) > 0)
		protobuf_c_message_free_unpacked(message, NULL);
	return NULL;
}

/* A stream whose next message is always ready leaves room for other calls. */
static void test_ready_stream_starves_nobody(void **state)
{
	struct harness *h = *state;
	_cleanup_(rpc_channel_free_p) struct rpc_channel *busy = harness_channel(h->address);
	_cleanup_(rpc_channel_free_p) struct rpc_channel *channel = harness_channel(h->address);
	pthread_t thread;

	harness_set(h, NULL, 100);
	struct drain drain = { .stream = open_tail(busy) };
	assert_int_equal(pthread_create(&thread, NULL, drain_stream, &drain), 0);
	assert_true(gate_wait(&h->sent, 100, GATE_LIMIT_S));
	for (int i = 0; i < 20; i++) {
		_cleanup_rpc_answer_ struct rpc_answer answer = RPC_ANSWER_INIT;
		assert_int_equal(harness_call(channel, "f", 2 * SECOND, &answer, NULL), 0);
	}
	__atomic_store_n(&drain.stop, true, __ATOMIC_RELAXED);
	(void)pthread_join(thread, NULL);
	(void)rpc_stream_close(drain.stream);
	assert_true(gate_wait(&h->cancelled, 1, GATE_LIMIT_S));
}

static void test_stop_with_live_stream(void **state)
{
	struct harness *h = *state;
	_cleanup_(rpc_channel_free_p) struct rpc_channel *channel = harness_channel(h->address);
	_cleanup_(rpc_stream_close_p) struct rpc_stream *stream = NULL;
	ProtobufCMessage *message = NULL;

	stream = open_tail(channel);
	assert_true(gate_wait(&h->entered, 1, GATE_LIMIT_S));
	int64_t before = clock_monotonic_us();
	harness_shutdown(h, 300);
	int64_t took = clock_monotonic_us() - before;
	assert_true(took >= 300 * USEC_PER_MSEC && took < 10 * SECOND);
	assert_int_equal(gate_value(&h->cancelled), 1);
	assert_true(rpc_stream_next(stream, &message, NULL) < 0);
}

/* The final answer waits for the message before it. */
static void send_and_finish(struct harness *h _unused_, struct rpc_call *call,
			    const Mayfly__V1__GetFunctionRequest *request _unused_)
{
	Mayfly__V1__Function function = MAYFLY__V1__FUNCTION__INIT;
	assert_int_equal(rpc_call_send(call, &function.base), 0);
	assert_int_equal(rpc_call_send(call, &function.base), -EAGAIN);
	rpc_call_finish(call);
}

static void test_finish_after_send(void **state)
{
	struct harness *h = *state;
	_cleanup_(rpc_channel_free_p) struct rpc_channel *channel = harness_channel(h->address);
	_cleanup_rpc_answer_ struct rpc_answer answer = RPC_ANSWER_INIT;

	harness_set(h, send_and_finish, 0);
	assert_int_equal(harness_call(channel, "f", 10 * SECOND, &answer, NULL), 0);
}

static void test_second_listener_is_refused(void **state)
{
	struct harness *h = *state;
	_cleanup_error_ struct error e = ERROR_INIT;
	_cleanup_rpc_answer_ struct rpc_answer answer = RPC_ANSWER_INIT;
	_cleanup_(rpc_server_free_p) struct rpc_server *second = NULL;
	const struct rpc_server_options options = { .post = test_loop_post, .post_ctx = &h->loop };
	struct stat st;

	assert_int_equal(rpc_server_new(&options, &second, NULL), 0);
	assert_int_equal(rpc_server_listen_unix(second, h->path, 0600, (gid_t)-1, &e), -EEXIST);
	assert_int_equal(e.code, ERROR_CONFLICT);
	error_clear(&e);
	assert_int_equal(rpc_server_listen_tcp(second, h->tcp, NULL, &e), -EEXIST);

	assert_int_equal(stat(h->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	_cleanup_(rpc_channel_free_p) struct rpc_channel *channel = harness_channel(h->address);
	assert_int_equal(harness_call(channel, "f", 10 * SECOND, &answer, NULL), 0);
}

static void test_only_loopback(void **state)
{
	struct harness *h = *state;
	static const char *const refused[] = { "0.0.0.0:0", "10.0.0.1:80",     "[::]:0",
					       "host:80",   "127.0.0.1:",      "127.0.0.1",
					       ":80",       "127.0.0.1:70000", "127.0.0.1:x" };
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		_cleanup_error_ struct error e = ERROR_INIT;
		assert_int_equal(rpc_server_listen_tcp(h->server, refused[i], NULL, &e), -EINVAL);
	}
}

static void test_unreachable(void **state _unused_)
{
	_cleanup_(rpc_channel_free_p) struct rpc_channel *channel =
		harness_channel("unix:/nonexistent/mayfly.sock");
	_cleanup_rpc_answer_ struct rpc_answer answer = RPC_ANSWER_INIT;
	_cleanup_error_ struct error e = ERROR_INIT;

	assert_int_equal(harness_call(channel, "f", 10 * SECOND, &answer, &e), -ECONNREFUSED);
	assert_int_equal(e.code, ERROR_UNAVAILABLE);
	assert_non_null(strstr(e.message, "/nonexistent/mayfly.sock"));
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, harness_setup, harness_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SERVER(test_unary_unix),
		WITH_SERVER(test_unary_tcp),
		WITH_SERVER(test_rich_error),
		WITH_SERVER(test_long_message_is_cut),
		WITH_SERVER(test_method_without_handler),
		WITH_SERVER(test_oversized),
		WITH_SERVER(test_invalid_utf8),
		WITH_SERVER(test_deadline),
		WITH_SERVER(test_cancel),
		WITH_SERVER(test_back_pressure),
		WITH_SERVER(test_ready_stream_starves_nobody),
		WITH_SERVER(test_stop_with_live_stream),
		WITH_SERVER(test_finish_after_send),
		WITH_SERVER(test_second_listener_is_refused),
		WITH_SERVER(test_only_loopback),
		cmocka_unit_test(test_unreachable),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
