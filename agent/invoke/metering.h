/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What versions are billed for while nothing runs: provisioned sandboxes, from when they are
 * initialised until they are taken back, and the snapshots of SnapStart, from when the version is
 * Active until it is gone. Loop thread. */

#include "agent/account/account.h"
#include "agent/core/loop.h"
#include "agent/deploy/directory.h"
#include "agent/pool/pool.h"

/* How often is looked how many of the provisioned sandboxes are there. */
#define METERING_US 1000000LL

struct metering;

/* All borrowed until metering_free(). */
int metering_new(struct loop *loop, struct directory *directory, struct pool *pool,
		 struct account *account, struct metering **ret) _must_use_;
/* Copes with NULL. */
struct metering *metering_free(struct metering *metering);
DEFINE_CLEANUP(struct metering, metering_free)

/* A version is to have so many. `old`: it was so before the agent began. */
void metering_set_provisioned(struct metering *metering, const struct function *version,
			      unsigned wanted, bool old);
/* It changed in whatever way, or was there when the agent began. */
void metering_set_snapshot(struct metering *metering, const struct function *version, bool old);
/* It is no more. */
void metering_forget(struct metering *metering, const struct function *version);
