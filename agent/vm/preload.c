/* SPDX-License-Identifier: Apache-2.0 */

/* What is preloaded into every QEMU: see preload/. Written below the state folder, and tried. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/vm/embedded.h"
#include "agent/vm/host.h"
#include "mayfly/fs.h"
#include "mayfly/log.h"

/* Whether QEMU finds all it needs with these. Run directly, without a shell. */
static bool emulator_runs(const char *emulator, const char *preload)
{
	_cleanup_free_ char *variable = NULL;
	int status = -1;
	pid_t pid;

	if (asprintf(&variable, "LD_PRELOAD=%s", preload) < 0)
		return false;
	pid = fork();
	if (pid == 0) {
		const char *const argv[] = { emulator, "--version", NULL };
		const char *const environment[] = { variable, "LD_BIND_NOW=1", NULL };
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		(void)dup2(null, STDOUT_FILENO);
		(void)dup2(null, STDERR_FILENO);
		execve(emulator, (char *const *)(uintptr_t)argv,
		       (char *const *)(uintptr_t)environment);
		_exit(127);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

/* Writes a library and puts its path behind `list`. */
static int add(const struct vm_host *host, const char *name, struct slice content, char **list)
{
	_cleanup_free_ char *path = NULL;
	char *longer;
	int r;

	if (asprintf(&path, "%s/run/%s", host->state_dir, name) < 0)
		return -ENOMEM;
	r = fs_write_file_atomic(path, content, 0555);
	if (r < 0)
		return r;
	if (asprintf(&longer, "%s%s%s", *list ? *list : "", *list ? ":" : "", path) < 0)
		return -ENOMEM;
	free(*list);
	*list = longer;
	return 0;
}

static int write_all(struct vm_host *host, char **needed, char **wished)
{
	int r = 0;

	if (!host->ram_readonly_option) {
		r = add(host, "ram-readonly.so", embedded_ram_readonly(), needed);
		if (r >= 0)
			*wished = strdup(*needed);
		if (r >= 0 && !*wished)
			r = -ENOMEM;
	}
	if (r >= 0)
		r = add(host, "no-disassembler-4.so", embedded_no_disassembler_4(), wished);
	if (r >= 0)
		r = add(host, "no-disassembler-5.so", embedded_no_disassembler_5(), wished);
	if (r >= 0)
		r = add(host, "no-persistent-memory.so", embedded_no_persistent_memory(), wished);
	return r;
}

int preload_open(struct vm_host *host, struct error *error)
{
	_cleanup_free_ char *needed = NULL;
	_cleanup_free_ char *wished = NULL;
	int r = write_all(host, &needed, &wished);

	if (r < 0)
		return error_set_errno(error, r, "cannot write below %s/run", host->state_dir);
	if (emulator_runs(host->emulator, wished)) {
		host->preload = TAKE_PTR(wished);
		return 0;
	}
	log_notice(
		"this QEMU keeps libraries that it has no use for: it does not run without them");
	host->preload = TAKE_PTR(needed);
	return 0;
}
