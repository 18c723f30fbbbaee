/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vm/host.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <linux/landlock.h>

#include "agent/vm/embedded.h"
#include "mayfly/fs.h"
#include "mayfly/log.h"

#define KVM_DEVICE     "/dev/kvm"
#define PROBE_LIMIT_MS 3000

/* "QEMU emulator version 7.2.22 (…)"; run directly, without a shell. */
static int read_qemu_version(struct vm_host *host, struct error *error)
{
	char text[256] = "";
	unsigned major = 0, minor = 0, micro = 0;
	int pipe_fds[2];
	ssize_t n;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return error_set_errno(error, errno, "cannot make a pipe");
	pid = fork();
	if (pid == 0) {
		(void)dup2(pipe_fds[1], STDOUT_FILENO);
		execl(host->emulator, host->emulator, "--version", (char *)NULL);
		_exit(127);
	}
	(void)close(pipe_fds[1]);
	n = pid < 0 ? -1 : read(pipe_fds[0], text, sizeof(text) - 1);
	(void)close(pipe_fds[0]);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
	if (n <= 0 || sscanf(text, "QEMU emulator version %u.%u.%u", &major, &minor, &micro) < 2)
		return error_set(error, ERROR_INVALID_PARAMETER, "emulator",
				 "\"%s\" is not a QEMU that runs here", host->emulator);
	(void)snprintf(host->qemu_version, sizeof(host->qemu_version), "%u.%u.%u", major, minor,
		       micro);
	host->ram_readonly_option = major > 8 || (major == 8 && minor >= 2);
	return 0;
}

/* As that user, in a child, as libvirt itself looks; with the groups of its name, if it has one. */
static bool may_open_kvm_as(uid_t uid, gid_t gid, const char *name)
{
	int status = 0;
	pid_t pid;

	pid = fork();
	if (pid == 0) {
		if ((name ? initgroups(name, gid) : setgroups(0, NULL)) < 0 || setgid(gid) < 0 ||
		    setuid(uid) < 0)
			_exit(1);
		_exit(access(KVM_DEVICE, R_OK | W_OK) == 0 ? 0 : 1);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

static bool user_may_open_kvm(const struct vm_host *host)
{
	const struct passwd *user = getpwuid(host->uid);

	if (!host->change_owner || !user)
		return access(KVM_DEVICE, R_OK | W_OK) == 0;
	return may_open_kvm_as(host->uid, host->gid, user->pw_name);
}

/* libvirt gives a user without a name no group but its own. Where that may not open /dev/kvm, the
 * device's group takes its place: no file of a VM is open to a group. */
static void choose_group(struct vm_host *host)
{
	uid_t uid;
	struct stat device;

	if (!host->own_users || host->verdict.accelerator != ACCELERATOR_KVM)
		return;
	if (stat(KVM_DEVICE, &device) < 0 || vm_users_take(host->users, &uid) < 0) {
		host_share_user(host, "/dev/kvm cannot be looked at");
		return;
	}
	vm_users_give_back(host->users, uid);
	if (may_open_kvm_as(uid, uid, NULL))
		return;
	host->kvm_group = device.st_gid;
	if (!host->kvm_group || !may_open_kvm_as(uid, host->kvm_group, NULL))
		host_share_user(host, "/dev/kvm is open to vm.user, but not by a group");
}

static int decide_accelerator(struct vm_host *host, enum accelerator wanted, bool kvm_accessible,
			      struct error *error)
{
	_cleanup_free_ char *cache = NULL;
	struct accelerator_probe probe = {
		.device = KVM_DEVICE,
		.emulator = host->emulator,
		.kernel = runtime_catalogue_kernel(host->catalogue)->path,
		.work_dir = host->run_dir,
		.qemu_version = host->qemu_version,
		.tsc_khz = host->tsc_khz,
		.limit_ms = PROBE_LIMIT_MS,
	};
	int r;

	if (asprintf(&cache, "%s/accelerator.json", host->state_dir) < 0)
		cache = NULL;
	probe.cache_path = cache ? cache : "";
	r = accelerator_decide(&probe, wanted, kvm_accessible, &host->verdict, error);
	if (r < 0)
		return r;
	log_notice("accelerator %s (%s)",
		   host->verdict.accelerator == ACCELERATOR_KVM ? "kvm" : "tcg",
		   host->verdict.reason);
	return 0;
}

static bool is_newer(const char *path, const char *other)
{
	struct stat a;
	struct stat b;

	return stat(path, &a) == 0 && stat(other, &b) == 0 && a.st_ctime > b.st_ctime;
}

/* libvirt's cached answers are bound to the time of the program that it starts. So ours is left
 * alone when it is as it should be, and written anew when QEMU was. */
static int write_program(const char *path, struct slice content, const char *emulator)
{
	_cleanup_buf_ struct buf now = BUF_INIT;

	if (is_newer(path, emulator) && fs_read_file(path, content.len + 1, &now) >= 0 &&
	    now.len == content.len && memcmp(now.data, content.data, content.len) == 0)
		return 0;
	return fs_write_file_atomic(path, content, 0555);
}

static int write_link(const char *path, const char *target)
{
	char now[PATH_MAX];
	ssize_t n = readlink(path, now, sizeof(now) - 1);

	if (n >= 0) {
		now[n] = '\0';
		if (strcmp(now, target) == 0)
			return 0;
		if (unlink(path) < 0)
			return -errno;
	}
	return symlink(target, path) < 0 ? -errno : 0;
}

/* QEMU asks for huge pages for its translation buffer, and each of them is private memory of one
 * sandbox as soon as one byte of it is used. Every process that this one starts inherits the
 * answer. Under KVM guest memory profits from them, so there they stay. */
static void refuse_huge_pages(const struct vm_host *host)
{
	if (host->verdict.accelerator == ACCELERATOR_TCG &&
	    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) < 0)
		log_warning("cannot refuse huge pages: %s", strerror(errno));
}

static int place_wrapper(struct vm_host *host, const char *name, struct error *error)
{
	_cleanup_free_ char *folder = NULL;
	_cleanup_free_ char *link = NULL;
	int r;

	if (asprintf(&folder, "%s/run/qemu", host->state_dir) < 0 ||
	    asprintf(&link, "%s/emulator", folder) < 0 ||
	    asprintf(&host->emulator_started, "%s/%s", folder, name) < 0)
		return error_set_errno(error, ENOMEM, "cannot prepare QEMU");
	r = fs_make_directories(folder, 0755);
	if (r >= 0)
		r = write_link(link, host->emulator);
	if (r >= 0)
		r = write_program(host->emulator_started, embedded_qemu_wrapper(), host->emulator);
	return r < 0 ? error_set_errno(error, r, "cannot write %s", folder) : 0;
}

/* What the kernel itself can keep QEMU from. A system's libvirt has profiles of its own, which know
 * no program of ours. */
static void open_confinement(struct vm_host *host)
{
	host->confine = host->embedded && syscall(SYS_landlock_create_ruleset, NULL, 0,
						  LANDLOCK_CREATE_RULESET_VERSION) > 0;
	if (!host->confine)
		host_warn(host, strdup(host->embedded
					       ? "this kernel has no Landlock: QEMU may write what "
						 "any user may, such as files in /tmp and /dev/shm"
					       : "QEMU may write what any user may, such as files "
						 "in /tmp and /dev/shm (only the embedded driver "
						 "keeps it from that)"));
}

int emulator_open(struct vm_host *host, enum accelerator wanted, struct error *error)
{
	bool accessible;
	int r;

	r = read_qemu_version(host, error);
	if (r < 0)
		return r;
	accessible = user_may_open_kvm(host);
	r = decide_accelerator(host, wanted, accessible, error);
	if (r < 0)
		return r;
	choose_group(host);
	refuse_huge_pages(host);
	open_confinement(host);
	if (fs_exists(KVM_DEVICE) && !accessible)
		return place_wrapper(host, "qemu-without-kvm", error);
	if (host->confine)
		return place_wrapper(host, "qemu-confined", error);
	host->emulator_started = strdup(host->emulator);
	return host->emulator_started ? 0 : error_set_errno(error, ENOMEM, "cannot prepare QEMU");
}
