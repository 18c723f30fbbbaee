/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The directory: every function of the node in memory, the truth beneath it in the registry. A
 * change is durable before its call reports success. Loop thread; blocking work (SQLite, unzip,
 * mkfs) runs in jobs, and the answer comes through a callback. */

#include "agent/core/loop.h"
#include "agent/functions/function.h"

struct directory;

/* Borrowed until the loop turns; NULL when there is none. */
const struct function *directory_find(const struct directory *directory, const char *tenant,
				      const char *name);

/* Where the package image of a digest lies; valid for Active functions. The caller frees. */
char *directory_package_path(const struct directory *directory, const char *package_digest);

enum directory_event {
	DIRECTORY_CREATED,
	DIRECTORY_CHANGED, /* state, update status or served configuration */
	DIRECTORY_DELETED, /* sent before the function goes */
};
typedef void directory_listener(const struct function *function, enum directory_event event,
				void *arg);
int directory_add_listener(struct directory *directory, directory_listener *listener,
			   void *arg) _must_use_;
