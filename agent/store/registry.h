/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The registry: durable small state, bytes under keys. Every call blocks: in jobs, or before the
 * loop runs; one caller at a time. After commit returned 0 its writes survive a power cut;
 * after an error none of them happened. */

#include <stddef.h>
#include <stdint.h>

#include "mayfly/buf.h"
#include "mayfly/cleanup.h"
#include "mayfly/error.h"

#define REGISTRY_KEY_BYTES   512
#define REGISTRY_VALUE_BYTES (1U << 20)
#define REGISTRY_WRITES      128 /* of one transaction */

struct registry;

/* Opens or makes the file PATH (its folder exists). Refused with an error that says why: a file
 * that is damaged, not ours, or written by a newer version. */
int registry_open_sqlite(const char *path, struct registry **ret, struct error *error) _must_use_;

/* For tests: gone with the process. */
int registry_open_memory(struct registry **ret, struct error *error) _must_use_;

/* Copes with NULL. */
struct registry *registry_close(struct registry *registry);
DEFINE_CLEANUP(struct registry, registry_close)

/* The value goes to an empty buffer. -ENOENT, without setting `error`, when there is none. */
int registry_get(struct registry *registry, const char *key, struct buf *ret_value,
		 uint64_t *ret_revision, struct error *error) _must_use_;

/* Calls fn for at most `limit` (0: all) entries whose keys begin with `prefix` and come after
 * `after` (NULL: from the first), in order of bytes. A negative result of fn ends it and
 * is returned. All is borrowed during fn, which must not call the registry. */
typedef int registry_entry_fn(const char *key, struct slice value, uint64_t revision, void *arg);
int registry_list(struct registry *registry, const char *prefix, const char *after, size_t limit,
		  registry_entry_fn *fn, void *arg, struct error *error) _must_use_;

#define REGISTRY_ANY_REVISION UINT64_MAX

struct registry_write {
	const char *key;
	bool remove;        /* else put */
	bool whole_prefix;  /* removes every key that begins with `key`, whatever its revision */
	struct slice value; /* of a put */
	uint64_t revision;  /* must be the key's; 0: the key must not be there */
};

/* All or nothing. ERROR_PRECONDITION_FAILED when a key's revision is another;
 * ERROR_UNAVAILABLE when the disk is full or fails. `ret_revision` (may be NULL) is what all keys
 * put have from now on; it grows with every commit. */
int registry_commit(struct registry *registry, const struct registry_write *writes, size_t count,
		    uint64_t *ret_revision, struct error *error) _must_use_;

/* What an implementation is; keys, values and counts are checked before. */
struct registry_ops {
	int (*get)(struct registry *registry, const char *key, struct buf *ret_value,
		   uint64_t *ret_revision, struct error *error);
	int (*list)(struct registry *registry, const char *prefix, const char *after, size_t limit,
		    registry_entry_fn *fn, void *arg, struct error *error);
	int (*commit)(struct registry *registry, const struct registry_write *writes, size_t count,
		      uint64_t *ret_revision, struct error *error);
	struct registry *(*close)(struct registry *registry);
};

/* First member of an implementation's struct. */
struct registry {
	const struct registry_ops *ops;
};
