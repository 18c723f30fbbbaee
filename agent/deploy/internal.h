/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of this room share. Loop thread, but for what is marked as a job's. */

#include <stdatomic.h>
#include <sys/queue.h>

/* uthash's own choice falls through switch labels, which clang does not forgive. */
#define HASH_FUNCTION HASH_FNV
#include <uthash.h>

#include "agent/auth/master_key.h"
#include "agent/core/lane.h"
#include "agent/deploy/directory.h"
#include "agent/deploy/record.h"
#include "agent/image/package.h"
#include "agent/store/registry.h"
#include "mayfly/id.h"

#define ENTRY_KEY_BYTES (TENANT_ID_DIGITS + 1 + FUNCTION_NAME_MAX + 1 + FUNCTION_VERSION_BYTES)

struct change;
struct preparation;
TAILQ_HEAD(change_queue, change);
LIST_HEAD(preparation_list, preparation);
TAILQ_HEAD(version_list, entry);
TAILQ_HEAD(alias_list, alias_entry);

struct alias_entry {
	struct alias *alias; /* owned */
	TAILQ_ENTRY(alias_entry) link;
};

/* A name: its function, its published versions, and the changes that wait for each other. Each
 * version has an entry of its own, under TENANT/NAME:NUMBER; its head is the function's. */
struct entry {
	char key[ENTRY_KEY_BYTES];
	struct entry *head;              /* itself, unless of a published version */
	struct function *function;       /* owned; NULL before creation and after deletion */
	char upload_id[HEX_ID_BYTES];    /* of the ZIP still to be built, or "" */
	struct preparation *preparation; /* the one whose outcome counts, or NULL */
	struct change_queue changes;     /* the first is under way; of a head, as the next three */
	struct version_list versions;    /* in order of their numbers */
	struct alias_list aliases;       /* in order of their names */
	uint64_t last_version;           /* number that was ever given; 0: none */
	TAILQ_ENTRY(entry) version_link;
	UT_hash_handle hh;
};

struct listener {
	directory_listener *fn;
	void *arg;
};

/* A package, or a layer's content, that may have lost its last user. */
struct candidate {
	char digest[DIGEST_HEX_BYTES];
	bool is_layer;
	SLIST_ENTRY(candidate) link;
};

struct directory {
	struct loop *loop;
	struct registry *registry; /* borrowed; in jobs of registry_lane */
	char *state_dir;           /* constant, so jobs may read it, as the four below */
	char *region;
	char *default_tenant;
	char **runtimes;
	size_t runtime_count;
	struct master_key master_key;
	unsigned concurrency_limit;
	unsigned (*limit_of_tenant)(const char *tenant, void *arg);
	uint64_t (*code_storage_of_tenant)(const char *tenant, void *arg);
	void *limit_of_tenant_arg;
	uint64_t (*provisioned_mb_of_tenant)(const char *tenant, void *arg);
	unsigned unreserved_minimum;
	bool share_packages;
	struct deploy_hooks hooks;
	struct entry *entries;                   /* by key */
	struct layer_entry *layers;              /* by key; layer_internal.h */
	LIST_HEAD(, layer_change) layer_changes; /* under way */
	struct listener *listeners;
	size_t listener_count;
	uint64_t last_generation;
	struct lane registry_lane; /* one connection */
	struct lane intake_lane;   /* checks and saves uploads; tenants take turns */
	struct lane build_lane; /* builds, likewise; removes packages before, never both at once */
	unsigned jobs;          /* given to a lane, not done */
	unsigned changes;       /* in any entry's queue, or of a layer */
	unsigned building;      /* preparations given to build_lane */
	struct preparation_list preparations;
	SLIST_HEAD(, candidate) candidates;
	LIST_HEAD(, removal) removals; /* given to build_lane */
	atomic_bool stopping;          /* jobs look at it too */
	loop_fn *stopped;              /* owed to directory_stop() */
	void *stopped_arg;
};

/* directory.c */
/* `version` 0: the head. Made when there is none. */
struct entry *directory_get_entry(struct directory *directory, const char *tenant, const char *name,
				  uint64_t version);
void directory_drop_idle_entry(struct directory *directory, struct entry *entry);
void directory_tell(struct directory *directory, const struct function *function,
		    enum directory_event event);
void directory_submit(struct directory *directory, struct lane *lane, struct lane_job *job);
void directory_job_done(struct directory *directory);
void directory_check_stopped(struct directory *directory);

/* lookup.c: one that has a function, or NULL. */
const struct entry *directory_find_entry(const struct directory *directory, const char *tenant,
					 const char *name);
/* The text that is the marker, "" of an empty one. */
int marker_decode(const char *marker, char *name, size_t name_bytes,
		  struct error *error) _must_use_;
int page_limit(unsigned max_items, size_t *ret, struct error *error) _must_use_;

/* change.c: the outcome of a preparation becomes the function's state. */
void change_finish(struct preparation *preparation);
void change_free_queue(struct directory *directory, struct entry *entry);

/* publish.c */
struct entry *entry_find_version(const struct entry *head, uint64_t version);
void entry_link_version(struct entry *head, struct entry *entry);
/* Tells of it, frees it. */
void entry_drop_version(struct directory *directory, struct entry *entry);
/* One that was published together with code whose package is not built yet, or NULL. */
struct entry *entry_waiting_version(const struct entry *head);

/* alias_change.c */
struct alias_entry *alias_find(const struct entry *head, const char *name);
/* Takes it; one of the same name goes. */
void alias_put(struct entry *head, struct alias *alias);
void alias_drop_all(struct entry *head);
/* No alias leads to the version. */
int alias_check_unused(const struct entry *head, uint64_t version, struct error *error) _must_use_;

/* prepare.c: from a durable Pending or InProgress to a package and, where asked for, a template. */
struct preparation {
	struct lane_job job;
	struct directory *directory;
	struct entry *entry;            /* NULL when its outcome does not count any more */
	struct function *function;      /* owned copy */
	struct function_config *config; /* of `function`: what is prepared */
	char upload_id[HEX_ID_BYTES];
	struct package package; /* of the job: the code's */
	struct package merged;  /* and that with layers */
	struct error error;
	struct timer retry;
	LIST_ENTRY(preparation) link;
};
void preparation_start(struct directory *directory, struct entry *entry);
/* The entry forgets it; it goes when nothing of its own is under way. */
void preparation_abandon(struct entry *entry);
/* Frees one that does not count, with what it may have built. */
void preparation_discard(struct preparation *preparation);
void preparation_free(struct preparation *preparation);

/* garbage.c */
/* All that only this configuration may have needed: packages, contents of layers. */
void garbage_add(struct directory *directory, const struct function_config *config);
void garbage_add_layer(struct directory *directory, const char *content);
void garbage_collect(struct directory *directory);
void garbage_forget(struct directory *directory);
int garbage_collect_all(struct directory *directory, struct error *error) _must_use_;

/* layer_change.c: frees what is under way; the loop is gone. */
void layer_changes_forget(struct directory *directory);
/* layer_load.c: before the loop runs. */
int layers_load(struct directory *directory, struct error *error) _must_use_;
/* Removes every content that nobody names. */
int layers_collect(struct directory *directory, struct error *error) _must_use_;
void layers_free(struct directory *directory);

/* upload.c: any thread, blocking. */
int upload_save(const char *state_dir, const char *upload_id, struct slice zip,
		struct error *error) _must_use_;
void upload_remove(const char *state_dir, const char *upload_id);
/* `owner` NULL: for all. */
int upload_build(const char *state_dir, const char *upload_id, const char *owner,
		 struct package *ret, struct error *error) _must_use_;
/* Removes every upload that no entry names. */
int upload_collect(struct directory *directory, struct error *error) _must_use_;

/* "" of an empty id */
static inline void copy_id(char to[HEX_ID_BYTES], const char *from)
{
	memcpy(to, from, strnlen(from, HEX_ID_BYTES - 1) + 1);
	to[HEX_ID_BYTES - 1] = 0;
}
