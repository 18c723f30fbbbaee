/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* CPU time by weight: while microVMs of several tenants run and the CPUs are all busy, each
 * tenant's cgroup gets a limit four times a second, by cpu_balance.h. Where the host has no
 * cgroups, nothing is done. Loop thread; the files are read and written in jobs. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/core/loop.h"
#include "agent/pool/cpu_balance.h"

struct pool;
struct pool_tenant;

#define SHARE_CPU_STEP_US (250 * 1000)

/* Of the pool. */
struct share_cpu {
	unsigned tenants; /* that have microVMs running */
	bool under_way;   /* a job, or the timer to the next */
	bool known;       /* what follows */
	int64_t read_us;
	uint64_t idle_us;
	struct cpu_balance balance;
	struct timer timer;
};

/* Of a tenant. */
struct share_cpu_part {
	unsigned running; /* microVMs that start or serve */
	bool known;       /* what follows */
	uint64_t used_us;
	uint64_t thousandths; /* of one CPU, its limit as it was set; 0: none */
	uint64_t limit_us;    /* the same, of a step; CPU_NO_LIMIT */
	bool hungry;
};

/* One of its microVMs begins to run, or stops. */
void share_cpu_begin(struct pool *pool, struct pool_tenant *tenant);
void share_cpu_end(struct pool *pool, struct pool_tenant *tenant);
void share_cpu_stop(struct pool *pool);
