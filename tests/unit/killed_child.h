/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What was acknowledged outlives the process: a child works and says on a pipe what it has done,
 * until it is killed. After <cmocka.h>. */

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the child does: `first`, `first` + 1, ..., each said with say_done(); it never returns. */
typedef void child_work_fn(void *arg, unsigned first, int pipe_fd);

static void say_done(int pipe_fd, unsigned n)
{
	if (write(pipe_fd, &n, sizeof(n)) != sizeof(n))
		_exit(1);
}

/* Kills the child after a few answers, with each `delay` at another moment of its next work;
 * returns the last number that it had said. */
static unsigned run_until_killed(child_work_fn *work, void *arg, unsigned first, unsigned answers,
				 unsigned delay)
{
	unsigned n = 0, last = 0;
	int pipe_fds[2], status;
	pid_t pid;

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		work(arg, first, pipe_fds[1]);
		_exit(1);
	}
	(void)close(pipe_fds[1]);
	for (unsigned i = 0; i < answers; i++)
		assert_int_equal(read(pipe_fds[0], &last, sizeof(last)), sizeof(last));
	for (volatile unsigned spin = 0; spin < delay; spin++)
		;
	assert_int_equal(kill(pid, SIGKILL), 0);
	while (read(pipe_fds[0], &n, sizeof(n)) == sizeof(n))
		last = n;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	(void)close(pipe_fds[0]);
	return last;
}
