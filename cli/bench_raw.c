/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/bench_raw.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include "cli/output.h"

#define PROGRAM       "mayfly-raw-qemu"
#define MAX_OUTPUT    (1U << 20)
#define PATH_VARIABLE "MAYFLY_RAW_QEMU"

extern char **environ;

/* $MAYFLY_RAW_QEMU, the installed one, or the one of the build folder we are in. */
static int find_program(char *out, size_t size)
{
	static const char *const below[] = { "../lib/mayfly/" PROGRAM, "../libexec/mayfly/" PROGRAM,
					     "../agent/" PROGRAM, "../agent/vm/" PROGRAM,
					     "../tests/bench/" PROGRAM };
	const char *named = getenv(PATH_VARIABLE);
	char self[4096];

	if (named && *named)
		return snprintf(out, size, "%s", named) < (int)size ? 0 : -ENAMETOOLONG;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		return -errno;
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(below); i++) {
		if (snprintf(out, size, "%s/%s", self, below[i]) >= (int)size)
			return -ENAMETOOLONG;
		if (access(out, X_OK) == 0)
			return 0;
	}
	return -ENOENT;
}

static int spawn_reading(char *const argv[], pid_t *ret_pid, int *ret_fd)
{
	posix_spawn_file_actions_t actions;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	int r = posix_spawn(ret_pid, argv[0], &actions, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)close(ends[1]);
	if (r != 0) {
		(void)close(ends[0]);
		return -r;
	}
	*ret_fd = ends[0];
	return 0;
}

static int read_all(int fd, struct buf *out)
{
	char chunk[4096];
	ssize_t n;

	out->max = MAX_OUTPUT;
	while ((n = read(fd, chunk, sizeof(chunk))) > 0) {
		int r = buf_append(out, chunk, (size_t)n);
		if (r < 0)
			return r;
	}
	return n < 0 ? -errno : 0;
}

static int run_program(struct bench *bench, const char *path, uint64_t n, json_t **ret)
{
	struct error *e = &bench->context->error;
	_cleanup_buf_ struct buf out = BUF_INIT;
	_cleanup_close_ int fd = -1;
	char count[24], memory[24];
	int status = 0;
	pid_t pid;

	(void)snprintf(count, sizeof(count), "%llu", (unsigned long long)n);
	(void)snprintf(memory, sizeof(memory), "%llu", (unsigned long long)bench->memory_mb);
	char *const argv[] = { (char *)path,
			       (char *)"--runtime",
			       (char *)bench->runtime,
			       (char *)"--memory-size",
			       memory,
			       (char *)"-n",
			       count,
			       NULL };
	progress("raw: %llu samples", (unsigned long long)n);
	int r = spawn_reading(argv, &pid, &fd);
	if (r < 0)
		return error_set_errno(e, r, "cannot run %s", path);
	r = read_all(fd, &out);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	progress_end();
	if (r < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return error_set(e, ERROR_UNAVAILABLE, NULL, "%s failed", path);
	*ret = json_loadb((const char *)out.data, out.len, 0, NULL);
	if (!json_is_number(json_object_get(*ret, "p50_ms")))
		return error_set(e, ERROR_INTERNAL, NULL, "%s answered without p50_ms", path);
	return 0;
}

int bench_raw(struct bench *bench, uint64_t n, bool wanted, json_t **ret)
{
	char path[4608];

	if (!wanted && geteuid() != 0)
		return 0;
	int r = find_program(path, sizeof(path));
	if (r < 0 && !wanted)
		return 0;
	if (r < 0)
		return error_set(&bench->context->error, ERROR_NOT_FOUND, NULL,
				 PROGRAM " is not here; it runs on the node itself");
	return run_program(bench, path, n, ret);
}
