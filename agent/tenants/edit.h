/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A edit, from request to answer: begun on the loop when all before it are done, committed in a
 * job, taken in on the loop. First member of a struct that has the request and the answer. */

#include "agent/tenants/internal.h"

struct edit_kind {
	/* Loop: looks at what is there now, and adds writes or sets `error` (negative). */
	int (*begin)(struct edit *edit);
	/* Loop: after the commit. */
	void (*install)(struct edit *edit);
	/* Loop: the outcome, `error` NULL on success. */
	void (*answer)(struct edit *edit, const struct error *error);
	void (*free)(struct edit *edit);
};

struct edit {
	struct lane_job job;
	struct tenants *tenants;
	const struct edit_kind *kind;
	struct error error; /* of the request, if it is set before begin() */
	/* At most one put, the first; the rest are removals. */
	struct registry_write writes[REGISTRY_WRITES];
	char keys[REGISTRY_WRITES][RECORD_KEY_BYTES];
	size_t count;
	struct buf value;
	TAILQ_ENTRY(edit) link;
};

/* Of `size` bytes, zero. Aborts when there is no memory, as loop_post(). */
struct edit *edit_new(struct tenants *tenants, const struct edit_kind *kind, size_t size);

void edit_enqueue(struct edit *edit);

/* -EINVAL or the like when the request was wrong from the start. */
int edit_check_request(const struct edit *edit) _must_use_;

/* In begin(): the next write's key, to be filled. The put's value goes to edit->value before. */
char *edit_put(struct edit *edit);
char *edit_remove(struct edit *edit);
/* All whose keys begin so. */
char *edit_remove_all(struct edit *edit);
