/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* CPU time of a tenant's microVMs, as this machine's /proc has it: for benchmarks on the node
 * itself. */

#include "cli/bench.h"

struct bench_cpu {
	struct bench_cpu_sandbox *sandboxes; /* owned */
	size_t count;
	unsigned busy; /* of them, those that serve */
};

/* Of the sandboxes that the tenant has now, for an operator. To be cleared, also after an error. */
int bench_cpu_read(struct context *context, const char *tenant, struct bench_cpu *ret) _must_use_;
void bench_cpu_clear(struct bench_cpu *reading);

/* What they used between two readings, in seconds; negative: not known. -EAGAIN: they are not the
 * same ones. */
int bench_cpu_between(const struct bench_cpu *before, const struct bench_cpu *after,
		      double *ret_s) _must_use_;
