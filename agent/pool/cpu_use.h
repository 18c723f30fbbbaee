/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the host's cgroups count of CPU time of each version's sandboxes, kept from the start of the
 * agent on, so that it can be held against what was billed. Loop thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "agent/pool/sandbox.h"

struct pool;
struct version;
struct vm;

/* Sums over the sandboxes of a version, of all its generations, those that live included. Times in
 * microseconds. */
struct cpu_use {
	char tenant[TENANT_ID_DIGITS + 1];
	char function_name[FUNCTION_NAME_MAX + 1];
	char version[FUNCTION_VERSION_BYTES];
	uint64_t sandboxes;
	uint64_t uncounted; /* of them, those that no cgroup counts: not in the times */
	uint64_t start_us;  /* CPU time before they were ready, INIT included */
	uint64_t serve_us;  /* from then on */
	uint64_t beside_us; /* so much of that may be of no invocation that has ended */
	unsigned cpus;      /* as many threads of one may run: its vCPUs and QEMU's own */
};

/* CPU time that a sandbox may have used while it was to be frozen, and when it ended. */
#define CPU_USE_SANDBOX_US (1000 * 1000)

/* Borrowed during the call; `error` is NULL, or there are none. */
typedef void cpu_use_fn(const struct cpu_use *uses, size_t count, int error, void *arg);
/* Reads those that live in a job; `fn` comes once, from the loop. 0 or -ENOMEM. */
int pool_read_cpu_use(struct pool *pool, cpu_use_fn *fn, void *arg) _must_use_;

/* -- for the pool -- */

/* The sums of a version, which outlive it. */
struct cpu_use_sum {
	char *key;
	struct cpu_use use;
	size_t row; /* of the reading under way */
	UT_hash_handle hh;
};
/* NULL without memory. */
struct cpu_use_sum *cpu_use_get(struct pool *pool, const struct version *version);
void cpu_use_free(struct pool *pool);

/* Of one sandbox. */
struct cpu_use_part {
	bool was_ready;
	bool uncounted;
	uint64_t start_us;
	uint64_t idle_us; /* its vCPUs ran, and it served nobody */
	int64_t since_us; /* when its state last changed */
};
/* It is about to be READY for the first time. */
void cpu_use_ready(struct sandbox *sandbox);
/* Its state is about to change. */
void cpu_use_step(struct sandbox *sandbox, int64_t now_us);
/* Its VM is gone. */
void cpu_use_gone(struct sandbox *sandbox, const struct vm *vm);
