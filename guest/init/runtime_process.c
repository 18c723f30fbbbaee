/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#include "boot.h"
#include "guest.h"
#include "process.h"

#define ARGV_MAX 8

static const char *const bootstraps[] = {
	"/var/task/bootstrap",
	"/opt/bootstrap",
	"/var/runtime/bootstrap",
	NULL,
};
static const char *const pythons[] = { "/var/lang/bin/python3", "/usr/bin/python3", NULL };
static const char *const nodes[] = { "/var/lang/bin/node", "/usr/bin/node", NULL };

/* The first regular, executable file; links are followed inside the root only. */
static const char *find_executable(const char *root, const char *const *paths)
{
	_cleanup_close_ int root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };

	for (; root_fd >= 0 && *paths; paths++) {
		_cleanup_close_ int fd =
			(int)syscall(SYS_openat2, root_fd, *paths, &how, sizeof(how));
		struct stat st;
		if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111))
			return *paths;
	}
	return NULL;
}

/* V8 sizes its heap by the machine, which has little; a function may use most of its own
 * memory, whose limit is the cgroup's. */
static void format_heap_option(char *out, size_t size)
{
	struct sysinfo info;
	unsigned long mb = sysinfo(&info) == 0 ? info.totalram * info.mem_unit >> 20 : 128;

	(void)snprintf(out, size, "--max-old-space-size=%lu", mb * 3 / 4);
}

static int plan_argv(const struct guest *guest, const char *wrapper, char *heap, size_t heap_size,
		     const char *argv[ARGV_MAX], struct outcome *outcome)
{
	size_t n = 0;
	const char *program;

	if (guest->runtime_kind == (int)RUNTIME(PROVIDED)) {
		argv[0] = find_executable(BOOT_ROOT, bootstraps);
		argv[1] = NULL;
		if (argv[0])
			return 0;
		outcome_set_platform(outcome, STATUS(EXIT), "Runtime.InvalidEntrypoint",
				     guest->invocation.request_id,
				     "Couldn't find valid bootstrap(s): [%s %s]", bootstraps[0],
				     bootstraps[1]);
		return -ENOENT;
	}
	bool python = guest->runtime_kind == (int)RUNTIME(PYTHON);
	program = find_executable(BOOT_ROOT, python ? pythons : nodes);
	if (!program) {
		outcome_set_platform(outcome, STATUS(GUEST_FAILURE), "Sandbox.Failure", NULL,
				     "the runtime image has no %s", python ? "python3" : "node");
		return -ENOENT;
	}
	if (wrapper && *wrapper)
		argv[n++] = wrapper;
	argv[n++] = program;
	if (!python) {
		format_heap_option(heap, heap_size);
		argv[n++] = heap;
	}
	argv[n++] = python ? "/var/runtime/bootstrap.py" : "/var/runtime/bootstrap.cjs";
	argv[n] = NULL;
	return 0;
}

static void close_all(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (fds[i] >= 0)
			(void)close(TAKE_FD(fds[i]));
}

/* fds: our end of the link, the process's end, the log write ends. */
static int open_descriptors(struct guest *guest, int fds[2 + _LOGS_STREAMS])
{
	for (size_t i = 0; i < 2 + _LOGS_STREAMS; i++)
		fds[i] = -1;
	int r = logs_open_pipes(&guest->logs, fds + 2);
	if (r < 0)
		return r;
	if (guest->runtime_kind == (int)RUNTIME(PROVIDED)) {
		(void)close(TAKE_FD(fds[2 + LOGS_TELEMETRY]));
		return 0;
	}
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 ? -errno : 0;
}

static int start_planned(struct guest *guest, const char *const *argv,
			 const struct environment *environment)
{
	int fds[2 + _LOGS_STREAMS];
	int r = open_descriptors(guest, fds);

	if (r == 0) {
		struct process_plan plan = {
			.unlimited = guest->prime == PRIME_RUNS,
			.root = BOOT_ROOT,
			.argv = argv,
			.environment = (const char *const *)environment->entries,
			.link_fd = fds[1],
			.log_fds = { fds[2], fds[3], fds[4] },
		};
		r = process_start(&plan, &guest->pid);
	}
	if (r == 0 && fds[0] >= 0) {
		r = shim_open(&guest->shim, &guest->loop, fds[0], &guest_shim_listener, guest);
		if (r == 0)
			fds[0] = -1;
	}
	close_all(fds, ARRAY_SIZE(fds));
	return r;
}

int runtime_process_start(struct guest *guest, const struct environment *environment,
			  struct outcome *outcome)
{
	const char *argv[ARGV_MAX];
	char heap[48];
	const char *wrapper = environment_get(environment, "AWS_LAMBDA_EXEC_WRAPPER");

	runtime_process_kill(guest);
	int r = plan_argv(guest, wrapper, heap, sizeof(heap), argv, outcome);
	if (r < 0)
		return r;
	bool snap_start =
		guest->function && guest->function->initialization_type == INIT_TYPE(SNAP_START);
	runtime_api_reset(&guest->api, snap_start);
	guest->oom_kills = process_oom_kills();
	guest->starved = false;
	memory_watch_renew(&guest->memory);
	r = start_planned(guest, argv, environment);
	if (r < 0) {
		outcome_set_platform(outcome, STATUS(EXIT), "Runtime.InvalidEntrypoint",
				     guest->invocation.request_id, "fork/exec %s: %s", argv[0],
				     process_errno_text(-r));
		runtime_process_kill(guest);
		return r;
	}
	bool shim = guest->runtime_kind != (int)RUNTIME(PROVIDED);
	guest->runtime = shim ? RUNTIME_STARTING : RUNTIME_LOADING;
	return 0;
}

uint64_t runtime_process_memory_peak(const struct guest *guest)
{
	uint64_t peak = process_memory_peak();

	if (peak == 0)
		return 0;
	peak += guest->language_bytes;
	uint64_t limit = guest->function ? (uint64_t)guest->function->memory_mb << 20 : 0;
	return limit && peak > limit ? limit : peak;
}

void runtime_process_kill(struct guest *guest)
{
	guest->kill_wanted = false;
	guest->runtime = RUNTIME_NONE;
	guest->shim_spoke = false;
	if (guest->pid > 0)
		process_kill_all(guest->pid, NULL);
	guest->pid = 0;
	shim_close(&guest->shim);
	runtime_api_reset(&guest->api, false);
	logs_close_pipes(&guest->logs);
}

void runtime_process_kill_later(struct guest *guest)
{
	guest->runtime = RUNTIME_NONE;
	guest->kill_wanted = true;
}

void runtime_process_reap(struct guest *guest)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG);
		if (pid <= 0)
			return;
		if (pid != guest->pid)
			continue;
		guest->pid = 0;
		tasks_on_exit(guest, status);
		/* Whatever it left behind goes too. */
		process_kill_all(0, NULL);
		runtime_process_kill_later(guest);
	}
}
