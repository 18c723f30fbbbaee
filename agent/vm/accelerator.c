/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vm/accelerator.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "agent/vm/domain_xml.h"
#include "agent/vm/embedded.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"

#define PROBE_EXIT_CODE  43 /* probe/kvm-probe-init.c */
#define CACHE_FORMAT     2
#define NEWC_NAME_FORMAT "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X"

static int append_cpio_entry(struct buf *out, const char *name, unsigned mode, struct slice data)
{
	static const uint8_t zeros[4];
	unsigned name_size = (unsigned)strlen(name) + 1;
	int r;

	r = buf_append_format(out, NEWC_NAME_FORMAT, 1U, mode, 0U, 0U, 1U, 0U, (unsigned)data.len,
			      0U, 0U, 0U, 0U, name_size, 0U);
	if (r >= 0)
		r = buf_append(out, name, name_size);
	if (r >= 0)
		r = buf_append(out, zeros, (4 - out->len % 4) % 4);
	if (r >= 0)
		r = buf_append(out, data.data, data.len);
	return r < 0 ? r : buf_append(out, zeros, (4 - out->len % 4) % 4);
}

int probe_initramfs_write(const char *path)
{
	_cleanup_buf_ struct buf archive = BUF_INIT;
	int r;

	r = append_cpio_entry(&archive, "init", 0100755, embedded_probe_init());
	if (r >= 0)
		r = append_cpio_entry(&archive, "TRAILER!!!", 0, SLICE_INIT);
	return r < 0 ? r : fs_write_file_atomic(path, buf_slice(&archive), 0600);
}

_Noreturn static void exec_probe(const struct accelerator_probe *probe, const char *initramfs,
				 const char *command_line)
{
	int null = open("/dev/null", O_RDWR);
	sigset_t none;

	if (null >= 0) {
		(void)dup2(null, STDIN_FILENO);
		(void)dup2(null, STDOUT_FILENO);
		(void)dup2(null, STDERR_FILENO);
	}
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	execl(probe->emulator, probe->emulator, "-nodefaults", "-no-user-config", "-display",
	      "none", "-no-reboot", "-bios", GUEST_FIRMWARE, "-sandbox", "on", "-M",
	      "microvm,acpi=on,rtc=on,isa-serial=off,pit=off,pic=off", "-accel", "kvm", "-cpu",
	      "host", "-m", "128", "-kernel", probe->kernel, "-initrd", initramfs, "-append",
	      command_line, "-device", "isa-debug-exit,iobase=0xf4,iosize=0x4", (char *)NULL);
	_exit(127);
}

/* Waits for the child so long, then kills it; 0 with its wait status. */
static int wait_limited(pid_t pid, unsigned limit_ms, siginfo_t *ret)
{
	_cleanup_close_ int fd = pidfd_open(pid, 0);
	struct pollfd poller = { .fd = fd, .events = POLLIN };
	bool late = false;

	if (fd < 0 || poll(&poller, 1, (int)limit_ms) <= 0) {
		late = true;
		(void)kill(pid, SIGKILL);
	}
	while (waitid(P_PID, (id_t)pid, ret, WEXITED) < 0)
		if (errno != EINTR)
			return -errno;
	return late ? -ETIMEDOUT : 0;
}

/* SIGKILL and SIGTERM come from outside, such as from a host that is short of memory. */
static bool has_crashed(const siginfo_t *info)
{
	return (info->si_code == CLD_KILLED || info->si_code == CLD_DUMPED) &&
	       info->si_status != SIGKILL && info->si_status != SIGTERM;
}

/* Returns whether another probe would end the same until the host is booted again. */
static bool judge(int r, const siginfo_t *info, const struct accelerator_probe *probe,
		  int64_t took_us, struct accelerator_verdict *ret)
{
	ret->accelerator = ACCELERATOR_TCG;
	if (r == -ETIMEDOUT)
		(void)snprintf(ret->reason, sizeof(ret->reason),
			       "KVM: a test kernel did not boot within %u ms", probe->limit_ms);
	else if (r < 0)
		(void)snprintf(ret->reason, sizeof(ret->reason), "KVM: the probe failed: %s",
			       strerror(-r));
	else if (info->si_code == CLD_EXITED && info->si_status == PROBE_EXIT_CODE) {
		ret->accelerator = ACCELERATOR_KVM;
		(void)snprintf(ret->reason, sizeof(ret->reason),
			       "KVM: a test kernel booted in %lld ms",
			       (long long)(took_us / USEC_PER_MSEC));
	} else
		(void)snprintf(ret->reason, sizeof(ret->reason),
			       "KVM: QEMU %s %d while a test kernel booted",
			       info->si_code == CLD_EXITED ? "exited with" : "was ended by signal",
			       info->si_status);
	return r >= 0 && (ret->accelerator == ACCELERATOR_KVM || has_crashed(info));
}

static bool run_probe(const struct accelerator_probe *probe, struct accelerator_verdict *ret)
{
	_cleanup_free_ char *command_line = NULL;
	_cleanup_free_ char *initramfs = NULL;
	int64_t began = clock_monotonic_us();
	siginfo_t info = { 0 };
	bool lasting;
	pid_t pid;
	int r;

	r = kernel_command_line_build(probe->tsc_khz, &command_line);
	if (r >= 0 && asprintf(&initramfs, "%s/probe.cpio", probe->work_dir) < 0)
		r = -ENOMEM;
	if (r >= 0)
		r = probe_initramfs_write(initramfs);
	if (r >= 0) {
		pid = fork();
		if (pid == 0)
			exec_probe(probe, initramfs, command_line);
		r = pid < 0 ? -errno : wait_limited(pid, probe->limit_ms, &info);
	}
	lasting = judge(r, &info, probe, clock_monotonic_us() - began, ret);
	if (initramfs)
		(void)unlink(initramfs);
	return lasting;
}

static int read_boot_id(struct buf *ret)
{
	int r = fs_read_file("/proc/sys/kernel/random/boot_id", 64, ret);

	if (r >= 0 && ret->len && ret->data[ret->len - 1] == '\n')
		ret->data[--ret->len] = 0;
	return r;
}

static bool cache_read(const struct accelerator_probe *probe, const char *boot_id,
		       struct accelerator_verdict *ret)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	const char *boot, *emulator, *version, *kernel, *accelerator, *reason;
	json_t *root;
	int format;
	bool good;

	if (fs_read_file(probe->cache_path, 1U << 16, &text) < 0)
		return false;
	root = json_loadb((const char *)text.data, text.len, 0, NULL);
	good = json_unpack(root, "{s:i, s:s, s:s, s:s, s:s, s:s, s:s}", "format", &format,
			   "boot_id", &boot, "emulator", &emulator, "qemu_version", &version,
			   "kernel", &kernel, "accelerator", &accelerator, "reason",
			   &reason) == 0 &&
	       format == CACHE_FORMAT && strcmp(boot, boot_id) == 0 &&
	       strcmp(emulator, probe->emulator) == 0 &&
	       strcmp(version, probe->qemu_version) == 0 && strcmp(kernel, probe->kernel) == 0;
	if (good) {
		ret->accelerator =
			strcmp(accelerator, "kvm") == 0 ? ACCELERATOR_KVM : ACCELERATOR_TCG;
		(void)snprintf(ret->reason, sizeof(ret->reason), "%s", reason);
	}
	json_decref(root);
	return good;
}

static void cache_write(const struct accelerator_probe *probe, const char *boot_id,
			const struct accelerator_verdict *verdict)
{
	_cleanup_free_ char *text = NULL;
	json_t *root;

	root = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s}", "format", CACHE_FORMAT, "boot_id",
			 boot_id, "emulator", probe->emulator, "qemu_version", probe->qemu_version,
			 "kernel", probe->kernel, "accelerator",
			 verdict->accelerator == ACCELERATOR_KVM ? "kvm" : "tcg", "reason",
			 verdict->reason);
	text = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
	json_decref(root);
	/* Without a cache the next start probes again: nothing is lost but seconds. */
	if (text && fs_write_file_atomic(probe->cache_path, slice_from_string(text), 0600) < 0)
		(void)unlink(probe->cache_path);
}

/* The device is looked at each time: it comes and goes with modules, and with its permissions. */
static void find_verdict(const struct accelerator_probe *probe, bool user_may_open,
			 struct accelerator_verdict *ret)
{
	_cleanup_buf_ struct buf boot_id = BUF_INIT;
	bool known;

	*ret = (struct accelerator_verdict){ .accelerator = ACCELERATOR_TCG };
	if (access(probe->device, R_OK | W_OK) < 0) {
		(void)snprintf(ret->reason, sizeof(ret->reason), "KVM: %s: %s", probe->device,
			       strerror(errno));
		return;
	}
	known = read_boot_id(&boot_id) >= 0 && cache_read(probe, buf_string(&boot_id), ret);
	if (!known && run_probe(probe, ret) && boot_id.len)
		cache_write(probe, buf_string(&boot_id), ret);
	if (ret->accelerator == ACCELERATOR_KVM && !user_may_open)
		*ret = (struct accelerator_verdict){
			.accelerator = ACCELERATOR_TCG,
			.reason = "KVM works, but QEMU's user may not open its device",
		};
}

int accelerator_decide(const struct accelerator_probe *probe, enum accelerator wanted,
		       bool user_may_open, struct accelerator_verdict *ret, struct error *error)
{
	struct accelerator_verdict verdict = {
		.accelerator = ACCELERATOR_TCG,
		.reason = "by configuration",
	};

	if (wanted != ACCELERATOR_TCG)
		find_verdict(probe, user_may_open, &verdict);
	if (wanted == ACCELERATOR_KVM && verdict.accelerator != ACCELERATOR_KVM)
		return error_set(error, ERROR_UNAVAILABLE, "vm.accelerator",
				 "vm.accelerator is kvm, and KVM cannot be used here (%s)",
				 verdict.reason);
	*ret = verdict;
	return 0;
}
