/* SPDX-License-Identifier: Apache-2.0 */

#include "agent/image/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define TOOL_OUTPUT_BYTES 4096

/* Our threads block signals that sd-event watches; a child must not inherit that. */
static int attributes_set(posix_spawnattr_t *attributes)
{
	sigset_t none, all;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	if (posix_spawnattr_setsigmask(attributes, &none) != 0)
		return -ENOMEM;
	if (posix_spawnattr_setsigdefault(attributes, &all) != 0)
		return -ENOMEM;
	if (posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF) !=
	    0)
		return -ENOMEM;
	return 0;
}

static int actions_set(posix_spawn_file_actions_t *actions, int output)
{
	if (posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0) != 0)
		return -ENOMEM;
	if (posix_spawn_file_actions_adddup2(actions, output, 1) != 0)
		return -ENOMEM;
	if (posix_spawn_file_actions_adddup2(actions, output, 2) != 0)
		return -ENOMEM;
	return 0;
}

static int tool_spawn(const char *const argv[], const char *variable, int output, pid_t *ret)
{
	const char *const environment[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
					    variable, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int r;

	if (posix_spawn_file_actions_init(&actions) != 0)
		return -ENOMEM;
	if (posix_spawnattr_init(&attributes) != 0) {
		(void)posix_spawn_file_actions_destroy(&actions);
		return -ENOMEM;
	}
	r = actions_set(&actions, output);
	if (r == 0)
		r = attributes_set(&attributes);
	/* The casts are the standard's: posix_spawn() changes neither. */
	if (r == 0)
		r = -posix_spawn(ret, argv[0], &actions, &attributes, (char *const *)argv,
				 (char *const *)environment);
	(void)posix_spawnattr_destroy(&attributes);
	(void)posix_spawn_file_actions_destroy(&actions);
	return r;
}

/* The last line with something in it. */
static const char *last_line(char *text)
{
	size_t len = strlen(text);

	while (len > 0 && strchr("\r\n\t ", text[len - 1]))
		text[--len] = '\0';
	char *newline = strrchr(text, '\n');
	return newline ? newline + 1 : text;
}

static int tool_report(const char *program, int status, int output, struct error *error)
{
	char text[TOOL_OUTPUT_BYTES + 1];
	off_t end = lseek(output, 0, SEEK_END);
	off_t from = end > TOOL_OUTPUT_BYTES ? end - TOOL_OUTPUT_BYTES : 0;
	ssize_t n = pread(output, text, TOOL_OUTPUT_BYTES, from);

	text[n > 0 ? n : 0] = '\0';
	const char *line = last_line(text);
	if (WIFSIGNALED(status))
		return error_set(error, ERROR_INTERNAL, NULL, "%s was killed by signal %d: %s",
				 program, WTERMSIG(status), line);
	return error_set(error, ERROR_INTERNAL, NULL, "%s failed with status %d: %s", program,
			 WEXITSTATUS(status), line);
}

int tool_run_with(const char *const argv[], const char *variable, struct error *error)
{
	_cleanup_close_ int output = memfd_create("tool-output", MFD_CLOEXEC);
	pid_t pid;
	int status, r;

	if (output < 0)
		return error_set_errno(error, errno, "cannot make a file for the output of %s",
				       argv[0]);
	r = tool_spawn(argv, variable, output, &pid);
	if (r < 0)
		return error_set_errno(error, -r, "cannot run %s", argv[0]);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_set_errno(error, errno, "cannot wait for %s", argv[0]);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return tool_report(argv[0], status, output, error);
}

int tool_run(const char *const argv[], struct error *error)
{
	return tool_run_with(argv, NULL, error);
}
