/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Asynchronous invocations. One that was taken is durable, and is tried until it ends: at least
 * once, each try an ordinary invocation with the same request id. How many run at once is bounded;
 * tenants take turns. All calls and callbacks: loop thread; callbacks never run inside a call. */

#include "agent/core/loop.h"
#include "agent/deploy/directory.h"
#include "agent/events/event_policy.h"
#include "agent/invoke/invocation.h"
#include "agent/queues/message_queues.h"
#include "agent/webhook/webhook.h"

#define EVENT_PAYLOAD_MAX_BYTES INVOCATION_EVENT_MAX_BYTES

struct event_queue;

struct event_queue_config {
	struct event_store *store; /* borrowed, as all here; used by this queue alone */
	struct loop *loop;
	struct directory *directory;
	struct invoker *invoker;
	struct event_policy policy;
	unsigned max_running;
	unsigned max_waiting;       /* events */
	uint64_t max_waiting_bytes; /* of their payloads and client contexts */
	unsigned percent_of_tenant; /* what one tenant's events may take of both */
	/* How many events of a tenant may wait, whatever its percentage; UINT_MAX: that. NULL: of
	 * all. */
	unsigned (*waiting_of_tenant)(const char *tenant, void *arg);
	void *waiting_of_tenant_arg;
	const char *region;            /* in ARNs */
	struct message_queues *queues; /* destinations; NULL: none */
	struct webhooks *webhooks;     /* likewise */
	/* What a post to an address of a tenant's is signed with now; 0 or -ENOMEM. NULL: nothing.
	 */
	int (*webhook_keys)(const char *tenant, const char *url, struct webhook_keys *ret,
			    void *arg);
	void *webhook_keys_arg;
	int64_t delivery_max_age_us; /* then a delivery is given up */
	unsigned max_webhooks;       /* posts at once */
	/* Whether a tenant's functions may run now; else its events are held up. NULL: always. */
	bool (*may_run)(const char *tenant, void *arg);
	void *may_run_arg;
};

/* Takes up what the last agent left. Blocks: before the loop runs. */
int event_queue_new(const struct event_queue_config *config, struct event_queue **ret,
		    struct error *error) _must_use_;
/* Nothing further is begun; what runs goes on, and its end is written down by jobs. An event whose
 * try is refused from now on stays as it was. */
void event_queue_stop(struct event_queue *queue);
/* After invocations and jobs have ended. Copes with NULL. */
struct event_queue *event_queue_free(struct event_queue *queue);
DEFINE_CLEANUP(struct event_queue, event_queue_free)

/* `error` NULL: it is durable. Both borrowed during the call. */
typedef void event_taken_fn(const char *request_id, const struct error *error, void *arg);

/* `request` as for invoker_submit(), its type, events and user are not looked at; what it points to
 * is borrowed until the answer. Only lack of memory fails here. */
int event_queue_submit(struct event_queue *queue, const struct invocation_request *request,
		       event_taken_fn *answer, void *arg) _must_use_;

struct event_gauges {
	unsigned waiting; /* durable and not running */
	unsigned running;
	uint64_t received; /* since the start, as what follows */
	uint64_t succeeded;
	uint64_t retried;      /* tries that a function error made necessary */
	uint64_t delayed;      /* tries that no function ran for */
	uint64_t dropped;      /* ended without success */
	unsigned delivering;   /* outcomes that no destination has yet */
	uint64_t delivered;    /* that one has */
	int64_t oldest_age_us; /* of those that have not ended; 0: none */
};
void event_queue_gauges(const struct event_queue *queue, struct event_gauges *ret);
