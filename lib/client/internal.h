/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "client/client.h"
#include "rpc/rpc_channel.h"

struct client {
	struct rpc_channel *channel; /* owned */
	char *tenant;                /* owned; put into requests that name none; NULL: none */
};

enum client_transport { CLIENT_UNIX, CLIENT_TCP, CLIENT_TLS };

/* What the metadata "authorization" is to say; nothing: empty. */
int client_find_credentials(const struct client_options *options, enum client_transport transport,
			    struct buf *ret, struct error *e) _must_use_;

/* A copy of the request with the client's tenant in it, where it has room for one and names none;
 * else `request` itself. What the copy points to is the request's and the client's; *ret_copy is
 * the caller's to free(). */
const ProtobufCMessage *client_complete(const struct client *client,
					const ProtobufCMessage *request, void **ret_copy);

int client_stream_open(struct client *client, const ProtobufCServiceDescriptor *service,
		       const char *method, const ProtobufCMessage *request, int64_t timeout_us,
		       struct client_stream **ret, struct error *e) _must_use_;
int client_stream_next(struct client_stream *stream, ProtobufCMessage **ret,
		       struct error *e) _must_use_;

struct client_stream {
	struct rpc_stream *rpc; /* owned */
};
