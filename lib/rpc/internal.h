/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by the files of this room only. */

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <uthash.h>

#include "mayfly/log.h"
#include "rpc/connections.h"
#include "rpc/intake.h"
#include "rpc/rpc_server.h"

/* gRPC core is not built for ThreadSanitizer, so the order that its queue gives is told to
 * it by hand: release before a tag is handed over, acquire when it comes back. */
#if defined(__SANITIZE_THREAD__)
#define RPC_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RPC_TSAN 1
#endif
#endif
#ifdef RPC_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define tag_release(tag) __tsan_release(tag)
#define tag_acquire(tag) __tsan_acquire(tag)
#else
#define tag_release(tag) ((void)(tag))
#define tag_acquire(tag) ((void)(tag))
#endif

/* -- completion queue tags -- */

struct tag {
	void (*fn)(struct tag *tag, bool ok); /* on a completion-queue thread */
	void *owner;
};

/* Sends the log lines of core to our log. */
void rpc_log_from_core(void);

/* -- messages -- */

/* As core sends it; the caller's. In this header, so that a client does not link the server. */
static inline grpc_byte_buffer *message_encode(const ProtobufCMessage *message)
{
	grpc_slice bytes = grpc_slice_malloc(protobuf_c_message_get_packed_size(message));
	(void)protobuf_c_message_pack(message, GRPC_SLICE_START_PTR(bytes));
	grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&bytes, 1);
	grpc_slice_unref(bytes);
	return buffer;
}

/* -- methods -- */

struct method {
	char *path; /* owned; "/package.Service/Method" */
	const ProtobufCMessageDescriptor *input;
	bool client_streaming;
	bool server_streaming;
	uint32_t max_request_bytes;
	rpc_handler *handler; /* NULL: UNIMPLEMENTED */
	void *user;
	UT_hash_handle hh;
};

struct method_table {
	struct method *by_path; /* owned */
	ProtobufCMessage *set;  /* owned; google.protobuf.FileDescriptorSet */
	struct slice bytes;     /* borrowed; the same, serialized */
};

int methods_init(struct method_table *table, struct slice descriptors, struct error *e) _must_use_;
void methods_free(struct method_table *table);
int methods_add_service(struct method_table *table, const ProtobufCServiceDescriptor *service,
			const struct rpc_method_handler *handlers, void *user,
			uint32_t max_request_bytes, struct error *e) _must_use_;
struct method *methods_find(const struct method_table *table, struct slice path);

/* -- listeners -- */

struct unix_listener {
	struct rpc_server *server; /* weak, outlives this */
	char *path;                /* owned */
	int fd, lock_fd, stop_fd;  /* owned */
	pthread_t thread;
	bool running;
	LIST_ENTRY(unix_listener) link;
};
LIST_HEAD(unix_listeners, unix_listener);

/* Who is behind a connection, by the descriptor number that core knows it by. */
struct peer_table {
	pthread_mutex_t lock;
	struct ucred *by_fd; /* owned; pid 0: none */
	size_t count;
	int next_fd;
};

int listeners_start(struct rpc_server *server, struct error *e) _must_use_;
void listeners_stop(struct rpc_server *server);
void listeners_free(struct rpc_server *server);
struct rpc_peer peer_find(struct rpc_server *server, grpc_call *core);

/* Has core listen on the side of the network. A `failure` is why it might not. */
int listen_network(struct rpc_server *server, const char *address, grpc_server_credentials *creds,
		   const char *failure, uint16_t *ret_port, struct error *e) _must_use_;

/* -- TLS -- */

int tls_require_1_3(struct error *e) _must_use_;
void tls_judge(struct rpc_server *server, struct slice leaf, struct slice chain,
	       struct rpc_certificate *ret);

/* -- the server -- */

struct health;
struct reflection;

/* Two servers of core, so that neither callers of the network can take what those of the machine
 * need, nor their limits hold for these. */
enum rpc_side { RPC_LOCAL, RPC_NETWORK, RPC_SIDES };

struct rpc_server {
	struct rpc_server_options options;
	grpc_server *cores[RPC_SIDES];
	grpc_completion_queue *cq;
	pthread_t pumps[2];
	unsigned n_pumps;
	pthread_t closer;
	bool closer_runs;

	struct method_table methods; /* constant once started */
	struct unix_listeners listeners;
	struct peer_table peers;
	struct connections connections; /* of the network */
	struct intake intake;
	pthread_mutex_t tls_lock;              /* guards what follows */
	struct rpc_tls_identity *tls_identity; /* owned */
	bool tls_is_fetched;                   /* by core */
	struct health *health;                 /* owned; loop thread */
	struct reflection *reflection;         /* owned; constant once started */

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t changed;
	unsigned calls;   /* exist, those that wait for a client included */
	unsigned waiting; /* of these, for a client */
	bool stopping;
	unsigned stopped; /* sides of which core says so */

	struct tag stop_tags[RPC_SIDES];
	unsigned grace_ms;
	rpc_fn *done;
	void *done_arg;
};

static inline void server_post(struct rpc_server *server, rpc_fn *fn, void *arg)
{
	server->options.post(server->options.post_ctx, fn, arg);
}

/* -- calls -- */

/* Asks core for the next call of a side, unless the server is stopping. Any thread. */
void call_request(struct rpc_server *server, enum rpc_side side);

/* Ends a call whose request is under way. Any thread. */
void call_end_reception(struct rpc_call *call, enum intake_end why);

/* Whether nobody knows who calls. */
bool rpc_call_is_strangers(const struct rpc_call *call);

/* Client streams, which only this room serves: the handler runs once for each message and once
 * with a NULL request when the client closed its side; it runs again only after this. The
 * request of before is gone then. A bad message ends the call by itself, so such a handler
 * keeps nothing for a call. */
void rpc_call_read_next(struct rpc_call *call);

/* -- services of this room -- */

int health_new(struct rpc_server *server, struct error *e) _must_use_;
struct health *health_free(struct health *health);
void health_add_service(struct health *health, const char *service);
void health_set(struct health *health, const char *service, bool serving);

/* Every service says NOT_SERVING; watchers are told, then ended. */
void health_stop(struct health *health);

int reflection_new(struct rpc_server *server, struct error *e) _must_use_;
struct reflection *reflection_free(struct reflection *reflection);
void reflection_add_service(struct reflection *reflection, const char *service);
