/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One cgroup per VM with its memory limit and CPU quota, below one per owner with the weight by
 * which owners share the CPUs, written straight into cgroupfs: version 2, version 1 or neither.
 * What cannot be set is said once as a warning and never stops a VM. cgroups_open() before the
 * loop; the rest from jobs, any thread. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "mayfly/cleanup.h"

enum cgroup_mode { CGROUP_NONE, CGROUP_V1, CGROUP_V2 };

#define CGROUP_CONTROLLERS 3 /* memory, cpu, cpuacct */

struct cgroups {
	enum cgroup_mode mode;
	/* Folders of ours that hold one folder per VM; owned, NULL where a controller is missing.
	 * With version 2 the first stands for all; with version 1 the last two are often one. */
	char *parents[CGROUP_CONTROLLERS];
	char *warning; /* owned; NULL when all can be set */
};

struct cgroup_limits {
	uint64_t memory_bytes;
	unsigned cpu_quota_us; /* per 100 ms; 0: no limit */
	/* The owner's group and its weight; NULL: directly below the parent. With version 1 the
	 * memory controller has no such groups. */
	const char *group;
	unsigned weight;
};

/* Of an owner's group: as version 2 counts, where 100 is what a group has that nothing was said
 * of. */
#define CGROUP_WEIGHT_MAX     10000U
#define CGROUP_WEIGHT_DEFAULT 100U

/* Finds out what this host has, makes the parents, removes groups that were left behind.
 * `root` is "/sys/fs/cgroup", or a copy's top in tests. Never fails: the mode says what is there.
 */
void cgroups_open(const char *root, const char *self_path, const char *name, struct cgroups *ret);
/* Where a former agent had its groups, which may be elsewhere: removes what it left, and writes
 * down where ours are. */
void cgroups_succeed(const struct cgroups *cgroups, const char *record_path);
void cgroups_close(struct cgroups *cgroups);

/* The name that users and benchmarks read. */
const char *cgroup_mode_name(enum cgroup_mode mode);

/* Makes the VM's groups and moves the process in. Returns 0, or the first negative errno, after
 * trying everything. */
int cgroup_create(const struct cgroups *cgroups, const char *id, pid_t pid,
		  const struct cgroup_limits *limits) _must_use_;
/* To be called after the process has ended. The group (NULL: none) goes with its last VM. */
int cgroup_remove(const struct cgroups *cgroups, const char *group, const char *id) _must_use_;

/* Of a group that has VMs; 0 also when there is no such group, which gets its weight when it is
 * made. */
int cgroup_set_weight(const struct cgroups *cgroups, const char *group, unsigned weight) _must_use_;

/* All VMs of the group together get at most so many thousandths of one CPU; 0: no limit. -ENOENT:
 * there is no such group, or no controller. With version 1 -EINVAL when one of its VMs may have
 * more by its own limit. */
int cgroup_limit_cpu(const struct cgroups *cgroups, const char *group,
		     uint64_t thousandths) _must_use_;

/* CPU time of the VM's processes since its group was made, as the kernel counts it, in
 * microseconds; also after their end, until cgroup_remove(). `id` NULL: of all VMs of the owner's
 * group, past ones too. -ENOENT: nothing counts it, or there is no such group. */
int cgroup_read_cpu(const struct cgroups *cgroups, const char *group, const char *id,
		    uint64_t *ret_us) _must_use_;

/* The line of /proc/self/cgroup for a controller ("" for version 2), without its newline, into
 * `out`. Returns 0 or -ENOENT. `text` is the file's whole content. */
int cgroup_parse_self(const char *text, const char *controller, char *out, size_t size) _must_use_;
