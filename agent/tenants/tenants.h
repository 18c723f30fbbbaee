/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Every tenant of the node, and the access keys of its users (keys.h), in memory with the truth
 * beneath it in the registry. A change is durable before its call reports success. Loop thread; the
 * registry is written in jobs. */

#include "agent/auth/access.h"
#include "agent/core/loop.h"
#include "agent/functions/tenant.h"

struct tenants;
struct registry; /* agent/store/registry.h */

struct tenants_config {
	const char *default_tenant; /* exists always; copied */
	/* Borrowed until tenants_open() returned; made if `make_master_key` and there was none yet.
	 */
	const char *master_key_path;
	bool make_master_key;
	/* Why there may be no second tenant, sentences; NULL: there may. Of those that are there
	 * all the same, as when the node lost KVM, only the default one's functions run. Borrowed.
	 */
	const char *only_one;
	/* Functions of a tenant, those being created included. */
	unsigned (*count_functions)(const char *tenant, void *user);
	/* And of its layer versions; NULL: there are none. */
	unsigned (*count_layers)(const char *tenant, void *user);
	void *user;
	/* Likewise its schedules; NULL: there are none. */
	unsigned (*count_schedules)(const char *tenant, void *arg);
	void *count_schedules_arg;
	/* A tenant is there, was changed or is gone; from the loop. NULL: nobody cares. */
	void (*changed)(const char *tenant, void *arg);
	void *changed_arg;
};

/* Loads every tenant and access key, makes the default one if it is new. Refused when the master
 * key is not the one that secrets were kept under. Blocks: to be called before the loop
 * runs. The registry is borrowed and used by the tenants alone, from one job at a time. */
int tenants_open(const struct tenants_config *config, struct registry *registry, struct loop *loop,
		 struct tenants **ret, struct error *error) _must_use_;

/* When the loop is gone or no change is under way. Copes with NULL. */
struct tenants *tenants_close(struct tenants *tenants);
DEFINE_CLEANUP(struct tenants, tenants_close)

/* fn(arg) after each change of a tenant or an access key, before its answer: what was let in by one
 * may have to go. One only; NULL takes it back. */
void tenants_set_listener(struct tenants *tenants, loop_fn *fn, void *arg);

const char *tenants_default(const struct tenants *tenants);
unsigned tenants_count(const struct tenants *tenants);

/* Borrowed until the loop turns; NULL when there is none. */
const struct tenant *tenants_find(const struct tenants *tenants, const char *id);

unsigned tenants_count_functions(const struct tenants *tenants, const char *id);

/* Is it there, and may this be done in it now? `is_operator`: who asks. */
int tenants_check(const struct tenants *tenants, const char *id, enum access_effect effect,
		  bool is_operator, struct error *error) _must_use_;

/* Why this tenant's functions do not run on this node, whatever the tenant's state; NULL: they do.
 * The same for as long as the tenants are open, and borrowed for as long. */
const char *tenants_why_not_run(const struct tenants *tenants, const char *id);
/* The same as an error. */
int tenants_check_runs(const struct tenants *tenants, const char *id,
		       struct error *error) _must_use_;
/* What an operator must know of the tenants, or NULL. Borrowed likewise. */
const char *tenants_warning(const struct tenants *tenants);

/* In order of id, at most `max_items` (0 or more than a page: a page) after `marker`. */
#define TENANTS_PAGE_ITEMS 50
#define TENANTS_MAX_ITEMS  10000
struct tenants_page {
	const struct tenant *tenants[TENANTS_PAGE_ITEMS]; /* borrowed until the loop turns */
	size_t count;
	char next_marker[TENANT_ID_BYTES]; /* "" on the last page */
};
int tenants_list(const struct tenants *tenants, unsigned max_items, const char *marker,
		 struct tenants_page *ret, struct error *error) _must_use_;

/* `tenant` is as it is after the edit, NULL on failure and after a deletion; `error` is NULL on
 * success. Both borrowed during the call. Once, later, from the loop. */
typedef void tenants_answer_fn(const struct tenant *tenant, const struct error *error, void *arg);

/* Changes are made one after the other, in order of asking. A request is copied. */
struct tenants_request {
	const char *id;                     /* "" in a creation: drawn at random */
	const char *name;                   /* NULL: as it is */
	const struct tenant_limits *limits; /* NULL: as they are */
};
void tenants_create(struct tenants *tenants, const struct tenants_request *request,
		    tenants_answer_fn *answer, void *arg);
void tenants_update(struct tenants *tenants, const struct tenants_request *request,
		    tenants_answer_fn *answer, void *arg);
void tenants_set_state(struct tenants *tenants, const char *id, enum tenant_state state,
		       tenants_answer_fn *answer, void *arg);
/* Its id is kept, so that it is never given again. */
void tenants_delete(struct tenants *tenants, const char *id, tenants_answer_fn *answer, void *arg);
