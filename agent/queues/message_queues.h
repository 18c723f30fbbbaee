/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Queues of tenants. A queue is there while it has messages; a message that was put is durable.
 * All calls and callbacks: loop thread; each callback comes once, later. */

#include "agent/core/loop.h"
#include "agent/store/queue_store.h"

#define MESSAGE_QUEUES_LIST_MAX 1000

struct message_queues;

struct message_queues_config {
	const char *path;
	bool full;                 /* as queue_store_open() */
	uint64_t max_tenant_bytes; /* of all queues of one */
};

/* Blocks: to be called before the loop runs. */
int message_queues_open(const struct message_queues_config *config, struct loop *loop,
			struct message_queues **ret, struct error *error) _must_use_;
/* When no job is under way. Copes with NULL. */
struct message_queues *message_queues_close(struct message_queues *queues);
DEFINE_CLEANUP(struct message_queues, message_queues_close)

/* `error` NULL: it is durable. `message` and what it refers to are borrowed until the answer. */
typedef void message_queues_put_fn(const struct error *error, void *arg);
void message_queues_put(struct message_queues *queues, const struct queue_message *message,
			message_queues_put_fn *answer, void *arg);

/* Borrowed during the call. `tenant` is copied. */
typedef void message_queues_list_fn(const struct queue_summary *list, size_t count,
				    const struct error *error, void *arg);
void message_queues_list(struct message_queues *queues, const char *tenant,
			 message_queues_list_fn *answer, void *arg);

/* Up to `max` messages, fewer when they have `max_bytes`, which the first may exceed; `more`: there
 * are others behind them. Borrowed during the call. `filter` is copied. */
typedef void message_queues_read_fn(const struct queue_message *messages, size_t count, bool more,
				    const struct error *error, void *arg);
void message_queues_read(struct message_queues *queues, const struct queue_filter *filter,
			 size_t max, uint64_t max_bytes, message_queues_read_fn *answer, void *arg);

/* `filter` is copied. */
typedef void message_queues_delete_fn(uint64_t count, const struct error *error, void *arg);
void message_queues_delete(struct message_queues *queues, const struct queue_filter *filter,
			   message_queues_delete_fn *answer, void *arg);
