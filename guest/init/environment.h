/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The environment of a runtime process, and what may be given to one that runs already. */

#include "mayfly/buf.h"
#include "protocol.h"

#define ENVIRONMENT_MAX 512

/* KEY=VALUE strings; the last of a key counts. */
struct environment {
	char *entries[ENVIRONMENT_MAX + 1]; /* owned, NULL-terminated */
	size_t len;
};

void environment_clear(struct environment *environment);
#define _cleanup_environment_ _cleanup_(environment_clear)

/* Replaces an entry of the same key. -ENOMEM or -E2BIG. */
int environment_set(struct environment *environment, const char *key, const char *value) _must_use_;
const char *environment_get(const struct environment *environment, const char *key);

/* What every runtime of the kind gets, before there is a function. */
int environment_set_base(struct environment *environment, int runtime_kind) _must_use_;

/* All of a function: user's variables first, then the reserved ones over them. */
int environment_set_function(struct environment *environment, int runtime_kind,
			     const initialize_message *initialize) _must_use_;

/* Whether a variable only counts when the process starts, so that a runtime which runs already
 * cannot take it on. */
bool environment_needs_restart(const initialize_message *initialize);

/* Entries joined by NUL, for the shim. */
int environment_join(const struct environment *environment, struct buf *ret) _must_use_;
