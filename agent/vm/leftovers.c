/* SPDX-License-Identifier: Apache-2.0 */

/* An agent that was killed leaves its QEMUs running. The next one ends them all before it
 * does anything else: their sandboxes' state died with the old agent. */

#include "agent/vm/host.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "mayfly/fs.h"
#include "mayfly/log.h"

#define END_LIMIT_MS 10000

/* Whether the process is a QEMU of this state directory: one argument names its monitor there. */
static bool process_is_ours(const struct vm_host *host, pid_t pid)
{
	_cleanup_buf_ struct buf line = BUF_INIT;
	_cleanup_free_ char *needle = NULL;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	if (asprintf(&needle, "path=%s/", host->run_dir) < 0)
		return false;
	if (fs_read_file(path, 1U << 20, &line) < 0 || !line.len)
		return false;
	return memmem(line.data, line.len, needle, strlen(needle)) != NULL &&
	       memmem(line.data, line.len, "microvm", 7) != NULL;
}

static bool end_process(pid_t pid)
{
	_cleanup_close_ int fd = pidfd_open(pid, 0);
	struct pollfd poller = { .fd = fd, .events = POLLIN };
	siginfo_t info;

	if (fd < 0)
		return errno == ESRCH;
	(void)pidfd_send_signal(fd, SIGKILL, NULL, 0);
	if (poll(&poller, 1, END_LIMIT_MS) <= 0)
		return false;
	(void)waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG);
	return true;
}

static int end_processes(const struct vm_host *host, unsigned *ret_count, struct error *error)
{
	const struct dirent *entry;
	DIR *proc;
	int r = 0;

	proc = opendir("/proc");
	if (!proc)
		return error_set_errno(error, errno, "cannot read /proc");
	while ((entry = readdir(proc))) {
		long pid = strtol(entry->d_name, NULL, 10);

		if (pid <= 1 || pid == getpid() || !process_is_ours(host, (pid_t)pid))
			continue;
		if (!end_process((pid_t)pid))
			r = error_set(error, ERROR_INTERNAL, NULL,
				      "QEMU process %ld of a former agent does not end", pid);
		(*ret_count)++;
	}
	(void)closedir(proc);
	return r;
}

void host_name_domain(const struct vm_host *host, const char *id, char ret[VM_NAME_BYTES])
{
	(void)snprintf(ret, VM_NAME_BYTES, VM_NAME_PREFIX "%s-%s", host->tag, id);
}

const char *host_find_domain_id(const struct vm_host *host, const char *name)
{
	char prefix[VM_NAME_BYTES];

	host_name_domain(host, "", prefix);
	return strncmp(name, prefix, strlen(prefix)) == 0 ? name + strlen(prefix) : NULL;
}

static void remove_driver_file(const char *folder, const char *name)
{
	_cleanup_free_ char *path = NULL;
	int r;

	if (asprintf(&path, "%s/%s", folder, name) < 0) {
		path = NULL;
		return;
	}
	r = fs_remove_tree(path);
	if (r < 0)
		log_warning("cannot remove %s: %s", path, strerror(-r));
}

/* What the embedded driver wrote about domains that live no more. */
static void remove_driver_files(const struct vm_host *host)
{
	static const char *const folders[] = { "run/qemu", "log/qemu", "lib/qemu",
					       "lib/qemu/channel/target", "run/qemu/channel" };

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		_cleanup_free_ char *folder = NULL;
		const struct dirent *entry;
		DIR *dir;

		if (asprintf(&folder, "%s/%s", host->libvirt_root, folders[i]) < 0)
			return;
		dir = opendir(folder);
		if (!dir)
			continue;
		while ((entry = readdir(dir)))
			if (strstr(entry->d_name, VM_NAME_PREFIX))
				remove_driver_file(folder, entry->d_name);
		(void)closedir(dir);
	}
}

int leftovers_end(struct vm_host *host, struct error *error)
{
	unsigned count = 0;
	int r;

	r = end_processes(host, &count, error);
	if (r < 0)
		return r;
	if (count)
		log_notice("ended %u microVMs that a former agent left", count);
	if (host->embedded)
		remove_driver_files(host);
	r = fs_remove_tree(host->run_dir);
	return r < 0 ? error_set_errno(error, r, "cannot remove %s", host->run_dir) : 0;
}

void leftovers_end_domains(struct vm_host *host)
{
	virDomainPtr *domains = NULL;
	int n;

	n = virConnectListAllDomains(host->connection, &domains, 0);
	for (int i = 0; i < n; i++) {
		const char *name = virDomainGetName(domains[i]);

		if (name && host_find_domain_id(host, name))
			(void)virDomainDestroy(domains[i]);
		(void)virDomainFree(domains[i]);
	}
	free(domains);
}
