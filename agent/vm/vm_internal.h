/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One VM, for the files of this room. Loop thread, but for what spawn.h and the like say. */

#include <sys/queue.h>

#include <uthash.h>

#include "agent/vm/channel.h"
#include "agent/vm/qmp.h"
#include "agent/vm/spawn.h"

enum vm_state {
	VM_SPAWNING, /* a job starts QEMU */
	VM_LOADING,  /* QEMU reads the device state */
	VM_LIVE,
	VM_ENDING,   /* killed; process or domain still there */
	VM_SWEEPING, /* a job removes what is left */
};

struct run_waiter {
	STAILQ_ENTRY(run_waiter) entry;
	bool wanted; /* running or not */
	loop_fn *done;
	void *arg;
};

/* `error` is NULL on success. */
typedef void vm_saved_fn(struct vm *vm, const char *error, void *arg);

struct vm {
	UT_hash_handle hh;
	struct vm_host *host;    /* outlives us */
	struct template *source; /* our reference; NULL for a boot */
	char id[VM_ID_BYTES];
	struct vm_events events;
	void *user;
	enum vm_state state;
	struct spawn spawn;
	bool spawn_under_way;
	struct sweep sweep;
	pid_t pid;
	int pidfd;
	sd_event_source *exit_source;
	struct qmp *qmp;
	struct channel *channel;
	bool process_gone;
	bool domain_gone;
	struct timer timer;        /* bounds whatever is waited for at the end */
	struct timer zombie_timer; /* until it is reaped */
	char *reason;              /* owned; first one wins */
	char closed_reason[128];   /* a connection closed and the process' end is awaited */
	bool want_last_words;
	int64_t requested_us;
	int64_t spawned_us;
	int64_t loaded_us;
	/* ---- vCPUs ---- */
	bool running; /* as QEMU confirmed */
	bool wished;  /* as asked last */
	bool in_flight;
	STAILQ_HEAD(, run_waiter) waiters;
	/* ---- save ---- */
	vm_saved_fn *on_saved;
	void *on_saved_arg;
};

/* What every start has in common. Strings are copied. */
struct vm_start {
	const char *id;
	const char *cpu_group; /* NULL: none */
	unsigned cpu_weight;
	struct template *source;            /* a reference is taken; NULL for a boot */
	const struct template_files *files; /* of the source */
	enum ram_mode ram_mode;
	const char *ram_path;
	uint64_t ram_bytes;
	unsigned vcpus;
	const char *runtime;
	const char *root_digest;    /* of the runtime's image, as the source knows it; NULL: any */
	const char *package_path;   /* NULL: placeholder */
	const char *scratch_source; /* NULL: a fresh one */
	const char *state_path;     /* NULL: boot */
	unsigned memory_mb;
	unsigned ephemeral_storage_mb;
};
int vm_start(struct vm_host *host, const struct vm_start *start, const struct vm_events *events,
	     void *user, struct vm **ret, struct error *error) _must_use_;

/* RAM and vCPUs of a VM for a function of this MemorySize. */
uint64_t vm_ram_bytes(const struct vm_host *host, unsigned memory_mb);
unsigned vm_vcpus(enum accelerator accelerator, unsigned memory_mb);

/* vm_monitor.c: what is said to QEMU. */
int vm_monitor_open(struct vm *vm) _must_use_;
int vm_monitor_load(struct vm *vm) _must_use_;
void vm_monitor_drop_waiters(struct vm *vm);
/* Writes the paused VM's device state to the file. RAM is not in it. */
int vm_save(struct vm *vm, int fd, vm_saved_fn *done, void *arg) _must_use_;

/* vm.c, for vm_monitor.c. */
void vm_loaded(struct vm *vm);
void vm_failed(struct vm *vm, const char *reason, bool files_damaged);
void vm_connection_closed(struct vm *vm, const char *reason);
