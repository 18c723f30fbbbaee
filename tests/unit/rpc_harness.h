/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For tests of lib/rpc: a real server on a unix socket and on loopback TCP, whose loop is a
 * plain thread with a queue, with FunctionService.Get and LogService.Tail to call. */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "mayfly/clock.h"
#include "rpc/rpc_channel.h"
#include "rpc/rpc_server.h"

#include <mayfly/v1/function.pb-c.h>
#include <mayfly/v1/log.pb-c.h>

/* -- the loop -- */

struct post {
	rpc_fn *fn;
	void *arg;
	struct post *next;
};

struct test_loop {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct post *first, **last;
	bool stop;
};

static inline void test_loop_post(void *ctx, rpc_fn *fn, void *arg)
{
	struct test_loop *loop = ctx;
	struct post *post = calloc(1, sizeof(*post));
	assert_non_null(post);
	*post = (struct post){ .fn = fn, .arg = arg };
	(void)pthread_mutex_lock(&loop->lock);
	*loop->last = post;
	loop->last = &post->next;
	(void)pthread_cond_broadcast(&loop->changed);
	(void)pthread_mutex_unlock(&loop->lock);
}

static inline void *test_loop_run(void *arg)
{
	struct test_loop *loop = arg;
	(void)pthread_mutex_lock(&loop->lock);
	while (!loop->stop || loop->first) {
		struct post *post = loop->first;
		if (!post) {
			(void)pthread_cond_wait(&loop->changed, &loop->lock);
			continue;
		}
		loop->first = post->next;
		if (!loop->first)
			loop->last = &loop->first;
		(void)pthread_mutex_unlock(&loop->lock);
		post->fn(post->arg);
		free(post);
		(void)pthread_mutex_lock(&loop->lock);
	}
	(void)pthread_mutex_unlock(&loop->lock);
	return NULL;
}

static inline void test_loop_start(struct test_loop *loop)
{
	*loop = (struct test_loop){ .last = &loop->first };
	(void)pthread_mutex_init(&loop->lock, NULL);
	(void)pthread_cond_init(&loop->changed, NULL);
	assert_int_equal(pthread_create(&loop->thread, NULL, test_loop_run, loop), 0);
}

static inline void test_loop_stop(struct test_loop *loop)
{
	(void)pthread_mutex_lock(&loop->lock);
	loop->stop = true;
	(void)pthread_cond_broadcast(&loop->changed);
	(void)pthread_mutex_unlock(&loop->lock);
	(void)pthread_join(loop->thread, NULL);
	(void)pthread_mutex_destroy(&loop->lock);
	(void)pthread_cond_destroy(&loop->changed);
}

/* -- a fact that one thread waits for and another makes true -- */

struct gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int value;
};

#define GATE_INIT                                                                                  \
	{                                                                                          \
		PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0                             \
	}
#define GATE_LIMIT_S 20

static inline void gate_add(struct gate *gate, int n)
{
	(void)pthread_mutex_lock(&gate->lock);
	gate->value += n;
	(void)pthread_cond_broadcast(&gate->changed);
	(void)pthread_mutex_unlock(&gate->lock);
}

static inline int gate_value(struct gate *gate)
{
	(void)pthread_mutex_lock(&gate->lock);
	int value = gate->value;
	(void)pthread_mutex_unlock(&gate->lock);
	return value;
}

/* False when it did not reach `value` in time. */
static inline bool gate_wait(struct gate *gate, int value, int limit_s)
{
	struct timespec until;
	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += limit_s;
	int r = 0;
	(void)pthread_mutex_lock(&gate->lock);
	while (gate->value < value && r == 0)
		r = pthread_cond_timedwait(&gate->changed, &gate->lock, &until);
	bool reached = gate->value >= value;
	(void)pthread_mutex_unlock(&gate->lock);
	return reached;
}

/* -- the server -- */

struct harness;
typedef void harness_get_fn(struct harness *h, struct rpc_call *call,
			    const Mayfly__V1__GetFunctionRequest *request);

struct harness {
	struct test_loop loop;
	struct rpc_server *server;
	char dir[64];
	char path[128];
	char address[160];
	char tcp[64];
	struct gate stopped, cancelled, sent, entered, served;

	/* What the handlers do; see harness_set(). */
	harness_get_fn *on_get;
	size_t chunk_bytes; /* Tail sends this over and over */
	struct rpc_call *held;
	struct rpc_peer peer;
};

/* What the handlers do from now on; the loop reads it after it took this lock. */
static inline void harness_set(struct harness *h, harness_get_fn *on_get, size_t chunk_bytes)
{
	(void)pthread_mutex_lock(&h->loop.lock);
	if (on_get)
		h->on_get = on_get;
	h->chunk_bytes = chunk_bytes;
	(void)pthread_mutex_unlock(&h->loop.lock);
}

static inline void harness_get(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	struct harness *h = user;
	h->peer = rpc_call_peer(call);
	gate_add(&h->served, 1);
	h->on_get(h, call, (const Mayfly__V1__GetFunctionRequest *)request);
}

static inline void harness_stream_cancelled(void *arg)
{
	struct harness *h = arg;
	struct rpc_call *call = h->held;
	h->held = NULL;
	rpc_call_finish(call);
	gate_add(&h->cancelled, 1);
}

static inline void harness_stream_push(void *arg)
{
	struct harness *h = arg;
	Mayfly__V1__LogEvent event = MAYFLY__V1__LOG_EVENT__INIT;
	char *text = calloc(1, h->chunk_bytes + 1);
	assert_non_null(text);
	memset(text, 'x', h->chunk_bytes);
	event.message = text;
	if (rpc_call_send(h->held, &event.base) == 0)
		gate_add(&h->sent, 1);
	free(text);
}

static inline void harness_tail(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	struct harness *h = user;
	(void)request;
	h->held = call;
	rpc_call_set_cancelled(call, harness_stream_cancelled, h);
	rpc_call_set_writable(call, harness_stream_push, h);
	gate_add(&h->entered, 1);
	if (h->chunk_bytes > 0)
		harness_stream_push(h);
}

static inline void harness_echo(struct harness *h, struct rpc_call *call,
				const Mayfly__V1__GetFunctionRequest *request)
{
	Mayfly__V1__Function function = MAYFLY__V1__FUNCTION__INIT;
	(void)h;
	function.function_name = request->function_name;
	function.version = request->qualifier;
	assert_int_equal(rpc_call_add_trailer(call, "mayfly-test-bin", slice_new("\0\1\2", 3)), 0);
	rpc_call_reply(call, &function.base);
}

/* With options beyond the harness's own. */
static inline int harness_setup_with(void **state, const struct rpc_server_options *more)
{
	struct harness *h = calloc(1, sizeof(*h));
	_cleanup_error_ struct error e = ERROR_INIT;
	static const struct rpc_method_handler functions[] = { { "Get", harness_get }, { 0 } };
	static const struct rpc_method_handler logs[] = { { "Tail", harness_tail }, { 0 } };
	const struct gate gate = GATE_INIT;
	uint16_t port = 0;

	assert_non_null(h);
	h->stopped = h->cancelled = h->sent = h->entered = h->served = gate;
	h->on_get = harness_echo;
	(void)snprintf(h->dir, sizeof(h->dir), "/tmp/mayfly-rpc-XXXXXX");
	assert_non_null(mkdtemp(h->dir));
	(void)snprintf(h->path, sizeof(h->path), "%s/sock", h->dir);
	(void)snprintf(h->address, sizeof(h->address), "unix:%s", h->path);
	test_loop_start(&h->loop);
	struct rpc_server_options options = *more;
	options.post = test_loop_post;
	options.post_ctx = &h->loop;
	options.max_request_bytes = 1 << 20;
	int r = rpc_server_new(&options, &h->server, &e);
	if (r == 0)
		r = rpc_server_add_service(h->server, &mayfly__v1__function_service__descriptor,
					   functions, h, &e);
	if (r == 0)
		r = rpc_server_add_service(h->server, &mayfly__v1__log_service__descriptor, logs, h,
					   &e);
	if (r == 0)
		r = rpc_server_listen_unix(h->server, h->path, 0600, (gid_t)-1, &e);
	if (r == 0)
		r = rpc_server_listen_tcp(h->server, "127.0.0.1:0", &port, &e);
	if (r == 0)
		r = rpc_server_start(h->server, &e);
	if (r < 0)
		fail_msg("%s", error_text(&e));
	(void)snprintf(h->tcp, sizeof(h->tcp), "127.0.0.1:%u", port);
	*state = h;
	return 0;
}

static inline int harness_setup(void **state)
{
	const struct rpc_server_options none = { 0 };

	return harness_setup_with(state, &none);
}

static inline void harness_stopped(void *arg)
{
	gate_add(&((struct harness *)arg)->stopped, 1);
}

struct harness_stop {
	struct harness *h;
	unsigned grace_ms;
};

static inline void harness_do_shutdown(void *arg)
{
	struct harness_stop *stop = arg;
	rpc_server_shutdown(stop->h->server, stop->grace_ms, harness_stopped, stop->h);
}

static inline void harness_shutdown(struct harness *h, unsigned grace_ms)
{
	struct harness_stop stop = { h, grace_ms };
	test_loop_post(&h->loop, harness_do_shutdown, &stop);
	assert_true(gate_wait(&h->stopped, 1, GATE_LIMIT_S));
}

static inline int harness_teardown(void **state)
{
	struct harness *h = *state;
	char lock[160];

	if (gate_value(&h->stopped) == 0)
		harness_shutdown(h, 100);
	(void)rpc_server_free(h->server);
	test_loop_stop(&h->loop);
	(void)snprintf(lock, sizeof(lock), "%s.lock", h->path);
	(void)unlink(lock);
	assert_int_equal(rmdir(h->dir), 0);
	free(h);
	return 0;
}

static inline struct rpc_channel *harness_channel(const char *address)
{
	struct rpc_channel *channel = NULL;
	assert_int_equal(rpc_channel_new(address, &channel, NULL), 0);
	return channel;
}

/* Calls FunctionService.Get. */
static inline int harness_call(struct rpc_channel *channel, const char *name, int64_t timeout_us,
			       struct rpc_answer *answer, struct error *e)
{
	Mayfly__V1__GetFunctionRequest request = MAYFLY__V1__GET_FUNCTION_REQUEST__INIT;
	request.function_name = (char *)name;
	return rpc_channel_call(channel, &mayfly__v1__function_service__descriptor, "Get",
				&request.base, timeout_us, answer, e);
}
