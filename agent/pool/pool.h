/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The pool: gives a demand for a function a sandbox, the warmest at hand, and keeps sandboxes
 * ready, frozen, within the memory budget. It starts, scales, freezes, evicts and ends
 * sandboxes; what travels through one while it is bound is the asker's business. All calls
 * and callbacks: loop thread; a callback never runs inside the call that caused it. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "agent/core/loop.h"
#include "agent/functions/function.h"
#include "agent/image/runtime_catalogue.h"
#include "agent/logs/log_store.h"
#include "agent/pool/sandbox.h"
#include "agent/vm/template.h"
#include "agent/vm/vm.h"

struct pool;
struct vm_driver;

struct pool_config {
	const char *region;                        /* borrowed for the pool's life, as all here */
	const struct runtime_catalogue *catalogue; /* NULL: runtime versions are not known */
	/* Where the package image of a digest lies (directory_package_path); the caller frees. */
	char *(*package_path)(const char *package_digest, void *arg);
	void *package_path_arg;
	/* Whether a function exists that would be cloned from this base template. */
	bool (*base_is_needed)(const char *runtime, unsigned memory_mb, void *arg);
	void *base_is_needed_arg;
	int64_t base_template_keep_us; /* other ones go after so long without use; 0: never */

	/* Why nothing of this tenant's may run, for the pool's life: then no sandbox of its
	 * functions is started, whatever for. NULL: it may, and so may all without the hook. */
	const char *(*why_not_run)(const char *tenant, void *arg);
	void *why_not_run_arg;

	/* A tenant's part of a node that is full, beside others'; NULL: all have the same. */
	unsigned (*tenant_weight)(const char *tenant, void *arg);
	void *tenant_weight_arg;
	int64_t share_idle_us; /* idle sandboxes within a share are safe from others for so long; 0:
				  10 s */

	/* Memory. A sandbox is counted as sandbox_overhead_mb plus memory_commit_percent of its
	 * MemorySize: clones share most of their pages. */
	uint64_t memory_budget_bytes;   /* 0: 80 % of the machine's */
	uint64_t memory_reserve_bytes;  /* MemAvailable that starts must leave; 0: 512 MiB */
	unsigned memory_commit_percent; /* 0: 10 */
	unsigned sandbox_overhead_mb;   /* 0: 32 */
	unsigned max_sandboxes;         /* 0: 4,096 */
	unsigned max_starts; /* starts at once, long INITs aside; 0: as many as processors */

	/* Fixed: idle sandboxes end after keep_alive_us. Adaptive: by when their version is asked
	 * for (arrivals.h), at the earliest and the latest after these. */
	bool adaptive;
	int64_t keep_alive_min_us;   /* 0: a minute; at most keep_alive_us */
	int64_t keep_alive_us;       /* 0: 10 minutes */
	int64_t cold_start_worth_us; /* so long of an idle sandbox; 0: keep_alive_us */
	int64_t start_lead_us; /* an expected use has its sandbox started so long before; 0: 2 s */
	int64_t freeze_after_us;  /* vCPUs run on for so long after an answer; 0: 10 ms */
	int64_t active_window_us; /* a function has spares for so long after use; 0: 10 minutes */
	unsigned spares;          /* wanted per active version, adaptive: at least */
	unsigned spares_max;      /* adaptive: at most; 0: 16 */
	bool spares_on_deploy;    /* a function just deployed counts as active */
	unsigned warm_rounds;     /* of a spare; 0: 3 */
	int64_t start_timeout_us; /* clone requested to Restored; 0: 10 s, 60 s under TCG */
	int64_t boot_timeout_us;  /* 0: 30 s, 180 s under TCG */
	unsigned init_timeout_ms; /* Lambda's INIT limit; 0: 10,000 */
	int64_t guest_grace_us;   /* the host's patience beyond the guest's limits; 0: 2 s */
};

/* Everything borrowed until pool_free(). */
int pool_new(const struct pool_config *config, struct loop *loop, struct vm_host *host,
	     struct template_store *templates, struct log_store *logs, struct pool **ret,
	     struct error *error) _must_use_;

/* The same with another driver of VMs than agent/vm's (agent/pool/vm_driver.h). */
int pool_new_with_driver(const struct pool_config *config, struct loop *loop,
			 const struct vm_driver *driver, struct vm_host *host,
			 struct template_store *templates, struct log_store *logs,
			 struct pool **ret, struct error *error) _must_use_;

/* After pool_drain() was done. Copes with NULL. */
struct pool *pool_free(struct pool *pool);
DEFINE_CLEANUP(struct pool, pool_free)

/* Takes no new demands, serves those it has, ends every sandbox as it falls idle, and all that
 * still live after `limit_us`. done(arg) when the last one is gone. */
void pool_drain(struct pool *pool, int64_t limit_us, loop_fn *done, void *arg);

/* -- news of functions -- */

/* $LATEST or a published version was created or changed: sandboxes of its older generations drain,
 * demands move on. Those of the function's other versions are left alone. */
void pool_function_changed(struct pool *pool, const struct function *function);
/* The version's sandboxes drain, waiting demands fail with ERROR_NOT_FOUND. */
void pool_function_deleted(struct pool *pool, const struct function *function);

/* A tenant's weight may be another now: it counts from the next start on, for the CPUs at once. */
void pool_tenant_changed(struct pool *pool, const char *tenant);

/* Makes what is to be there before a configuration serves: with SnapStart its function template,
 * else what its sandboxes would have to compile, if that can be done now. done(error) comes later
 * from the loop, except for lack of memory, when it may come at once. `function` and `config` are
 * not needed after the call. */
typedef void pool_prepared_fn(const struct error *error, void *arg);
void pool_prepare_function(struct pool *pool, const struct function *function,
			   const struct function_config *config, pool_prepared_fn *done, void *arg);

/* Drops the function templates that no version uses any more, as a former agent or a deletion
 * while the node was down left them. `find` answers with the version or NULL. */
typedef const struct function *pool_find_fn(const char *tenant, const char *name,
					    const char *version, void *arg);
void pool_collect_templates(struct pool *pool, pool_find_fn *find, void *arg);

/* -- demands -- */

struct demand;

struct demand_events {
	/* A waiting demand has its sandbox; it is BUSY and runs (or is about to). */
	void (*on_bound)(struct demand *demand, struct sandbox *sandbox);
	/* A waiting demand will get none. The error is borrowed. */
	void (*on_failed)(struct demand *demand, const struct error *error);
	/* The vCPUs of a sandbox that was not `delivered` to when it was bound run: from now on the
	 * guest may have seen what was sent. Comes once, before the lines that it writes. */
	void (*on_delivered)(struct demand *demand);
	/* From the bound sandbox, logs excepted, which the pool writes to its stream. */
	void (*on_message)(struct demand *demand, const Mayfly__Guest__V1__GuestMessage *message);
	/* The bound sandbox is gone, the binding with it. `delivered`: the guest may have seen
	 * what was sent, as on_delivered said or the facts when it was bound. */
	void (*on_lost)(struct demand *demand, const char *reason, bool delivered);
	/* The guest kept neither the function's timeout nor the grace beyond it. */
	void (*on_overdue)(struct demand *demand);
};

/* Embedded by the asker, who sets `events` and `end_tenant`; lives until released, failed, lost or
 * cancelled. */
struct demand {
	const struct demand_events *events;
	const char *end_tenant; /* in whose name, of a function that has end-tenants; borrowed until
				   it is bound */
	int64_t queued_us;      /* monotonic; set by pool_acquire() */
	/* of the pool: */
	TAILQ_ENTRY(demand) link;
	struct version *version; /* while it waits */
	struct end_tenant *claim;
	TAILQ_ENTRY(demand) claim_link;
};

/* Returns 1 with *ret when a sandbox is at hand (bound now), 0 when it waits (on_bound or on_failed
 * follows), or a negative errno with `error`. */
int pool_acquire(struct pool *pool, const struct function *function, struct demand *demand,
		 struct sandbox **ret, struct error *error) _must_use_;

/* A waiting demand leaves the queue; no callback follows. */
void pool_cancel(struct pool *pool, struct demand *demand);

/* -- start policy, for benchmarks -- */

enum pool_policy { POOL_POLICY_DEFAULT, POOL_POLICY_SPARE, POOL_POLICY_RESTORE, POOL_POLICY_BOOT };

/* done(ended, spares_ready, arg) when idle sandboxes asked to end are gone and spares
 * asked for are ready, or cannot be. */
typedef void pool_policy_fn(unsigned ended, unsigned spares_ready, const struct error *error,
			    void *arg);
int pool_set_policy(struct pool *pool, const struct function *function, enum pool_policy policy,
		    unsigned spares, bool end_idle, pool_policy_fn *done, void *arg,
		    struct error *error) _must_use_;

/* -- provisioned concurrency -- */

/* So many sandboxes of a published version are kept initialised, and are its demands' first choice:
 * they are not evicted, do not end by the keep-alive, and are started again when they end. 0: none.
 * The version must be Active. 0 or a negative errno. */
int pool_set_provisioned(struct pool *pool, const struct function *function,
			 unsigned provisioned) _must_use_;

/* INIT, or its lack: the reason as Lambda gives it. */
#define PROVISION_FAILED_INIT "FUNCTION_ERROR_INIT_FAILURE"

struct pool_provision {
	unsigned wanted;
	unsigned allocated; /* started */
	unsigned available; /* of them, initialised, those that are busy included */
	const char
		*failure; /* why they are not all there, or NULL; borrowed until the loop turns */
};
/* All 0 for a version that has none. */
void pool_get_provision(struct pool *pool, const struct function *function,
			struct pool_provision *ret);

/* Whether the next demand gets a provisioned sandbox at once; `ret_wanted`: how many the version is
 * to have. */
bool pool_has_provisioned(struct pool *pool, const struct function *function, unsigned *ret_wanted);

/* -- facts -- */

/* Of all versions of a function: those that are not ending. */
unsigned pool_count_sandboxes(struct pool *pool, const char *tenant, const char *name);

void pool_each(struct pool *pool, void (*fn)(const struct sandbox_facts *facts, void *arg),
	       void *arg);

/* Called after each change of state. */
typedef void pool_listener(const struct sandbox_facts *facts, void *arg);
int pool_add_listener(struct pool *pool, pool_listener *listener, void *arg) _must_use_;

struct pool_gauges {
	unsigned total;
	unsigned busy;
	unsigned frozen;
	unsigned spare; /* ready or frozen, and never used */
	unsigned starting;
	unsigned waiting; /* demands in queues */
	uint64_t starts;
	uint64_t start_failures;
	uint64_t evictions;
	uint64_t memory_committed_bytes;
	uint64_t memory_budget_bytes;
};
void pool_gauges(const struct pool *pool, struct pool_gauges *ret);
