/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A gRPC server whose handlers run on one owner thread, dispatched by descriptors.
 *
 * Two completion-queue threads receive, check and decode; every handler and every callback of
 * this header runs on the owner's loop thread, reached through options.post. All functions
 * here belong to that thread too. Order of calls: new, add_service..., listen_..., start,
 * shutdown, (done), free. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <protobuf-c/protobuf-c.h>

#include "mayfly/buf.h"
#include "mayfly/cleanup.h"
#include "mayfly/error.h"

struct rpc_server;
struct rpc_call;

typedef void rpc_fn(void *arg);

/* Of a request: of methods that say no more, and the most that one may say. */
#define RPC_REQUEST_BYTES           (8U << 20)
#define RPC_MAX_REQUEST_BYTES       (64U << 20)
#define RPC_MAX_NESTING             100

/* What callers of the network may take; those of the unix socket are the machine's own. 0: the
 * default. */
#define RPC_CONNECTIONS             1024
#define RPC_CONNECTIONS_PER_ADDRESS 128
#define RPC_IDLE_S                  300
#define RPC_CALLS                   8192
#define RPC_RECEIVING_MB            512
#define RPC_RECEIVE_S               120
struct rpc_limits {
	/* Connections at a time, in all (but at most a quarter of RLIMIT_NOFILE) and of one IPv4
	 * address or IPv6 /64. One on which nobody called who is known gives way to a new one. */
	unsigned connections, connections_per_address;
	unsigned idle_s; /* how long one is kept without a call */
	/* Calls at a time; of one payer half of them. Strangers, whom nobody vouches for, have 64,
	 * of one address 16, with requests of 64 KiB that come within 10 seconds. */
	unsigned calls;
	unsigned receiving_mb; /* of requests that are not whole yet; of one payer half of it */
	unsigned receive_s;    /* in which a request must come whole, by the unix socket too */
};

struct rpc_server_options {
	/* Runs fn(arg) on the loop thread, later, in order of posting; called from any thread and
	 * must not fail (loop_post() has this shape). */
	void (*post)(void *post_ctx, rpc_fn *fn, void *arg);
	void *post_ctx;
	uint32_t max_request_bytes; /* of methods that do not say; 0: RPC_REQUEST_BYTES */
	struct rpc_limits limits;
	/* A serialized google.protobuf.FileDescriptorSet that has all served services; borrowed
	 * until the server is freed. Empty: the one embedded in this library. */
	struct slice descriptors;
	const char *error_domain; /* ErrorInfo.domain; borrowed; NULL: "mayfly" */

	/* Who may call what, and who hears of it; NULL: everybody, nobody. All on the loop thread,
	 * with `gate`, and for health and reflection too. 0 lets the call pass, after anything else
	 * *e is its answer.
	 *
	 * greet() runs for peers of the network before their request is received, which may be big.
	 * admit() runs once, before the call's handler. It may complete the request; NULL when that
	 * could not be decoded. answered() runs with the final answer of each call that one of them
	 * saw: `reply` is NULL where there is none, `e` NULL when it is OK. It does nothing to the
	 * call. */
	int (*greet)(struct rpc_call *call, void *gate, struct error *e);
	int (*admit)(struct rpc_call *call, ProtobufCMessage *request, void *gate, struct error *e);
	void (*answered)(struct rpc_call *call, const ProtobufCMessage *reply,
			 const struct error *e, void *gate);
	void *gate;
	size_t context_bytes; /* of rpc_call_context() */
};

/* The FileDescriptorSet embedded in this library. */
struct slice rpc_embedded_descriptors(void);

int rpc_server_new(const struct rpc_server_options *options, struct rpc_server **ret,
		   struct error *e) _must_use_;

/* Frees a server that was never started or whose shutdown's `done` ran. Copes with NULL. */
struct rpc_server *rpc_server_free(struct rpc_server *server);
DEFINE_CLEANUP(struct rpc_server, rpc_server_free)

/* Answers one call. `request` is borrowed and stays as it is until the call's final answer (or
 * while a reference is held), so an asynchronous handler need not copy it. It is already
 * checked: size, nesting, valid UTF-8 without NUL in every string.
 *
 * Ownership: the handler gets the call alive, and owes it exactly one final answer, at once or
 * later: rpc_call_reply(), rpc_call_fail() or rpc_call_finish(), also when the call was
 * cancelled (then nothing is sent). After the final answer the call is gone for the
 * handler, unless rpc_call_ref() was called. No callback runs after the final answer. */
typedef void rpc_handler(struct rpc_call *call, const ProtobufCMessage *request, void *user);

struct rpc_method_handler {
	const char *method; /* "Create"; NULL ends the table */
	rpc_handler *handler;
	uint32_t
		max_request_bytes; /* at most RPC_MAX_REQUEST_BYTES; 0: options.max_request_bytes */
};

/* Methods of `service` without a handler answer UNIMPLEMENTED. `user` is borrowed until the
 * server is freed. -EINVAL when the table names a method that the service does not have. */
int rpc_server_add_service(struct rpc_server *server, const ProtobufCServiceDescriptor *service,
			   const struct rpc_method_handler *handlers, void *user,
			   struct error *e) _must_use_;

/* Listens on a unix socket made with `mode` and, unless (gid_t)-1, group `gid`. The path is
 * guarded by a lock file beside it (path.lock): ERROR_CONFLICT while another server holds it;
 * a socket left over by a dead one is replaced. */
int rpc_server_listen_unix(struct rpc_server *server, const char *path, mode_t mode, gid_t gid,
			   struct error *e) _must_use_;

/* Listens on "host:port" (port 0: any) without TLS, hence on loopback addresses only. */
int rpc_server_listen_tcp(struct rpc_server *server, const char *address, uint16_t *ret_port,
			  struct error *e) _must_use_;

/* What a TLS listener shows: PEM files, checked to be a pair. Clients may show certificates of any
 * authority that is named; without one they are not asked. Authorities must have nothing to do with
 * each other. `crl`, a file or a folder of files, takes certificates back. Any thread; blocks. */
#define RPC_TLS_AUTHORITIES 2
struct rpc_tls_files {
	const char *certificate; /* with its chain */
	const char *key;
	const char *client_ca[RPC_TLS_AUTHORITIES]; /* NULL: there is no such authority */
	const char *crl;                            /* NULL: nothing is taken back */
};
struct rpc_tls_identity;
int rpc_tls_identity_load(const struct rpc_tls_files *files, struct rpc_tls_identity **ret,
			  struct error *e) _must_use_;
struct rpc_tls_identity *rpc_tls_identity_free(struct rpc_tls_identity *identity);
DEFINE_CLEANUP(struct rpc_tls_identity, rpc_tls_identity_free)

/* Listens on "host:port" with TLS 1.3; once for a server. Takes over the identity in any case. */
int rpc_server_listen_tls(struct rpc_server *server, const char *address,
			  struct rpc_tls_identity *identity, uint16_t *ret_port,
			  struct error *e) _must_use_;

/* Connections from now on see this one, which is taken over; whether clients are asked for
 * certificates stays as it was. Calls from now on, those on older connections too, are judged by
 * its authorities and revocations; rpc_call_refresh_peer() does so for one that is open. */
void rpc_server_set_tls_identity(struct rpc_server *server, struct rpc_tls_identity *identity);

int rpc_server_start(struct rpc_server *server, struct error *e) _must_use_;

/* Refuses new calls at once, lets running ones go on for `grace_ms`, then cancels them, and
 * posts done(arg) when the last one was answered. Health becomes NOT_SERVING. */
void rpc_server_shutdown(struct rpc_server *server, unsigned grace_ms, rpc_fn *done, void *arg);

/* What grpc.health.v1 answers for a service ("" is the whole server, SERVING after start;
 * added services start as SERVING). */
void rpc_server_set_serving(struct rpc_server *server, const char *service, bool serving);

/* Calls that exist, for gauges. */
unsigned rpc_server_live_calls(const struct rpc_server *server);

/* -- the final answer, exactly one -- */

/* Answers a unary call, or sends a last message on a stream, with status OK. */
void rpc_call_reply(struct rpc_call *call, const ProtobufCMessage *message);

/* Answers with the error's status and rich details (google.rpc.Status in
 * grpc-status-details-bin). The error stays the caller's. */
void rpc_call_fail(struct rpc_call *call, const struct error *e);

/* Ends a stream with status OK, after the message in flight. */
void rpc_call_finish(struct rpc_call *call);

/* -- before it -- */

/* Sends one message of a stream. 0; -EAGAIN while one is in flight (the writable callback
 * comes when it went out); -ECANCELED when the call is cancelled. */
int rpc_call_send(struct rpc_call *call, const ProtobufCMessage *message) _must_use_;

/* fn(arg) after each message sent, when the next rpc_call_send() would be taken. */
void rpc_call_set_writable(struct rpc_call *call, rpc_fn *fn, void *arg);

/* fn(arg) once, when the client went away or the deadline passed; also, later, if that has
 * happened already. The final answer is still owed. NULL takes it back. */
void rpc_call_set_cancelled(struct rpc_call *call, rpc_fn *fn, void *arg);
bool rpc_call_is_cancelled(const struct rpc_call *call);

/* Ends the call with this error over the head of whoever has it: the client hears it at once, or
 * after the message in flight; the handler hears, later, that the call was cancelled, and owes its
 * final answer as ever. Nothing after the final answer. */
void rpc_call_cut(struct rpc_call *call, const struct error *e);

/* Adds to the trailing metadata, copying. Keys are lower case; "-bin" keys take any bytes. At
 * most RPC_MAX_TRAILERS; -E2BIG beyond. */
#define RPC_MAX_TRAILERS 8
int rpc_call_add_trailer(struct rpc_call *call, const char *key, struct slice value) _must_use_;

/* -- about the caller -- */

/* Value of the first request metadata `key` (lower case; -bin decoded), data NULL if absent.
 * Borrowed until the final answer. */
struct slice rpc_call_metadata(const struct rpc_call *call, const char *key);

/* CLOCK_MONOTONIC; INT64_MAX when the client set none. */
int64_t rpc_call_deadline_us(const struct rpc_call *call);

/* CLOCK_MONOTONIC when the request was received whole, before it was decoded. */
int64_t rpc_call_received_us(const struct rpc_call *call);

/* Whether there may be more than one answer. */
bool rpc_call_is_stream(const struct rpc_call *call);

/* "/package.Service/Method"; "" of a method that nobody serves. */
const char *rpc_call_method(const struct rpc_call *call);

/* The message that the handler has, or will have; NULL when there is none. Borrowed until the final
 * answer. */
ProtobufCMessage *rpc_call_request(const struct rpc_call *call);

enum rpc_peer_kind {
	RPC_PEER_UNKNOWN,
	RPC_PEER_UNIX,
	RPC_PEER_TCP, /* without TLS */
	RPC_PEER_TLS,
};

#define RPC_PEER_TEXT_BYTES 128
#define RPC_PEER_URI_BYTES  256

/* What a client showed, looked at anew for each call. */
struct rpc_certificate {
	bool is_shown;
	char refusal[RPC_PEER_TEXT_BYTES]; /* why it is worth nothing: "it is revoked"; "" if it is
					    * good */
	int authority;                     /* index in client_ca; -1: of none */
	int64_t expires_us;                /* Unix time until when this holds; INT64_MAX: ever */
	unsigned uris;                     /* how many URIs it names */
	char uri[RPC_PEER_URI_BYTES];      /* the only one; "" of none or several */
};

struct rpc_peer {
	enum rpc_peer_kind kind;
	char address[RPC_PEER_TEXT_BYTES]; /* "ipv4:192.0.2.1:51234" or "unix" */
	struct rpc_certificate certificate;
	char common_name[RPC_PEER_TEXT_BYTES]; /* of that certificate, cut to fit; "" if it has none
						*/
	uid_t uid; /* unix only, as are gid and pid: of the process that connected */
	gid_t gid;
	pid_t pid;
};

struct rpc_peer rpc_call_peer(const struct rpc_call *call);

/* For greet(): the caller is known, so its connection does not have to give way to others any more,
 * and the call is counted for this payer, whatever that is. */
void rpc_call_vouch(struct rpc_call *call, struct slice payer);

/* Looks at the certificate again, with what the server knows of revocations and authorities now. */
void rpc_call_refresh_peer(struct rpc_call *call);

/* options.context_bytes of the gate's own, zero at first, for the call's life; NULL for 0. */
void *rpc_call_context(struct rpc_call *call);

/* Keeps the call's memory and request beyond the final answer. */
struct rpc_call *rpc_call_ref(struct rpc_call *call);
void rpc_call_unref(struct rpc_call *call);
