/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Messages on their way to the client of a stream, who may be slow: a queue with limits, that
 * drops the oldest, counts what it dropped, and says so in the stream. Embedded; loop thread. */

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "rpc/rpc_server.h"

struct outbox_limits {
	size_t max_count; /* 0: none */
	size_t max_bytes; /* of encoded messages; 0: none */
	/* What is sent in the place of `count` messages; owned by the outbox, NULL when memory
	 * lacks. Needed with a limit. */
	ProtobufCMessage *(*make_dropped)(uint64_t count);
};

struct outbox {
	const struct outbox_limits *limits;
	STAILQ_HEAD(, outbox_item) items; /* owned */
	size_t count;
	size_t bytes;
	uint64_t dropped; /* not yet said */
};

void outbox_init(struct outbox *outbox, const struct outbox_limits *limits);
void outbox_clear(struct outbox *outbox);

/* Takes a message whose parts are all from malloc(); NULL, for lack of memory, counts as
 * dropped. */
void outbox_put(struct outbox *outbox, ProtobufCMessage *message);

bool outbox_is_empty(const struct outbox *outbox);

/* Sends what the call takes now; true when all is sent. To be called again from its writable
 * callback. */
bool outbox_pump(struct outbox *outbox, struct rpc_call *call);
