/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Messages in queues of tenants: durable, in a file of their own, so that what is kept for years
 * does not lie in the way of events, which live for hours. Every call blocks: in jobs, or before
 * the loop runs; one at a time. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/store/event_store.h"

#define QUEUE_NAME_BYTES    81        /* with NUL */
#define QUEUE_MESSAGE_BYTES (1 << 10) /* counted for each message beside what it carries */

/* What became of an event. */
struct queue_message {
	uint64_t sequence; /* given when it is put; the oldest has the least */
	char id[UUID_BYTES];
	char tenant[EVENT_TENANT_BYTES];
	char queue[QUEUE_NAME_BYTES];
	char function[EVENT_FUNCTION_BYTES]; /* of the event, as what follows */
	char qualifier[EVENT_QUALIFIER_BYTES];
	char request_id[UUID_BYTES];
	char condition[EVENT_CONDITION_BYTES];
	bool is_dead_letter;
	int64_t sent_us;
	uint64_t event_at; /* where in the body the event itself lies */
	uint64_t event_bytes;
	const char *error_message; /* borrowed, as the rest */
	const char *trace_id;
	const char *end_tenant; /* in whose name the event was; "": nobody's */
	struct slice client_context;
	struct slice body;
};

struct queue_summary {
	char name[QUEUE_NAME_BYTES];
	uint64_t messages;
	uint64_t bytes;
	int64_t oldest_us;
};

struct queue_store;

/* As event_store_open(). */
int queue_store_open(const char *path, bool full, struct queue_store **ret,
		     struct error *error) _must_use_;
/* Copes with NULL. */
struct queue_store *queue_store_close(struct queue_store *store);
DEFINE_CLEANUP(struct queue_store, queue_store_close)

/* Of one with an id that is there already nothing is changed. Refused when the tenant's queues
 * would have more than `max_bytes`. */
int queue_store_put(struct queue_store *store, const struct queue_message *message,
		    uint64_t max_bytes, struct error *error) _must_use_;

/* At most `size` queues of the tenant, in order of name, into ret[0…*ret_count - 1]. */
int queue_store_list(struct queue_store *store, const char *tenant, struct queue_summary *ret,
		     size_t size, size_t *ret_count, struct error *error) _must_use_;

/* Which messages of a queue: those after a sequence, the oldest first, or the one with the id. */
struct queue_filter {
	char tenant[EVENT_TENANT_BYTES];
	char queue[QUEUE_NAME_BYTES];
	char id[UUID_BYTES]; /* "": any */
	uint64_t after;
};

/* Borrowed during the call; a result other than 0 ends it, and is returned. */
typedef int queue_message_fn(const struct queue_message *message, void *arg);
int queue_store_read(struct queue_store *store, const struct queue_filter *filter,
		     queue_message_fn *fn, void *arg, struct error *error) _must_use_;

/* Deletes what the filter has; how many those were. */
int queue_store_delete(struct queue_store *store, const struct queue_filter *filter,
		       uint64_t *ret_count, struct error *error) _must_use_;
