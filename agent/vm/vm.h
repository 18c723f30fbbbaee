/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* MicroVMs. A vm_host is the node's libvirt connection with its accelerator, folders and
 * reaper; a vm is one QEMU process with its monitor and its guest channel. Nothing outside
 * agent/vm knows libvirt or QEMU. All calls and callbacks: loop thread; what blocks runs in
 * jobs. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/core/loop.h"
#include "mayfly/error.h"
#include "mayfly/guest/v1/guest.pb-c.h"

struct master_key;        /* agent/auth/master_key.h */
struct runtime_catalogue; /* agent/image/runtime_catalogue.h */
struct vm_host;
struct vm;
struct template; /* agent/vm/template.h */

enum accelerator { ACCELERATOR_AUTO, ACCELERATOR_KVM, ACCELERATOR_TCG };

struct vm_host_config {
	const char *state_dir;   /* everything below it: libvirt root, templates, run, scratch */
	const char *libvirt_uri; /* NULL: embedded driver below state_dir */
	const char *emulator;    /* NULL: /usr/bin/qemu-system-x86_64 */
	enum accelerator accelerator;
	const char *vm_user;        /* NULL: run QEMU as the agent's own user (said as a warning) */
	uid_t uid_first;            /* of the users that VMs run as, one each */
	unsigned uid_count;         /* 0: all as vm_user (said as a warning) */
	const char *images_dir;     /* kernel, initramfs, runtimes: guest/image's output */
	unsigned tb_size_mb;        /* TCG translation buffer; 0: 32 */
	unsigned guest_overhead_mb; /* RAM beside MemorySize for kernel, init, page cache; 0: 128 */
	bool cpu_limits;            /* 1,769 MB = one CPU by cgroup quota; off under TCG */
	/* Templates are sealed under it on the disk, and lie open in memory while they are used.
	 * Borrowed during the call; NULL: they lie open on the disk. */
	const struct master_key *template_key;
	uint64_t open_max_bytes; /* of those in memory; 0: half of the machine's */
	int64_t open_keep_us;    /* for so long without use; 0: 10 minutes */
};

/* What a node can say of itself. Strings are borrowed from the host. */
struct vm_host_info {
	enum accelerator accelerator; /* decided: KVM or TCG */
	const char *accelerator_reason;
	const char *qemu_version;
	const char *libvirt_version;
	const char *libvirt_uri;
	const char *cgroup_mode;     /* v1, v2, none */
	const char *const *warnings; /* NULL-terminated */
	const char *guest_kernel;
	uint64_t init_resident_bytes; /* as the last guest said */
	uint64_t initramfs_bytes;
};

/* Opens the connection, ends whatever a former agent left behind (domains, processes, scratch
 * files, cgroups), probes the accelerator (cached per boot id and emulator). Blocks: to be
 * called before the loop runs. */
int vm_host_open(const struct vm_host_config *config, struct loop *loop, struct vm_host **ret,
		 struct error *error) _must_use_;
struct vm_host *vm_host_close(struct vm_host *host); /* after all VMs are gone */
const struct vm_host_info *vm_host_info(const struct vm_host *host);
/* The images in images_dir, as read at the start or when they were built anew since. */
const struct runtime_catalogue *vm_host_catalogue(const struct vm_host *host);

/* Whoever asked for a VM hears of it. Never called inside the call that caused it. */
struct vm_events {
	/* The clone is loaded and paused; its channel accepts messages. Once. */
	void (*on_loaded)(struct vm *vm, void *user);
	/* A well-formed frame. Borrowed. A malformed one ends the VM instead. */
	void (*on_message)(struct vm *vm, const Mayfly__Guest__V1__GuestMessage *message,
			   void *user);
	/* The process, the domain, its scratch file, sockets and cgroup are gone; `reason` says
	 * why in words. Last callback, always called once; the vm is freed after it returns. */
	void (*on_gone)(struct vm *vm, const char *reason, void *user);
};

struct vm_clone_request {
	struct template *source; /* a reference is taken for the VM's life */
	const char *sandbox_id;  /* 32 hex digits; names domain, folder, cgroup */
	const char *cpu_group;   /* whose CPU time it is, digits; NULL: nobody's */
	unsigned cpu_weight;     /* of that group, beside others; 100 is usual */
	const char
		*package_path; /* erofs image, padded to PACKAGE_DEVICE_BYTES; NULL: placeholder */
	unsigned memory_mb;    /* MemorySize, for the limits */
	unsigned ephemeral_storage_mb;
};

/* Starts a clone of a template. */
int vm_clone(struct vm_host *host, const struct vm_clone_request *request,
	     const struct vm_events *events, void *user, struct vm **ret,
	     struct error *error) _must_use_;

/* Boots a VM from kernel and initramfs (template builder, benchmark's boot mode). `on_loaded` comes
 * when the process runs, Booted comes from the guest. */
struct vm_boot_request {
	const char *runtime; /* image name, such as python3.13 */
	const char *sandbox_id;
	const char *cpu_group; /* as above */
	unsigned cpu_weight;
	const char *package_path;
	unsigned memory_mb;
	unsigned ephemeral_storage_mb;
	const char *ram_path; /* template's RAM file, shared mapping; NULL: anonymous */
};
int vm_boot(struct vm_host *host, const struct vm_boot_request *request,
	    const struct vm_events *events, void *user, struct vm **ret,
	    struct error *error) _must_use_;

/* Of a group's VMs, those there are and those that come. Written in a job, in order of asking. */
void vm_host_set_cpu_weight(struct vm_host *host, const char *cpu_group, unsigned weight);

/* CPU time of all VMs of a group so far, past ones too, in microseconds; begins anew when it had
 * none for a while. -ENOENT: no cgroup counts it, or there is no such group. In jobs, as the next.
 */
int vm_host_read_group_cpu(const struct vm_host *host, const char *cpu_group,
			   uint64_t *ret_us) _must_use_;
/* Its VMs together get at most so many thousandths of one CPU; 0: no limit. -ENOENT as above;
 * -EINVAL where cgroups of version 1 have a larger limit of one VM. A group that is made anew has
 * none. */
int vm_host_limit_group_cpu(const struct vm_host *host, const char *cpu_group,
			    uint64_t thousandths) _must_use_;
/* How long the host's CPUs had nothing to do since it started, all together. */
int vm_host_read_idle(const struct vm_host *host, uint64_t *ret_us) _must_use_;

/* Queues a message on the channel; it is held while the VM is paused. -ENOBUFS when
 * more than 64 MiB wait. */
int vm_send(struct vm *vm, const Mayfly__Guest__V1__HostMessage *message) _must_use_;

/* vCPUs go or stand still; one request in flight at a time, the latest wish wins. `done` (may be
 * NULL) comes when QEMU has confirmed. */
void vm_resume(struct vm *vm, loop_fn *done, void *arg);
void vm_pause(struct vm *vm, loop_fn *done, void *arg);

/* Ends it at once; on_gone follows. `reason` is copied and given to on_gone. Idempotent. */
void vm_end(struct vm *vm, const char *reason);

/* Facts for phases and lists. */
struct vm_facts {
	pid_t pid;            /* 0 before the process runs */
	int64_t requested_us; /* CLOCK_MONOTONIC */
	int64_t spawned_us;   /* monitor answered */
	int64_t loaded_us;    /* ready to go */
	bool running;         /* vCPUs going */
	unsigned vcpus;
	int64_t cpu_us; /* in on_gone: CPU time of all its life; negative: not known */
};
void vm_facts(const struct vm *vm, struct vm_facts *ret);

/* CPU time of a VM that lives, in microseconds since it began, QEMU's own included, as the host's
 * cgroups count it. -ENOENT: they do not, or there is no such VM. Any thread. */
int vm_host_read_cpu(const struct vm_host *host, const char *cpu_group, const char *sandbox_id,
		     uint64_t *ret_us) _must_use_;

/* Anonymous memory of the process from /proc/PID/smaps_rollup; -errno. Any thread. */
int vm_read_anonymous_bytes(pid_t pid, uint64_t *ret);
