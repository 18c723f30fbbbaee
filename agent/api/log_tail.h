/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One LogService.Tail call: first what was written, then what is. Loop thread. */

#include <sys/queue.h>

#include "agent/logs/log_store.h"
#include "mayfly/v1/log.pb-c.h"
#include "rpc/rpc_server.h"

struct tail_list {
	LIST_HEAD(, tail) tails; /* each until its call ends */
	unsigned count;
};

/* Follows what `request` names by tenant, group, stream and start_us (0: from now); the rest of it
 * does not matter. `list` outlives it. On failure the call is still the caller's. */
int tail_start(struct log_store *logs, struct rpc_call *call,
	       const struct log_read_request *request, struct tail_list *list,
	       struct error *error) _must_use_;

/* Ends the calls with status OK, those that wait for a disk a little later. */
void tail_list_stop(struct tail_list *list);

/* NULL for lack of memory; freed by protobuf_c_message_free_unpacked(). */
Mayfly__V1__LogEvent *log_event_message(const struct log_event *event);
