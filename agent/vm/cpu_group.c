/* SPDX-License-Identifier: Apache-2.0 */

/* CPU time of a group of VMs: the weight by which they have their part of it, changed while they
 * run, what they used, and how much they may. */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "agent/vm/host.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"
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

int vm_host_read_group_cpu(const struct vm_host *host, const char *cpu_group, uint64_t *ret_us)
{
	return cgroup_read_cpu(&host->cgroups, cpu_group, NULL, ret_us);
}

int vm_host_limit_group_cpu(const struct vm_host *host, const char *cpu_group, uint64_t thousandths)
{
	return cgroup_limit_cpu(&host->cgroups, cpu_group, thousandths);
}

/* "cpu  USER NICE SYSTEM IDLE IOWAIT …", in ticks; proc(5). */
int vm_host_read_idle(const struct vm_host *host _unused_, uint64_t *ret_us)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	unsigned long long idle, waiting;
	long ticks = sysconf(_SC_CLK_TCK);
	int r = fs_read_file("/proc/stat", 1U << 20, &text);

	if (r < 0)
		return r;
	if (ticks <= 0 ||
	    sscanf(buf_string(&text), "cpu %*u %*u %*u %llu %llu", &idle, &waiting) != 2)
		return -EBADMSG;
	*ret_us = (idle + waiting) * (uint64_t)(USEC_PER_SEC / ticks);
	return 0;
}
