/* SPDX-License-Identifier: Apache-2.0 */

#include "guest.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "boot.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"
#include "package.h"
#include "process.h"

#define SEED_BYTES    64
#define LAST_WORDS_US USEC_PER_SEC

void guest_fail(struct guest *guest, const char *format, ...)
{
	Mayfly__Guest__V1__Fatal fatal = MAYFLY__GUEST__V1__FATAL__INIT;
	char text[256];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_error("%s", text);
	fatal.message = text;
	guest_message message = GUEST_MESSAGE(.fatal = &fatal, FATAL);
	int r = channel_send(&guest->channel, &message);
	if (r < 0)
		log_error("the agent could not be told: %s", strerror(-r));
	guest->loop.stop = true;
}

/* ---- messages ---- */

static bool runtime_has_shim(const struct guest *guest)
{
	return guest->shim_spoke && shim_is_open(&guest->shim) && guest->pid > 0;
}

static void start_prepared(struct guest *guest)
{
	_cleanup_outcome_ struct outcome outcome = OUTCOME_OK;
	_cleanup_environment_ struct environment environment = { 0 };

	guest->logs.discard = true;
	int r = environment_set_base(&environment, guest->runtime_kind);
	if (r == 0)
		r = runtime_process_start(guest, &environment, &outcome);
	if (r < 0)
		tasks_finish(guest, &outcome);
}

static int limit_memory(struct guest *guest, uint32_t memory_mb)
{
	if (guest->limit_mb == memory_mb)
		return 0;
	int r = process_cgroup_limit(memory_mb);
	if (r < 0)
		return r;
	guest->limit_mb = memory_mb;
	memory_watch_limit(&guest->memory, (uint64_t)memory_mb << 20);
	return 0;
}

static void on_prepare(struct guest *guest, const prepare_message *message)
{
	char failure[BOOT_FAILURE_SIZE];

	if (message->ephemeral_storage_mb && boot_mount_scratch(failure) < 0) {
		guest_fail(guest, "prepare: %s", failure);
		return;
	}
	guest->scratch_mb = message->ephemeral_storage_mb;
	if (message->memory_mb && limit_memory(guest, message->memory_mb) < 0) {
		guest_fail(guest, "prepare: the memory limit cannot be set");
		return;
	}

	guest->task = TASK_PREPARE;
	guest->runtime_kind = (int)message->runtime;
	if (message->runtime == RUNTIME(PROVIDED)) {
		tasks_finish_ok(guest);
		return;
	}
	timer_arm(&guest->deadline, clock_monotonic_us() + GUEST_PREPARE_US);
	guest->warm_rounds = message->warm_rounds;
	/* Only a template is worth two starts; a guest that boots to serve is in a hurry. */
	guest->prime = message->warm_rounds > 0 ? PRIME_RUNS : PRIME_NONE;
	start_prepared(guest);
}

static void on_restore(struct guest *guest, const restore_message *message)
{
	uint8_t seed[SEED_BYTES];
	struct slice entropy = slice_new(message->entropy.data, message->entropy.len);
	int r = boot_add_entropy(entropy);

	if (r == 0)
		r = boot_set_clock(message->realtime_us);
	if (r < 0) {
		guest_fail(guest, "restore: %s", strerror(-r));
		return;
	}
	if (sethostname(message->sandbox_id, strnlen(message->sandbox_id, 63)) < 0)
		log_warning("host name: %s", strerror(errno));
	guest->task = TASK_RESTORE;
	timer_arm(&guest->deadline, clock_monotonic_us() + GUEST_HOOKS_US);
	if (guest->runtime == RUNTIME_AWAIT_RESTORE &&
	    runtime_api_send_restored(&guest->api) == 0) {
		guest->runtime = RUNTIME_LOADING;
		return;
	}
	if (!runtime_has_shim(guest) || getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed) ||
	    shim_send(&guest->shim, SHIM_RESEED, guest->function ? SHIM_FLAG_RESTORE_HOOKS : 0,
		      SLICE_INIT, slice_new(seed, sizeof(seed))) < 0)
		tasks_finish_ok(guest);
	explicit_bzero(seed, sizeof(seed));
}

static int kind_of(const char *runtime_name)
{
	if (strncmp(runtime_name, "python", 6) == 0)
		return RUNTIME(PYTHON);
	if (strncmp(runtime_name, "nodejs", 6) == 0)
		return RUNTIME(NODEJS);
	return RUNTIME(PROVIDED);
}

/* Without the package, which is placed by then. */
static initialize_message *copy_initialize(const initialize_message *message)
{
	initialize_message slim = *message;

	slim.n_files = slim.n_bytecode = slim.n_layer_files = 0;
	size_t len = mayfly__guest__v1__initialize__get_packed_size(&slim);
	_cleanup_free_ uint8_t *packed = malloc(len ? len : 1);

	if (!packed)
		return NULL;
	(void)mayfly__guest__v1__initialize__pack(&slim, packed);
	return mayfly__guest__v1__initialize__unpack(NULL, len, packed);
}

int guest_place(struct guest *guest, const struct guest_files *files,
		char failure[BOOT_FAILURE_SIZE])
{
	int r = package_place(files->files, files->count, failure);

	if (r == 0 && files->layer_count)
		r = package_place_layers(files->layer_files, files->layer_count, failure);
	if (r < 0)
		return r;
	/* With layers the names on the first level do not tell which module is meant. */
	if (files->layer_count)
		guest->has_libraries = package_has_layer_libraries();
	else
		package_list(files->files, files->count, guest->entries);
	guest->placed = true;
	return 0;
}

bool guest_needs_restart(const struct guest *guest, const initialize_message *message)
{
	return guest->has_libraries || environment_needs_restart(message);
}

static int place_code(struct guest *guest, const initialize_message *message,
		      char failure[BOOT_FAILURE_SIZE])
{
	const struct guest_files files = { message->files, message->n_files, message->layer_files,
					   message->n_layer_files };

	if (guest->placed)
		return 0;
	if (files.count)
		return guest_place(guest, &files, failure);
	if (!message->layered)
		return boot_mount_code(failure);
	int r = boot_mount_layered_code(failure);
	if (r == 0)
		guest->has_libraries = package_has_layer_libraries();
	return r;
}

static int mount_function(struct guest *guest, const initialize_message *message,
			  char failure[BOOT_FAILURE_SIZE])
{
	uint32_t wanted_mb = message->ephemeral_storage_mb;
	int r = place_code(guest, message, failure);

	if (r < 0)
		return r;
	if (!guest->scratch_mb)
		return boot_mount_scratch(failure);
	return wanted_mb > guest->scratch_mb ? boot_grow_scratch(wanted_mb, failure) : 0;
}

/* Disks and limits; what fails here is the node's fault, not the function's. */
static int place_function(struct guest *guest, const initialize_message *message,
			  struct outcome *outcome)
{
	char failure[BOOT_FAILURE_SIZE] = "";
	int r = mount_function(guest, message, failure);

	if (r == 0) {
		r = limit_memory(guest, message->memory_mb);
		if (r < 0)
			(void)snprintf(failure, sizeof(failure), "memory limit: %s", strerror(-r));
	}
	if (r < 0)
		outcome_set_platform(outcome, STATUS(GUEST_FAILURE), "Sandbox.Failure", NULL, "%s",
				     failure);
	return r;
}

static void on_initialize(struct guest *guest, const initialize_message *message)
{
	_cleanup_outcome_ struct outcome outcome = OUTCOME_OK;

	if (guest->function) {
		guest_fail(guest, "Initialize came twice");
		return;
	}
	guest->function = copy_initialize(message);
	if (guest->runtime_kind == 0)
		guest->runtime_kind = kind_of(message->runtime_name);
	if (!guest->function ||
	    environment_set_function(&guest->environment, guest->runtime_kind, message) < 0) {
		guest_fail(guest, "no memory for the function's environment");
		return;
	}
	guest->task = TASK_INITIALIZE;
	guest->init_started_us = clock_monotonic_us();
	if (place_function(guest, message, &outcome) < 0) {
		tasks_finish(guest, &outcome);
		return;
	}
	compile_deliver(guest, message);
	timer_arm(&guest->deadline,
		  clock_monotonic_us() + message->init_timeout_ms * USEC_PER_MSEC);
	tasks_begin_init(guest);
}

static void on_compile(struct guest *guest, const Mayfly__Guest__V1__Compile *message)
{
	if (guest->function || guest->placed) {
		guest_fail(guest, "Compile came too late");
		return;
	}
	guest->task = TASK_COMPILE;
	timer_arm(&guest->deadline, clock_monotonic_us() + GUEST_COMPILE_US);
	compile_begin(guest, message);
}

static void on_warm(struct guest *guest, uint32_t rounds)
{
	bool waits = guest->runtime == RUNTIME_IDLE || guest->runtime == RUNTIME_READY;

	guest->task = TASK_WARM;
	timer_arm(&guest->deadline, clock_monotonic_us() + GUEST_HOOKS_US);
	if (waits && runtime_has_shim(guest))
		tasks_start_pings(guest, rounds);
	else
		tasks_finish_ok(guest);
}

static void on_prepare_snapshot(struct guest *guest)
{
	guest->task = TASK_SNAPSHOT;
	timer_arm(&guest->deadline, clock_monotonic_us() + GUEST_HOOKS_US);
	if (!runtime_has_shim(guest) ||
	    shim_send(&guest->shim, SHIM_BEFORE_SNAPSHOT, 0, SLICE_INIT, SLICE_INIT) < 0)
		tasks_finish_ok(guest);
}

static void on_shutdown(struct guest *guest, uint32_t grace_ms)
{
	guest->task = TASK_SHUTDOWN;
	if (grace_ms == 0 || guest->pid <= 0 || kill(guest->pid, SIGTERM) < 0) {
		guest->loop.stop = true;
		return;
	}
	timer_arm(&guest->deadline, clock_monotonic_us() + grace_ms * USEC_PER_MSEC);
}

static void dispatch_task(struct guest *guest, const host_message *message)
{
	if (guest->task != TASK_NONE) {
		guest_fail(guest, "message %d came while task %d is not done",
			   (int)message->kind_case, (int)guest->task);
		return;
	}
	/* What the last task left to be killed must not be taken for a runtime. */
	if (guest->kill_wanted)
		runtime_process_kill(guest);
	switch (message->kind_case) {
	case HOST_KIND(PREPARE):
		on_prepare(guest, message->prepare);
		return;
	case HOST_KIND(RESTORE):
		on_restore(guest, message->restore);
		return;
	case HOST_KIND(INITIALIZE):
		on_initialize(guest, message->initialize);
		return;
	case HOST_KIND(COMPILE):
		on_compile(guest, message->compile);
		return;
	case HOST_KIND(WARM):
		on_warm(guest, message->warm->rounds);
		return;
	case HOST_KIND(INVOKE):
		invocation_begin(guest, message->invoke);
		return;
	case HOST_KIND(PREPARE_SNAPSHOT):
		on_prepare_snapshot(guest);
		return;
	default:
		guest_fail(guest, "unknown message %d", (int)message->kind_case);
	}
}

static void on_message(const host_message *message, void *user)
{
	struct guest *guest = user;

	switch (message->kind_case) {
	case HOST_KIND(PAYLOAD):
		invocation_add_payload(guest, message->payload);
		return;
	case HOST_KIND(THAW):
		(void)boot_set_clock(message->thaw->realtime_us);
		return;
	case HOST_KIND(SHUTDOWN):
		on_shutdown(guest, message->shutdown->grace_ms);
		return;
	default:
		dispatch_task(guest, message);
	}
}

static void on_channel_broken(const char *reason, void *user)
{
	guest_fail(user, "%s", reason);
}

/* ---- life ---- */

static void on_signal(struct event_source *source, uint32_t events, void *user)
{
	struct signalfd_siginfo info;

	(void)events;
	if (read(source->fd, &info, sizeof(info)) > 0)
		runtime_process_reap(user);
}

static void before_sleep(void *user)
{
	struct guest *guest = user;

	channel_flush(&guest->channel);
	if (guest->kill_wanted) {
		/* Its answer is out: what the dying still write belongs to no invocation. */
		guest->logs.discard = true;
		runtime_process_kill(guest);
		guest->logs.discard = false;
	}
	if (guest->prime == PRIME_DONE && guest->task == TASK_PREPARE) {
		guest->prime = PRIME_NONE;
		start_prepared(guest);
	}
	invocation_release_pressure(guest);
}

static void on_starved(void *user)
{
	struct guest *guest = user;

	/* Ends like a kill by the kernel does: by SIGCHLD. */
	guest->starved = true;
	process_cgroup_kill();
}

static int watch_children(struct guest *guest)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	return event_add(&guest->loop, &guest->signals, fd, EPOLLIN, on_signal, guest);
}

int guest_open(struct guest *guest, int port_fd)
{
	int r = event_loop_open(&guest->loop);

	if (r < 0)
		return r;
	guest->shim.loop = &guest->loop;
	guest->shim.source = EVENT_SOURCE_INIT;
	guest->invocation.outcome = OUTCOME_OK;
	guest->loop.before_sleep = before_sleep;
	guest->loop.before_sleep_user = guest;
	timer_add(&guest->loop, &guest->deadline, tasks_on_deadline, guest);
	memory_watch_init(&guest->memory, &guest->loop, on_starved, guest);
	logs_init(&guest->logs, &guest->loop, &guest->channel);
	runtime_api_init(&guest->api, &guest->loop, &guest_api_listener, guest);
	r = channel_open(&guest->channel, &guest->loop, port_fd, on_message, on_channel_broken,
			 guest);
	return r < 0 ? r : watch_children(guest);
}

static uint64_t resident_bytes(void)
{
	unsigned long size = 0, resident = 0;
	_cleanup_fclose_ FILE *file = fopen("/proc/self/statm", "re");

	if (!file || fscanf(file, "%lu %lu", &size, &resident) != 2)
		return 0;
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

int guest_send_booted(struct guest *guest)
{
	static char version[] = MAYFLY_VERSION;
	Mayfly__Guest__V1__Booted booted = MAYFLY__GUEST__V1__BOOTED__INIT;
	struct utsname name = { 0 };
	struct timespec now = { 0 };

	(void)uname(&name);
	(void)clock_gettime(CLOCK_BOOTTIME, &now);
	booted.init_version = version;
	booted.kernel_release = name.release;
	booted.init_resident_bytes = resident_bytes();
	booted.boot_us = (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
	guest_message message = GUEST_MESSAGE(.booted = &booted, BOOTED);
	return channel_send(&guest->channel, &message);
}

int guest_run(struct guest *guest)
{
	int r = event_loop_run(&guest->loop);

	channel_flush_blocking(&guest->channel, LAST_WORDS_US);
	return r;
}
