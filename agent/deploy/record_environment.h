/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Environment variables within a function's record. Private to record.c. Any thread. */

#include "agent/auth/master_key.h"
#include "mayfly/store/v1/function.pb-c.h"

/* Into an empty buffer; 0, -ENOMEM or -EIO. */
int record_seal_environment(const struct master_key *key, const char *tenant, const char *name,
			    Mayfly__Store__V1__StoredVariable **variables, size_t count,
			    struct buf *ret) _must_use_;

/* `*ret` is the caller's. -EBADMSG when the key is another or bytes were changed. */
int record_open_environment(const struct master_key *key, const char *tenant, const char *name,
			    struct slice sealed,
			    Mayfly__Store__V1__StoredEnvironment **ret) _must_use_;
