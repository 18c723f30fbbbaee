/* SPDX-License-Identifier: Apache-2.0 */

/* The server's life: made, started, pumped by two threads, and shut down in the one order
 * that core survives (its queue may close only after the last of our batches). */

#include "rpc/internal.h"

#include <errno.h>
#include <grpc/compression.h>
#include <grpc/support/log.h>
#include <grpc/support/time.h>
#include <limits.h>
#include <time.h>

#include "mayfly/clock.h"

/* Calls that core may hand over before the first of them was looked at. */
#define CALLS_WAITING          8
#define PING_MIN_INTERVAL_MS   10000
#define MAX_METADATA_BYTES     (64 << 10)
#define HANDSHAKE_LIMIT_MS     20000
#define LOG_LINES_A_MINUTE     30

#define STREAMS_PER_CONNECTION 1024
#define LOOKAHEAD_BYTES        (32 << 10)
#define QUOTA_TIMES            2 /* what may be under way, */
#define QUOTA_MORE_BYTES       (256UL << 20)

/* Whether one more line may be; with the first of a minute, how many of before were left out. Core
 * has a line for much that clients do wrong, and they may do it without end. */
static bool may_log(unsigned *ret_left_out)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static int64_t minute = -1;
	static unsigned lines, left_out;
	int64_t now = clock_monotonic_us() / (60 * USEC_PER_SEC);

	(void)pthread_mutex_lock(&lock);
	*ret_left_out = 0;
	if (now != minute) {
		*ret_left_out = left_out;
		minute = now;
		lines = left_out = 0;
	}
	bool may = lines < LOG_LINES_A_MINUTE;
	if (may)
		lines++;
	else
		left_out++;
	(void)pthread_mutex_unlock(&lock);
	return may;
}

static void on_core_log(gpr_log_func_args *args)
{
	unsigned left_out;

	if (args->severity != GPR_LOG_SEVERITY_ERROR) {
		log_debug("grpc: %s (%s:%d)", args->message, args->file, args->line);
		return;
	}
	bool may = may_log(&left_out);
	if (left_out)
		log_notice("grpc: %u more lines were left out", left_out);
	if (may)
		log_notice("grpc: %s (%s:%d)", args->message, args->file, args->line);
}

void rpc_log_from_core(void)
{
	gpr_set_log_function(on_core_log);
}

/* Behind our own limits, for what these may have overlooked: it ends the streams of anybody. It
 * counts what is being sent, too. */
static grpc_resource_quota *quota_new(const struct rpc_limits *limits, enum rpc_side side)
{
	grpc_resource_quota *quota =
		grpc_resource_quota_create(side == RPC_NETWORK ? "network" : "local");

	grpc_resource_quota_resize(quota, (size_t)limits->receiving_mb * QUOTA_TIMES * (1U << 20) +
						  QUOTA_MORE_BYTES);
	return quota;
}

static grpc_server *core_new(const struct rpc_server_options *options, enum rpc_side side)
{
	bool is_network = side == RPC_NETWORK;
	int idle_ms = is_network ? (int)options->limits.idle_s * 1000 : INT_MAX;
	grpc_resource_quota *quota = quota_new(&options->limits, side);
	/* Two servers must not share a port silently; quiet streams may be kept alive. Compressed
	 * messages are refused, and never inflated: core would do so before it looks at the size,
	 * and a thousand times as many bytes can come out as went in. */
	grpc_arg args[] = {
		{ GRPC_ARG_INTEGER, (char *)GRPC_ARG_ALLOW_REUSEPORT, { .integer = 0 } },
		{ GRPC_ARG_INTEGER,
		  (char *)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
		  { .integer = RPC_MAX_REQUEST_BYTES } },
		{ GRPC_ARG_INTEGER,
		  (char *)GRPC_ARG_MAX_METADATA_SIZE,
		  { .integer = MAX_METADATA_BYTES } },
		{ GRPC_ARG_INTEGER,
		  (char *)GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS,
		  { .integer = 1 } },
		{ GRPC_ARG_INTEGER,
		  (char *)GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
		  { .integer = PING_MIN_INTERVAL_MS } },
		{ GRPC_ARG_INTEGER,
		  (char *)GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
		  { .integer = HANDSHAKE_LIMIT_MS } },
		{ GRPC_ARG_INTEGER,
		  (char *)GRPC_ARG_MAX_CONNECTION_IDLE_MS,
		  { .integer = idle_ms } },
		{ GRPC_ARG_INTEGER,
		  (char *)GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET,
		  { .integer = 1 << GRPC_COMPRESS_NONE } },
		{ GRPC_ARG_INTEGER,
		  (char *)GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION,
		  { .integer = 0 } },
		{ GRPC_ARG_INTEGER,
		  (char *)GRPC_ARG_MAX_CONCURRENT_STREAMS,
		  { .integer = STREAMS_PER_CONNECTION } },
		{ GRPC_ARG_POINTER,
		  (char *)GRPC_ARG_RESOURCE_QUOTA,
		  { .pointer = { quota, grpc_resource_quota_arg_vtable() } } },
		/* Of the network: how much of a stream core takes before it is asked for any. */
		{ GRPC_ARG_INTEGER,
		  (char *)GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES,
		  { .integer = LOOKAHEAD_BYTES } },
		{ GRPC_ARG_INTEGER, (char *)GRPC_ARG_HTTP2_BDP_PROBE, { .integer = 0 } },
	};
	const grpc_channel_args all = { is_network ? ARRAY_SIZE(args) : ARRAY_SIZE(args) - 2,
					args };
	grpc_server *core = grpc_server_create(&all, NULL);
	grpc_resource_quota_unref(quota);
	return core;
}

static unsigned or_default(unsigned value, unsigned otherwise)
{
	return value ? value : otherwise;
}

static void complete_options(struct rpc_server_options *options)
{
	struct rpc_limits *limits = &options->limits;

	options->max_request_bytes = or_default(options->max_request_bytes, RPC_REQUEST_BYTES);
	if (!options->error_domain)
		options->error_domain = "mayfly";
	if (options->descriptors.len == 0)
		options->descriptors = rpc_embedded_descriptors();
	limits->connections = or_default(limits->connections, RPC_CONNECTIONS);
	limits->connections_per_address =
		or_default(limits->connections_per_address, RPC_CONNECTIONS_PER_ADDRESS);
	limits->idle_s = or_default(limits->idle_s, RPC_IDLE_S);
	limits->calls = or_default(limits->calls, RPC_CALLS);
	limits->receiving_mb = or_default(limits->receiving_mb, RPC_RECEIVING_MB);
	limits->receive_s = or_default(limits->receive_s, RPC_RECEIVE_S);
}

int rpc_server_new(const struct rpc_server_options *options, struct rpc_server **ret,
		   struct error *e)
{
	struct rpc_server *server = calloc(1, sizeof(*server));
	if (!server)
		return error_set_errno(e, ENOMEM, "cannot make an RPC server");
	server->options = *options;
	complete_options(&server->options);
	LIST_INIT(&server->listeners);
	intake_init(&server->intake, &server->options.limits, call_end_reception);
	(void)pthread_mutex_init(&server->lock, NULL);
	(void)pthread_mutex_init(&server->peers.lock, NULL);
	(void)pthread_mutex_init(&server->tls_lock, NULL);
	pthread_condattr_t monotonic;
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&server->changed, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);

	rpc_log_from_core();
	grpc_init();
	server->cq = grpc_completion_queue_create_for_next(NULL);
	for (int side = 0; side < RPC_SIDES; side++) {
		server->cores[side] = core_new(&server->options, side);
		grpc_server_register_completion_queue(server->cores[side], server->cq, NULL);
	}

	int r = connections_init(&server->connections, server->options.limits.connections,
				 server->options.limits.connections_per_address, e);
	if (r == 0)
		r = methods_init(&server->methods, server->options.descriptors, e);
	if (r == 0)
		r = health_new(server, e);
	if (r == 0)
		r = reflection_new(server, e);
	if (r < 0) {
		(void)rpc_server_free(server);
		return r;
	}
	*ret = server;
	return 0;
}

int rpc_server_add_service(struct rpc_server *server, const ProtobufCServiceDescriptor *service,
			   const struct rpc_method_handler *handlers, void *user, struct error *e)
{
	int r = methods_add_service(&server->methods, service, handlers, user,
				    server->options.max_request_bytes, e);
	if (r < 0)
		return r;
	if (server->health)
		health_add_service(server->health, service->name);
	if (server->reflection)
		reflection_add_service(server->reflection, service->name);
	return 0;
}

void rpc_server_set_serving(struct rpc_server *server, const char *service, bool serving)
{
	health_set(server->health, service, serving);
}

unsigned rpc_server_live_calls(const struct rpc_server *server)
{
	struct rpc_server *s = (struct rpc_server *)server; /* for the lock alone */
	(void)pthread_mutex_lock(&s->lock);
	unsigned n = s->calls - s->waiting;
	(void)pthread_mutex_unlock(&s->lock);
	return n;
}

static void *pump_run(void *arg)
{
	struct rpc_server *server = arg;

	for (;;) {
		grpc_event event = grpc_completion_queue_next(
			server->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
		if (event.type == GRPC_QUEUE_SHUTDOWN)
			return NULL;
		struct tag *tag = event.tag;
		tag_acquire(tag);
		tag->fn(tag, event.success != 0);
	}
}

int rpc_server_start(struct rpc_server *server, struct error *e)
{
	int r = intake_start(&server->intake, e);
	if (r < 0)
		return r;
	for (int side = 0; side < RPC_SIDES; side++)
		grpc_server_start(server->cores[side]);
	for (size_t i = 0; i < ARRAY_SIZE(server->pumps); i++) {
		r = pthread_create(&server->pumps[i], NULL, pump_run, server);
		if (r != 0)
			return error_set_errno(e, r, "cannot start a thread");
		server->n_pumps++;
	}
	for (unsigned i = 0; i < CALLS_WAITING * RPC_SIDES; i++)
		call_request(server, i % RPC_SIDES);
	health_set(server->health, "", true);
	return listeners_start(server, e);
}

static void on_core_stopped(struct tag *tag, bool ok _unused_)
{
	struct rpc_server *server = tag->owner;
	(void)pthread_mutex_lock(&server->lock);
	server->stopped++;
	(void)pthread_cond_broadcast(&server->changed);
	(void)pthread_mutex_unlock(&server->lock);
}

/* With the lock held. False when the deadline (NULL: none) passed before all was over. */
static bool wait_until_over(struct rpc_server *server, const struct timespec *deadline)
{
	while (server->stopped < RPC_SIDES || server->calls > 0) {
		int r = deadline ? pthread_cond_timedwait(&server->changed, &server->lock, deadline)
				 : pthread_cond_wait(&server->changed, &server->lock);
		if (r == ETIMEDOUT)
			return false;
	}
	return true;
}

static void stop_cores(struct rpc_server *server)
{
	for (int side = 0; side < RPC_SIDES; side++) {
		server->stop_tags[side] = (struct tag){ on_core_stopped, server };
		tag_release(&server->stop_tags[side]);
		grpc_server_shutdown_and_notify(server->cores[side], server->cq,
						&server->stop_tags[side]);
	}
}

static void *close_run(void *arg)
{
	struct rpc_server *server = arg;
	struct timespec deadline;

	(void)clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += server->grace_ms / 1000;
	deadline.tv_nsec += (long)(server->grace_ms % 1000) * 1000000;
	if (deadline.tv_nsec >= 1000000000) {
		deadline.tv_sec++;
		deadline.tv_nsec -= 1000000000;
	}
	(void)pthread_mutex_lock(&server->lock);
	bool over = wait_until_over(server, &deadline);
	(void)pthread_mutex_unlock(&server->lock);
	if (!over) {
		for (int side = 0; side < RPC_SIDES; side++)
			grpc_server_cancel_all_calls(server->cores[side]);
		(void)pthread_mutex_lock(&server->lock);
		(void)wait_until_over(server, NULL);
		(void)pthread_mutex_unlock(&server->lock);
	}
	grpc_completion_queue_shutdown(server->cq);
	for (unsigned i = 0; i < server->n_pumps; i++)
		(void)pthread_join(server->pumps[i], NULL);
	server->n_pumps = 0;
	server_post(server, server->done, server->done_arg);
	return NULL;
}

void rpc_server_shutdown(struct rpc_server *server, unsigned grace_ms, rpc_fn *done, void *arg)
{
	if (server->closer_runs)
		return;
	server->grace_ms = grace_ms;
	server->done = done;
	server->done_arg = arg;
	listeners_stop(server);
	health_stop(server->health);

	(void)pthread_mutex_lock(&server->lock);
	server->stopping = true;
	(void)pthread_mutex_unlock(&server->lock);
	stop_cores(server);

	int r = pthread_create(&server->closer, NULL, close_run, server);
	if (r != 0) { /* the process ends anyway; ending it without order beats hanging */
		log_error("rpc: cannot shut down in order: %s", strerror(r));
		server_post(server, done, arg);
		return;
	}
	server->closer_runs = true;
}

/* A queue without pumps is drained by hand. */
static void close_unstarted(struct rpc_server *server)
{
	stop_cores(server);
	grpc_completion_queue_shutdown(server->cq);
	while (grpc_completion_queue_next(server->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL)
		       .type != GRPC_QUEUE_SHUTDOWN)
		;
}

struct rpc_server *rpc_server_free(struct rpc_server *server)
{
	if (!server)
		return NULL;
	if (server->closer_runs)
		(void)pthread_join(server->closer, NULL);
	else
		close_unstarted(server);
	for (int side = 0; side < RPC_SIDES; side++)
		grpc_server_destroy(server->cores[side]);
	grpc_completion_queue_destroy(server->cq);
	(void)health_free(server->health);
	(void)reflection_free(server->reflection);
	methods_free(&server->methods);
	listeners_free(server);
	intake_clear(&server->intake);
	connections_clear(&server->connections);
	(void)pthread_mutex_destroy(&server->lock);
	(void)pthread_mutex_destroy(&server->peers.lock);
	(void)pthread_mutex_destroy(&server->tls_lock);
	(void)rpc_tls_identity_free(server->tls_identity);
	(void)pthread_cond_destroy(&server->changed);
	free(server);
	grpc_shutdown_blocking();
	return NULL;
}
