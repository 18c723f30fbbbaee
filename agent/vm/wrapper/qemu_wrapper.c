/* SPDX-License-Identifier: Apache-2.0 */

/* Stands in front of QEMU, already as its user, and becomes QEMU. Does two things.
 *
 * Takes from itself, and so from QEMU, all that it does not need of what any user of a host has:
 * from then on it writes to no file but those of MAYFLY_WRITABLE (paths, divided by commas), makes
 * and removes none, not even in /tmp, opens no TCP connection and, on a kernel that knows how to,
 * reaches no abstract socket. This is Landlock, which asks for no right and no namespace; what a
 * kernel has not learned yet is left out. Without MAYFLY_WRITABLE nothing is taken.
 *
 * Where /dev/kvm is there but QEMU's user may not open it, it is called qemu-without-kvm. libvirt
 * asks a QEMU for its capabilities with rights that open it all the same, then finds that the
 * user may not, takes the answer for outdated, and asks again: a dozen times for each start. By
 * that name it removes KVM from that one question and hands everything else on unchanged. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/landlock.h>

#define PROBE_WITH_KVM    "none,accel=kvm:"
#define NAME_WITHOUT_KVM  "qemu-without-kvm"

/* By version of the interface; headers of a distribution may be older than its kernel. */
#define RIGHTS_TO_WRITE   ((1ULL << 1) | 0x1ff0ULL) /* version 1: write, remove, make */
#define RIGHT_TO_REFER    (1ULL << 13)              /* 2: move between folders */
#define RIGHT_TO_TRUNCATE (1ULL << 14)              /* 3 */
#define RIGHTS_TO_TCP     3ULL                      /* 4: bind, connect */
#define SCOPE_ABSTRACT    1ULL                      /* 6: abstract unix sockets */
#define SCOPE_SIGNALS     2ULL                      /* 6 */

struct ruleset {
	uint64_t files;
	uint64_t net;
	uint64_t scopes;
};

static int die(const char *what)
{
	perror(what);
	_exit(126);
}

/* What is not there cannot be written to; all else must be as it was asked for. */
static void allow(int ruleset, const char *path, uint64_t rights)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = rights };

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0) {
		if (errno != ENOENT)
			die(path);
		return;
	}
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		die(path);
	(void)close(rule.parent_fd);
}

static void confine(char *writable)
{
	static const char *const devices[] = { "/dev/null", "/dev/kvm" };
	struct ruleset rules = { .files = RIGHTS_TO_WRITE };
	uint64_t to_open = LANDLOCK_ACCESS_FS_WRITE_FILE;
	long version;
	char *path;
	int fd;

	version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (version < 1)
		return; /* the agent has said so */
	if (version >= 2)
		rules.files |= RIGHT_TO_REFER;
	if (version >= 3) {
		rules.files |= RIGHT_TO_TRUNCATE;
		to_open |= RIGHT_TO_TRUNCATE;
	}
	if (version >= 4)
		rules.net = RIGHTS_TO_TCP;
	if (version >= 6)
		rules.scopes = SCOPE_ABSTRACT | SCOPE_SIGNALS;
	/* Members that an older kernel does not know are zero, so it takes the whole of it. */
	fd = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);
	if (fd < 0)
		die("landlock");
	while ((path = strsep(&writable, ",")))
		allow(fd, path, to_open);
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
		allow(fd, devices[i], to_open);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		die("landlock");
	(void)close(fd);
}

static void remove_kvm(int argc, char **argv)
{
	static char probe[64];

	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], PROBE_WITH_KVM, strlen(PROBE_WITH_KVM)) != 0)
			continue;
		(void)snprintf(probe, sizeof(probe), "none,accel=%s",
			       argv[i] + strlen(PROBE_WITH_KVM));
		argv[i] = probe;
	}
}

int main(int argc, char **argv)
{
	char *writable = getenv("MAYFLY_WRITABLE");
	char self[PATH_MAX] = "";
	char link[PATH_MAX + 16];
	char real[PATH_MAX] = "";

	/* The link beside this program names the real one. */
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return 127;
	if (strcmp(strrchr(self, '/') + 1, NAME_WITHOUT_KVM) == 0)
		remove_kvm(argc, argv);
	(void)snprintf(link, sizeof(link), "%s/emulator", dirname(self));
	if (readlink(link, real, sizeof(real) - 1) < 0)
		return 127;
	if (writable)
		confine(writable);
	(void)execv(real, argv);
	perror(real);
	return 127;
}
