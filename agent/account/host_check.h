/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Records held against the CPU time that the host counts of sandboxes. That time is no bill: a
 * function that waits uses none, and QEMU's own is in it. But no more of it can have been used than
 * ran, and nothing runs without a sandbox. Pure; whose thread, that calls. */

#include "agent/account/account.h"

struct host_checks {
	struct account_host_check *checks;
	size_t known; /* those of uses, by tenant, function and version; behind them what was billed
			 and has none: few, if any */
	size_t count;
	size_t room;
};

/* Copies the uses. 0 or -ENOMEM. */
int host_checks_init(struct host_checks *checks, const struct account_host_use *uses,
		     size_t count) _must_use_;
void host_checks_clear(struct host_checks *checks);

/* What was billed of one version, or a part of it; negative: was billed, but for another time. 0 or
 * -ENOMEM. */
int host_checks_bill(struct host_checks *checks, const char *tenant, const char *function,
		     const char *version, int64_t invocations, int64_t billed_ms) _must_use_;
/* How many differ. They come to the front, then those that used the most. */
uint64_t host_checks_judge(struct host_checks *checks);
