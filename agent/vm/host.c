/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vm/host.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "agent/core/digest.h"
#include "agent/image/package.h"
#include "agent/vm/domain_xml.h"
#include "agent/vm/embedded.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"
#include "mayfly/id.h"
#include "mayfly/log.h"

#define STATE_DIR_BYTES  50 /* longer, and unix sockets below it would have no room */
#define DEFAULT_TB_SIZE  32
#define DEFAULT_OVERHEAD 128
#define OPEN_KEEP_US     (600 * USEC_PER_SEC)

void host_warn(struct vm_host *host, char *text)
{
	if (!text)
		return;
	if (host->n_warnings < HOST_WARNINGS_MAX)
		host->warnings[host->n_warnings++] = text;
	else
		free(text);
}

static int copy_strings(struct vm_host *host, const struct vm_host_config *config)
{
	host->state_dir = strdup(config->state_dir);
	host->emulator = strdup(config->emulator ? config->emulator : DEFAULT_EMULATOR);
	if (!host->state_dir || !host->emulator)
		return -ENOMEM;
	if (config->libvirt_uri && strcmp(config->libvirt_uri, DEFAULT_URI) != 0) {
		host->libvirt_uri = strdup(config->libvirt_uri);
		if (!host->libvirt_uri)
			return -ENOMEM;
	}
	host->embedded = !host->libvirt_uri;
	if (asprintf(&host->libvirt_root, "%s/libvirt", host->state_dir) < 0 ||
	    asprintf(&host->run_dir, "%s/run/vm", host->state_dir) < 0 ||
	    asprintf(&host->scratch_dir, "%s/scratch", host->state_dir) < 0 ||
	    asprintf(&host->templates_dir, "%s/templates", host->state_dir) < 0 ||
	    asprintf(&host->placeholder_path, "%s/placeholder.img", host->templates_dir) < 0)
		return -ENOMEM;
	return 0;
}

static int check_state_dir(const char *path, struct error *error)
{
	if (!domain_path_is_safe(path))
		return error_set(error, ERROR_INVALID_PARAMETER, "state_dir",
				 "the state directory must be an absolute path without commas");
	if (strlen(path) > STATE_DIR_BYTES)
		return error_set(error, ERROR_INVALID_PARAMETER, "state_dir",
				 "the state directory's path is longer than %d bytes, too long for "
				 "the sockets below it",
				 STATE_DIR_BYTES);
	return 0;
}

static int find_user(struct vm_host *host, const char *name, struct error *error)
{
	const struct passwd *user;

	host->uid = geteuid();
	host->gid = getegid();
	if (!name) {
		char *text;

		if (asprintf(&text, "QEMU runs as the agent's own user (vm_user is not set)") >= 0)
			host_warn(host, text);
		return 0;
	}
	errno = 0;
	user = getpwnam(name);
	if (!user)
		return error_set(error, ERROR_INVALID_PARAMETER, "vm_user",
				 "there is no user \"%s\"", name);
	if (geteuid() != 0 && user->pw_uid != geteuid())
		return error_set(error, ERROR_INVALID_PARAMETER, "vm_user",
				 "only root can run QEMU as user \"%s\"", name);
	host->change_owner = user->pw_uid != geteuid();
	host->uid = user->pw_uid;
	host->gid = user->pw_gid;
	return 0;
}

void host_share_user(struct vm_host *host, const char *why)
{
	char *text;

	host->own_users = false;
	host->users = vm_users_free(host->users);
	if (asprintf(&text,
		     "all microVMs run as one user, so a QEMU that its guest takes over has the "
		     "others in its hands: %s",
		     why) >= 0)
		host_warn(host, text);
}

/* Whether the first and the last of them can be given a folder of ours. */
static int try_users(const struct vm_host *host, const struct vm_host_config *config)
{
	_cleanup_free_ char *folder = NULL;
	int r;

	if (asprintf(&folder, "%s/try-users", host->run_dir) < 0)
		return -ENOMEM;
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		return -errno;
	r = vm_users_admit(folder, config->uid_first);
	if (r >= 0)
		r = vm_users_admit(folder, config->uid_first + config->uid_count - 1);
	(void)rmdir(folder);
	return r;
}

static int open_users(struct vm_host *host, const struct vm_host_config *config,
		      struct error *error)
{
	uint32_t start;
	int r;

	/* Who runs all as one user by choice has been told so. */
	if (!host->change_owner)
		return 0;
	if (!config->uid_count || (host->libvirt_uri && strstr(host->libvirt_uri, "/session"))) {
		host_share_user(host, config->uid_count ? "a session's libvirt has no other users"
							: "vm.uid_count is 0");
		return 0;
	}
	r = try_users(host, config);
	if (r == -EOPNOTSUPP || r == -EINVAL) {
		host_share_user(host, r == -EINVAL
					      ? "the range from vm.uid_first on is not part of "
						"this user namespace"
					      : "the state directory's file system has no access "
						"lists");
		return 0;
	}
	random_bytes(&start, sizeof(start));
	if (r >= 0)
		r = vm_users_new(config->uid_first, config->uid_count, start, vm_users_has_process,
				 &host->users);
	if (r < 0)
		return error_set_errno(error, r, "cannot give microVMs users of their own");
	host->own_users = true;
	return 0;
}

/* QEMU's user must be able to walk to its files. */
static int check_reachable(const struct vm_host *host, const char *path, struct error *error)
{
	_cleanup_free_ char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	if (!host->change_owner)
		return 0;
	for (char *slash = copy + 1; (slash = strchr(slash, '/')); slash++) {
		struct stat status;
		mode_t need;

		*slash = '\0';
		if (stat(copy, &status) < 0)
			return error_set_errno(error, errno, "cannot look at %s", copy);
		need = host->own_users              ? S_IXOTH
		       : status.st_uid == host->uid ? S_IXUSR
		       : status.st_gid == host->gid ? S_IXGRP
						    : S_IXOTH;
		if (!(status.st_mode & need))
			return error_set(error, ERROR_INVALID_PARAMETER, NULL,
					 "QEMU's user cannot enter %s (mode %04o), which is on the "
					 "way to %s",
					 copy, (unsigned)status.st_mode & 07777U, path);
		*slash = '/';
	}
	return 0;
}

static int make_folders(const struct vm_host *host, struct error *error)
{
	const struct {
		const char *path;
		mode_t mode;
	} folders[] = {
		{ host->state_dir, 0711 },   { host->libvirt_root, 0711 },  { host->run_dir, 0711 },
		{ host->scratch_dir, 0711 }, { host->templates_dir, 0711 },
	};
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		r = fs_make_directories(folders[i].path, folders[i].mode);
		if (r < 0)
			return error_set_errno(error, r, "cannot make %s", folders[i].path);
		r = check_reachable(host, folders[i].path, error);
		if (r < 0)
			return r;
	}
	return 0;
}

static int take_lock(struct vm_host *host, struct error *error)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/vm.lock", host->state_dir) < 0)
		return -ENOMEM;
	host->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (host->lock_fd < 0)
		return error_set_errno(error, errno, "cannot open %s", path);
	if (flock(host->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return error_set(error, ERROR_CONFLICT, NULL,
				 "another agent uses the state directory %s", host->state_dir);
	return 0;
}

static int prepare_files(struct vm_host *host, struct error *error)
{
	int r;

	r = package_create_placeholder(host->placeholder_path, error);
	if (r < 0)
		return r;
	if (chmod(host->placeholder_path, 0444) < 0)
		return error_set_errno(error, errno, "cannot set up %s", host->placeholder_path);
	return 0;
}

static int open_vault(struct vm_host *host, const struct vm_host_config *config,
		      struct error *error)
{
	_cleanup_free_ char *dir = NULL;
	char *warning = NULL;
	int r;

	if (asprintf(&dir, "%s/run/open", host->state_dir) < 0)
		return -ENOMEM;
	host->open_keep_us = config->open_keep_us ? config->open_keep_us : OPEN_KEEP_US;
	if (!config->template_key) {
		vault_remove(dir);
		return 0;
	}
	if (!host->embedded)
		return error_set(error, ERROR_INVALID_PARAMETER, "templates.encryption",
				 "a libvirt daemon does not see the file system in memory that "
				 "sealed templates lie open in: leave vm.libvirt_uri empty");
	r = vault_open(dir, config->template_key, config->open_max_bytes, &host->vault, &warning,
		       error);
	host_warn(host, warning);
	return r < 0 ? r : check_reachable(host, host->vault->links_dir, error);
}

static int open_images(struct vm_host *host, const char *images_dir, struct error *error)
{
	_cleanup_free_ char *stamps = NULL;
	int r;

	if (asprintf(&stamps, "%s/images.stamps", host->state_dir) < 0)
		return -ENOMEM;
	r = runtime_catalogue_open(images_dir, stamps, &host->catalogue, error);
	if (r < 0)
		return r;
	r = package_images_new(&host->packages);
	if (r < 0)
		return r;
	r = check_reachable(host, runtime_catalogue_kernel(host->catalogue)->path, error);
	if (r < 0)
		return r;
	r = runtime_catalogue_verify(host->catalogue, runtime_catalogue_kernel(host->catalogue),
				     error);
	if (r >= 0)
		r = runtime_catalogue_verify(host->catalogue,
					     runtime_catalogue_initramfs(host->catalogue), error);
	return r;
}

static int make_tag(struct vm_host *host, struct error *error)
{
	_cleanup_free_ char *path = realpath(host->state_dir, NULL);
	char hex[DIGEST_HEX_BYTES];
	struct digest digest;
	int r;

	if (!path)
		return error_set_errno(error, errno, "cannot look at %s", host->state_dir);
	r = digest_bytes(path, strlen(path), &digest);
	if (r < 0)
		return error_set_errno(error, r, "cannot digest a path");
	digest_hex(&digest, hex);
	memcpy(host->tag, hex, HOST_TAG_BYTES - 1);
	host->tag[HOST_TAG_BYTES - 1] = '\0';
	return 0;
}

/* Two agents may share a host and a parent group. */
static void open_cgroups(struct vm_host *host)
{
	_cleanup_free_ char *record = NULL;
	char name[32];

	(void)snprintf(name, sizeof(name), "mayfly-vm-%s", host->tag);
	cgroups_open("/sys/fs/cgroup", "/proc/self/cgroup", name, &host->cgroups);
	if (asprintf(&record, "%s/cgroups", host->state_dir) >= 0)
		cgroups_succeed(&host->cgroups, record);
}

static void fill_image_info(struct vm_host *host)
{
	host->info.guest_kernel = runtime_catalogue_kernel_release(host->catalogue);
	host->info.initramfs_bytes = runtime_catalogue_initramfs(host->catalogue)->size_bytes;
}

static void fill_info(struct vm_host *host)
{
	host->info = (struct vm_host_info){
		.accelerator = host->verdict.accelerator,
		.accelerator_reason = host->verdict.reason,
		.qemu_version = host->qemu_version,
		.libvirt_version = host->libvirt_version,
		.libvirt_uri = host->embedded ? "qemu:///embed" : host->libvirt_uri,
		.cgroup_mode = cgroup_mode_name(host->cgroups.mode),
		.warnings = (const char *const *)host->warnings,
	};
	fill_image_info(host);
}

void host_refresh_images(struct vm_host *host)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	int r = runtime_catalogue_refresh(host->catalogue, &error);

	if (r < 0)
		log_warning("the guest images read before stay in use: %s", error_log_text(&error));
	if (r <= 0)
		return;
	log_notice("the guest images were built anew; templates of those that changed are made "
		   "again");
	fill_image_info(host);
}

static int host_open(struct vm_host *host, const struct vm_host_config *config, struct error *error)
{
	int r;

	r = check_state_dir(config->state_dir, error);
	if (r < 0)
		return r;
	r = copy_strings(host, config);
	if (r < 0)
		return error_set_errno(error, r, "cannot open the VM host");
	r = find_user(host, config->vm_user, error);
	if (r < 0)
		return r;
	r = make_folders(host, error);
	if (r < 0)
		return r;
	r = take_lock(host, error);
	if (r >= 0)
		r = make_tag(host, error);
	if (r < 0)
		return r;
	/* QEMU daemonises away from libvirt: whoever ends must be ours to reap, at once. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return error_set_errno(error, errno, "cannot become a subreaper");
	r = leftovers_end(host, error);
	if (r >= 0)
		r = fs_make_directories(host->run_dir, 0711);
	if (r >= 0)
		r = open_vault(host, config, error);
	if (r >= 0)
		r = open_users(host, config, error);
	if (r >= 0)
		r = make_folders(host, error);
	if (r >= 0)
		r = prepare_files(host, error);
	if (r >= 0)
		r = open_images(host, config->images_dir, error);
	if (r < 0)
		return r;
	host->tsc_khz = tsc_measure_khz();
	r = emulator_open(host, config->accelerator, error);
	if (r >= 0)
		r = preload_open(host, error);
	if (r < 0)
		return r;
	if (host->verdict.accelerator == ACCELERATOR_TCG)
		host_warn(host, strdup("VMs are emulated (TCG), which is slow and which QEMU does "
				       "not promise to be a wall between tenants"));
	host->cpu_limits = config->cpu_limits && host->verdict.accelerator == ACCELERATOR_KVM;
	open_cgroups(host);
	if (host->cgroups.warning)
		host_warn(host, strdup(host->cgroups.warning));
	r = reaper_start(host->emulator, &host->reaper);
	if (r < 0)
		return error_set_errno(error, r, "cannot start the reaper");
	/* libvirt starts QEMU to ask for its capabilities. */
	reaper_expect(host->reaper);
	r = libvirt_link_open(host, error);
	reaper_unexpect(host->reaper);
	if (r < 0)
		return r;
	leftovers_end_domains(host);
	fill_info(host);
	return 0;
}

int vm_host_open(const struct vm_host_config *config, struct loop *loop, struct vm_host **ret,
		 struct error *error)
{
	struct vm_host *host;
	int r;

	host = calloc(1, sizeof(*host));
	if (!host)
		return error_set_errno(error, ENOMEM, "cannot open the VM host");
	host->loop = loop;
	lane_init(&host->weights, loop, 1);
	host->lock_fd = -1;
	host->stopped_callback = -1;
	host->tb_size_mb = config->tb_size_mb ? config->tb_size_mb : DEFAULT_TB_SIZE;
	host->guest_overhead_mb =
		config->guest_overhead_mb ? config->guest_overhead_mb : DEFAULT_OVERHEAD;
	r = host_open(host, config, error);
	if (r < 0) {
		(void)error_set_errno(error, r, "cannot open the VM host");
		(void)vm_host_close(host);
		return r;
	}
	*ret = host;
	return 0;
}

struct vm_host *vm_host_close(struct vm_host *host)
{
	if (!host)
		return NULL;
	libvirt_link_close(host);
	host->reaper = reaper_stop(host->reaper);
	cgroups_close(&host->cgroups);
	(void)runtime_catalogue_free(host->catalogue);
	(void)package_images_free(host->packages);
	(void)vm_users_free(host->users);
	(void)vault_close(host->vault);
	for (size_t i = 0; i < host->n_warnings; i++)
		free(host->warnings[i]);
	if (host->lock_fd >= 0)
		(void)close(host->lock_fd);
	free(host->state_dir);
	free(host->libvirt_root);
	free(host->run_dir);
	free(host->scratch_dir);
	free(host->templates_dir);
	free(host->placeholder_path);
	free(host->preload);
	free(host->emulator);
	free(host->emulator_started);
	free(host->libvirt_uri);
	free(host);
	return NULL;
}

const struct runtime_catalogue *vm_host_catalogue(const struct vm_host *host)
{
	return host->catalogue;
}

const struct vm_host_info *vm_host_info(const struct vm_host *host)
{
	return &host->info;
}
