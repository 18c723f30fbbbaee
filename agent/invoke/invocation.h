/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Invocations: from a request, made by whichever front, to its answer. The invoker admits, finds a
 * sandbox through the pool, carries the event in and the response out, writes START, END and
 * REPORT, counts, and answers once the account has recorded what ran. It also tells the pool what
 * the directory says. All calls and callbacks: loop thread; callbacks never run inside
 * invoker_submit(). */

#include <stdbool.h>
#include <stdint.h>

#include "agent/account/account.h"
#include "agent/core/loop.h"
#include "agent/deploy/directory.h"
#include "agent/invoke/concurrency.h"
#include "agent/invoke/metrics.h"
#include "agent/pool/pool.h"
#include "mayfly/id.h"

#define INVOCATION_PAYLOAD_MAX_BYTES        6291456
#define INVOCATION_EVENT_MAX_BYTES          1048576 /* of an asynchronous one */
#define INVOCATION_RESPONSE_MAX_BYTES       6291556 /* 6 MiB and 100 bytes, as in Lambda */
#define INVOCATION_STREAM_MAX_BYTES         209715200
#define INVOCATION_CLIENT_CONTEXT_MAX_BYTES 3583 /* in base64 */
#define INVOCATION_LOG_RESULT_BYTES         4096

struct invoker;
struct invocation;

struct invoker_config {
	const char *region;         /* borrowed for the invoker's life, as the next */
	const char *default_tenant; /* for requests that name none */
	double (*draw)(void *arg);  /* evenly from 0 to below 1, for weighted aliases; NULL: own */
	void *draw_arg;
	int64_t max_wait_us;        /* for a sandbox; 0: 5 minutes */
	unsigned max_waiting;       /* without a sandbox; 0: 10,000 */
	uint64_t max_waiting_bytes; /* of their events; 0: 256 MiB */
	/* A tenant's part of both beside others', when they are used up; NULL: all the same. */
	unsigned (*tenant_weight)(const char *tenant, void *arg);
	void *tenant_weight_arg;
	struct concurrency_limits limits; /* each 0: Lambda's */
	unsigned max_metrics;             /* functions with rows of their own */
};

int invoker_new(const struct invoker_config *config, struct loop *loop, struct directory *directory,
		struct pool *pool, struct account *account, struct invoker **ret,
		struct error *error) _must_use_;
/* After the pool was drained: then no invocation is left. Copes with NULL. */
struct invoker *invoker_free(struct invoker *invoker);
DEFINE_CLEANUP(struct invoker, invoker_free)

/* An event is checked as what is to run at some later time; a dry run as what could run now.
 * Neither runs. */
enum invocation_type { INVOCATION_REQUEST_RESPONSE, INVOCATION_DRY_RUN, INVOCATION_EVENT };

enum invocation_start {
	INVOCATION_START_NONE,
	INVOCATION_START_WARM,
	INVOCATION_START_SPARE,
	INVOCATION_START_RESTORE,
	INVOCATION_START_SNAP_START,
	INVOCATION_START_BOOT,
};

/* Microseconds of one monotonic clock; 0: did not happen. See Phases in invoke.proto. */
struct invocation_phases {
	enum invocation_start start;
	uint64_t admit_us;
	uint64_t place_us;
	uint64_t spawn_us;
	uint64_t load_us;
	uint64_t resume_us;
	uint64_t init_us;
	uint64_t handler_us;
	uint64_t guest_us;
	int64_t received_at_us;
	int64_t complete_at_us; /* response complete; the front computes reply and total */
	char sandbox_id[HEX_ID_BYTES];
};

/* Borrowed during on_done. */
struct invocation_result {
	const struct error *error;  /* set: no function ran */
	unsigned status_code;       /* 200, 202 for an event, 204 for a dry run */
	const char *function_error; /* "Unhandled" or "" */
	const char *executed_version;
	const char *error_type; /* of a function error: errorType, else "" */
	struct slice payload;   /* of a stream only the error's body */
	struct slice log_result;
	struct invocation_phases phases;
};

/* Within on_done of one that is not streamed: the result's payload is the caller's from now on, to
 * be freed from any thread; what the result refers to stays where it is. */
struct buf invocation_take_payload(struct invocation *invocation);

struct invocation_events {
	/* Streaming only, before the first chunk. */
	void (*on_start)(struct invocation *invocation, const char *content_type, void *user);
	/* Streaming only. Borrowed. What was taken and not yet sent is told by
	 * invocation_set_congested(). */
	void (*on_chunk)(struct invocation *invocation, struct slice data, void *user);
	/* Once, last. */
	void (*on_done)(struct invocation *invocation, const struct invocation_result *result,
			void *user);
};

/* Slices and strings are borrowed until on_done: the payload is not copied. */
struct invocation_request {
	const char *tenant;        /* "" or NULL: the default one */
	const char *function_name; /* any name form */
	const char *qualifier;     /* a version or an alias; "" or NULL: $LATEST */
	enum invocation_type type;
	bool log_tail;
	bool streaming;
	struct slice payload;
	struct slice client_context; /* JSON */
	const char *trace_id;        /* "" or NULL: one is made */
	const char *request_id;      /* of earlier tries, too; "" or NULL: one is made */
	const char *end_tenant;      /* in whose name (end_tenant.h); "" or NULL: nobody's */
	int64_t received_us;         /* monotonic */
	int64_t deadline_us;         /* monotonic; INT64_MAX: none */
	const struct invocation_events *events;
	void *user;
};

/* Starts it. A refusal also comes through on_done. Only lack of memory fails here. */
int invoker_submit(struct invoker *invoker, const struct invocation_request *request,
		   struct invocation **ret) _must_use_;

/* Also known before on_done: for logs and answers of streams. */
const char *invocation_request_id(const struct invocation *invocation);
const char *invocation_executed_version(const struct invocation *invocation);
/* Of one that was found to be right. */
const char *invocation_tenant(const struct invocation *invocation);
const char *invocation_function_name(const struct invocation *invocation);
const char *invocation_qualifier(const struct invocation *invocation); /* "": none was given */

/* Nobody listens any more: the function runs on, as in Lambda, but on_start, on_chunk are not
 * called again. on_done still comes. */
void invocation_abandon(struct invocation *invocation);

/* The reader of a stream is slow: the sandbox stands still until it is quick again. */
void invocation_set_congested(struct invocation *invocation, bool congested);

struct invoker_gauges {
	unsigned running;
	uint64_t total;
	uint64_t function_errors;
	uint64_t cold_starts;
	uint64_t throttles;
	uint64_t waiting_bytes;     /* of events without a sandbox */
	uint64_t waiting_refused;   /* for want of room to wait in, at once */
	uint64_t waiting_displaced; /* likewise, to make room for other tenants */
};
/* What runs and what is reserved. */
void invoker_tenant_concurrency(const struct invoker *invoker, const char *tenant,
				struct concurrency_usage *ret);
unsigned invoker_function_concurrency(const struct invoker *invoker, const char *tenant,
				      const char *name);

/* What a version has of its provisioned sandboxes. */
void invoker_get_provision(const struct invoker *invoker, const struct function *version,
			   struct pool_provision *ret);
/* Of all versions of a function: provisioned sandboxes that are there. */
unsigned invoker_provisioned_available(const struct invoker *invoker, const char *tenant,
				       const char *name);
unsigned invoker_provisioned_concurrency(const struct invoker *invoker, const char *tenant,
					 const char *name);

const struct metrics *invoker_metrics(const struct invoker *invoker);
/* Counts what happened to an event of a function that is there. */
void invoker_count_event(struct invoker *invoker, const char *tenant, const char *function_name,
			 enum metrics_event event);

void invoker_gauges(const struct invoker *invoker, struct invoker_gauges *ret);
