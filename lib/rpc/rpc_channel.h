/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A gRPC client: blocking calls over one connection. Any number of threads may use one
 * channel at a time; an answer or a stream belongs to one thread. */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "mayfly/buf.h"
#include "mayfly/cleanup.h"
#include "mayfly/error.h"

struct rpc_channel;
struct rpc_stream;

/* No deadline. */
#define RPC_NO_TIMEOUT INT64_MAX

/* Makes a channel to "unix:/path", "/path" or "host:port"; it connects with the first call. */
int rpc_channel_new(const char *address, struct rpc_channel **ret, struct error *e) _must_use_;

/* The same to "host:port" with TLS 1.3. `ca` are PEM files' names: of the authorities of the node's
 * certificate (NULL: the system's), and of a certificate with its key to show (NULL: none). */
struct rpc_channel_tls {
	const char *ca;
	const char *certificate;
	const char *key;
};
int rpc_channel_new_tls(const char *address, const struct rpc_channel_tls *tls,
			struct rpc_channel **ret, struct error *e) _must_use_;

/* The metadata "authorization" of each call; copied. Before the first call. */
int rpc_channel_set_authorization(struct rpc_channel *channel, const char *value,
				  struct error *e) _must_use_;

struct rpc_channel *rpc_channel_free(struct rpc_channel *channel);
DEFINE_CLEANUP(struct rpc_channel, rpc_channel_free)

/* Calls under way end with ERROR_CANCELLED soon after *flag became non-zero; a signal handler
 * may set it. Borrowed; NULL takes it back. */
void rpc_channel_set_cancel_flag(struct rpc_channel *channel, const volatile sig_atomic_t *flag);

/* One trailer; key and value are owned by the answer or stream it is in. */
struct rpc_trailer {
	char *key;
	uint8_t *value; /* NUL-terminated beyond its length */
	size_t len;
};

/* What one call brought back. Start with RPC_ANSWER_INIT, end with rpc_answer_clear(). */
struct rpc_answer {
	ProtobufCMessage *message; /* owned; NULL on failure */
	struct rpc_trailer *trailers;
	size_t n_trailers;
	int64_t sent_us;     /* CLOCK_MONOTONIC, just before the request was handed to core */
	int64_t received_us; /* when the whole answer was there */
};
#define RPC_ANSWER_INIT ((struct rpc_answer){ 0 })

void rpc_answer_clear(struct rpc_answer *answer);
#define _cleanup_rpc_answer_ _cleanup_(rpc_answer_clear)

/* Value of a trailer ("-bin" decoded), data NULL when absent. Borrowed. */
struct slice rpc_answer_trailer(const struct rpc_answer *answer, const char *key);

/* Calls a unary method and waits. On failure *e has the code that the server's details name,
 * their field and message, and ret_answer may still have trailers and times. */
int rpc_channel_call(struct rpc_channel *channel, const ProtobufCServiceDescriptor *service,
		     const char *method, const ProtobufCMessage *request, int64_t timeout_us,
		     struct rpc_answer *ret_answer, struct error *e) _must_use_;

/* Starts a server stream. */
int rpc_stream_open(struct rpc_channel *channel, const ProtobufCServiceDescriptor *service,
		    const char *method, const ProtobufCMessage *request, int64_t timeout_us,
		    struct rpc_stream **ret, struct error *e) _must_use_;

/* Waits for a message: 1 and *ret (the caller's, protobuf_c_message_free_unpacked()); 0 at
 * the end of a stream that ended well; else a negative errno. */
int rpc_stream_next(struct rpc_stream *stream, ProtobufCMessage **ret, struct error *e) _must_use_;

/* Trailers and times, after rpc_stream_next() returned 0 or less. Borrowed. */
const struct rpc_answer *rpc_stream_answer(const struct rpc_stream *stream);

/* Cancels what is still under way. Copes with NULL. */
struct rpc_stream *rpc_stream_close(struct rpc_stream *stream);
DEFINE_CLEANUP(struct rpc_stream, rpc_stream_close)
