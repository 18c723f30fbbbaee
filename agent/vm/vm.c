/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vm/vm_internal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "agent/vm/template_internal.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"
#include "mayfly/log.h"

#define VCPUS_MAX            6 /* Lambda's, at 10,240 MB */
/* Between a process' end and its being reaped. */
#define ZOMBIE_AGAIN_US      (1 * USEC_PER_MSEC)
/* After its sockets were closed, a QEMU that ends by itself is gone within milliseconds. */
#define EXIT_LIMIT_US        (300 * USEC_PER_MSEC)
/* After the process has ended, libvirt normally says so within milliseconds. */
#define DOMAIN_GONE_LIMIT_US (3 * USEC_PER_SEC)

static void vm_check_gone(struct vm *vm);

static void set_reason(struct vm *vm, const char *reason)
{
	if (!vm->reason)
		vm->reason = strdup(reason);
}

/* ---- the end ---- */

static void on_swept(struct job *job)
{
	struct vm *vm = container_of(job, struct vm, sweep.job);
	_cleanup_free_ char *full = NULL;
	const char *reason = vm->reason ? vm->reason : "ended";

	if (vm->sweep.result < 0)
		log_warning("VM %s left something behind: %s", vm->id, strerror(-vm->sweep.result));
	if (vm->sweep.last_words &&
	    asprintf(&full, "%s; QEMU's last words: %s", reason, vm->sweep.last_words) >= 0)
		reason = full;
	HASH_DEL(vm->host->vms, vm);
	reaper_unexpect(vm->host->reaper);
	if (vm->source)
		template_remove_clone(vm->source);
	if (vm->host->own_users)
		vm_users_give_back(vm->host->users, vm->spawn.uid);
	vm->events.on_gone(vm, reason, vm->user);
	timer_disarm(&vm->timer);
	timer_disarm(&vm->zombie_timer);
	vm_monitor_drop_waiters(vm);
	spawn_clear(&vm->spawn);
	close_p(&vm->pidfd);
	free(vm->sweep.last_words);
	free(vm->reason);
	(void)template_unref(vm->source);
	free(vm);
}

static void sweep_work(struct job *job)
{
	sweep_run(container_of(job, struct sweep, job));
}

static void sweep(struct vm *vm)
{
	vm->state = VM_SWEEPING;
	timer_disarm(&vm->timer);
	vm->sweep = (struct sweep){
		.job = { .work = sweep_work, .done = on_swept },
		.host = vm->host,
		.domain_may_live = !vm->domain_gone,
		.want_last_words = vm->want_last_words,
		.cpu_result = -ENODATA,
	};
	memcpy(vm->sweep.id, vm->id, sizeof(vm->id));
	memcpy(vm->sweep.cpu_group, vm->spawn.cpu_group, sizeof(vm->sweep.cpu_group));
	loop_submit(vm->host->loop, &vm->sweep.job);
}

static void on_domain_overdue(void *arg)
{
	struct vm *vm = arg;

	if (vm->state == VM_ENDING && vm->process_gone)
		sweep(vm);
}

static void vm_check_gone(struct vm *vm)
{
	if (vm->state != VM_ENDING || vm->spawn_under_way)
		return;
	if (vm->pidfd >= 0 && !vm->process_gone)
		return;
	/* A start that failed ended its own domain, or left nobody to tell us. */
	if (vm->domain_gone || vm->spawn.result < 0) {
		sweep(vm);
		return;
	}
	if (timer_arm(&vm->timer, vm->host->loop, clock_monotonic_us() + DOMAIN_GONE_LIMIT_US,
		      on_domain_overdue, vm) < 0)
		sweep(vm);
}

static void begin_end(struct vm *vm, const char *reason)
{
	if (vm->state >= VM_ENDING)
		return;
	set_reason(vm, reason);
	vm->state = VM_ENDING;
	vm->qmp = qmp_free(vm->qmp);
	vm->channel = channel_free(vm->channel);
	vm->on_saved = NULL;
	if (vm->pidfd >= 0 && !vm->process_gone)
		(void)pidfd_send_signal(vm->pidfd, SIGKILL, NULL, 0);
}

void vm_end(struct vm *vm, const char *reason)
{
	begin_end(vm, reason);
	/* What follows is asynchronous in any case: a job, a signal, an event. */
	vm_check_gone(vm);
}

void vm_failed(struct vm *vm, const char *reason, bool files_damaged)
{
	if (vm->state >= VM_ENDING)
		return;
	vm->want_last_words = vm->state < VM_LIVE;
	if (files_damaged && vm->source)
		template_mark_damaged(vm->source, reason);
	vm_end(vm, reason);
}

void host_domain_stopped(struct vm_host *host, const char *id)
{
	struct vm *vm;

	HASH_FIND_STR(host->vms, id, vm);
	if (!vm)
		return;
	vm->domain_gone = true;
	if (vm->state == VM_ENDING && vm->process_gone)
		vm_check_gone(vm);
}

/* ---- the process ---- */

static void describe_exit(const siginfo_t *info, char *out, size_t size)
{
	if (info->si_pid == 0)
		(void)snprintf(out, size, "QEMU ended");
	else if (info->si_code == CLD_EXITED)
		(void)snprintf(out, size, "QEMU exited with %d", info->si_status);
	else
		(void)snprintf(out, size, "QEMU was ended by signal %d (%s)", info->si_status,
			       strsignal(info->si_status));
}

/* Reaps it if it has ended. It may also be a daemon's child, or the reaper was first. */
static bool reap(const struct vm *vm, siginfo_t *ret)
{
	if (waitid(P_PIDFD, (id_t)vm->pidfd, ret, WEXITED | WNOHANG) == 0)
		return ret->si_pid != 0;
	if (pidfd_send_signal(vm->pidfd, 0, NULL, 0) == 0 || errno != ESRCH)
		return false;
	(void)reaper_recall(vm->host->reaper, vm->pid, ret);
	return true;
}

static bool process_has_ended(struct vm *vm)
{
	siginfo_t info = { 0 };
	bool damaged;
	char text[96];

	if (vm->process_gone)
		return true;
	if (vm->pidfd < 0 || !reap(vm, &info))
		return false;
	vm->process_gone = true;
	vm->exit_source = sd_event_source_disable_unref(vm->exit_source);
	describe_exit(&info, text, sizeof(text));
	/* A QEMU that gives up while it reads the device state does so because of the state. */
	damaged = vm->state == VM_LOADING && info.si_code == CLD_EXITED && info.si_status != 0;
	vm_failed(vm, text, damaged);
	return true;
}

static void on_zombie_again(void *arg)
{
	struct vm *vm = arg;

	if (!vm->process_gone)
		(void)sd_event_source_set_enabled(vm->exit_source, SD_EVENT_ON);
}

static int on_exit_readable(sd_event_source *source _unused_, int fd _unused_,
			    uint32_t revents _unused_, void *userdata)
{
	struct vm *vm = userdata;

	if (process_has_ended(vm)) {
		vm_check_gone(vm);
		return 0;
	}
	/* A zombie still, of the daemon whose child it is. */
	(void)sd_event_source_set_enabled(vm->exit_source, SD_EVENT_OFF);
	if (timer_arm(&vm->zombie_timer, vm->host->loop, clock_monotonic_us() + ZOMBIE_AGAIN_US,
		      on_zombie_again, vm) < 0)
		log_error("VM %s: no timer", vm->id);
	return 0;
}

static void on_exit_overdue(void *arg)
{
	struct vm *vm = arg;

	vm_failed(vm, vm->closed_reason, false);
}

void vm_connection_closed(struct vm *vm, const char *reason)
{
	if (vm->state >= VM_ENDING || vm->closed_reason[0] || process_has_ended(vm))
		return;
	/* A dying QEMU closes its sockets before it can be waited for, and how it ended is the
	 * better reason. */
	(void)snprintf(vm->closed_reason, sizeof(vm->closed_reason), "%s", reason);
	if (timer_arm(&vm->timer, vm->host->loop, clock_monotonic_us() + EXIT_LIMIT_US,
		      on_exit_overdue, vm) < 0)
		vm_failed(vm, reason, false);
}

/* ---- the start ---- */

void vm_loaded(struct vm *vm)
{
	vm->state = VM_LIVE;
	vm->loaded_us = clock_monotonic_us();
	vm->events.on_loaded(vm, vm->user);
}

static void on_message(const Mayfly__Guest__V1__GuestMessage *message, void *user)
{
	struct vm *vm = user;

	if (message->kind_case == MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_BOOTED)
		vm->host->info.init_resident_bytes = message->booted->init_resident_bytes;
	vm->events.on_message(vm, message, vm->user);
}

static void on_channel_closed(const char *reason, void *user)
{
	vm_connection_closed(user, reason);
}

static const struct channel_events channel_events = {
	.on_message = on_message,
	.on_closed = on_channel_closed,
};

static int watch_process(struct vm *vm)
{
	vm->pid = vm->spawn.pid;
	vm->pidfd = TAKE_FD(vm->spawn.pidfd);
	if (vm->pidfd < 0)
		return 0;
	return sd_event_add_io(loop_event(vm->host->loop), &vm->exit_source, vm->pidfd, EPOLLIN,
			       on_exit_readable, vm);
}

static int connect_guest(struct vm *vm)
{
	int r;

	r = vm_monitor_open(vm);
	if (r < 0)
		return r;
	r = channel_new(vm->host->loop, TAKE_FD(vm->spawn.channel_fd), &channel_events, vm,
			&vm->channel);
	if (r < 0 || !vm->spawn.state_path)
		return r;
	vm->state = VM_LOADING;
	return vm_monitor_load(vm);
}

static void say_cgroup_failure(struct vm *vm)
{
	static bool said;

	if (vm->spawn.cgroup_result >= 0 || said)
		return;
	said = true;
	log_warning("cannot set all limits of a VM's cgroup: %s",
		    strerror(-vm->spawn.cgroup_result));
}

static void on_spawned(struct job *job)
{
	struct vm *vm = container_of(job, struct vm, spawn.job);
	int r;

	vm->spawn_under_way = false;
	vm->spawned_us = vm->spawn.spawned_us;
	say_cgroup_failure(vm);
	r = watch_process(vm);
	if (r < 0) {
		vm->process_gone = true; /* nothing will tell us: libvirt ends it in the sweep */
		vm_failed(vm, "cannot watch QEMU", false);
	}
	if (vm->state == VM_ENDING) {
		if (vm->pidfd >= 0)
			(void)pidfd_send_signal(vm->pidfd, SIGKILL, NULL, 0);
		vm_check_gone(vm);
		return;
	}
	if (vm->spawn.result < 0) {
		vm_failed(vm, error_text(&vm->spawn.error), vm->spawn.files_damaged);
		return;
	}
	r = connect_guest(vm);
	close_p(&vm->spawn.state_fd);
	vm->spawn.state_fd = -1;
	if (r < 0) {
		vm_failed(vm, "cannot talk to QEMU", false);
		return;
	}
	if (vm->state == VM_SPAWNING)
		vm_loaded(vm);
}

static void spawn_work(struct job *job)
{
	spawn_run(container_of(job, struct spawn, job));
}

static int copy_string(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

static int fill_spawn(struct vm *vm, const struct vm_start *start, const struct image_file *root)
{
	struct vm_host *host = vm->host;
	struct spawn *spawn = &vm->spawn;

	*spawn = (struct spawn){
		.job = { .work = spawn_work, .done = on_spawned },
		.host = host,
		.ram_mode = start->ram_mode,
		.ram_bytes = start->ram_bytes,
		.vcpus = start->vcpus,
		.memory_mb = start->memory_mb,
		.ephemeral_storage_mb = start->ephemeral_storage_mb,
		.code_is_package = start->package_path != NULL,
		.cpu_weight = start->cpu_weight,
		.pidfd = -1,
		.monitor_fd = -1,
		.channel_fd = -1,
		.state_fd = -1,
	};
	if (start->files)
		spawn->files = *start->files;
	memcpy(spawn->id, vm->id, sizeof(spawn->id));
	if (start->cpu_group)
		memcpy(spawn->cpu_group, start->cpu_group, strlen(start->cpu_group) + 1);
	memcpy(spawn->root.digest, start->root_digest ? start->root_digest : root->digest,
	       DIGEST_HEX_BYTES);
	if (copy_string(&spawn->ram_path, start->ram_path) < 0 ||
	    copy_string(&spawn->root.path, root->path) < 0 ||
	    copy_string(&spawn->code_path,
			start->package_path ? start->package_path : host->placeholder_path) < 0 ||
	    copy_string(&spawn->scratch_source, start->scratch_source) < 0 ||
	    copy_string(&spawn->state_path, start->state_path) < 0)
		return -ENOMEM;
	return 0;
}

static int check_start(struct vm_host *host, const struct vm_start *start,
		       const struct runtime_image **ret_image, struct error *error)
{
	struct vm *other;

	if (!start->id || strlen(start->id) != VM_ID_BYTES - 1 ||
	    strspn(start->id, "0123456789abcdef") != VM_ID_BYTES - 1)
		return error_set(error, ERROR_INVALID_PARAMETER, "sandbox_id",
				 "a sandbox id is 32 lower-case hex digits");
	if (start->cpu_group && !host_cpu_group_is_valid(start->cpu_group))
		return error_set(error, ERROR_INVALID_PARAMETER, "cpu_group",
				 "a group of VMs is named by 1 to %d digits", CPU_GROUP_BYTES - 2);
	HASH_FIND_STR(host->vms, start->id, other);
	if (other)
		return error_set(error, ERROR_CONFLICT, "sandbox_id", "sandbox %s exists already",
				 start->id);
	*ret_image = runtime_catalogue_find(host->catalogue, start->runtime);
	if (!*ret_image)
		return error_set(error, ERROR_NOT_FOUND, "runtime", "there is no runtime \"%s\"",
				 start->runtime);
	return 0;
}

/* Until the VM is swept. */
static int take_user(struct vm *vm, struct error *error)
{
	struct vm_host *host = vm->host;
	struct spawn *spawn = &vm->spawn;

	spawn->uid = host->uid;
	spawn->gid = host->gid;
	if (!host->own_users)
		return 0;
	if (vm_users_take(host->users, &spawn->uid) < 0)
		return error_set(error, ERROR_UNAVAILABLE, NULL,
				 "all user ids for microVMs are in use (vm.uid_count)");
	spawn->gid = host->kvm_group ? host->kvm_group : spawn->uid;
	return 0;
}

int vm_start(struct vm_host *host, const struct vm_start *start, const struct vm_events *events,
	     void *user, struct vm **ret, struct error *error)
{
	const struct runtime_image *image;
	struct vm *vm;
	int r;

	r = check_start(host, start, &image, error);
	if (r < 0)
		return r;
	vm = calloc(1, sizeof(*vm));
	if (!vm)
		return error_set_errno(error, ENOMEM, "cannot start a VM");
	vm->host = host;
	vm->events = *events;
	vm->user = user;
	vm->pidfd = -1;
	vm->requested_us = clock_monotonic_us();
	memcpy(vm->id, start->id, sizeof(vm->id));
	STAILQ_INIT(&vm->waiters);
	r = fill_spawn(vm, start, &image->file);
	if (r >= 0)
		r = take_user(vm, error);
	if (r < 0) {
		spawn_clear(&vm->spawn);
		free(vm);
		return error_set_errno(error, r, "cannot start a VM");
	}
	if (start->source) {
		vm->source = template_ref(start->source);
		template_add_clone(vm->source);
	}
	HASH_ADD_STR(host->vms, id, vm);
	vm->spawn_under_way = true;
	reaper_expect(host->reaper);
	loop_submit(host->loop, &vm->spawn.job);
	*ret = vm;
	return 0;
}

uint64_t vm_ram_bytes(const struct vm_host *host, unsigned memory_mb)
{
	return ((uint64_t)memory_mb + host->guest_overhead_mb) << 20;
}

/* Under TCG more would only wait for one another: a host has few processors to emulate with. */
unsigned vm_vcpus(enum accelerator accelerator, unsigned memory_mb)
{
	unsigned count = (memory_mb + LAMBDA_MB_PER_CPU - 1) / LAMBDA_MB_PER_CPU;

	if (accelerator != ACCELERATOR_KVM || count < 1)
		return 1;
	return count < VCPUS_MAX ? count : VCPUS_MAX;
}

int vm_clone(struct vm_host *host, const struct vm_clone_request *request,
	     const struct vm_events *events, void *user, struct vm **ret, struct error *error)
{
	struct vm_start start = {
		.id = request->sandbox_id,
		.cpu_group = request->cpu_group,
		.cpu_weight = request->cpu_weight,
		.package_path = request->package_path,
		.memory_mb = request->memory_mb,
		.ephemeral_storage_mb = request->ephemeral_storage_mb,
	};

	if (template_is_sealed(request->source))
		return error_set(error, ERROR_UNAVAILABLE, NULL,
				 "the template was closed in this moment");
	template_fill_start(request->source, &start);
	start.ram_mode = RAM_PRIVATE;
	return vm_start(host, &start, events, user, ret, error);
}

int vm_boot(struct vm_host *host, const struct vm_boot_request *request,
	    const struct vm_events *events, void *user, struct vm **ret, struct error *error)
{
	const struct vm_start start = {
		.id = request->sandbox_id,
		.cpu_group = request->cpu_group,
		.cpu_weight = request->cpu_weight,
		.ram_mode = request->ram_path ? RAM_SHARED : RAM_ANONYMOUS,
		.ram_path = request->ram_path,
		.ram_bytes = vm_ram_bytes(host, request->memory_mb),
		.vcpus = vm_vcpus(host->verdict.accelerator, request->memory_mb),
		.runtime = request->runtime,
		.package_path = request->package_path,
		.memory_mb = request->memory_mb,
		.ephemeral_storage_mb = request->ephemeral_storage_mb,
	};

	host_refresh_images(host);
	return vm_start(host, &start, events, user, ret, error);
}

int vm_send(struct vm *vm, const Mayfly__Guest__V1__HostMessage *message)
{
	return vm->channel ? channel_send(vm->channel, message) : -ENOTCONN;
}

void vm_facts(const struct vm *vm, struct vm_facts *ret)
{
	*ret = (struct vm_facts){
		.pid = vm->pid,
		.requested_us = vm->requested_us,
		.spawned_us = vm->spawned_us,
		.loaded_us = vm->loaded_us,
		.running = vm->running,
		.vcpus = vm->spawn.vcpus,
		.cpu_us = -1,
	};
	if (vm->state == VM_SWEEPING && vm->sweep.cpu_result == 0)
		ret->cpu_us = (int64_t)vm->sweep.cpu_us;
}

int vm_host_read_cpu(const struct vm_host *host, const char *cpu_group, const char *sandbox_id,
		     uint64_t *ret_us)
{
	return cgroup_read_cpu(&host->cgroups, cpu_group, sandbox_id, ret_us);
}

int vm_read_anonymous_bytes(pid_t pid, uint64_t *ret)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	const char *line;
	char path[64];
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	r = fs_read_file(path, 1U << 16, &text);
	if (r < 0)
		return r;
	line = strstr(buf_string(&text), "\nAnonymous:");
	if (!line)
		return -ENOENT;
	*ret = strtoull(line + strlen("\nAnonymous:"), NULL, 10) * 1024;
	return 0;
}
