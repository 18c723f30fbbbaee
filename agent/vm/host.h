/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of this room share of a vm_host. Fields up to the line below are constant
 * while VMs live, so jobs may read them; the rest is the loop thread's. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include <libvirt/libvirt.h>

#include "agent/core/lane.h"
#include "agent/image/package_image.h"
#include "agent/image/runtime_catalogue.h"
#include "agent/vm/accelerator.h"
#include "agent/vm/cgroup.h"
#include "agent/vm/reaper.h"
#include "agent/vm/vault.h"
#include "agent/vm/vm.h"
#include "agent/vm/vm_users.h"

#define VM_NAME_PREFIX    "mayfly-"
#define VM_ID_BYTES       33 /* with NUL */
#define CPU_GROUP_BYTES   VM_ID_BYTES
#define HOST_TAG_BYTES    9 /* with NUL */
#define VM_NAME_BYTES     (sizeof(VM_NAME_PREFIX) - 1 + HOST_TAG_BYTES + VM_ID_BYTES)
#define HOST_WARNINGS_MAX 8
#define DEFAULT_EMULATOR  "/usr/bin/qemu-system-x86_64"
#define DEFAULT_URI       "embedded"

/* A name of a group of VMs that share CPU time (cpu_group.c). */
bool host_cpu_group_is_valid(const char *name);

struct vm_host {
	struct loop *loop;
	char *state_dir;          /* owned, as all strings here */
	char tag[HOST_TAG_BYTES]; /* of the state folder, in names that agents on a host share */
	char *libvirt_root;       /* of the embedded driver */
	char *run_dir;            /* one folder per VM */
	char *scratch_dir;        /* bases of scratch disks */
	char *templates_dir;
	struct vault *vault;    /* templates are sealed; NULL: they are not */
	int64_t open_keep_us;   /* one lies open for so long after use */
	char *placeholder_path; /* an empty package */
	char *preload;          /* for LD_PRELOAD of every QEMU; NULL: nothing */
	char *emulator;         /* QEMU */
	char *emulator_started; /* what libvirt starts: QEMU, or our program before it */
	char *libvirt_uri;
	bool embedded;
	bool cpu_limits;
	unsigned tb_size_mb;
	unsigned guest_overhead_mb;
	uid_t uid; /* of vm_user */
	gid_t gid;
	bool change_owner; /* QEMU runs as another user than the agent */
	bool own_users;    /* each VM as one of `users`, else all as vm_user */
	bool confine;      /* QEMU writes to nothing but the files that are named to our wrapper */
	gid_t kvm_group;   /* without which those may not open /dev/kvm; 0: they need none */
	bool ram_readonly_option;
	uint64_t tsc_khz;
	struct accelerator_verdict verdict;
	struct cgroups cgroups;
	struct runtime_catalogue *catalogue;
	struct package_images *packages;
	virConnectPtr connection;
	struct reaper *reaper;
	int lock_fd;
	/* ---- loop thread only ---- */
	char qemu_version[32];
	char libvirt_version[32];
	struct vm_host_info info;
	char *warnings[HOST_WARNINGS_MAX + 1];
	size_t n_warnings;
	struct vm *vms;      /* by id */
	struct lane weights; /* of cgroups, being set */
	struct vm_users *users;
	int stopped_callback;
	pthread_t event_thread;
	bool event_thread_runs;
	atomic_bool event_thread_stop;
};

/* Adds a sentence to the host's warnings, which its owner tells; steals it, copes with NULL. */
void host_warn(struct vm_host *host, char *text);

/* Takes in images that were built anew. Before anything is made from the catalogue's images: what
 * was made from former ones does not match any more, and is made again. */
void host_refresh_images(struct vm_host *host);

/* Gives up that each VM has a user of its own, and says why. */
void host_share_user(struct vm_host *host, const char *why);

/* emulator.c: asks QEMU for its version, decides about the accelerator and about what stands
 * before QEMU. */
/* Writes the libraries that go into every QEMU, after emulator_open(). */
int preload_open(struct vm_host *host, struct error *error) _must_use_;
int emulator_open(struct vm_host *host, enum accelerator wanted, struct error *error) _must_use_;

/* libvirt_link.c: connection and event thread. */
int libvirt_link_open(struct vm_host *host, struct error *error) _must_use_;
void libvirt_link_close(struct vm_host *host);
/* Takes libvirt's thread-local last error for a failed call. */
int libvirt_error_set(struct error *error, const char *what);

/* leftovers.c: ends what a former agent left. Before the connection is opened. */
int leftovers_end(struct vm_host *host, struct error *error) _must_use_;
/* After it: domains of this state folder that the driver still knows. */
void leftovers_end_domains(struct vm_host *host);

/* "mayfly-TAG-ID": a libvirt daemon may have domains of other agents too. */
void host_name_domain(const struct vm_host *host, const char *id, char ret[VM_NAME_BYTES]);
/* The id in the name of a domain of ours; NULL for any other. Borrowed from the name. */
const char *host_find_domain_id(const struct vm_host *host, const char *name);

/* vm.c: libvirt saw the end of a domain. */
void host_domain_stopped(struct vm_host *host, const char *id);
