/* SPDX-License-Identifier: Apache-2.0 */

/* The weight by which a group of VMs has its part of the CPUs, changed while they run. */

#include <string.h>

#include "agent/vm/host.h"
#include "mayfly/log.h"

struct change {
	struct lane_job job;
	struct vm_host *host;
	char group[CPU_GROUP_BYTES];
	unsigned weight;
	int result;
};

bool host_cpu_group_is_valid(const char *name)
{
	size_t len = strlen(name);

	/* Shorter than a VM's id, so that it is never taken for one. */
	return len > 0 && len < CPU_GROUP_BYTES - 1 && strspn(name, "0123456789") == len;
}

static void work(struct job *job)
{
	struct change *change = container_of(job, struct change, job.job);

	change->result = cgroup_set_weight(&change->host->cgroups, change->group, change->weight);
}

static void done(struct lane_job *job)
{
	_cleanup_free_ struct change *change = container_of(job, struct change, job);

	if (change->result < 0)
		log_warning("cannot set the CPU weight of group %s: %s", change->group,
			    strerror(-change->result));
}

void vm_host_set_cpu_weight(struct vm_host *host, const char *cpu_group, unsigned weight)
{
	struct change *change;

	if (!host_cpu_group_is_valid(cpu_group))
		return;
	change = calloc(1, sizeof(*change));
	if (!change)
		abort(); /* as loop_post() */
	change->job = (struct lane_job){ .job = { .work = work }, .done = done };
	change->host = host;
	change->weight = weight;
	memcpy(change->group, cpu_group, strlen(cpu_group) + 1);
	lane_submit(&host->weights, &change->job);
}
