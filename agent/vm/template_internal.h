/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A template and its store, for the files of this room. Loop thread. */

#include <sys/queue.h>

#include "agent/vm/template_manifest.h"
#include "agent/vm/vm_internal.h"

struct template_waiter {
	STAILQ_ENTRY(template_waiter) entry;
	template_ready_fn *ready;
	void *arg;
	const struct template_init_events *init_events; /* or NULL */
	void *init_arg;
};
STAILQ_HEAD(template_waiters, template_waiter);

/* Bases are made with the smallest scratch disk, mounted. */
#define DEFAULT_SCRATCH_MB   512

/* For the agent alone. Whom it gives a link to the RAM file may read that, and nobody write it. */
#define TEMPLATE_FOLDER_MODE 0700
#define TEMPLATE_RAM_MODE    0444

struct template_build;

struct template
{
	TAILQ_ENTRY(template) entry;  /* of the store, while listed */
	struct template_store *store; /* outlives us */
	unsigned refs;
	bool listed;
	enum template_state state;
	struct template_manifest manifest;
	char *folder;                /* owned; whole once READY */
	char *open_folder;           /* owned; of a sealed one: in the vault, or its name there */
	uint64_t sealed_bytes;       /* of a sealed one, on the disk */
	unsigned pins;               /* builds that read its files */
	struct template_files files; /* constant while READY */
	bool verified; /* digests were compared by this process; a sealed one is open */
	bool verify_under_way;
	struct job verify_job;
	struct template_files verify_files; /* the job's; paths borrowed from `files` */
	int verify_result;
	struct error verify_error;
	struct template_waiters waiters;
	struct template_build *build; /* owned; while BUILDING */
	const char *step;
	char *reason; /* owned */
	unsigned clones;
	int64_t used_us; /* realtime; the folder's time remembers it */
	/* ---- what a function template is made with ---- */
	char *package_path;  /* owned */
	uint8_t *initialize; /* owned; packed */
	size_t initialize_len;
};

struct template_store {
	struct vm_host *host;
	struct loop *loop;
	TAILQ_HEAD(, template) templates;
	char cpu_model[MANIFEST_TEXT];
	void (*listener)(const struct template_facts *facts, void *arg);
	void *listener_arg;
	unsigned boot_timeout_s;
	unsigned boot_tries;
	struct timer open_timer; /* closes sealed ones */
	bool stopping;
	loop_fn *stopped; /* owed to template_store_stop() */
	void *stopped_arg;
};

/* What a stop says to those who wait, and why a build's VM ended. */
#define TEMPLATE_STOP_REASON "the node is shutting down"

/* With one reference, the caller's; NULL without memory. */
struct template *template_new(struct template_store *store,
			      const struct template_manifest *manifest);
/* The list takes over the reference of who made it. Out of the list nobody new finds a template,
 * and its files go with the last clone. */
void template_list_add(struct template *template);
void template_list_remove(struct template *template);

/* What a clone of this template is started with. */
void template_fill_start(struct template *template, struct vm_start *start);
void template_add_clone(struct template *template);
void template_remove_clone(struct template *template);

/* Removes a folder; a failure is logged, for nothing depends on it. */
void template_folder_discard(const char *path);

/* The same later, in a job; takes the path. */
void template_remove_later(struct template_store *store, char *path);

/* template_open.c: sealed templates. */

/* Any thread: the files into this new folder, under a new key. */
int template_seal_files(struct template_files *files, const char *folder,
			uint8_t ret_key[SEALED_KEY_BYTES], struct error *error) _must_use_;
/* Any thread: back to where `files` says, in `open_folder`, and stamped. -EBADMSG: they are not
 * what was sealed. */
int template_open_files(const struct vault *vault, const struct template_manifest *manifest,
			const char *folder, const char *open_folder, struct template_files *files,
			struct error *error) _must_use_;
/* Whether it must be asked for before it is cloned. */
bool template_is_sealed(const struct template *template);
uint64_t template_sealed_bytes(const char *folder);
/* Closes some that nobody uses, for one that needs so much in the vault. */
void template_make_room(struct template_store *store, uint64_t bytes);
/* From now on those that nobody has used for long are closed. */
void template_watch_open(struct template_store *store);

/* Any change that a listener should hear of. */
void template_changed(struct template *template);
void template_set_reason(struct template *template, const char *reason);

/* template_init.c: one run of a function's INIT, as it is told to who wants to hear of it.
 * Zero-initialised has not begun. */
struct template_init {
	const struct template_waiter *hearer; /* of the template, which is not ready; or NULL */
	bool under_way;
	int64_t since_us; /* the function's code runs; 0: the platform's */
	int64_t spent_us;
};
void template_init_begin(struct template_init *init, const struct template *template,
			 const char *sandbox_id);
/* From here on the function's code runs, or rests. */
void template_init_run(struct template_init *init);
void template_init_rest(struct template_init *init);
void template_init_logs(const struct template_init *init,
			const Mayfly__Guest__V1__LogRecords *logs);
/* Says so once; does nothing when INIT is not under way. */
void template_init_end(struct template_init *init, const Mayfly__Guest__V1__Outcome *outcome);

/* template_build.c: builds; template_build_done() follows through the loop. */
int template_build_start(struct template *template) _must_use_;
/* The same follows for one that is being built; it fails, unless its VM is saved already. */
void template_build_stop(struct template *template);
/* template_store.c */
void template_build_done(struct template *template, const struct error *error);

/* Which processor the manifests of this store's templates name; once, before the first of them. */
void template_read_cpu_model(struct template_store *store);
/* What a template of this request would have in its manifest if it were made now. */
int template_manifest_now(struct template_store *store, const char *runtime, unsigned memory_mb,
			  struct template_manifest *ret, struct error *error) _must_use_;
int template_manifest_now_function(struct template_store *store,
				   const struct template_function_request *request,
				   const uint8_t *initialize, size_t initialize_len,
				   struct template_manifest *ret, struct error *error) _must_use_;
