/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Lambda's Runtime API (2018-06-01) over HTTP, inside the guest. Decodes requests, holds the
 * runtime to its state machine, and tells the listener. One runtime process at a time. */

#include "http.h"
#include "runtime.h"

#define RUNTIME_API_ADDRESS     "169.254.100.1"
#define RUNTIME_API_PORT        9001
#define RUNTIME_API_CONNECTIONS 32

enum runtime_api_state {
	RUNTIME_API_STARTED,
	RUNTIME_API_INIT_ERROR,
	RUNTIME_API_RESTORE_READY,
	RUNTIME_API_RESTORE_ERROR,
	RUNTIME_API_READY,
	RUNTIME_API_RUNNING,
	RUNTIME_API_RESPONSE, /* its body is on the way */
	RUNTIME_API_ERROR_RESPONSE,
	RUNTIME_API_RESPONSE_SENT,
	_RUNTIME_API_STATES,
};

struct runtime_api {
	struct event_loop *loop;
	struct event_source source; /* listening */
	const struct runtime_listener *listener;
	void *user;
	enum runtime_api_state state;
	bool snap_start;
	bool restored;
	bool truncated;                  /* the response was, and the listener does not know yet */
	char request_id[64];             /* the current or the last answered one */
	struct http_connection *waiting; /* for next or restore/next; in the list, or NULL */
	struct http_connection *sender;  /* of the response; in the list, or NULL */
	LIST_HEAD(, http_connection) connections;
	unsigned connections_len;
};

void runtime_api_init(struct runtime_api *api, struct event_loop *loop,
		      const struct runtime_listener *listener, void *user);
int runtime_api_listen(struct runtime_api *api) _must_use_;

/* Serves a connected descriptor, which it takes over; the listener's and the tests' door. */
int runtime_api_accept(struct runtime_api *api, int fd);

/* A new runtime process: all connections of the former one end. */
void runtime_api_reset(struct runtime_api *api, bool snap_start);
void runtime_api_close(struct runtime_api *api);

/* Answers the waiting `next`. -EAGAIN when nobody waits. */
int runtime_api_send_event(struct runtime_api *api, const struct runtime_event *event) _must_use_;

/* Answers the waiting restore/next. */
int runtime_api_send_restored(struct runtime_api *api) _must_use_;

void runtime_api_pause(struct runtime_api *api, bool pause);
