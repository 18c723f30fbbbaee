/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The directory's aliases. As directory.h: a change is durable before its answer, changes of one
 * function and its aliases are made one after the other. Loop thread. */

#include "agent/deploy/directory.h"
#include "agent/functions/alias.h"

/* `alias` is as it is after the change, NULL on failure and after a deletion; `error` is NULL on
 * success. Both borrowed during the call. Once, later, from the loop. */
typedef void directory_alias_fn(const struct alias *alias, const struct error *error, void *arg);

/* Borrowed until the answer. */
struct directory_alias_request {
	const char *tenant;
	const char *function_name;
	const char *name;
	const char *revision_id; /* of an update; NULL or "": any */
	struct alias_patch patch;
};
void directory_create_alias(struct directory *directory,
			    const struct directory_alias_request *request,
			    directory_alias_fn *answer, void *arg);
void directory_update_alias(struct directory *directory,
			    const struct directory_alias_request *request,
			    directory_alias_fn *answer, void *arg);
/* One that is not there is deleted already; nothing but the names is looked at. */
void directory_delete_alias(struct directory *directory,
			    const struct directory_alias_request *request,
			    directory_alias_fn *answer, void *arg);

/* Borrowed until the loop turns; NULL when there is none. */
const struct alias *directory_find_alias(const struct directory *directory, const char *tenant,
					 const char *function_name, const char *name);

/* In order of name; paged as functions are. `version` "": all, else those whose first version it
 * is. */
struct directory_alias_page {
	const struct alias *aliases[DIRECTORY_PAGE_ITEMS]; /* borrowed until the loop turns */
	size_t count;
	char next_marker[2 * ALIAS_NAME_MAX + 1];
};
struct directory_alias_list {
	const char *tenant;
	const char *function_name;
	const char *version;
	unsigned max_items;
	const char *marker;
};
int directory_list_aliases(const struct directory *directory,
			   const struct directory_alias_list *request,
			   struct directory_alias_page *ret, struct error *error) _must_use_;
