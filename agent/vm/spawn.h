/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The part of a VM's start that blocks: folder, scratch disk, domain, sockets, cgroup. And its
 * opposite, which leaves nothing of a VM that has ended. Both run as jobs and touch
 * only what is in their struct and the host's constant fields. */

#include <limits.h>

#include "agent/vm/domain_xml.h"
#include "agent/vm/host.h"
#include "agent/vm/template_files.h"

/* Lambda's measure: so much MemorySize is worth one vCPU. */
#define LAMBDA_MB_PER_CPU 1769U

struct spawn {
	struct job job;
	struct vm_host *host; /* borrowed */
	/* ---- in; owned strings ---- */
	char id[VM_ID_BYTES];
	char cpu_group[CPU_GROUP_BYTES]; /* "": none */
	unsigned cpu_weight;
	enum ram_mode ram_mode;
	char *ram_path;
	uint64_t ram_bytes;
	unsigned vcpus;
	struct image_file root; /* with the digest that it must have; the path is owned */
	char *code_path;
	bool code_is_package; /* else the placeholder */
	char *scratch_source; /* a function template's scratch disk to copy, or NULL */
	char *state_path;     /* device state to load, or NULL */
	struct template_files
		files; /* to be unchanged; paths are borrowed from the VM's template */
	unsigned memory_mb;
	unsigned ephemeral_storage_mb;
	uid_t uid; /* whom QEMU runs as */
	gid_t gid;
	/* ---- out ---- */
	int result;
	struct error error;
	bool files_damaged; /* the failure lies in the template's files */
	pid_t pid;
	int pidfd;
	int monitor_fd;
	int channel_fd;
	int state_fd;
	int cgroup_result;
	int64_t spawned_us;
};

void spawn_run(struct spawn *spawn);
/* Frees strings and closes what was not taken. */
void spawn_clear(struct spawn *spawn);

/* The domain's pid as QEMU wrote it, checked against the process; -ENOENT when there is none. */
int spawn_find_pid(const struct vm_host *host, const char *id, pid_t *ret) _must_use_;

struct sweep {
	struct job job;
	struct vm_host *host; /* borrowed */
	char id[VM_ID_BYTES];
	char cpu_group[CPU_GROUP_BYTES];
	bool domain_may_live; /* libvirt did not say that it stopped */
	char *last_words;     /* out: end of QEMU's log; owned */
	bool want_last_words;
	int result;
	int cpu_result;  /* out: whether the next is known */
	uint64_t cpu_us; /* out: CPU time of all its life */
};
void sweep_run(struct sweep *sweep);
