/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of this room share. Loop thread, but for what is marked as a job's. */

#include <sys/queue.h>

/* uthash's own choice falls through switch labels, which clang does not forgive. */
#define HASH_FUNCTION HASH_FNV
#include <uthash.h>

#include "agent/core/lane.h"
#include "agent/store/registry.h"
#include "agent/tenants/keys.h"
#include "agent/tenants/record.h"
#include "agent/tenants/tenants.h"
#include "agent/tenants/webhook_secrets.h"

struct edit;
TAILQ_HEAD(edit_queue, edit);

/* An id that was given once. */
struct entry {
	char id[TENANT_ID_BYTES];
	bool deleted;
	bool going; /* its deletion is under way: nobody finds it any more */
	struct tenant tenant;
	UT_hash_handle hh;
};

struct key_entry {
	struct access_key key;
	UT_hash_handle hh;
};

struct tenants {
	struct loop *loop;
	struct registry *registry; /* borrowed; in jobs of the lane */
	struct lane lane;
	struct tenants_config config; /* default_tenant is owned */
	struct entry *entries;        /* by id, in order of it */
	unsigned count;               /* of those that are not deleted */
	char *only_default_runs;      /* why others' functions do not, or NULL */
	struct master_key master;
	struct key_entry *keys; /* by id, in order of it */
	struct webhook_root webhook_root;
	struct webhook_entry *webhooks; /* those that were rotated, by their record's key */
	struct edit_queue edits;        /* the first is under way */
	loop_fn *changed;               /* may be NULL */
	void *changed_arg;
};

/* tenants.c */
struct entry *tenants_entry(const struct tenants *tenants, const char *id);
struct entry *tenants_living_entry(const struct tenants *tenants, const char *id);
/* Takes in what is durable. */
void tenants_install(struct tenants *tenants, const struct tenant *tenant, bool deleted);

/* keys.c; without a tenant: all. */
void keys_install(struct tenants *tenants, const struct access_key *key);
void keys_forget_tenant(struct tenants *tenants, const char *tenant);

/* webhook_secrets.c */
int webhook_secrets_load(struct tenants *tenants, struct error *error) _must_use_;
/* Without a tenant: all. */
void webhook_secrets_forget(struct tenants *tenants, const char *tenant);

/* edit.c */
void edits_free(struct tenants *tenants);
