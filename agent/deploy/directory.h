/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The directory: every function of the node and its published versions in memory, the truth beneath
 * it in the registry. A change is durable before its call reports success. Loop thread; blocking
 * work (SQLite, unzip, mkfs) runs in jobs, and the answer comes through a callback. */

#include "agent/core/loop.h"
#include "agent/functions/function.h"
#include "mayfly/buf.h"

#define DIRECTORY_PAGE_ITEMS 50

struct directory;
struct master_key; /* agent/auth/master_key.h */
struct registry;   /* agent/store/registry.h */

struct directory_config {
	const char *state_dir; /* uploads/ and packages/ below it */
	const char *region;
	const char *default_tenant;  /* 12 digits */
	const char *const *runtimes; /* those with an image; copied */
	size_t runtime_count;
	const struct master_key *master_key; /* environments are sealed with it; copied */
	unsigned concurrency_limit;          /* of a tenant: invocations at once */
	/* Its own limit, 0: the above; NULL: no tenant has one. */
	unsigned (*limit_of_tenant)(const char *tenant, void *arg);
	/* Bytes of its ZIPs; NULL: nobody has a limit. */
	uint64_t (*code_storage_of_tenant)(const char *tenant, void *arg);
	void *limit_of_tenant_arg;
	/* What its provisioned concurrency may take, by MemorySize; the same arg. NULL: whatever.
	 */
	uint64_t (*provisioned_mb_of_tenant)(const char *tenant, void *arg);
	unsigned unreserved_minimum; /* of them, what reservations must leave */
	bool share_packages;         /* equal ones of different tenants are one file */
};

/* Loads every function, removes uploads and packages that none needs. Blocks: to be called
 * before the loop runs. The registry is borrowed and used by the directory alone, from one
 * job at a time. */
int directory_open(const struct directory_config *config, struct registry *registry,
		   struct loop *loop, struct directory **ret, struct error *error) _must_use_;

/* Exactly once, later, from the loop; error NULL: it is ready. */
typedef void directory_prepared_fn(const struct error *error, void *arg);

/* What is done beside the package before a configuration serves; an error makes it Failed.
 * `function` and `config` (with its package_digest)
 * are borrowed until `done` ran. */
struct deploy_hooks {
	void (*prepare)(const struct function *function, const struct function_config *config,
			directory_prepared_fn *done, void *done_arg, void *user);
	void *user;
};
void directory_set_hooks(struct directory *directory, const struct deploy_hooks *hooks);

/* Takes up creations and updates that the last agent left unfinished. After the hooks are set. */
void directory_start(struct directory *directory);

/* Refuses further changes; done(arg) comes when no job is under way. What is unfinished by
 * then is taken up at the next start. */
void directory_stop(struct directory *directory, loop_fn *done, void *arg);

/* After directory_stop() was done, or when the loop is gone. No hook may answer afterwards. Copes
 * with NULL. */
struct directory *directory_close(struct directory *directory);
DEFINE_CLEANUP(struct directory, directory_close)

const char *directory_region(const struct directory *directory);
const char *directory_default_tenant(const struct directory *directory);

/* `function` is as it is after the change, NULL on failure and after a deletion; `error` is NULL
 * on success. Both borrowed during the call. Once, later, from the loop. */
typedef void directory_answer_fn(const struct function *function, const struct error *error,
				 void *arg);

/* Everything a request points to is borrowed until the answer. Changes of one function are made
 * one after the other, in order of asking. */

/* Answers when the function is durable in state Pending; it becomes Active or Failed by itself. */
struct directory_create_request {
	const char *tenant;
	const char *name;
	struct function_patch config;
	const struct tag *tags; /* tags_validate() has accepted them */
	size_t tag_count;
	struct slice zip;
	bool publish; /* version 1, too: the answer shows it */
};
void directory_create(struct directory *directory, const struct directory_create_request *request,
		      directory_answer_fn *answer, void *arg);

/* Both updates answer when they are durably under way; the old configuration serves until
 * update_status says Successful. `revision_id` may be NULL or "". */
struct directory_update_code_request {
	const char *tenant;
	const char *name;
	const char *revision_id;
	struct slice zip;
	bool dry_run; /* answers what would be, changes nothing */
	bool publish; /* a version, too: the answer shows it */
};
void directory_update_code(struct directory *directory,
			   const struct directory_update_code_request *request,
			   directory_answer_fn *answer, void *arg);

struct directory_update_configuration_request {
	const char *tenant;
	const char *name;
	const char *revision_id;
	struct function_patch config;
};
void directory_update_configuration(struct directory *directory,
				    const struct directory_update_configuration_request *request,
				    directory_answer_fn *answer, void *arg);

/* Answers with the version, durable in state Pending; with the last one when nothing changed since.
 * Numbers are given once, also to a function of the same name that comes later. All but the names
 * may be NULL or "". */
struct directory_publish_request {
	const char *tenant;
	const char *name;
	const char *code_sha256;
	const char *description;
	const char *revision_id; /* of $LATEST */
};
void directory_publish(struct directory *directory, const struct directory_publish_request *request,
		       directory_answer_fn *answer, void *arg);

/* A version that is not there is deleted already. */
void directory_delete_version(struct directory *directory, const char *tenant, const char *name,
			      uint64_t version, directory_answer_fn *answer, void *arg);

/* The function with all its versions. */
void directory_delete(struct directory *directory, const char *tenant, const char *name,
		      directory_answer_fn *answer, void *arg);

/* What the function has for itself, and at most; NULL takes it back. `reserved` is borrowed until
 * the answer. */
void directory_set_reserved_concurrency(struct directory *directory, const char *tenant,
					const char *name, const unsigned *reserved,
					directory_answer_fn *answer, void *arg);

/* Sandboxes that a version or an alias is to have initialised at any time; 0 takes it back. Answers
 * with the version, or the one that the alias leads to. */
struct directory_provision_request {
	const char *tenant;
	const char *name;
	const char *qualifier;
	unsigned provisioned;
};
void directory_set_provisioned(struct directory *directory,
			       const struct directory_provision_request *request,
			       directory_answer_fn *answer, void *arg);

/* Calls fn for each version of a function; what all are to have together, 0 when there is no such
 * function. */
unsigned directory_provision_each(const struct directory *directory, const char *tenant,
				  const char *name,
				  void (*fn)(const struct function *version, void *arg), void *arg);
/* What a version is to have by its own number and by aliases. */
unsigned directory_provisioned(const struct directory *directory, const struct function *version);

/* What a qualifier has; provisioned 0: none. */
struct directory_provision {
	char qualifier[FUNCTION_QUALIFIER_MAX + 1];
	unsigned provisioned;
	int64_t modified_us;
	const struct function *version; /* borrowed until the loop turns */
};
int directory_get_provision(const struct directory *directory, const char *tenant, const char *name,
			    const char *qualifier, struct directory_provision *ret,
			    struct error *error) _must_use_;

/* All of a function that have some: versions in order of their numbers, then aliases. */
struct directory_provision_page {
	struct directory_provision items[DIRECTORY_PAGE_ITEMS];
	size_t count;
	char next_marker[2 * FUNCTION_QUALIFIER_MAX + 1];
};
int directory_list_provisions(const struct directory *directory, const char *tenant,
			      const char *name, unsigned max_items, const char *marker,
			      struct directory_provision_page *ret, struct error *error) _must_use_;

/* Functions of a tenant in order of name, each with its versions if they are asked for, at most
 * `max_items` (0 or more than a page: a page) after `marker` (NULL or "": from the start). */
#define DIRECTORY_MAX_ITEMS    10000
#define DIRECTORY_MARKER_BYTES (2 * (FUNCTION_NAME_MAX + FUNCTION_VERSION_BYTES) + 1)
struct directory_page {
	const struct function *functions[DIRECTORY_PAGE_ITEMS]; /* borrowed until the loop turns */
	size_t count;
	char next_marker[DIRECTORY_MARKER_BYTES]; /* "" on the last page */
};
int directory_list(const struct directory *directory, const char *tenant, bool all_versions,
		   unsigned max_items, const char *marker, struct directory_page *ret,
		   struct error *error) _must_use_;

/* $LATEST of a function, then its versions in order of their numbers; paged likewise. */
int directory_list_versions(const struct directory *directory, const char *tenant, const char *name,
			    unsigned max_items, const char *marker, struct directory_page *ret,
			    struct error *error) _must_use_;

/* Every function of the node and every version, in no order. */
void directory_each(const struct directory *directory,
		    void (*fn)(const struct function *function, void *arg), void *arg);

/* Functions of a tenant, those whose creation is under way included. */
unsigned directory_count(const struct directory *directory, const char *tenant);

/* Sets `error` to Lambda's "Function not found: <ARN>"; the qualifier may be NULL. */
int directory_set_not_found(const struct directory *directory, const char *tenant, const char *name,
			    const char *qualifier, struct error *error);

/* $LATEST. Borrowed until the loop turns; NULL when there is none. */
const struct function *directory_find(const struct directory *directory, const char *tenant,
				      const char *name);

/* What a qualifier means: $LATEST when it is "", a version, or an alias's first version. Likewise.
 */
const struct function *directory_find_qualified(const struct directory *directory,
						const char *tenant, const char *name,
						const char *qualifier);

/* Of all ZIPs of a tenant: its functions', their versions' and its layers'. */
uint64_t directory_code_bytes(const struct directory *directory, const char *tenant);
/* And may have; UINT64_MAX: whatever it likes. */
uint64_t directory_code_limit(const struct directory *directory, const char *tenant);

/* Where the package image of a digest lies; valid for Active functions. The caller frees. */
char *directory_package_path(const struct directory *directory, const char *package_digest);

enum directory_event {
	DIRECTORY_CREATED,
	DIRECTORY_CHANGED, /* state, update status or served configuration */
	DIRECTORY_DELETED, /* sent before the function goes */
	DIRECTORY_ALIASES, /* those of the function have changed, $LATEST is given */
};
typedef void directory_listener(const struct function *function, enum directory_event event,
				void *arg);
int directory_add_listener(struct directory *directory, directory_listener *listener,
			   void *arg) _must_use_;
