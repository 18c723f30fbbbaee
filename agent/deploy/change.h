/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One step of one function, from request to answer: begun on the loop, its ZIP checked and saved
 * in a job, committed in a job, installed on the loop. Steps of one entry follow each other. */

#include "agent/deploy/internal.h"

struct change_kind {
	/* Loop: fills `next` or sets `error` (negative). */
	int (*begin)(struct change *change);
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
	directory_answer_fn *answer; /* NULL: nobody asked */
	void *arg;
	const char *tenant; /* borrowed from the request, as all here */
	const char *name;
	const char *revision_id;
	const struct function_patch *patch;
	const unsigned *reserved; /* NULL: no reservation */
	struct slice zip;
	bool dry_run;
	struct preparation *preparation;    /* whose outcome this is */
	struct function *next;              /* as it shall be; NULL: deleted */
	char upload_id[HEX_ID_BYTES];       /* goes into the record */
	char spent_upload_id[HEX_ID_BYTES]; /* removed after the commit */
	bool saved;                         /* upload_id was saved by this change */
	bool is_void;                       /* nothing to do any more */
	struct error error;
	TAILQ_ENTRY(change) link;
};

extern const struct change_kind finish_kind;

/* A change that somebody asks for; never NULL. */
struct change *change_new(const struct change_kind *kind, const char *tenant, const char *name,
			  directory_answer_fn *answer, void *arg);
void change_enqueue(struct change *change, struct directory *directory, struct entry *entry);
