/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The directory's layers. As directory.h: a change is durable before its answer. A version that is
 * deleted is not listed and cannot be given to a function any more; what functions have of it stays
 * for as long as one of their versions does. Loop thread. */

#include "agent/deploy/directory.h"
#include "agent/functions/layer.h"

#define DIRECTORY_LAYER_ITEMS_MAX 50 /* Lambda's */

/* `version` is the new one, NULL on failure and after a deletion; `error` is NULL on success. Both
 * borrowed during the call. Once, later, from the loop. */
typedef void directory_layer_fn(const struct layer_version *version, const struct error *error,
				void *arg);

/* Borrowed until the answer. */
struct directory_layer_request {
	const char *tenant;
	const char *name; /* plain */
	struct layer_values values;
	struct slice zip;
};
void directory_publish_layer(struct directory *directory,
			     const struct directory_layer_request *request,
			     directory_layer_fn *answer, void *arg);
/* One that is not there is deleted already. */
void directory_delete_layer(struct directory *directory, const char *tenant, const char *name,
			    uint64_t version, directory_layer_fn *answer, void *arg);

/* layer_permission.c: each draws a new revision id. Answered with the version. */
struct directory_layer_permission {
	const char *tenant;
	const char *name; /* plain */
	uint64_t version;
	const char *revision_id; /* "": any */
	bool removes;            /* the statement of this sid */
	struct policy_request statement;
};
void directory_permit_layer(struct directory *directory,
			    const struct directory_layer_permission *request,
			    directory_layer_fn *answer, void *arg);
/* Sets `error` to Lambda's "Layer version ARN does not exist." */
int directory_set_no_layer(const struct directory *directory, const char *tenant, const char *name,
			   uint64_t version, struct error *error);

/* Borrowed until the loop turns; NULL when there is none. */
const struct layer_version *directory_find_layer(const struct directory *directory,
						 const char *tenant, const char *name,
						 uint64_t version);
/* Versions of all layers of a tenant. */
unsigned directory_count_layers(const struct directory *directory, const char *tenant);

struct directory_layer_page {
	const struct layer_version
		*versions[DIRECTORY_PAGE_ITEMS]; /* borrowed until the loop turns */
	size_t count;
	char next_marker[2 * LAYER_NAME_MAX + 1];
};
/* `name` NULL: the layers of the tenant, in order of name, each by its newest version that suits;
 * else the versions of that layer that suit, the newest first. */
struct directory_layer_list {
	const char *tenant;
	const char *name;
	const char *runtime;      /* "": any */
	const char *architecture; /* "": any */
	unsigned max_items;       /* 0: a page */
	const char *marker;
};
int directory_list_layers(const struct directory *directory,
			  const struct directory_layer_list *request,
			  struct directory_layer_page *ret, struct error *error) _must_use_;
