/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One step of one function, its versions and aliases included, from request to answer: begun on the
 * loop, its ZIP checked and saved in a job, committed in a job, installed on the loop. Steps of one
 * entry follow each other. */

#include "agent/deploy/alias_directory.h"
#include "agent/deploy/internal.h"
#include "agent/functions/policy.h"

struct change_kind {
	/* Loop: fills `next` or sets `error` (negative). */
	int (*begin)(struct change *change);
	/* Loop: the ZIP is checked and saved, `next` knows its digest; may be NULL. */
	int (*taken_in)(struct change *change);
	/* Loop: after the commit, the entry has the new function. */
	void (*committed)(struct change *change);
	/* Loop: after a commit that failed; may be NULL. */
	void (*failed)(struct change *change);
	bool has_zip;
};

struct change {
	struct lane_job job;
	const struct change_kind *kind;
	struct directory *directory;
	struct entry *entry;
	directory_answer_fn *answer; /* both NULL: nobody asked */
	directory_alias_fn *answer_alias;
	void *arg;
	const char *tenant; /* borrowed from the request, as all here */
	const char *name;
	const char *revision_id;
	const struct function_patch *patch;
	const unsigned *reserved; /* NULL: no reservation */
	const struct tag *tags;
	const char *const *untag_keys; /* instead of tags */
	size_t tag_count;
	const char *qualifier; /* set with the next */
	unsigned provisioned;
	const struct policy_request *statement; /* of a policy; with the qualifier */
	struct slice zip;
	const char *code_sha256;
	const char *description;
	const char *alias_name; /* set with the next */
	const struct alias_patch *alias_patch;
	bool dry_run;
	bool publish;
	struct preparation *preparation; /* whose outcome this is */
	bool keeps_function;             /* `next` says nothing: it stays as it is */
	struct function *next;           /* as it shall be; NULL: deleted, all versions with it */
	struct function *version;        /* a published one as it shall be, or NULL */
	bool numbers;                    /* `version` is new */
	uint64_t dropped_version;        /* one that goes; 0: none */
	struct alias *alias;             /* one as it shall be, or NULL */
	bool drops_alias;                /* the named one goes */
	const struct function *shown;    /* in the answer, instead of the function */
	char upload_id[HEX_ID_BYTES];    /* goes into the record */
	char spent_upload_id[HEX_ID_BYTES]; /* removed after the commit */
	bool saved;                         /* upload_id was saved by this change */
	bool is_void;                       /* nothing to do any more */
	struct error error;
	TAILQ_ENTRY(change) link;
};

extern const struct change_kind finish_kind;

/* Requests: begun when those before it are done. */
struct change *change_new(const struct change_kind *kind, const char *tenant, const char *name,
			  directory_answer_fn *answer, void *arg);
void change_ask(struct change *change, struct directory *directory);
void change_enqueue(struct change *change, struct directory *directory, struct entry *entry);

/* Its revision_id, if one was given, is the current one. */
int change_check_revision(struct change *change, const char *current) _must_use_;
/* The function is there, of the revision asked for, and neither being created nor updated. */
int change_check_settled(struct change *change) _must_use_;

/* transaction.c: job of the registry's lane. */
int transaction_commit(struct change *change) _must_use_;
/* provision.c: what a function with all its versions and aliases has, or is about to. */
uint64_t provision_total(const struct entry *head);
/* A change of the alias does not lead where its provisioned concurrency cannot go. */
int provision_check_alias(struct change *change) _must_use_;
/* provision_memory.c: there is memory for so many places of the version, which is what `qualifier`
 * shall have. */
int provision_check_memory(struct change *change, const char *qualifier, uint64_t version,
			   uint64_t places) _must_use_;
/* reserve.c: what the tenant's other functions leave. */
uint64_t reserve_unreserved(const struct change *change);

/* publish.c: plans `version` as `latest` is, or shows the last one when that is the same. */
int publish_plan(struct change *change, const struct function *latest) _must_use_;
void publish_install(struct change *change);
