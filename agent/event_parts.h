/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The parts that asynchronous invocations need, built from the configuration as node.c builds the
 * others. Loop thread. */

#include "agent/config.h"
#include "agent/events/event_queue.h"

struct event_parts {
	struct event_store *store;
	struct message_queues *queues;
	struct webhooks *webhooks;
	struct event_queue *queue;
};

/* `needs` has what is not in the configuration: loop, directory, invoker and what is asked of
 * tenants. Blocks: before the loop runs. On failure event_parts_free() is still owed. */
int event_parts_build(const struct config *config, const struct event_queue_config *needs,
		      struct event_parts *ret, struct error *error) _must_use_;
/* Copes with what was not built. */
void event_parts_free(struct event_parts *parts);
