/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How much CPU time each tenant may have next, so that each that wants its share gets it. The
 * kernel's weights are no guarantee: with some schedulers a group whose threads wake often takes
 * nearly all from others. A limit is one. Pure: what was used comes in, limits go out; whose
 * thread, that calls.
 *
 * Nobody is limited while the CPUs are not all busy, or only one tenant wants them. Else each is
 * limited to its share by weight of what microVMs could have had lately, and those who do not use
 * theirs leave it to the others. Who would use more cannot be seen while others take it: so from
 * time to time all are held to their shares for one step, and who takes three quarters of it is
 * hungry. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CPU_NO_LIMIT       UINT64_MAX
#define CPU_WHOLE          (1ULL << 20)
#define CPU_LIMIT_MIN_US   1000
#define CPU_BALANCE_PROBES 8 /* every so many steps all are held to their shares */
#define CPU_BALANCE_CALM   4 /* steps in which no limit was reached, until there is none */

/* One tenant that has microVMs running. */
struct cpu_claim {
	unsigned weight;   /* from 1 on */
	uint64_t used_us;  /* since the last step */
	uint64_t limit_us; /* for the next one; before the step: the last one's; at first none */
	bool hungry;       /* of the balance */
};

struct cpu_balance {
	bool limiting;
	unsigned steps; /* since it began to limit */
	unsigned calm;
	/* What microVMs could have of all CPUs, of CPU_WHOLE: lately, and what limits are parts of:
	 * held as long as it is about right, for a kernel that is told the same limit anew gives it
	 * anew. */
	uint64_t lately, held;
};

/* `all_us`: what all CPUs have in one step, of which `idle_us` were left. */
void cpu_balance_step(struct cpu_balance *balance, struct cpu_claim *claims, size_t count,
		      uint64_t all_us, uint64_t idle_us);
