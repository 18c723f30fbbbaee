/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_rpc

/* The gate of a server: who is asked when, what a refusal looks like, and what is heard of answers.
 */

#include "rpc_harness.h"

#include <stdatomic.h>

#define SECOND USEC_PER_SEC

/* What the gate was asked and told; written on the loop, read when an answer has come and `told`
 * says so. */
struct door {
	struct harness h;
	struct gate told;
	atomic_bool refuse_greeting, refuse_admission; /* of the test, read on the loop */
	unsigned greeted, admitted;
	bool had_request, had_reply, context_was_zero;
	char authorization[64];
	enum error_code code;
};

static int refuse(struct error *e)
{
	return error_set(e, ERROR_ACCESS_DENIED, NULL, "No.");
}

static int greet(struct rpc_call *call, void *arg, struct error *e)
{
	struct door *door = arg;
	struct slice said = rpc_call_metadata(call, "authorization");

	door->greeted++;
	(void)snprintf(door->authorization, sizeof(door->authorization), "%.*s", (int)said.len,
		       (const char *)said.data);
	return door->refuse_greeting ? refuse(e) : 0;
}

static int admit(struct rpc_call *call, ProtobufCMessage *request, void *arg, struct error *e)
{
	struct door *door = arg;
	uint64_t *context = rpc_call_context(call);

	door->admitted++;
	door->had_request = request != NULL;
	door->context_was_zero = context[0] == 0 && context[1] == 0;
	context[1] = 7;
	if (door->refuse_admission)
		return refuse(e);
	if (request) { /* may complete it */
		Mayfly__V1__GetFunctionRequest *get = (Mayfly__V1__GetFunctionRequest *)request;

		get->qualifier = strdup("completed");
	}
	return 0;
}

static void answered(struct rpc_call *call, const ProtobufCMessage *reply, const struct error *e,
		     void *arg)
{
	struct door *door = arg;
	const uint64_t *context = rpc_call_context(call);

	assert_true(context[1] == (door->admitted ? 7 : 0));
	door->had_reply = reply != NULL;
	door->code = e ? e->code : ERROR_NONE;
	gate_add(&door->told, 1);
}

static int set_up(void **state)
{
	static const struct rpc_method_handler functions[] = { { "Get", harness_get }, { 0 } };
	struct door *door = calloc(1, sizeof(*door));
	const struct gate gate = GATE_INIT;
	struct harness *h = &door->h;
	uint16_t port = 0;

	h->stopped = h->cancelled = h->sent = h->entered = h->served = door->told = gate;
	h->on_get = harness_echo;
	(void)snprintf(h->dir, sizeof(h->dir), "/tmp/mayfly-rpc-XXXXXX");
	assert_non_null(mkdtemp(h->dir));
	(void)snprintf(h->path, sizeof(h->path), "%s/sock", h->dir);
	test_loop_start(&h->loop);
	const struct rpc_server_options options = { .post = test_loop_post,
						    .post_ctx = &h->loop,
						    .greet = greet,
						    .admit = admit,
						    .answered = answered,
						    .gate = door,
						    .context_bytes = 2 * sizeof(uint64_t) };
	assert_int_equal(rpc_server_new(&options, &h->server, NULL), 0);
	assert_int_equal(rpc_server_add_service(h->server,
						&mayfly__v1__function_service__descriptor,
						functions, h, NULL),
			 0);
	assert_int_equal(rpc_server_listen_unix(h->server, h->path, 0600, (gid_t)-1, NULL), 0);
	assert_int_equal(rpc_server_listen_tcp(h->server, "127.0.0.1:0", &port, NULL), 0);
	assert_int_equal(rpc_server_start(h->server, NULL), 0);
	(void)snprintf(h->tcp, sizeof(h->tcp), "127.0.0.1:%u", port);
	*state = h;
	return 0;
}

static struct door *door_of(void **state)
{
	return container_of(*state, struct door, h);
}

static int call(struct door *door, const char *address, const char *name, struct rpc_answer *answer,
		struct error *e)
{
	_cleanup_(rpc_channel_free_p) struct rpc_channel *channel = harness_channel(address);

	harness_set(&door->h, NULL,
		    0); /* the loop sees what was set, and writes after what was read */
	assert_int_equal(rpc_channel_set_authorization(channel, "Mayfly me", NULL), 0);
	return harness_call(channel, name, 10 * SECOND, answer, e);
}

static void test_let_in(void **state)
{
	struct door *door = door_of(state);

	for (int i = 0; i < 2; i++) {
		_cleanup_rpc_answer_ struct rpc_answer answer = RPC_ANSWER_INIT;

		assert_int_equal(call(door, i ? door->h.tcp : door->h.path, "f", &answer, NULL), 0);
		assert_true(gate_wait(&door->told, i + 1, GATE_LIMIT_S));
		assert_string_equal(((const Mayfly__V1__Function *)answer.message)->version,
				    "completed");
		assert_int_equal(door->admitted, i + 1);
		assert_int_equal(door->greeted, i); /* of the network alone */
		assert_true(door->had_request && door->had_reply && door->context_was_zero);
		assert_int_equal(door->code, ERROR_NONE);
	}
	assert_string_equal(door->authorization, "Mayfly me");
}

static void test_refused_before_the_request(void **state)
{
	struct door *door = door_of(state);
	_cleanup_rpc_answer_ struct rpc_answer answer = RPC_ANSWER_INIT;
	_cleanup_error_ struct error e = ERROR_INIT;

	door->refuse_greeting = true;
	assert_true(call(door, door->h.tcp, "f", &answer, &e) < 0);
	assert_int_equal(e.code, ERROR_ACCESS_DENIED);
	assert_string_equal(error_text(&e), "No.");
	assert_true(gate_wait(&door->told, 1, GATE_LIMIT_S));
	assert_int_equal(door->admitted, 0);
	assert_int_equal(door->code, ERROR_ACCESS_DENIED);
	assert_int_equal(gate_value(&door->h.served), 0);
}

/* Nor is anything taken for a method that is not there. */
static void test_an_unknown_method_is_greeted_too(void **state)
{
	struct door *door = door_of(state);
	Mayfly__V1__GetLogEventsRequest request = MAYFLY__V1__GET_LOG_EVENTS_REQUEST__INIT;
	_cleanup_(rpc_channel_free_p) struct rpc_channel *channel = harness_channel(door->h.tcp);

	for (int i = 0; i < 2; i++) {
		_cleanup_rpc_answer_ struct rpc_answer answer = RPC_ANSWER_INIT;
		_cleanup_error_ struct error e = ERROR_INIT;

		door->refuse_greeting = i == 0;
		harness_set(&door->h, NULL, 0);
		assert_true(rpc_channel_call(channel, &mayfly__v1__log_service__descriptor, "Get",
					     &request.base, 10 * SECOND, &answer, &e) < 0);
		assert_int_equal(e.code, i == 0 ? ERROR_ACCESS_DENIED : ERROR_UNIMPLEMENTED);
	}
}

static void test_refused_with_the_request(void **state)
{
	struct door *door = door_of(state);
	_cleanup_rpc_answer_ struct rpc_answer answer = RPC_ANSWER_INIT;
	_cleanup_error_ struct error e = ERROR_INIT;

	door->refuse_admission = true;
	assert_true(call(door, door->h.path, "f", &answer, &e) < 0);
	assert_int_equal(e.code, ERROR_ACCESS_DENIED);
	assert_true(gate_wait(&door->told, 1, GATE_LIMIT_S));
	assert_true(door->had_request);
	assert_false(door->had_reply);
	assert_int_equal(gate_value(&door->h.served), 0);
}

/* Who calls is asked before what they say is judged. */
static void test_a_bad_request_is_admitted_first(void **state)
{
	struct door *door = door_of(state);
	_cleanup_rpc_answer_ struct rpc_answer first = RPC_ANSWER_INIT, second = RPC_ANSWER_INIT;
	_cleanup_error_ struct error refused = ERROR_INIT, told = ERROR_INIT;

	door->refuse_admission = true;
	assert_true(call(door, door->h.path, "not \xff UTF-8", &first, &refused) < 0);
	assert_int_equal(refused.code, ERROR_ACCESS_DENIED);
	assert_true(gate_wait(&door->told, 1, GATE_LIMIT_S));
	assert_false(door->had_request);

	door->refuse_admission = false;
	assert_true(call(door, door->h.path, "not \xff UTF-8", &second, &told) < 0);
	assert_int_equal(told.code, ERROR_INVALID_PARAMETER);
	assert_true(gate_wait(&door->told, 2, GATE_LIMIT_S));
	assert_int_equal(door->code, ERROR_INVALID_PARAMETER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_let_in, set_up, harness_teardown),
		cmocka_unit_test_setup_teardown(test_refused_before_the_request, set_up,
						harness_teardown),
		cmocka_unit_test_setup_teardown(test_an_unknown_method_is_greeted_too, set_up,
						harness_teardown),
		cmocka_unit_test_setup_teardown(test_refused_with_the_request, set_up,
						harness_teardown),
		cmocka_unit_test_setup_teardown(test_a_bad_request_is_admitted_first, set_up,
						harness_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
