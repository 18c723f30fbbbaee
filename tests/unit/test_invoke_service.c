/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_api mayfly_client mayfly_invoke mayfly_pool mayfly_logs mayfly_vm mayfly_image
// mayfly_deploy mayfly_store mayfly_functions mayfly_rpc mayfly_core mayfly_base

/* InvokeService over a real socket. The invoker's calls are defined here, so that the linker leaves
 * the real one out: each function's name says how its invocation goes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>

#include "agent/api/invoke_service.h"
#include "rpc/rpc_channel.h"
#include "tests/unit/service_harness.h"

#define REQUEST_ID   "6f1c9a3e-58d2-4d0b-9c11-0d3f6a7b8c9d"
#define SANDBOX_ID   "0123456789abcdef0123456789abcdef"
#define STREAM_BYTES (24U << 20)
#define PIECE_BYTES  (300U << 10)
#define CHUNK_MAX    (256U << 10)

/* -- the invoker -- */

struct invoker {
	struct loop *loop;
	sem_t held, congested, abandoned, done;
	unsigned live;
};

struct invocation {
	struct invoker *invoker;
	struct invocation_request request;
	size_t sent;
	bool started;
	bool is_congested;
	bool was_congested;
	bool was_abandoned;
};

static bool is_for(const struct invocation *invocation, const char *name)
{
	return strcmp(invocation->request.function_name, name) == 0;
}

static void finish(struct invocation *invocation, struct invocation_result *result)
{
	struct invoker *invoker = invocation->invoker;

	result->executed_version = "$LATEST";
	result->phases = (struct invocation_phases){
		.start = INVOCATION_START_SPARE,
		.handler_us = 1234,
		.guest_us = 1000,
		.received_at_us = invocation->request.received_us,
		.complete_at_us = clock_monotonic_us(),
		.sandbox_id = SANDBOX_ID,
	};
	if (!result->function_error)
		result->function_error = "";
	result->error_type = result->function_error[0] ? "ValueError" : "";
	invocation->request.events->on_done(invocation, result, invocation->request.user);
	free(invocation);
	invoker->live--;
	(void)sem_post(&invoker->done);
}

static uint8_t byte_at(size_t place)
{
	return (uint8_t)(place ^ (place >> 8) ^ (place >> 16));
}

static void send_piece(struct invocation *invocation)
{
	static uint8_t piece[PIECE_BYTES];

	for (size_t i = 0; i < sizeof(piece); i++)
		piece[i] = byte_at(invocation->sent + i);
	size_t left = STREAM_BYTES - invocation->sent;
	size_t len = left < sizeof(piece) ? left : sizeof(piece);
	invocation->sent += len;
	invocation->request.events->on_chunk(invocation, slice_new(piece, len),
					     invocation->request.user);
}

/* A sandbox that is told to stand still brings nothing; "flood" is one that does not listen. */
static void stream(void *arg)
{
	struct invocation *invocation = arg;
	const struct invocation_events *events = invocation->request.events;
	struct invocation_result result = { .status_code = 200,
					    .log_result = slice_from_string("the log") };

	if (!invocation->started && !invocation->was_abandoned)
		events->on_start(invocation, "text/plain", invocation->request.user);
	invocation->started = true;
	while (!invocation->was_abandoned && invocation->sent < STREAM_BYTES &&
	       (!invocation->is_congested || is_for(invocation, "flood")))
		send_piece(invocation);
	if (invocation->was_abandoned || invocation->sent == STREAM_BYTES)
		finish(invocation, &result);
}

static void fail_in_stream(struct invocation *invocation)
{
	static const char body[] = "{\"errorMessage\":\"\xff\"}";
	const struct invocation_events *events = invocation->request.events;
	struct invocation_result result = { .status_code = 200,
					    .function_error = "Unhandled",
					    .payload = slice_new(body, sizeof(body) - 1) };

	events->on_start(invocation, "text/plain", invocation->request.user);
	events->on_chunk(invocation, slice_from_string("half"), invocation->request.user);
	finish(invocation, &result);
}

static void finish_held(void *arg)
{
	struct invocation_result result = { .status_code = 200 };

	finish(arg, &result);
}

static void run(void *arg)
{
	struct invocation *invocation = arg;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct invocation_result result = { .status_code = 200 };

	if (is_for(invocation, "stream") || is_for(invocation, "flood")) {
		stream(invocation);
		return;
	}
	if (is_for(invocation, "fail-in-stream")) {
		fail_in_stream(invocation);
		return;
	}
	if (is_for(invocation, "hold")) {
		(void)sem_post(&invocation->invoker->held);
		return;
	}
	if (is_for(invocation, "missing")) {
		(void)error_set(&error, ERROR_NOT_FOUND, "function_name", "Function not found");
		result.error = &error;
	}
	if (is_for(invocation, "raise"))
		result.function_error = "Unhandled";
	if (invocation->request.type == INVOCATION_DRY_RUN)
		result.status_code = 204;
	else
		result.payload = invocation->request.payload;
	if (invocation->request.log_tail)
		result.log_result = slice_from_string("the log");
	finish(invocation, &result);
}

int invoker_submit(struct invoker *invoker, const struct invocation_request *request,
		   struct invocation **ret)
{
	struct invocation *invocation = calloc(1, sizeof(*invocation));

	*invocation = (struct invocation){ .invoker = invoker, .request = *request };
	assert_string_equal(request->tenant, TENANT);
	invoker->live++;
	loop_post(invoker->loop, run, invocation);
	*ret = invocation;
	return 0;
}

const char *invocation_request_id(const struct invocation *invocation _unused_)
{
	return REQUEST_ID;
}

const char *invocation_executed_version(const struct invocation *invocation _unused_)
{
	return "$LATEST";
}

void invocation_abandon(struct invocation *invocation)
{
	assert_false(invocation->was_abandoned);
	assert_false(invocation->is_congested);
	invocation->was_abandoned = true;
	(void)sem_post(&invocation->invoker->abandoned);
	if (is_for(invocation, "hold"))
		loop_post(invocation->invoker->loop, finish_held, invocation);
}

void invocation_set_congested(struct invocation *invocation, bool congested)
{
	assert_true(invocation->is_congested != congested);
	invocation->is_congested = congested;
	if (congested) {
		/* Once: sockets and gRPC take in some more, and then it is told again. */
		if (!invocation->was_congested)
			(void)sem_post(&invocation->invoker->congested);
		invocation->was_congested = true;
	} else if (!is_for(invocation, "flood"))
		loop_post(invocation->invoker->loop, stream, invocation);
}

/* -- the event queue: "missing" is refused -- */

struct event_queue {
	struct loop *loop;
	bool is_missing;
	event_taken_fn *answer;
	void *arg;
};

static void answer_event(void *arg)
{
	struct event_queue *queue = arg;
	_cleanup_error_ struct error error = ERROR_INIT;

	if (queue->is_missing)
		(void)error_set(&error, ERROR_NOT_FOUND, NULL, "Function not found");
	queue->answer(REQUEST_ID, queue->is_missing ? &error : NULL, queue->arg);
}

int event_queue_submit(struct event_queue *queue, const struct invocation_request *request,
		       event_taken_fn *answer, void *arg)
{
	assert_string_equal(request->tenant, TENANT);
	queue->is_missing = strcmp(request->function_name, "missing") == 0;
	queue->answer = answer;
	queue->arg = arg;
	loop_post(queue->loop, answer_event, queue);
	return 0;
}

void event_queue_gauges(const struct event_queue *queue _unused_, struct event_gauges *ret)
{
	*ret = (struct event_gauges){ 0 };
}

/* -- a node -- */

struct node {
	struct harness harness;
	struct invoker invoker;
	struct event_queue queue;
	struct invoke_service *service;
};

static int set_up(void **state)
{
	struct node *node = calloc(1, sizeof(*node));

	harness_open(&node->harness);
	node->invoker.loop = node->queue.loop = node->harness.loop;
	(void)sem_init(&node->invoker.held, 0, 0);
	(void)sem_init(&node->invoker.congested, 0, 0);
	(void)sem_init(&node->invoker.abandoned, 0, 0);
	(void)sem_init(&node->invoker.done, 0, 0);
	assert_int_equal(invoke_service_register(node->harness.server, &node->invoker, &node->queue,
						 &node->harness.context, &node->service, NULL),
			 0);
	harness_serve(&node->harness);
	*state = node;
	return 0;
}

static int tear_down(void **state)
{
	struct node *node = *state;

	harness_end(&node->harness);
	assert_int_equal(node->invoker.live, 0);
	node->service = invoke_service_free(node->service);
	harness_close(&node->harness);
	free(node);
	return 0;
}

static void wait_for(sem_t *fact)
{
	struct timespec limit;
	int r;

	(void)clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += HARNESS_LIMIT_SEC;
	do
		r = sem_timedwait(fact, &limit);
	while (r < 0 && errno == EINTR);
	assert_int_equal(r, 0);
}

static Mayfly__V1__InvokeRequest request_of(const char *function, const char *payload)
{
	Mayfly__V1__InvokeRequest request = MAYFLY__V1__INVOKE_REQUEST__INIT;

	request.function_name = borrow(function);
	request.payload =
		(ProtobufCBinaryData){ .len = strlen(payload), .data = (uint8_t *)borrow(payload) };
	return request;
}

static void assert_bytes(const ProtobufCBinaryData *bytes, const char *text)
{
	assert_int_equal(bytes->len, strlen(text));
	assert_memory_equal(bytes->data, text, strlen(text));
}

/* -- Invoke -- */

static void test_invoke(void **state)
{
	struct node *node = *state;
	Mayfly__V1__InvokeRequest request = request_of("echo", "{\"a\":1}");
	_cleanup_invocation_ struct client_invocation answer = CLIENT_INVOCATION_INIT;
	_cleanup_error_ struct error error = ERROR_INIT;

	request.log_type = MAYFLY__V1__LOG_TYPE__LOG_TYPE_TAIL;
	if (client_invoke(node->harness.client, &request, CLIENT_NO_TIMEOUT, &answer, &error) < 0)
		fail_msg("%s", error_text(&error));
	assert_int_equal(answer.response->status_code, 200);
	assert_string_equal(answer.response->function_error, "");
	assert_string_equal(answer.response->executed_version, "$LATEST");
	assert_string_equal(answer.response->request_id, REQUEST_ID);
	assert_bytes(&answer.response->payload, "{\"a\":1}");
	assert_bytes(&answer.response->log_result, "the log");
	assert_non_null(answer.phases);
	assert_int_equal(answer.phases->start_kind, MAYFLY__V1__START_KIND__START_KIND_SPARE);
	assert_int_equal(answer.phases->handler_us, 1234);
	assert_int_equal(answer.phases->guest_us, 1000);
	assert_string_equal(answer.phases->sandbox_id, SANDBOX_ID);
	assert_true(answer.phases->total_us >= answer.phases->reply_us);
	assert_true(answer.phases->total_us <= (uint64_t)(answer.received_us - answer.sent_us));
}

static void test_dry_run(void **state)
{
	struct node *node = *state;
	Mayfly__V1__InvokeRequest request = request_of("echo", "{}");
	_cleanup_invocation_ struct client_invocation answer = CLIENT_INVOCATION_INIT;

	request.invocation_type = MAYFLY__V1__INVOCATION_TYPE__INVOCATION_TYPE_DRY_RUN;
	assert_int_equal(
		client_invoke(node->harness.client, &request, CLIENT_NO_TIMEOUT, &answer, NULL), 0);
	assert_int_equal(answer.response->status_code, 204);
	assert_int_equal(answer.response->payload.len, 0);
}

static void test_event(void **state)
{
	struct node *node = *state;
	Mayfly__V1__InvokeRequest request = request_of("echo", "{}");
	_cleanup_invocation_ struct client_invocation answer = CLIENT_INVOCATION_INIT;
	_cleanup_invocation_ struct client_invocation refused = CLIENT_INVOCATION_INIT;
	_cleanup_error_ struct error error = ERROR_INIT;

	request.invocation_type = MAYFLY__V1__INVOCATION_TYPE__INVOCATION_TYPE_EVENT;
	assert_int_equal(
		client_invoke(node->harness.client, &request, CLIENT_NO_TIMEOUT, &answer, NULL), 0);
	assert_int_equal(answer.response->status_code, 202);
	assert_string_equal(answer.response->request_id, REQUEST_ID);
	assert_string_equal(answer.response->executed_version, "");
	assert_int_equal(answer.response->payload.len, 0);
	request.function_name = borrow("missing");
	assert_true(client_invoke(node->harness.client, &request, CLIENT_NO_TIMEOUT, &refused,
				  &error) < 0);
	assert_int_equal(error.code, ERROR_NOT_FOUND);
}

static void assert_trailer(const struct rpc_answer *answer, const char *key, const char *text)
{
	struct slice value = rpc_answer_trailer(answer, key);

	assert_non_null(value.data);
	assert_true(slice_equals_string(value, text));
}

static void test_trailers(void **state)
{
	struct node *node = *state;
	Mayfly__V1__InvokeRequest request = request_of("raise", "{}");
	_cleanup_rpc_answer_ struct rpc_answer answer = RPC_ANSWER_INIT;
	struct rpc_channel *channel = NULL;
	char address[128];

	(void)snprintf(address, sizeof(address), "unix:%s", node->harness.socket);
	assert_int_equal(rpc_channel_new(address, &channel, NULL), 0);
	assert_int_equal(rpc_channel_call(channel, &mayfly__v1__invoke_service__descriptor,
					  "Invoke", &request.base, INT64_MAX, &answer, NULL),
			 0);
	assert_trailer(&answer, "mayfly-request-id", REQUEST_ID);
	assert_trailer(&answer, "mayfly-executed-version", "$LATEST");
	assert_trailer(&answer, "mayfly-function-error", "Unhandled");
	assert_non_null(rpc_answer_trailer(&answer, "mayfly-phases-bin").data);
	(void)rpc_channel_free(channel);
}

static void test_refusals(void **state)
{
	struct node *node = *state;
	const struct {
		const char *tenant, *function;
		int type, log_type;
		enum error_code code;
		const char *field;
	} rows[] = {
		{ "", "missing", 0, 0, ERROR_NOT_FOUND, "function_name" },
		{ "999999999999", "echo", 0, 0, ERROR_NOT_FOUND, "tenant" },
		{ "", "echo", 4, 0, ERROR_INVALID_PARAMETER, "invocation_type" },
		{ "", "echo", -1, 0, ERROR_INVALID_PARAMETER, "invocation_type" },
		{ "", "echo", 0, 3, ERROR_INVALID_PARAMETER, "log_type" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		Mayfly__V1__InvokeRequest request = request_of(rows[i].function, "{}");
		_cleanup_invocation_ struct client_invocation answer = CLIENT_INVOCATION_INIT;
		_cleanup_(client_stream_close_p) struct client_stream *stream = NULL;
		_cleanup_error_ struct error error = ERROR_INIT, streamed = ERROR_INIT;
		Mayfly__V1__InvokeStreamResponse *event = NULL;

		request.tenant = borrow(rows[i].tenant);
		request.invocation_type = (Mayfly__V1__InvocationType)rows[i].type;
		request.log_type = (Mayfly__V1__LogType)rows[i].log_type;
		assert_true(client_invoke(node->harness.client, &request, CLIENT_NO_TIMEOUT,
					  &answer, &error) < 0);
		assert_int_equal(error.code, rows[i].code);
		assert_string_equal(error.field, rows[i].field);
		assert_int_equal(client_invoke_stream(node->harness.client, &request,
						      CLIENT_NO_TIMEOUT, &stream, NULL),
				 0);
		assert_true(client_invoke_stream_next(stream, &event, &streamed) < 0);
		assert_int_equal(streamed.code, rows[i].code);
		assert_string_equal(streamed.field, rows[i].field);
	}
}

/* The function runs on; the one who asked hears that its time is over. */
static void test_client_leaves(void **state)
{
	struct node *node = *state;
	Mayfly__V1__InvokeRequest request = request_of("hold", "{}");
	_cleanup_invocation_ struct client_invocation answer = CLIENT_INVOCATION_INIT;
	_cleanup_error_ struct error error = ERROR_INIT;

	assert_true(client_invoke(node->harness.client, &request, USEC_PER_SEC / 2, &answer,
				  &error) < 0);
	assert_int_equal(error.code, ERROR_DEADLINE_EXCEEDED);
	wait_for(&node->invoker.held);
	wait_for(&node->invoker.abandoned);
	wait_for(&node->invoker.done);
}

/* -- InvokeStream -- */

static struct client_stream *open_stream(struct node *node, const char *function)
{
	Mayfly__V1__InvokeRequest request = request_of(function, "{}");
	struct client_stream *stream = NULL;

	assert_int_equal(client_invoke_stream(node->harness.client, &request, CLIENT_NO_TIMEOUT,
					      &stream, NULL),
			 0);
	return stream;
}

static Mayfly__V1__InvokeStreamResponse *next_of(struct client_stream *stream,
						 Mayfly__V1__InvokeStreamResponse__EventCase kind)
{
	Mayfly__V1__InvokeStreamResponse *event = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;

	if (client_invoke_stream_next(stream, &event, &error) != 1)
		fail_msg("%s", error_text(&error));
	assert_int_equal(event->event_case, kind);
	return event;
}

static void expect_start(struct client_stream *stream)
{
	_cleanup_message_ Mayfly__V1__InvokeStreamResponse *event =
		next_of(stream, MAYFLY__V1__INVOKE_STREAM_RESPONSE__EVENT_START);

	assert_string_equal(event->start->request_id, REQUEST_ID);
	assert_string_equal(event->start->executed_version, "$LATEST");
	assert_string_equal(event->start->content_type, "text/plain");
}

static void expect_end(struct client_stream *stream)
{
	Mayfly__V1__InvokeStreamResponse *event = NULL;
	_cleanup_message_ Mayfly__V1__Phases *phases = NULL;

	assert_int_equal(client_invoke_stream_next(stream, &event, NULL), 0);
	phases = client_stream_phases(stream);
	assert_non_null(phases);
	assert_int_equal(phases->handler_us, 1234);
}

/* A reader who stands still stops the sandbox; once it reads on, not a byte is missing. */
static void test_stream(void **state)
{
	struct node *node = *state;
	_cleanup_(client_stream_close_p) struct client_stream *stream = open_stream(node, "stream");
	_cleanup_message_ Mayfly__V1__InvokeStreamResponse *end = NULL;
	size_t seen = 0;

	wait_for(&node->invoker.congested);
	expect_start(stream);
	while (seen < STREAM_BYTES) {
		_cleanup_message_ Mayfly__V1__InvokeStreamResponse *event =
			next_of(stream, MAYFLY__V1__INVOKE_STREAM_RESPONSE__EVENT_PAYLOAD_CHUNK);
		const ProtobufCBinaryData *chunk = &event->payload_chunk;

		assert_true(chunk->len > 0 && chunk->len <= CHUNK_MAX);
		for (size_t i = 0; i < chunk->len; i++)
			if (chunk->data[i] != byte_at(seen + i))
				fail_msg("byte %zu is wrong", seen + i);
		seen += chunk->len;
	}
	assert_int_equal(seen, STREAM_BYTES);
	end = next_of(stream, MAYFLY__V1__INVOKE_STREAM_RESPONSE__EVENT_COMPLETE);
	assert_string_equal(end->complete->error_code, "");
	assert_bytes(&end->complete->log_result, "the log");
	expect_end(stream);
}

static void test_stream_reader_leaves(void **state)
{
	struct node *node = *state;

	for (unsigned i = 0; i < 10; i++) {
		struct client_stream *stream = open_stream(node, "stream");

		wait_for(&node->invoker.congested);
		(void)client_stream_close(stream);
		wait_for(&node->invoker.abandoned);
		wait_for(&node->invoker.done);
	}
}

/* A sandbox that goes on all the same fills the queue, never the node's memory. */
static void test_stream_flood(void **state)
{
	struct node *node = *state;
	_cleanup_(client_stream_close_p) struct client_stream *stream = open_stream(node, "flood");
	_cleanup_error_ struct error error = ERROR_INIT;
	int r;

	wait_for(&node->invoker.done);
	expect_start(stream);
	do {
		_cleanup_message_ Mayfly__V1__InvokeStreamResponse *event = NULL;

		r = client_invoke_stream_next(stream, &event, &error);
	} while (r > 0);
	assert_true(r < 0);
	assert_int_equal(error.code, ERROR_UNAVAILABLE);
	wait_for(&node->invoker.abandoned);
}

static void test_stream_error(void **state)
{
	struct node *node = *state;
	_cleanup_(client_stream_close_p) struct client_stream *stream =
		open_stream(node, "fail-in-stream");
	_cleanup_message_ Mayfly__V1__InvokeStreamResponse *half = NULL, *end = NULL;

	expect_start(stream);
	half = next_of(stream, MAYFLY__V1__INVOKE_STREAM_RESPONSE__EVENT_PAYLOAD_CHUNK);
	assert_bytes(&half->payload_chunk, "half");
	end = next_of(stream, MAYFLY__V1__INVOKE_STREAM_RESPONSE__EVENT_COMPLETE);
	assert_string_equal(end->complete->error_code, "ValueError");
	assert_string_equal(end->complete->error_details, "{\"errorMessage\":\"\xef\xbf\xbd\"}");
	expect_end(stream);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_invoke),       TEST(test_dry_run),      TEST(test_event),
		TEST(test_trailers),     TEST(test_refusals),     TEST(test_client_leaves),
		TEST(test_stream),       TEST(test_stream_error), TEST(test_stream_reader_leaves),
		TEST(test_stream_flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
