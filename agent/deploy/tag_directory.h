/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Tags of the directory's functions. As directory.h: durable before the answer. Loop thread. */

#include "agent/deploy/directory.h"

/* Borrowed until the answer; tags_validate() has accepted them. */
struct directory_tag_request {
	const char *tenant;
	const char *name;
	const struct tag *tags;        /* put over those that are there; */
	const char *const *untag_keys; /* or, when not NULL, these are taken away */
	size_t count;                  /* of either */
};
void directory_tag(struct directory *directory, const struct directory_tag_request *request,
		   directory_answer_fn *answer, void *arg);
