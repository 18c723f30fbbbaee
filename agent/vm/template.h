/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Templates: stopped microVMs kept as a RAM file, a device-state file and a manifest, one
 * folder each below STATE_DIR/templates. A template whose manifest does not match the node, or
 * whose files do not match the manifest, is rebuilt and never restored. Loop thread. */

#include "agent/vm/vm.h"

enum template_kind { TEMPLATE_BASE, TEMPLATE_FUNCTION };
enum template_state { TEMPLATE_BUILDING, TEMPLATE_READY, TEMPLATE_FAILED };

struct template_store;
struct template;

int template_store_open(struct vm_host *host, struct loop *loop, struct template_store **ret,
			struct error *error) _must_use_;

/* Ends the builds under way, but for those whose VM is saved already: these are finished. Who waits
 * for one that ends, or asks for a template from now on, gets an error. done(arg) comes later from
 * the loop, when no build, no VM of one and no file of one that ended is left. Once. */
void template_store_stop(struct template_store *store, loop_fn *done, void *arg);

/* After template_store_stop() was done, or when the loop is gone. */
struct template_store *template_store_close(struct template_store *store);

/* `template` is NULL on failure, then `error` says why. Both borrowed during the call; take a
 * reference to keep the template. */
typedef void template_ready_fn(struct template *template, const struct error *error, void *arg);

/* The base template of a runtime and memory size: at once (still through the loop) if it is
 * ready, else after the build, which all who ask meanwhile share. The files are verified
 * against the manifest when they are first used by this process. */
void template_store_get_base(struct template_store *store, const char *runtime, unsigned memory_mb,
			     template_ready_fn *ready, void *arg);

/* Hears what a function says while its INIT is done for a template, if that has to be built. Comes
 * from the loop before `ready`; what is passed is borrowed during the call. A build that begins
 * again runs INIT again. */
struct template_init_events {
	/* The sandbox with this id, which lives for the build only, begins INIT. */
	void (*on_begin)(const char *sandbox_id, void *arg);
	/* After on_begin. */
	void (*on_logs)(const Mayfly__Guest__V1__LogRecords *logs, void *arg);
	/* Once for each on_begin: INIT with the hooks before the snapshot is over, after
	 * `duration_us` in the function's code. `outcome` is NULL when its VM ended first. */
	void (*on_end)(const Mayfly__Guest__V1__Outcome *outcome, int64_t duration_us, void *arg);
};

/* A function template: the base, plus Initialize (borrowed during the call) with the package
 * mounted and INIT done. `id` names it (such as TENANT-FUNCTION-DIGEST): one that exists and
 * matches is used again. Of several who wait for one build the first hears of its INIT. */
struct template_function_request {
	const char *id;
	const char *tenant;
	const char *function_name;
	const char *version;
	const char *runtime;
	unsigned memory_mb;
	unsigned ephemeral_storage_mb;
	const char *package_path;
	const char *package_digest;
	const Mayfly__Guest__V1__Initialize *initialize;
	const struct template_init_events *init_events; /* constant; may be NULL */
	void *init_arg;                                 /* valid until `ready` */
};
void template_store_get_function(struct template_store *store,
				 const struct template_function_request *request,
				 template_ready_fn *ready, void *arg);

/* Drops by id; -ENOENT, -EBUSY while building. Clones that run keep their files until they end. */
int template_store_drop(struct template_store *store, const char *id, struct error *error);

/* Told when a restore from this template failed because of its files: it is discarded, and
 * the next request rebuilds it. */
void template_mark_damaged(struct template *template, const char *reason);

struct template_facts {
	const char *id;
	enum template_kind kind;
	enum template_state state;
	bool listed;    /* else it was dropped: its clones live on, and it gets no new ones */
	bool is_sealed; /* ask the store for it again before it is cloned */
	const char *runtime;
	unsigned memory_mb;
	const char *tenant; /* NULL for a base */
	const char *function_name;
	const char *version;
	int64_t created_us; /* realtime */
	int64_t used_us;    /* realtime; when it was last made, cloned or left by a clone */
	uint64_t size_bytes;
	uint64_t build_us;
	const char *reason; /* of a failure or rebuild, or NULL */
	unsigned clones;
	const char *step; /* while building: what is being done */
};
/* Calls fn for each; the facts are borrowed during the call. */
void template_store_each(struct template_store *store,
			 void (*fn)(const struct template_facts *facts, void *arg), void *arg);
void template_get_facts(const struct template *template, struct template_facts *ret);

/* Called (from the loop) after any change of any template. One listener. */
void template_store_set_listener(struct template_store *store,
				 void (*fn)(const struct template_facts *facts, void *arg),
				 void *arg);

struct template *template_ref(struct template *template);
struct template *template_unref(struct template *template);
