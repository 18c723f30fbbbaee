/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of this room share. Loop thread. */

#include <sys/queue.h>
#include <uthash.h>

#include "agent/core/digest.h"
#include "agent/logs/log_lines.h"
#include "agent/pool/arrivals.h"
#include "agent/pool/cpu_use.h"
#include "agent/pool/end_tenant_queue.h"
#include "agent/pool/pool.h"
#include "agent/pool/share.h"
#include "agent/pool/vm_driver.h"
#include "mayfly/clock.h"
#include "mayfly/id.h"

#define POOL_LISTENERS_MAX 8
#define START_FAILURES_MAX 3                     /* in a row, until waiting demands fail */
#define SLOT_INIT_US       (500 * USEC_PER_MSEC) /* of INIT, then the next start may begin */
#define LOAD_FAILURES_MAX  2 /* in a row, until the template counts as damaged */

TAILQ_HEAD(version_list, version);
TAILQ_HEAD(preparation_list, preparation);

/* pool_set_policy() that waits. */
struct policy_wait {
	pool_policy_fn *done;
	void *arg;
	unsigned ending; /* sandboxes not gone yet */
	unsigned ended;
	bool wants_spares;
	TAILQ_ENTRY(policy_wait) link;
};

/* What sandboxes get of a small package in messages (version_code.c). */
struct version_code {
	enum { CODE_UNKNOWN, CODE_LOADING, CODE_READY } state;
	Mayfly__Guest__V1__Compile *files;     /* owned; NULL: not small, mounted from its disk */
	Mayfly__Guest__V1__Compiled *bytecode; /* owned; NULL: none yet, or none at all */
	char runtime_digest[DIGEST_HEX_BYTES]; /* of the image that made it, or would */
	bool compiles;                         /* the next sandbox may make the bytecode */
	struct sandbox *compiler;              /* the one that does, weak */
	unsigned jobs;                         /* that read or write these on the disk */
};

/* A function: what all its versions have together. */
struct pool_function {
	char *key; /* TENANT/NAME */
	unsigned versions;
	unsigned alive; /* sandboxes that are not ending */
	UT_hash_handle hh;
};

/* One generation of one version of one function. */
struct version {
	struct pool *pool;
	UT_hash_handle hh; /* the current ones, by key */
	char *key;         /* TENANT/NAME:VERSION */
	char *tenant;
	struct pool_tenant *owner;      /* referenced */
	struct pool_function *function; /* referenced */
	struct cpu_use_sum *cpu_use;    /* the pool's */
	char *function_name;
	uint64_t number; /* 0: $LATEST */
	char number_name[FUNCTION_VERSION_BYTES];
	char *arn; /* without the version */
	char *package_path;
	uint64_t generation;
	struct function_config config;
	struct line_style style;
	struct line_runtime runtime;
	uint64_t cost_bytes; /* of one sandbox, against the budget */

	const char *barred;  /* why nothing of it may run, or NULL: borrowed for the pool's life */
	bool current;        /* else it drains */
	bool preparing;      /* never current: its sandbox compiles, and ends */
	unsigned references; /* being current, each sandbox, a template asked for */

	struct demand_list demands;
	unsigned waiting;
	struct sandbox_list sandboxes;
	struct sandbox_list idle; /* used ones first, the latest foremost; spares behind. Those of
				     end-tenants are on their lists instead */
	unsigned starting;        /* RESTORING or INITIALIZING */
	unsigned spares_ready;    /* idle and never used */
	unsigned idle_used;       /* idle and used */
	unsigned busy;

	struct arrivals arrivals;
	int64_t plan_at_us; /* the plan is looked at again; 0: not */
	struct timer plan_timer;

	struct end_tenant *end_tenants;   /* by id */
	TAILQ_HEAD(, end_tenant) matches; /* who can be served by what is their own */

	unsigned provisioned;                 /* sandboxes to be kept initialised */
	unsigned provisioned_alive;           /* of them, those that are not ending */
	struct sandbox_list provisioned_idle; /* the latest used foremost */
	char provision_failure[160];          /* why they are not all there, or "" */
	int64_t provision_retry_at_us;        /* no further one before */
	struct timer provision_timer;

	struct version_code code;

	struct template *template; /* referenced, or NULL */
	bool template_asked;
	struct log_stream *init_log; /* while INIT is done for its function template */

	unsigned failures;      /* starts in a row */
	unsigned load_failures; /* the same, before the clone was loaded */
	struct error failure;   /* set: demands fail with it until retry_at_us */
	int64_t retry_at_us;
	struct timer retry_timer;

	int64_t active_until_us;
	int64_t refill_at_us; /* no new spare before: one was just taken, and its demand needs the
				 CPUs */
	struct timer refill_timer;
	enum pool_policy policy;
	unsigned policy_spares;
	TAILQ_HEAD(, policy_wait) policy_waits;

	bool dirty; /* on the pool's list */
	TAILQ_ENTRY(version) dirty_link;
	bool starved; /* wants to start more than it may now */
	TAILQ_ENTRY(version) starved_link;
	TAILQ_ENTRY(version) link; /* of all */
};

struct sandbox {
	struct pool *pool;
	struct version *version; /* referenced */
	struct vm *vm;           /* until on_gone */
	char id[HEX_ID_BYTES];
	enum sandbox_state state;
	enum sandbox_origin origin;
	enum sandbox_init init;
	struct log_stream *log;
	char log_stream_name[LOG_STREAM_NAME_BYTES];
	char *template_id;
	struct demand *demand;           /* while BUSY */
	struct end_tenant *end_tenant;   /* referenced: whose it is, or NULL: nobody's */
	struct policy_wait *policy_wait; /* told when it is gone */
	bool idle;        /* on the version's and, unless provisioned, the pool's lists */
	bool provisioned; /* one of those its version is to have at any time */
	bool frozen_wish; /* the last wish told to the VM was to stop */
	bool delivered;   /* the bound guest may have seen what was sent */
	bool slot;        /* counts as a restore under way */
	uint64_t invocations;
	int64_t created_us;
	int64_t last_used_us;  /* Unix time, for who asks */
	int64_t idle_since_us; /* the same by the monotonic clock; 0: never used */
	int64_t requested_us;
	int64_t restored_us;
	int64_t restore_sent_us;
	int64_t init_sent_us;
	int64_t init_done_us;
	int64_t ready_us;
	struct cpu_use_part cpu;
	int64_t start_limit_us; /* of its INIT or warming, host's backstop */
	int64_t resume_asked_us;
	int64_t resume_done_us;
	bool loaded;
	unsigned cpu_weight;            /* of its tenant, when its VM was asked for */
	bool placed;                    /* it has the package's files */
	bool repeats_init;              /* within the next invocation */
	bool repeating_init;            /* within the one it is bound to */
	bool stopped_starting;          /* ended before it was ready: a failed start */
	struct timer timer;             /* meaning by state */
	TAILQ_ENTRY(sandbox) link;      /* of the version */
	TAILQ_ENTRY(sandbox) idle_link; /* of the version's idle or provisioned idle ones */
	TAILQ_ENTRY(sandbox) lru_link;  /* of the pool's idle ones, the longest idle first */
};

struct pool {
	struct loop *loop;
	const struct vm_driver *driver;
	struct vm_host *host;
	struct template_store *templates;
	struct log_store *logs;
	struct pool_config config; /* with the defaults filled in */

	struct version *versions; /* current ones by key */
	struct version_list all;  /* draining ones too */
	struct version_list dirty_versions;
	struct version_list starved_versions;
	struct pool_tenant *tenants;     /* by id */
	struct pool_function *functions; /* by key */
	struct cpu_use_sum *cpu_uses;    /* by key of a version; they stay */
	uint64_t pass;                   /* of the tenant that started last */
	struct share_cpu cpu;
	struct preparation_list preparations; /* of functions without SnapStart */
	struct dirty dirty;
	struct timer starved_timer;

	struct sandbox_list lru;
	unsigned sandbox_count;
	unsigned slots_taken; /* starts under way, but for long INITs */
	unsigned by_state[_SANDBOX_STATE_MAX];
	unsigned spares;
	unsigned waiting;
	unsigned code_jobs; /* that read or write a version's code */
	uint64_t committed_bytes;
	uint64_t freeing_bytes; /* of those, what STOPPING ones will give back */
	uint64_t starts;
	uint64_t start_failures;
	uint64_t evictions;

	struct {
		pool_listener *fn;
		void *arg;
	} listeners[POOL_LISTENERS_MAX];
	unsigned listener_count;

	bool draining;
	loop_fn *drained;
	void *drained_arg;
	struct timer drain_timer;
	struct timer garbage_timer;
};

/* -- sandbox.c -- */

/* The one setter: checks the matrix (an unknown step is a bug, told and refused with -EINVAL),
 * keeps the counters, tells the listeners. */
int sandbox_set_state(struct sandbox *sandbox, enum sandbox_state state);
void sandbox_bind(struct sandbox *sandbox, struct demand *demand);
/* The bound guest runs: it was confirmed, or it speaks. */
void sandbox_set_delivered(struct sandbox *sandbox);
/* STOPPING, and the VM's end; `reason` is copied. */
void sandbox_stop(struct sandbox *sandbox, const char *reason);
void sandbox_set_idle(struct sandbox *sandbox);
void sandbox_unset_idle(struct sandbox *sandbox);
bool sandbox_is_starting(const struct sandbox *sandbox);
void sandbox_arm(struct sandbox *sandbox, int64_t at_us);
void sandbox_free(struct sandbox *sandbox);

/* -- sandbox_start.c -- */

int sandbox_start(struct version *version, bool provisioned, struct error *error);
/* A message while it starts. */
void sandbox_on_start_message(struct sandbox *sandbox,
			      const Mayfly__Guest__V1__GuestMessage *message);

void sandbox_on_loaded(struct sandbox *sandbox);

/* -- sandbox_events.c -- */
extern const struct vm_events sandbox_vm_events;

/* -- version.c -- */

/* Of the function's own configuration or of another that it shall have. */
int version_new(struct pool *pool, const struct function *function,
		const struct function_config *config, uint64_t generation, struct version **ret);
bool version_has_snap_start(const struct version *version);
/* The current generation of a function's version, made or replaced when the generation differs. */
int version_get(struct pool *pool, const struct function *function, struct version **ret,
		struct error *error);
struct version *version_find(struct pool *pool, const char *tenant, const char *name,
			     uint64_t number);
/* What the log says of its runtime, as the catalogue has it now. */
void version_set_runtime(struct version *version);
void version_mark_dirty(struct version *version);
void version_converge(struct version *version);
void version_unref(struct version *version);
void version_retire(struct version *version, struct version *successor);
void version_fail_demands(struct version *version, const struct error *error);
void version_count_failure(struct version *version, const struct error *error, bool fatal);
void version_count_success(struct version *version);
bool version_is_active(const struct version *version);
/* The warmest at hand, or NULL. */
struct sandbox *version_first_idle(const struct version *version);
void version_touch(struct version *version);
void version_spare_taken(struct version *version);
unsigned version_spare_target(const struct version *version);
unsigned version_wanted_starts(const struct version *version, bool *ret_for_demand);

/* -- provision.c -- */

unsigned provision_wanted_starts(const struct version *version);
/* No room, or INIT failed: tried again later, with the failure told until it went well. */
void provision_failed(struct version *version, const char *reason);
/* No room yet, but others are about to end. */
void provision_wait(struct version *version);
/* More are there than should be. */
bool provision_is_surplus(const struct sandbox *sandbox);
/* All are there. */
void provision_check(struct version *version);

/* -- scaling.c -- */

/* A demand is about to be bound or to wait; an invocation has ended. */
void scaling_begin(struct version *version);
void scaling_end(struct version *version);
/* Sees to it that the version converges when more are to be ready. */
void scaling_arm(struct version *version);
/* Without a start policy that was set. */
unsigned scaling_spares(const struct version *version);
/* How long an idle sandbox lives until it is asked whether it is still wanted. */
int64_t scaling_keep_us(const struct sandbox *sandbox);
/* Whether it is, and until when it need not be asked again. */
bool scaling_keeps(const struct sandbox *sandbox, int64_t *ret_until_us);
/* Of idle sandboxes the one worth the least goes first when memory is needed. */
int64_t scaling_worth(const struct sandbox *sandbox);

/* -- version_code.c -- */

/* 1: known what the guest gets; 0: being read, the version gets dirty later. Read again when the
 * runtime's image is another. */
int version_ensure_code(struct version *version);
void version_code_clear(struct version_code *code);
/* A sandbox that is restored shall compile first, and be `code.compiler` from then on. */
bool version_wants_compile(const struct version *version);
/* Checks and keeps it, for all sandboxes that come. */
int version_take_bytecode(struct version *version, const Mayfly__Guest__V1__Compiled *compiled);
/* It stops, perhaps while it compiles. */
void version_compiler_gone(struct sandbox *sandbox);

/* -- version_template.c -- */

/* 1: `version->template` may be cloned; 0: it is being made, the version gets dirty later. */
int version_ensure_template(struct version *version);
/* False also for one that was dropped, damaged or closed. */
bool version_template_is_usable(const struct version *version);
void version_drop_template(struct version *version);
/* The name of its function template, which the caller frees. */
int version_template_id(const struct version *version, char **ret);
int version_request_function_template(struct version *version, template_ready_fn *ready, void *arg);

/* -- preparation.c -- */

/* Goes on with all that can. */
void preparations_step(struct pool *pool);
/* None will be answered any more. */
void preparations_free(struct pool *pool);

/* -- version_log.c -- */

int version_open_log(const struct version *version, const char *sandbox_id, int64_t created_us,
		     char ret_name[LOG_STREAM_NAME_BYTES], struct log_stream **ret);
void version_log_records(const struct version *version, struct log_stream *log,
			 const Mayfly__Guest__V1__LogRecords *logs);
void version_log_init_start(const struct version *version, struct log_stream *log);
/* `outcome` is NULL when the VM ended before it came. */
void version_log_init_report(const struct version *version, struct log_stream *log,
			     const Mayfly__Guest__V1__Outcome *outcome, int64_t duration_us);
/* Their `arg` is the version. */
extern const struct template_init_events version_init_events;
void version_close_init_log(struct version *version);

/* -- template_garbage.c -- */

/* Drops the version's templates that its served configuration does not use; all of them when it was
 * deleted. Does nothing while one is being prepared. */
void templates_collect_function(struct pool *pool, const struct function *function, bool deleted);

/* Drops base templates that no function needs and nobody used for long, and lets go of dropped
 * ones, so that their files can go. */
void templates_collect_bases(struct pool *pool);
/* Does so from time to time. */
void templates_watch_bases(struct pool *pool);

/* -- initialize.c -- */

/* Fills a message from the version; what it points to is the version's and `environment`'s, to
 * be freed with initialize_clear(). */
struct initialize {
	Mayfly__Guest__V1__Initialize message;
	char group[LOG_GROUP_NAME_MAX + 1];
};
int initialize_fill(const struct version *version, const char *log_stream_name,
		    struct initialize *ret);
/* Adds what a sandbox gets of the package; a function template mounts it from its disk. */
void initialize_add_code(const struct sandbox *sandbox, struct initialize *initialize);
/* INIT is done ahead of all invocations: Lambda gives it longer. */
void initialize_set_provisioned(const struct version *version, struct initialize *initialize);
void initialize_clear(struct initialize *initialize);
Mayfly__Guest__V1__RuntimeKind initialize_runtime_kind(const char *runtime);

/* -- policy.c -- */
void policy_check(struct version *version);
void policy_sandbox_gone(struct sandbox *sandbox);
void policy_cancel(struct version *version, const struct error *error);
void policy_move(struct version *from, struct version *to);

/* -- pool.c -- */
void pool_mark_dirty(struct pool *pool);
void pool_add_starved(struct version *version);
void pool_remove_starved(struct version *version);
void pool_notify(struct sandbox *sandbox);
struct line_source version_line_source(const struct version *version);
