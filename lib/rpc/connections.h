/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The connections of the network: how many there are, in all and of one address, and whose must go
 * when there are too many.
 *
 * A connection is a stranger's until somebody who is known has called on it. Where there is no room
 * for a new one the oldest of the strangers gives way, of the same address if that has too many;
 * those of known callers never do. So strangers who stay keep nobody out; only
 * while they come faster than first calls are heard may others have to give way, too.
 *
 * Core accepts these connections itself, and its C interface lets nobody have a word in that. But
 * it does so by accept4(), which this room defines before the C library does: connections on a
 * watched port are asked for here, all other sockets go on as ever. Any thread. */

#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "mayfly/error.h"

#define CONNECTIONS_PORTS 8

struct connection {
	int fd;       /* core's, who closes it when it likes: */
	ino_t socket; /* whether it still is the one */
	int own_fd;   /* owned, of the same socket, to end it safely; -1: it is not a stranger's */
	bool leaving; /* it was ended, and core has not closed it yet */
	uint64_t number;
	struct in6_addr address; /* IPv4 mapped */
	uint16_t port;
};

/* One of them, as long as it is there; number 0: none. */
struct connection_ref {
	uint64_t number;
	int fd;
	ino_t socket;
};

struct connections {
	pthread_mutex_t lock;   /* guards all but what is constant from init on */
	struct connection *all; /* owned */
	size_t count, room;
	int spare_fd;                  /* owned; for when there is no other left */
	unsigned max, max_per_address; /* constant */
	uint64_t next_number;
	int64_t looked_us;       /* for those that are gone, last */
	int64_t told_us;         /* the log, last */
	unsigned refused, ended; /* since then */

	uint16_t ports[CONNECTIONS_PORTS];
	size_t n_ports;
	LIST_ENTRY(connections) link;
};

/* At most `max` connections, but never more than a quarter of the descriptors that the process may
 * have, since one of a stranger takes two, and core takes a moment to close what was ended. */
int connections_init(struct connections *connections, unsigned max, unsigned max_per_address,
		     struct error *e) _must_use_;

/* After core has closed all of them, also after init failed. */
void connections_clear(struct connections *connections);

/* From now on, connections to this port of this process are asked for. */
int connections_watch(struct connections *connections, uint16_t port, struct error *e) _must_use_;

/* Whether a connection that was just accepted may stay; the descriptor is the caller's. */
bool connections_take(struct connections *connections, int fd) _must_use_;

/* It is no stranger's any more. `peer` as core writes it: "ipv4:192.0.2.1:51234". */
void connections_vouch(struct connections *connections, const char *peer);

/* The connection of that peer, and a number that is the same for all peers of one place. */
struct connection_ref connections_find(struct connections *connections, const char *peer,
				       uint64_t *ret_place);

/* The bytes that came by it so far; 0 when it is gone. */
uint64_t connection_received(const struct connection_ref *connection);
