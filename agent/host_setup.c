/* SPDX-License-Identifier: Apache-2.0 */

#include "agent/host_setup.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "mayfly/clock.h"
#include "mayfly/fs.h"
#include "mayfly/id.h"

/* Sockets, monitors and disks: some ten per sandbox. */
#define WANTED_FILES   524288U
#define ENOUGH_FILES   16384U
#define NAME_DB_BYTES  16384

/* Others may pass through to the sockets and disks that are theirs, but not look around. */
#define STATE_DIR_MODE 0711

static void warn(struct host_setup *setup, const char *warning)
{
	for (size_t i = 0; i < HOST_MAX_WARNINGS; i++) {
		if (setup->warnings[i])
			continue;
		setup->warnings[i] = warning;
		return;
	}
}

static void raise_file_limit(struct host_setup *setup)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	struct rlimit wanted = { .rlim_cur = WANTED_FILES,
				 .rlim_max = limit.rlim_max > WANTED_FILES ? limit.rlim_max
									   : WANTED_FILES };
	if (setrlimit(RLIMIT_NOFILE, &wanted) == 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < ENOUGH_FILES)
		warn(setup, "The limit of open files is low; it bounds the number of sandboxes.");
}

static int block_signals(struct error *error)
{
	sigset_t handled;
	(void)sigemptyset(&handled);
	(void)sigaddset(&handled, SIGTERM);
	(void)sigaddset(&handled, SIGINT);
	(void)sigaddset(&handled, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &handled, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return error_set_errno(error, errno, "cannot set signals");
	return 0;
}

static int lock_state_dir(const char *state_dir, struct host_setup *setup, struct error *error)
{
	int r = fs_make_directories(state_dir, STATE_DIR_MODE);
	if (r < 0)
		return error_set_errno(error, r, "cannot make the state folder %s", state_dir);

	_cleanup_free_ char *path = NULL;
	if (asprintf(&path, "%s/lock", state_dir) < 0)
		return error_set_errno(error, ENOMEM, "cannot lock %s", state_dir);
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set_errno(error, errno, "cannot open %s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		char pid[16] = "";
		(void)!read(fd, pid, sizeof(pid) - 1);
		return error_set(error, ERROR_CONFLICT, NULL,
				 "another mayflyd (process %.15s) uses %s", pid, state_dir);
	}
	char pid[16];
	int len = snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)len, 0) != len)
		return error_set_errno(error, errno, "cannot write %s", path);
	setup->lock_fd = TAKE_FD(fd);
	return 0;
}

/* A node keeps its name for the life of its state folder. */
static int load_node_id(const char *state_dir, struct host_setup *setup, struct error *error)
{
	_cleanup_free_ char *path = NULL;
	if (asprintf(&path, "%s/node-id", state_dir) < 0)
		return error_set_errno(error, ENOMEM, "cannot read the node's id");

	_cleanup_buf_ struct buf text = BUF_INIT;
	int r = fs_read_file(path, sizeof(setup->node_id), &text);
	if (r == 0 && text.len >= UUID_BYTES - 1) {
		memcpy(setup->node_id, text.data, UUID_BYTES - 1);
		setup->node_id[UUID_BYTES - 1] = '\0';
		return 0;
	}
	if (r < 0 && r != -ENOENT)
		return error_set_errno(error, r, "cannot read %s", path);
	uuid_generate(setup->node_id);
	r = fs_write_file_atomic(path, slice_from_string(setup->node_id), 0644);
	if (r < 0)
		return error_set_errno(error, r, "cannot write %s", path);
	return 0;
}

static int find_group(const char *name, gid_t *ret, struct error *error)
{
	struct group group;
	struct group *found = NULL;
	char bytes[NAME_DB_BYTES];
	*ret = (gid_t)-1;
	if (!*name)
		return 0;
	int r = getgrnam_r(name, &group, bytes, sizeof(bytes), &found);
	if (!found)
		return error_set(error, ERROR_INVALID_PARAMETER, "api.socket_group",
				 "api.socket_group: there is no group '%s'%s%s", name,
				 r ? ": " : "", r ? strerrordesc_np(r) : "");
	*ret = group.gr_gid;
	return 0;
}

static int check_user(const char *name, struct error *error)
{
	struct passwd passwd;
	struct passwd *found = NULL;
	char bytes[NAME_DB_BYTES];
	if (!*name)
		return 0;
	if (geteuid() != 0)
		return error_set(error, ERROR_ACCESS_DENIED, "vm.user",
				 "mayflyd must be started as root to run microVMs as the user "
				 "'%s' (or with vm.user empty, as its own user)",
				 name);
	(void)getpwnam_r(name, &passwd, bytes, sizeof(bytes), &found);
	if (!found)
		return error_set(error, ERROR_INVALID_PARAMETER, "vm.user",
				 "vm.user: there is no user '%s'; make it with 'useradd --system "
				 "--user-group --no-create-home --shell /usr/sbin/nologin %s'",
				 name, name);
	return 0;
}

static int check_images(const char *images_dir, struct error *error)
{
	_cleanup_free_ char *path = NULL;
	if (asprintf(&path, "%s/images.json", images_dir) < 0)
		return error_set_errno(error, ENOMEM, "cannot look for the guest images");
	if (fs_exists(path))
		return 0;
	return error_set(error, ERROR_UNAVAILABLE, "node.images_dir",
			 "there are no guest images in %s; make them with build-images (see "
			 "docs/operations.md)",
			 images_dir);
}

int host_setup(const struct config *config, struct host_setup *ret, struct error *error)
{
	*ret = (struct host_setup){ .lock_fd = -1 };
	int r = check_user(config->vm_user, error);
	if (r < 0)
		return r;
	r = check_images(config->node_images_dir, error);
	if (r < 0)
		return r;
	r = find_group(config->api_socket_group, &ret->socket_gid, error);
	if (r < 0)
		return r;
	r = block_signals(error);
	if (r < 0)
		return r;
	raise_file_limit(ret);
	r = lock_state_dir(config->node_state_dir, ret, error);
	if (r < 0)
		return r;
	r = load_node_id(config->node_state_dir, ret, error);
	if (r < 0)
		host_setup_undo(ret);
	return r;
}

void host_setup_undo(struct host_setup *setup)
{
	/* The file stays: removing it would let two agents lock two files of one name. */
	if (setup->lock_fd >= 0)
		(void)close(setup->lock_fd);
	setup->lock_fd = -1;
}

static const char *or_null(const char *text)
{
	return *text ? text : NULL;
}

struct vm_host_config host_vm_config(const struct config *config)
{
	static const enum accelerator accelerators[] = {
		[CONFIG_ACCELERATOR_AUTO] = ACCELERATOR_AUTO,
		[CONFIG_ACCELERATOR_KVM] = ACCELERATOR_KVM,
		[CONFIG_ACCELERATOR_TCG] = ACCELERATOR_TCG,
	};
	return (struct vm_host_config){
		.state_dir = config->node_state_dir,
		.libvirt_uri = or_null(config->vm_libvirt_uri),
		.emulator = config->vm_emulator,
		.accelerator = accelerators[config->vm_accelerator],
		.vm_user = or_null(config->vm_user),
		.uid_first = (uid_t)config->vm_uid_first,
		.uid_count = (unsigned)config->vm_uid_count,
		.images_dir = config->node_images_dir,
		.tb_size_mb = (unsigned)config->vm_tb_size_mb,
		.guest_overhead_mb = (unsigned)config->vm_guest_overhead_mb,
		.cpu_limits = config->vm_cpu_limits,
		.open_max_bytes = config->templates_open_max_mb << 20,
		.open_keep_us = (int64_t)config->templates_open_keep_s * USEC_PER_SEC,
	};
}
