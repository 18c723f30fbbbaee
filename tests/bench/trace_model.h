/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One function's sandboxes in virtual time: a replay of a policy of scaling over given arrivals,
 * not a measurement. The adaptive policy is agent/pool/arrivals.c itself; what stands around it (a
 * demand takes the latest used sandbox, else a spare, else waits for a start or for one that falls
 * free; surplus is looked at when a sandbox has been idle for its least time) follows
 * agent/pool/scaling.c and version.c. There is no limit of memory and none of starts at once. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/pool/arrivals.h"

enum model_kind { MODEL_NONE, MODEL_FIXED, MODEL_ADAPTIVE };

struct model_policy {
	const char *name;
	enum model_kind kind;
	struct arrivals_bounds bounds; /* fixed: keep_max_us is how long */
	unsigned spares, spares_max;   /* as the configuration has them */
};

/* What was measured elsewhere. */
struct model_costs {
	int64_t cold_us;     /* from the demand to a sandbox that is ready */
	int64_t spare_us;    /* what an invocation takes beside its handler: first of a spare */
	int64_t warm_us;     /* ... of a used sandbox */
	int64_t duration_us; /* of the handler */
};

struct model_result {
	uint64_t invocations;
	uint64_t cold;   /* that waited for the start of the sandbox that they got */
	uint64_t spare;  /* first ones of a sandbox that was ready */
	uint64_t starts; /* of sandboxes */
	int64_t idle_us; /* of sandboxes that were ready and unused, summed up */
	/* Time to the answer by the handler's, in thousandths; owned, `invocations` of them. */
	uint32_t *slowdowns;
	size_t capacity;
};

/* Adds to *result. `begins_us` ascend and are after 0; the end is at `end_us`, when what still
 * lives ends. Aborts without memory. */
void model_run(const struct model_policy *policy, const struct model_costs *costs,
	       const int64_t *begins_us, size_t n, int64_t end_us, struct model_result *result);
void model_result_free(struct model_result *result);
