/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What callers of the network may take before the owner has their requests: how many calls there
 * are, how long a request may take to come, and how many bytes of such requests there are.
 *
 * Core holds what has come of a message until it is whole, and looks at the limit of its size only
 * then. So this room counts by itself: what the kernel says that a connection has received, less
 * the messages that were whole since, is what core holds of it. Twenty times a second all
 * connections with a request under way are looked at, and calls are ended: of a connection with
 * more than its calls' messages may have together; and while there is more than one caller, or all,
 * may have, of the connection with most, of the caller with most. Core's own quota, which cares for
 * no caller, is only behind that.
 *
 * Callers pay for themselves: the payer is who rpc_call_vouch() says, or of strangers an address.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <uthash.h>

#include "mayfly/error.h"
#include "rpc/connections.h"

/* What strangers may, whatever the limits: enough for whoever asks whether the node is well. */
#define INTAKE_STRANGERS             64 /* calls */
#define INTAKE_STRANGERS_PER_ADDRESS 16
#define INTAKE_STRANGERS_BYTES       (64U << 10) /* of a request */
#define INTAKE_STRANGERS_S           10

struct rpc_call;
struct rpc_limits;

/* Who pays for calls; lives as long as these. */
struct payer {
	uint64_t id;
	unsigned calls;
	uint64_t held_bytes; /* of all its connections, when last looked at */
	UT_hash_handle hh;
};

/* A connection with requests under way. */
struct inlet {
	struct connection_ref connection;
	TAILQ_HEAD(, reception) receptions; /* the oldest first */
	uint64_t received_bytes;            /* when last looked at */
	uint64_t owned_bytes;   /* of messages that were whole since the inlet is there */
	uint64_t held_bytes;    /* when last looked at */
	uint64_t allowed_bytes; /* of all receptions together */
	UT_hash_handle hh;      /* by the connection's number */
};

enum intake_end { INTAKE_LATE, INTAKE_TOO_LARGE, INTAKE_TOO_MUCH };

/* A request under way; part of its call. */
struct reception {
	struct rpc_call *call; /* weak, outlives this */
	struct inlet *inlet;   /* NULL: of the unix socket */
	bool is_there, is_ending;
	uint64_t base_bytes; /* what its connection had received, and we not yet owned */
	uint32_t allowed_bytes;
	int64_t until_us;
	TAILQ_ENTRY(reception) in_inlet, in_all;
};

struct intake {
	pthread_mutex_t lock; /* guards all but what is constant from init on */
	pthread_cond_t changed;
	pthread_t watch;
	bool runs, sleeps, stops;
	struct payer *payers; /* owned */
	struct inlet *inlets; /* owned */
	TAILQ_HEAD(, reception) receptions;
	unsigned calls, strangers; /* of the network */
	unsigned max_calls;        /* constant, as what follows */
	uint64_t max_bytes;
	unsigned receive_s;
	/* Ends a call over the head of whoever has it; with a reference for it. */
	void (*end)(struct rpc_call *call, enum intake_end why);
};

void intake_init(struct intake *intake, const struct rpc_limits *limits,
		 void (*end)(struct rpc_call *call, enum intake_end why));
int intake_start(struct intake *intake, struct error *e) _must_use_;

/* When no call is left. */
void intake_clear(struct intake *intake);

/* Whether one more call of this payer may be; to be left when it is gone. */
int intake_join(struct intake *intake, uint64_t payer, bool is_stranger, struct payer **ret,
		struct error *e) _must_use_;
void intake_leave(struct intake *intake, struct payer *payer, bool is_stranger);

/* A request of at most `allowed_bytes` is waited for, `for_s` seconds long (0: ever). Connection
 * number 0: of the unix socket. */
void intake_begin(struct intake *intake, struct reception *reception,
		  const struct connection_ref *connection, uint32_t allowed_bytes, unsigned for_s);

/* It came whole, with so many bytes, or will not come. Nothing for one that is not there. */
void intake_finish(struct intake *intake, struct reception *reception, uint64_t bytes);

/* One look; for tests. */
void intake_look(struct intake *intake);

/* Who pays for a call; NULL: nobody. In call.c. */
struct payer *rpc_call_payer(const struct rpc_call *call);
