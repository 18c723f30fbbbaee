/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_rpc

/* A call that is ended over the head of whoever has it: what the client hears, what the owner
 * hears, and that nothing is sent afterwards. */

#include "rpc_harness.h"

static void cut(void *arg)
{
	struct harness *h = arg;
	_cleanup_error_ struct error e = ERROR_INIT;

	assert_true(rpc_call_is_stream(h->held));
	(void)error_set(&e, ERROR_UNAUTHENTICATED, NULL, "The key is gone.");
	rpc_call_cut(h->held, &e);
	rpc_call_cut(h->held, &e); /* once is enough */
	assert_true(rpc_call_is_cancelled(h->held));
	gate_add(&h->served, 1);
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

/* Reads to the end, which must be the cut. */
static unsigned drain(struct rpc_stream *stream)
{
	_cleanup_error_ struct error e = ERROR_INIT;
	ProtobufCMessage *message = NULL;
	unsigned messages = 0;

	while (rpc_stream_next(stream, &message, &e) > 0) {
		messages++;
		protobuf_c_message_free_unpacked(message, NULL);
		message = NULL;
	}
	assert_int_equal(e.code, ERROR_UNAUTHENTICATED);
	assert_string_equal(error_text(&e), "The key is gone.");
	return messages;
}

static void test_a_quiet_stream(void **state)
{
	struct harness *h = *state;
	_cleanup_(rpc_channel_free_p) struct rpc_channel *channel = harness_channel(h->address);
	_cleanup_(rpc_stream_close_p) struct rpc_stream *stream = open_tail(channel);

	assert_true(gate_wait(&h->entered, 1, GATE_LIMIT_S));
	test_loop_post(&h->loop, cut, h);
	assert_int_equal(drain(stream), 0);
	assert_true(gate_wait(&h->cancelled, 1, GATE_LIMIT_S)); /* who gave the final answer */
}

/* With a message under way, which goes out first. */
static void test_a_busy_stream(void **state)
{
	struct harness *h = *state;
	_cleanup_(rpc_channel_free_p) struct rpc_channel *channel = harness_channel(h->tcp);

	harness_set(h, NULL, 100000);
	for (int i = 1; i <= 20; i++) {
		_cleanup_(rpc_stream_close_p) struct rpc_stream *stream = open_tail(channel);

		assert_true(gate_wait(&h->entered, i, GATE_LIMIT_S));
		test_loop_post(&h->loop, cut, h);
		assert_true(gate_wait(&h->served, i, GATE_LIMIT_S));
		assert_true(drain(stream) > 0);
		assert_true(gate_wait(&h->cancelled, i, GATE_LIMIT_S));
	}
}

/* Nobody reads: the cut waits for the message under way, and the server's end for neither. */
static void test_a_stream_that_nobody_reads(void **state)
{
	struct harness *h = *state;
	_cleanup_(rpc_channel_free_p) struct rpc_channel *channel = harness_channel(h->address);
	struct rpc_stream *stream;

	harness_set(h, NULL, 300000);
	stream = open_tail(channel);
	assert_true(gate_wait(&h->entered, 1, GATE_LIMIT_S));
	test_loop_post(&h->loop, cut, h);
	assert_true(gate_wait(&h->cancelled, 1, GATE_LIMIT_S));
	harness_shutdown(h, 100);
	(void)rpc_stream_close(stream);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, harness_setup, harness_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SERVER(test_a_quiet_stream),
		WITH_SERVER(test_a_busy_stream),
		WITH_SERVER(test_a_stream_that_nobody_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
