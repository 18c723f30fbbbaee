/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where the time of an invocation went. Pure; any thread. */

#include "agent/invoke/invocation.h"

/* The stamps of one invocation (monotonic). */
struct phase_stamps {
	int64_t received_us;
	int64_t queued_us; /* admitted; asked the pool */
	int64_t bound_us;
	int64_t sent_us; /* the event, to running vCPUs */
	int64_t complete_us;
	uint64_t guest_us;
};

/* `sandbox` as it is bound; sandbox->invocations counts this one. */
void phases_fill(const struct phase_stamps *stamps, const struct sandbox_facts *sandbox,
		 struct invocation_phases *ret);

/* How it was started, seen from a demand made at that time. */
enum invocation_start phases_start_kind(const struct sandbox_facts *sandbox, int64_t queued_us);
