/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vm/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "agent/image/scratch.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"
#include "mayfly/log.h"

#define MIB                 (1ULL << 20)
#define QEMU_OVERHEAD_BYTES (192 * MIB) /* QEMU itself, over RAM and translation buffer */
#define CPU_PERIOD_US       100000U
#define LAST_WORDS_BYTES    1024U
#define SYSTEM_LIBVIRT_PIDS "/run/libvirt/qemu"

/* Paths inside one VM's folder. The agent does work in it by name as root, so nobody else may
 * write to it: what QEMU needs there is made for it. */
struct vm_paths {
	char folder[PATH_MAX];
	char ram_folder[PATH_MAX]; /* of the link to the RAM file: the same, or on its file system
				    */
	char ram[PATH_MAX];
	char scratch[PATH_MAX];
	char channel[PATH_MAX];
	char monitor[PATH_MAX];
};

static int paths_fill(const struct vm_host *host, const char *id, struct vm_paths *ret)
{
	int n = snprintf(ret->folder, PATH_MAX, "%s/%s", host->run_dir, id);
	int m = snprintf(ret->ram_folder, PATH_MAX, "%s/%s",
			 host->vault ? host->vault->links_dir : host->run_dir, id);

	if (n < 0 || n > PATH_MAX - 32 || m < 0 || m > PATH_MAX - 32)
		return -ENAMETOOLONG;
	(void)snprintf(ret->ram, PATH_MAX, "%.*s/ram", PATH_MAX - 32, ret->ram_folder);
	(void)snprintf(ret->scratch, PATH_MAX, "%.*s/scratch.qcow2", PATH_MAX - 32, ret->folder);
	(void)snprintf(ret->channel, PATH_MAX, "%.*s/channel", PATH_MAX - 32, ret->folder);
	(void)snprintf(ret->monitor, PATH_MAX, "%.*s/monitor", PATH_MAX - 32, ret->folder);
	return 0;
}

static int give_to_qemu(const struct spawn *spawn, const char *path)
{
	if (!spawn->host->change_owner)
		return 0;
	return chown(path, spawn->uid, spawn->gid) < 0 ? -errno : 0;
}

static int make_folder(struct spawn *spawn, const char *folder)
{
	int r;

	if (mkdir(folder, 0700) < 0)
		return error_set_errno(&spawn->error, errno, "cannot make %s", folder);
	r = spawn->host->own_users ? vm_users_admit(folder, spawn->uid)
				   : give_to_qemu(spawn, folder);
	if (r < 0)
		return error_set_errno(&spawn->error, r, "cannot open %s to QEMU's user", folder);
	return 0;
}

/* A template's folder is closed to QEMU's users: what lets one in is the link in its own. All links
 * are one file, so clones share its pages. */
static int link_ram(struct spawn *spawn, const struct vm_paths *paths)
{
	int r = 0;

	if (!spawn->ram_path)
		return 0;
	if (link(spawn->ram_path, paths->ram) < 0)
		return error_set_errno(&spawn->error, errno, "cannot link %s to %s",
				       spawn->ram_path, paths->ram);
	if (spawn->ram_mode == RAM_SHARED)
		r = give_to_qemu(spawn, paths->ram);
	if (r < 0)
		return error_set_errno(&spawn->error, r, "cannot give %s to QEMU's user",
				       paths->ram);
	return 0;
}

static int make_scratch(struct spawn *spawn, const struct vm_paths *paths)
{
	int r;

	if (spawn->scratch_source) {
		r = fs_copy_sparse(spawn->scratch_source, paths->scratch, 0600);
		if (r < 0)
			return error_set_errno(&spawn->error, r, "cannot copy a scratch disk");
	} else {
		r = scratch_create(spawn->host->scratch_dir, spawn->ephemeral_storage_mb,
				   paths->scratch, &spawn->error);
		if (r < 0)
			return r;
	}
	r = give_to_qemu(spawn, paths->scratch);
	if (r < 0)
		return error_set_errno(&spawn->error, r, "cannot give %s to QEMU's user",
				       paths->scratch);
	return 0;
}

static int build_definition(struct spawn *spawn, const struct vm_paths *paths, char **ret)
{
	const struct vm_host *host = spawn->host;
	char name[VM_NAME_BYTES];
	const struct domain_spec spec = {
		.name = name,
		.id = spawn->id,
		.emulator = host->emulator_started,
		.accelerator = host->verdict.accelerator,
		.tb_size_mb = host->tb_size_mb,
		.ram_bytes = spawn->ram_bytes,
		.vcpus = spawn->vcpus,
		.ram_mode = spawn->ram_mode,
		.ram_path = spawn->ram_path ? paths->ram : NULL,
		.ram_readonly_option = host->ram_readonly_option,
		.preload = host->preload,
		.kernel = runtime_catalogue_kernel(host->catalogue)->path,
		.initramfs = runtime_catalogue_initramfs(host->catalogue)->path,
		.tsc_khz = host->tsc_khz,
		.root_path = spawn->root.path,
		.code_path = spawn->code_path,
		.scratch_path = paths->scratch,
		.channel_path = paths->channel,
		.monitor_path = paths->monitor,
		.uid = host->own_users ? spawn->uid : 0,
		.gid = spawn->gid,
		.confine = host->confine,
		.incoming = spawn->state_path != NULL,
	};

	host_name_domain(host, spawn->id, name);
	return domain_xml_build(&spec, ret, &spawn->error);
}

/* libvirt makes two folders for each QEMU and gives them to its user, who is through with them
 * once it runs. From then on its scratch disk is all that it may write to. */
static void take_driver_folder(const struct spawn *spawn, const char *parent, virDomainPtr domain)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/%s%u-%.20s", spawn->host->libvirt_root, parent,
			 virDomainGetID(domain), virDomainGetName(domain));

	if (n > 0 && n < (int)sizeof(path) && lchown(path, 0, 0) < 0 && errno != ENOENT)
		log_warning("cannot take %s: %s", path, strerror(errno));
}

static void take_driver_folders(const struct spawn *spawn, virDomainPtr domain)
{
	if (!spawn->host->own_users || !spawn->host->embedded)
		return;
	take_driver_folder(spawn, "lib/qemu/domain-", domain);
	/* Of the channel, in libvirt 9 and 11. */
	take_driver_folder(spawn, "lib/qemu/channel/target/domain-", domain);
	take_driver_folder(spawn, "run/qemu/channel/", domain);
}

static int start_domain(struct spawn *spawn, const struct vm_paths *paths)
{
	_cleanup_free_ char *definition = NULL;
	virDomainPtr domain;
	int r;

	r = build_definition(spawn, paths, &definition);
	if (r < 0)
		return r;
	domain = virDomainCreateXML(spawn->host->connection, definition, VIR_DOMAIN_START_PAUSED);
	if (!domain)
		return libvirt_error_set(&spawn->error, "cannot start QEMU");
	take_driver_folders(spawn, domain);
	(void)virDomainFree(domain);
	return 0;
}

/* One of QEMU's arguments is the domain's name, so a pid that was given anew is not taken. */
static bool process_is_domain(pid_t pid, const char *id)
{
	_cleanup_buf_ struct buf line = BUF_INIT;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	if (fs_read_file(path, 1U << 20, &line) < 0)
		return false;
	/* A zombie has no arguments left: it is still the one, for nobody else reaps it. */
	return !line.len || memmem(line.data, line.len, id, strlen(id)) != NULL;
}

int spawn_find_pid(const struct vm_host *host, const char *id, pid_t *ret)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	_cleanup_free_ char *path = NULL;
	char name[VM_NAME_BYTES];
	long pid;

	host_name_domain(host, id, name);
	if (asprintf(&path, "%s%s/%s.pid",
		     host->embedded ? host->libvirt_root : SYSTEM_LIBVIRT_PIDS,
		     host->embedded ? "/run/qemu" : "", name) < 0)
		return -ENOMEM;
	if (fs_read_file(path, 64, &text) < 0)
		return -ENOENT;
	pid = strtol(buf_string(&text), NULL, 10);
	if (pid <= 1 || !process_is_domain((pid_t)pid, id))
		return -ENOENT;
	*ret = (pid_t)pid;
	return 0;
}

static int open_process(struct spawn *spawn)
{
	int r;

	r = spawn_find_pid(spawn->host, spawn->id, &spawn->pid);
	if (r < 0)
		return error_set(&spawn->error, ERROR_INTERNAL, NULL, "QEMU ended at once");
	spawn->pidfd = pidfd_open(spawn->pid, 0);
	if (spawn->pidfd < 0)
		return error_set_errno(&spawn->error, errno, "cannot watch QEMU");
	return 0;
}

/* QEMU calls the agent, for its monitor and for the guest's channel, and only it can: there is no
 * socket at which it would hear anyone else. */
static int listen_for(struct spawn *spawn, const char *path, int *ret)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	int r;

	if (strlen(path) >= sizeof(address.sun_path))
		return error_set_errno(&spawn->error, ENAMETOOLONG, "cannot listen at %s", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 1) < 0)
		return error_set_errno(&spawn->error, errno, "cannot listen at %s", path);
	r = give_to_qemu(spawn, path);
	if (r < 0)
		return error_set_errno(&spawn->error, r, "cannot give %s to QEMU's user", path);
	*ret = TAKE_FD(fd);
	return 0;
}

/* It called when it started, or never will. */
static int accept_at(struct spawn *spawn, const char *path, int listener, int *ret)
{
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);
	_cleanup_close_ int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return error_set_errno(&spawn->error, errno, "QEMU did not call at %s", path);
	if (peer.pid != spawn->pid)
		return error_set(&spawn->error, ERROR_INTERNAL, NULL,
				 "process %d called at %s for QEMU", (int)peer.pid, path);
	(void)unlink(path);
	*ret = TAKE_FD(fd);
	return 0;
}

static int open_state(struct spawn *spawn)
{
	if (!spawn->state_path)
		return 0;
	spawn->state_fd = open(spawn->state_path, O_RDONLY | O_CLOEXEC);
	if (spawn->state_fd < 0)
		return error_set_errno(&spawn->error, errno, "cannot open %s", spawn->state_path);
	return 0;
}

static void set_limits(struct spawn *spawn)
{
	const struct vm_host *host = spawn->host;
	struct cgroup_limits limits = {
		.memory_bytes = spawn->ram_bytes + host->tb_size_mb * MIB + QEMU_OVERHEAD_BYTES,
		.group = spawn->cpu_group[0] ? spawn->cpu_group : NULL,
		.weight = spawn->cpu_weight,
	};

	if (host->cpu_limits)
		limits.cpu_quota_us =
			(unsigned)((uint64_t)spawn->memory_mb * CPU_PERIOD_US / LAMBDA_MB_PER_CPU);
	spawn->cgroup_result = cgroup_create(&host->cgroups, spawn->id, spawn->pid, &limits);
}

/* What the VM is made of must be what it was: a snapshot's kernel knows its disks, and would
 * read another's blocks with what it remembers of them. */
static int check_files(struct spawn *spawn)
{
	int r;

	r = template_files_check_stamps(&spawn->files, &spawn->error);
	if (r >= 0)
		r = runtime_catalogue_verify(spawn->host->catalogue, &spawn->root, &spawn->error);
	if (r < 0) {
		spawn->files_damaged = true;
		return r;
	}
	if (!spawn->code_is_package)
		return 0;
	return package_images_verify(spawn->host->packages, spawn->code_path, &spawn->error);
}

static int prepare_folder(struct spawn *spawn, struct vm_paths *paths)
{
	int r = paths_fill(spawn->host, spawn->id, paths);

	if (r < 0)
		return error_set_errno(&spawn->error, r, "cannot name a VM's folder");
	r = make_folder(spawn, paths->folder);
	if (r >= 0 && spawn->host->vault)
		r = make_folder(spawn, paths->ram_folder);
	if (r >= 0)
		r = link_ram(spawn, paths);
	return r < 0 ? r : make_scratch(spawn, paths);
}

static int spawn_steps(struct spawn *spawn)
{
	_cleanup_close_ int monitor = -1;
	_cleanup_close_ int channel = -1;
	struct vm_paths paths;
	int r;

	r = check_files(spawn);
	if (r >= 0)
		r = prepare_folder(spawn, &paths);
	if (r >= 0)
		r = listen_for(spawn, paths.monitor, &monitor);
	if (r >= 0)
		r = listen_for(spawn, paths.channel, &channel);
	if (r >= 0)
		r = start_domain(spawn, &paths);
	if (r >= 0)
		r = open_process(spawn);
	if (r < 0)
		return r;
	set_limits(spawn);
	r = accept_at(spawn, paths.monitor, monitor, &spawn->monitor_fd);
	if (r >= 0)
		r = accept_at(spawn, paths.channel, channel, &spawn->channel_fd);
	return r < 0 ? r : open_state(spawn);
}

void spawn_run(struct spawn *spawn)
{
	spawn->pidfd = spawn->monitor_fd = spawn->channel_fd = spawn->state_fd = -1;
	spawn->result = spawn_steps(spawn);
	spawn->spawned_us = clock_monotonic_us();
}

void spawn_clear(struct spawn *spawn)
{
	free(spawn->ram_path);
	free(spawn->root.path);
	free(spawn->code_path);
	free(spawn->scratch_source);
	free(spawn->state_path);
	error_clear(&spawn->error);
	close_p(&spawn->pidfd);
	close_p(&spawn->monitor_fd);
	close_p(&spawn->channel_fd);
	close_p(&spawn->state_fd);
}

/* "2025-01-31T12:00:00.000000Z qemu-system-x86_64: …", which libvirt's own lines do not look like.
 */
static bool is_said_by_qemu(const char *line)
{
	return strlen(line) > 30 && line[10] == 'T' && strstr(line, "Z ");
}

/* The last line in its log that QEMU wrote says why it would not start. */
static char *read_last_words(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[LAST_WORDS_BYTES + 1];
	char *rest = text;
	char *found = NULL;
	char *line;
	off_t size;
	ssize_t n;

	if (fd < 0)
		return NULL;
	size = lseek(fd, 0, SEEK_END);
	n = pread(fd, text, LAST_WORDS_BYTES,
		  size > (off_t)LAST_WORDS_BYTES ? size - (off_t)LAST_WORDS_BYTES : 0);
	if (n <= 0)
		return NULL;
	text[n] = '\0';
	while ((line = strsep(&rest, "\n")))
		if (is_said_by_qemu(line))
			found = line;
	for (char *p = found; p && *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	return found ? strdup(found) : NULL;
}

static void end_domain(const struct sweep *sweep)
{
	char name[VM_NAME_BYTES];
	virDomainPtr domain;

	host_name_domain(sweep->host, sweep->id, name);
	domain = virDomainLookupByName(sweep->host->connection, name);
	if (!domain)
		return;
	(void)virDomainDestroy(domain);
	(void)virDomainFree(domain);
}

void sweep_run(struct sweep *sweep)
{
	const char *group = sweep->cpu_group[0] ? sweep->cpu_group : NULL;
	_cleanup_free_ char *log = NULL;
	char name[VM_NAME_BYTES];
	struct vm_paths paths;
	int r;

	if (sweep->domain_may_live)
		end_domain(sweep);
	sweep->result = paths_fill(sweep->host, sweep->id, &paths);
	if (sweep->result >= 0)
		sweep->result = fs_remove_tree(paths.folder);
	if (sweep->result >= 0 && sweep->host->vault)
		sweep->result = fs_remove_tree(paths.ram_folder);
	sweep->cpu_result =
		cgroup_read_cpu(&sweep->host->cgroups, group, sweep->id, &sweep->cpu_us);
	r = cgroup_remove(&sweep->host->cgroups, group, sweep->id);
	if (r < 0 && sweep->result >= 0)
		sweep->result = r;
	host_name_domain(sweep->host, sweep->id, name);
	if (!sweep->host->embedded ||
	    asprintf(&log, "%s/log/qemu/%s.log", sweep->host->libvirt_root, name) < 0)
		return;
	if (sweep->want_last_words)
		sweep->last_words = read_last_words(log);
	(void)unlink(log);
}
