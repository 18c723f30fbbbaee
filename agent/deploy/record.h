/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A function, a published version of one, its aliases, as the registry's bytes and back. Private to
 * this room. Any thread. */

#include "agent/functions/alias.h"
#include "mayfly/buf.h"

#define RECORD_PREFIX    "function/"
#define NUMBERING_PREFIX "numbering/"
#define ALIAS_PREFIX     "alias/"
#define RECORD_KEY_BYTES                                                                           \
	(sizeof(NUMBERING_PREFIX) + TENANT_ID_DIGITS + 1 + FUNCTION_NAME_MAX + 1 + ALIAS_NAME_MAX)

/* `version` 0: $LATEST's. */
void record_key(const char *tenant, const char *name, uint64_t version, char out[RECORD_KEY_BYTES]);
/* What the keys of all published versions of a function begin with. */
void record_versions_prefix(const char *tenant, const char *name, char out[RECORD_KEY_BYTES]);

struct master_key; /* agent/auth/master_key.h */

/* `upload_id` may be "". The environment is sealed with `key`. Into an empty buffer; 0, -ENOMEM or
 * -EIO. */
int record_encode(const struct function *function, const char *upload_id,
		  const struct master_key *key, struct buf *ret) _must_use_;

/* `ret_upload_id` is the caller's, "" when there is none; generation is left 0. */
int record_decode(struct slice bytes, const struct master_key *key, struct function **ret,
		  char **ret_upload_id, struct error *error) _must_use_;

/* The last number that was given to a version of the name; it outlives the function. */
struct numbering {
	char tenant[TENANT_ID_DIGITS + 1];
	char name[FUNCTION_NAME_MAX + 1];
	uint64_t last_version;
};
void numbering_key(const char *tenant, const char *name, char out[RECORD_KEY_BYTES]);
int numbering_encode(const struct numbering *numbering, struct buf *ret) _must_use_;
int numbering_decode(struct slice bytes, struct numbering *ret, struct error *error) _must_use_;

/* record_alias.c. With the name "": what the keys of all aliases of a function begin with. */
void record_alias_key(const char *tenant, const char *function_name, const char *name,
		      char out[RECORD_KEY_BYTES]);
int record_alias_encode(const char *tenant, const char *function_name, const struct alias *alias,
			struct buf *ret) _must_use_;
/* `alias` is the caller's, after an error too; NULL before. */
struct alias_record {
	char tenant[TENANT_ID_DIGITS + 1];
	char function_name[FUNCTION_NAME_MAX + 1];
	struct alias *alias;
};
int record_alias_decode(struct slice bytes, struct alias_record *ret,
			struct error *error) _must_use_;
