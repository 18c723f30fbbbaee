/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The function's processes: started as the unprivileged user, inside the image's root, in the
 * cgroup "function", so that all of them can be counted, limited and killed at once. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "logs.h"

#define PROCESS_CGROUP "/sys/fs/cgroup/function"
#define PROCESS_USER   "sbx_user1051"

struct process_plan {
	bool unlimited;          /* stays in init's cgroup: what it reads is charged there */
	const char *root;        /* chroot, such as /rootfs */
	const char *const *argv; /* paths inside the root */
	const char *const *environment;
	int link_fd;                /* becomes 3, or -1 */
	int log_fds[_LOGS_STREAMS]; /* become 1, 2, 4 */
};

#define PROCESS_LINK_FD      3
#define PROCESS_TELEMETRY_FD 4

/* Makes the cgroup. Without one (-errno) processes still run, unlimited. */
int process_cgroup_create(void);

/* Exactly this much memory, no swap, and all die when it is over. */
int process_cgroup_limit(unsigned memory_mb) _must_use_;

/* High-water mark of what is charged to the cgroup, 0 when unknown. */
uint64_t process_memory_peak(void);

/* Resident pages of files that `pid` maps. */
uint64_t process_file_bytes(pid_t pid);

/* How often the limit has killed so far. */
uint64_t process_oom_kills(void);

/* Kills all processes of the cgroup and does not wait for their end. */
void process_cgroup_kill(void);

/* -errno of what failed, the exec included. */
int process_start(const struct process_plan *plan, pid_t *ret) _must_use_;

/* Kills everything in the cgroup and `main_pid`, and reaps; waits at most two seconds. If
 * `main_pid` was among the reaped, *ret_status is its wait status. */
void process_kill_all(pid_t main_pid, int *ret_status);

/* "no such file or directory" in the words that Lambda's messages have, else strerror. */
const char *process_errno_text(int errno_value);
