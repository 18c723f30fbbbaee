/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The resource policies of the directory's functions, one each of a function, a version and an
 * alias, which go with it. As directory.h: a change is durable before its answer. Each draws a new
 * revision id for whose policy it is. Loop thread. */

#include "agent/deploy/directory.h"
#include "agent/functions/policy.h"

/* Borrowed until the answer, whose function says nothing. */
struct directory_permission {
	const char *tenant;
	const char *function_name;
	const char *qualifier;   /* "", a version or an alias */
	const char *revision_id; /* "": any */
	struct policy_request statement;
};
void directory_add_permission(struct directory *directory,
			      const struct directory_permission *request,
			      directory_answer_fn *answer, void *arg);
/* Of the statement, only its sid is looked at. */
void directory_remove_permission(struct directory *directory,
				 const struct directory_permission *request,
				 directory_answer_fn *answer, void *arg);

/* Whose policy it is is there. The policy, NULL when it is empty, and the revision are borrowed
 * until the loop turns. "$LATEST" is the function. */
bool directory_find_policy(const struct directory *directory, const char *tenant,
			   const char *function_name, const char *qualifier,
			   const struct policy **ret, const char **ret_revision_id);
