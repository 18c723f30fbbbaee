/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What this room's files share of layers. Loop thread, but for what is marked as a job's. */

#include "agent/deploy/internal.h"
#include "agent/deploy/layer_directory.h"
#include "agent/deploy/record_layer.h"

/* A layer: its versions that are there, in order of their numbers. */
struct layer_entry {
	char key[TENANT_ID_DIGITS + 1 + LAYER_NAME_MAX + 1]; /* TENANT/NAME */
	uint64_t last_version;                               /* that was ever given; 0: none */
	struct layer_version **versions;                     /* owned, and so is each */
	size_t count;
	UT_hash_handle hh;
};

/* layer_change.c: one step of a layer's, from request to answer. */
struct layer_change {
	struct lane_job job;
	struct directory *directory;
	directory_layer_fn *answer;
	void *arg;
	const char *tenant; /* borrowed from the request, as all to permission */
	const char *name;
	const struct directory_layer_request *request;
	const struct directory_layer_permission *permission;
	loop_fn *begin;
	uint64_t number;               /* of the version it is about */
	struct layer_version *version; /* a new one, as it shall be */
	struct policy *policy;         /* as it shall be */
	char revision_id[UUID_BYTES];
	struct buf record; /* to be committed */
	bool committing;   /* others about this version wait */
	bool waiting;
	struct error error;
	LIST_ENTRY(layer_change) link;
};
struct layer_change *layer_change_new(struct directory *directory, const char *tenant,
				      const char *name, directory_layer_fn *answer, void *arg);
int layer_change_check_running(struct layer_change *change) _must_use_;
/* Changes of one version follow each other, for each is made of what the last one left: if one is
 * being committed, `begin` is called anew when that is done. */
bool layer_change_must_wait(struct layer_change *change) _must_use_;
void layer_change_submit(struct layer_change *change, struct lane *lane,
			 void (*work)(struct job *job), void (*done)(struct lane_job *job));
/* Answers, and frees it. */
void layer_change_end(struct layer_change *change);

/* layer_lookup.c */
struct layer_entry *layer_find_entry(const struct directory *directory, const char *tenant,
				     const char *name);
/* Made when there is none. */
struct layer_entry *layer_get_entry(struct directory *directory, const char *tenant,
				    const char *name);
/* Takes the version. */
void layer_put(struct layer_entry *entry, struct layer_version *version);
/* The version is the caller's; NULL when it is not there. */
struct layer_version *layer_take(struct layer_entry *entry, uint64_t version);

/* layer_files.c: STATE_DIR/layers/CONTENT, the ZIP of a version. Any thread, blocking. */
int layer_file_save(const char *state_dir, const char *content, struct slice zip,
		    struct error *error) _must_use_;
void layer_file_remove(const char *state_dir, const char *content);
/* The package of a configuration with layers; `code_digest` is that of its code. */
int layer_files_merge(const char *state_dir, const char *code_digest,
		      const struct function_config *config, struct package *ret,
		      struct error *error) _must_use_;
