/* SPDX-License-Identifier: Apache-2.0 */

#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mayfly/clock.h"

#define KILL_WAIT_US   2000000
#define FALLBACK_USER  993
#define FALLBACK_GROUP 990
#define TASK_ROOT      "/var/task"

struct identity {
	uid_t uid;
	gid_t gid;
};

static int write_file(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static ssize_t read_file(const char *path, char *out, size_t size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, out, size - 1);
	if (n < 0)
		return -errno;
	out[n] = '\0';
	return n;
}

int process_cgroup_create(void)
{
	int r = write_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory +pids");

	if (mkdir(PROCESS_CGROUP, 0755) < 0 && errno != EEXIST)
		return -errno;
	return r;
}

int process_cgroup_limit(unsigned memory_mb)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)memory_mb << 20);
	int r = write_file(PROCESS_CGROUP "/memory.max", text);
	if (r < 0)
		return r;
	/* A kernel without swap accounting has no such file, and no swap either. */
	(void)write_file(PROCESS_CGROUP "/memory.swap.max", "0");
	return write_file(PROCESS_CGROUP "/memory.oom.group", "1");
}

static uint64_t read_number(const char *path, const char *key)
{
	char text[512];

	if (read_file(path, text, sizeof(text)) <= 0)
		return 0;
	const char *at = *key ? strstr(text, key) : text;
	return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

uint64_t process_memory_peak(void)
{
	/* Read at the end of every invocation: kept open. */
	static int fd = -1;
	static uint64_t highest;
	char text[32];

	if (fd < 0)
		fd = open(PROCESS_CGROUP "/memory.peak", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fd = open(PROCESS_CGROUP "/memory.current", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);
	if (n <= 0)
		return highest;
	text[n] = '\0';
	uint64_t peak = strtoull(text, NULL, 10);
	if (peak > highest)
		highest = peak;
	return highest;
}

uint64_t process_file_bytes(pid_t pid)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	unsigned long shared = 0;
	if (!file || fscanf(file, "%*u %*u %lu", &shared) != 1)
		return 0;
	return shared * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t process_oom_kills(void)
{
	return read_number(PROCESS_CGROUP "/memory.events", "oom_kill ");
}

void process_cgroup_kill(void)
{
	(void)write_file(PROCESS_CGROUP "/cgroup.kill", "1");
}

static struct identity find_user(const char *root)
{
	struct identity identity = { FALLBACK_USER, FALLBACK_GROUP };
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/etc/passwd", root);
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	if (!file)
		return identity;
	for (struct passwd *entry; (entry = fgetpwent(file));) {
		if (strcmp(entry->pw_name, PROCESS_USER) != 0)
			continue;
		identity = (struct identity){ entry->pw_uid, entry->pw_gid };
		break;
	}
	return identity;
}

static int set_limits(void)
{
	static const struct {
		int resource;
		struct rlimit limit;
	} limits[] = {
		{ RLIMIT_NOFILE, { 1024, 1024 } },
		{ RLIMIT_NPROC, { 742, 742 } },
		{ RLIMIT_STACK, { 8U << 20, RLIM_INFINITY } },
		{ RLIMIT_CORE, { 10ULL << 30, 10ULL << 30 } },
		{ RLIMIT_MEMLOCK, { 65536, 65536 } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		if (setrlimit((__rlimit_resource_t)limits[i].resource, &limits[i].limit) < 0)
			return -errno;
	return 0;
}

/* Moves descriptors to their places. All sources are first lifted above the targets, so that
 * no dup2 overwrites one that is still needed. */
static int place_descriptors(const struct process_plan *plan)
{
	const struct {
		int from;
		int to;
	} moves[] = {
		{ plan->log_fds[LOGS_STDOUT], STDOUT_FILENO },
		{ plan->log_fds[LOGS_STDERR], STDERR_FILENO },
		{ plan->link_fd, PROCESS_LINK_FD },
		{ plan->log_fds[LOGS_TELEMETRY], PROCESS_TELEMETRY_FD },
	};
	int lifted[ARRAY_SIZE(moves)];

	for (size_t i = 0; i < ARRAY_SIZE(moves); i++) {
		lifted[i] = moves[i].from < 0 ? -1 : fcntl(moves[i].from, F_DUPFD_CLOEXEC, 10);
		if (moves[i].from >= 0 && lifted[i] < 0)
			return -errno;
	}
	for (size_t i = 0; i < ARRAY_SIZE(moves); i++)
		if (lifted[i] >= 0 && dup2(lifted[i], moves[i].to) < 0)
			return -errno;
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0)
		return -errno;
	return 0;
}

static int enter_root(const char *root, struct identity identity)
{
	if (chroot(root) < 0 || chdir(TASK_ROOT) < 0)
		return -errno;
	int r = set_limits();
	if (r < 0)
		return r;
	if (setgroups(0, NULL) < 0 || setresgid(identity.gid, identity.gid, identity.gid) < 0 ||
	    setresuid(identity.uid, identity.uid, identity.uid) < 0)
		return -errno;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

_Noreturn static void run_child(const struct process_plan *plan, struct identity identity,
				int report_fd)
{
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)setsid();
	(void)umask(022);
	/* A kernel without cgroups runs the function unlimited; the cgroup's maker said so. */
	if (!plan->unlimited)
		(void)write_file(PROCESS_CGROUP "/cgroup.procs", "0");
	/* The report must survive place_descriptors(). */
	int report = fcntl(report_fd, F_DUPFD_CLOEXEC, 20);
	int r = place_descriptors(plan);
	if (r == 0)
		r = enter_root(plan->root, identity);
	if (r == 0) {
		(void)execve(plan->argv[0], (char *const *)(uintptr_t)plan->argv,
			     (char *const *)(uintptr_t)plan->environment);
		r = -errno;
	}
	(void)!write(report, &r, sizeof(r));
	_exit(127);
}

static int wait_exec(int fd, pid_t pid)
{
	int failure = 0;
	ssize_t n;

	do
		n = read(fd, &failure, sizeof(failure));
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(failure))
		return 0;
	(void)waitpid(pid, NULL, 0);
	return failure < 0 ? failure : -EIO;
}

int process_start(const struct process_plan *plan, pid_t *ret)
{
	_cleanup_close_ int read_end = -1;
	_cleanup_close_ int write_end = -1;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	read_end = ends[0];
	write_end = ends[1];
	struct identity identity = find_user(plan->root);
	pid_t pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		run_child(plan, identity, write_end);
	(void)close(TAKE_FD(write_end));
	int r = wait_exec(read_end, pid);
	if (r < 0)
		return r;
	*ret = pid;
	return 0;
}

static bool cgroup_is_populated(void)
{
	return read_number(PROCESS_CGROUP "/cgroup.events", "populated ") != 0;
}

void process_kill_all(pid_t main_pid, int *ret_status)
{
	int64_t end = clock_monotonic_us() + KILL_WAIT_US;
	bool alive = main_pid > 0;

	process_cgroup_kill();
	if (alive)
		(void)kill(main_pid, SIGKILL);
	while ((alive || cgroup_is_populated()) && clock_monotonic_us() < end) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG);
		if (pid == main_pid && alive) {
			alive = false;
			if (ret_status)
				*ret_status = status;
		}
		if (pid <= 0)
			(void)poll(NULL, 0, 1);
	}
}

const char *process_errno_text(int errno_value)
{
	switch (errno_value) {
	case ENOENT:
		return "no such file or directory";
	case EACCES:
		return "permission denied";
	case ENOEXEC:
		return "exec format error";
	case ENOMEM:
		return "cannot allocate memory";
	default:
		return strerror(errno_value);
	}
}
