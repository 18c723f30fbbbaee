/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/bench_raw.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "cli/output.h"
#include "mayfly/fs.h"

#define PROGRAM       "mayfly-raw-qemu"
#define MAX_OUTPUT    (1U << 20)
#define PATH_VARIABLE "MAYFLY_RAW_QEMU"

int bench_find_program(const char *name, const char *variable, char *out, size_t size)
{
	static const char *const below[] = { "../lib/mayfly", "../libexec/mayfly", "../agent",
					     "../agent/vm", "../tests/bench" };
	const char *named = getenv(variable);
	char self[4096];

	if (named && *named)
		return snprintf(out, size, "%s", named) < (int)size ? 0 : -ENAMETOOLONG;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		return -errno;
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(below); i++) {
		if (snprintf(out, size, "%s/%s/%s", self, below[i], name) >= (int)size)
			return -ENAMETOOLONG;
		if (access(out, X_OK) == 0)
			return 0;
	}
	return -ENOENT;
}

/* The function's ZIP as its standard input. */
static int open_input(const struct bench *bench, int *ret)
{
	_cleanup_close_ int fd = memfd_create("function.zip", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = fs_write_all(fd, bench->zip.data, bench->zip.len);
	if (r < 0)
		return r;
	*ret = TAKE_FD(fd);
	return 0;
}

static int spawn_reading(char *const argv[], int input, pid_t *ret_pid, int *ret_fd)
{
	posix_spawn_file_actions_t actions;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
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

/* The node's base template, which the program restores too. */
static int build_template(struct bench *bench, struct error *e)
{
	_cleanup_(client_stream_close_p) struct client_stream *stream = NULL;
	Mayfly__V1__BuildTemplateRequest request = MAYFLY__V1__BUILD_TEMPLATE_REQUEST__INIT;

	request.runtime = (char *)bench->runtime;
	request.memory_size_mb = (uint32_t)bench->memory_mb;
	int r = client_template_build(bench->context->client, &request, &stream, e);
	for (int more = 1; r >= 0 && more > 0;) {
		_cleanup_message_ Mayfly__V1__BuildTemplateProgress *step = NULL;
		r = more = client_template_build_next(stream, &step, e);
	}
	return r;
}

/* Reads what argv prints, until it ends by itself or because we are interrupted. */
static int run_program(char *const argv[], int input, struct buf *out, struct error *e)
{
	_cleanup_close_ int fd = -1;
	int status = 0;
	pid_t pid;

	int r = spawn_reading(argv, input, &pid, &fd);
	if (r < 0)
		return error_set_errno(e, r, "cannot run %s", argv[0]);
	r = read_all(fd, out);
	if (r < 0 || interrupted)
		(void)kill(pid, SIGTERM);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		(void)kill(pid, SIGTERM);
	if (r < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return error_set(e, ERROR_UNAVAILABLE, NULL, "%s failed", argv[0]);
	return 0;
}

static int measure(struct bench *bench, const struct raw_run *run, json_t **ret, struct error *e)
{
	_cleanup_message_ Mayfly__V1__Node *node = NULL;
	_cleanup_buf_ struct buf out = BUF_INIT;
	_cleanup_close_ int input = -1;
	char path[4608], memory[24], n[24], parallel[24], event[48];

	if (bench_find_program(PROGRAM, PATH_VARIABLE, path, sizeof(path)) < 0)
		return error_set(e, ERROR_NOT_FOUND, NULL, PROGRAM " is not installed");
	int r = open_input(bench, &input);
	if (r < 0)
		return error_set_errno(e, r, "cannot pass the function on");
	r = client_node_get(bench->context->client, &node, e);
	if (r == 0)
		r = build_template(bench, e);
	if (r < 0)
		return r;
	if (!*node->state_dir)
		return error_set(e, ERROR_UNAVAILABLE, NULL, "the node does not say where it is");
	(void)snprintf(memory, sizeof(memory), "%llu", (unsigned long long)bench->memory_mb);
	(void)snprintf(n, sizeof(n), "%llu", (unsigned long long)run->n);
	(void)snprintf(parallel, sizeof(parallel), "%llu", (unsigned long long)run->parallel);
	(void)snprintf(event, sizeof(event), BENCH_EVENT, run->hold_ms);
	const char *const argv[] = { path,
				     "--zip",
				     "/dev/stdin",
				     "--handler",
				     bench->handler,
				     "--runtime",
				     bench->runtime,
				     "--memory-size",
				     memory,
				     "--state-dir",
				     node->state_dir,
				     "--images",
				     node->images_dir,
				     "--payload",
				     event,
				     "--parallel",
				     parallel,
				     "-n",
				     n,
				     NULL };
	r = run_program((char *const *)(uintptr_t)argv, input, &out, e);
	if (r < 0)
		return r;
	*ret = json_loadb((const char *)out.data, out.len, 0, NULL);
	if (!json_is_number(json_object_get(*ret, "p50_ms")))
		return error_set(e, ERROR_INTERNAL, NULL, "%s answered without p50_ms", path);
	return 0;
}

void bench_raw(struct bench *bench, const struct raw_run *run, json_t **ret)
{
	_cleanup_error_ struct error e = ERROR_INIT;

	if (bench->no_raw || interrupted)
		return;
	progress("raw: %llu samples, %llu at once", (unsigned long long)run->n,
		 (unsigned long long)run->parallel);
	int r = measure(bench, run, ret, &e);
	progress_end();
	if (r == 0)
		return;
	bench->no_raw = true;
	json_decref(*ret);
	*ret = NULL;
	if (!interrupted)
		(void)fprintf(stderr,
			      "mayfly: without the raw QEMU baseline, which needs root on the node "
			      "itself: %s\n",
			      error_text(&e));
}
