/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vm/host.h"

#include <errno.h>
#include <pwd.h>
#include <grp.h>
#include <string.h>

#include <libvirt/virterror.h>

#include "mayfly/fs.h"
#include "mayfly/log.h"

#define LIBVIRT_DEFAULT_USER "libvirt-qemu" /* Debian's */

int libvirt_error_set(struct error *error, const char *what)
{
	const virError *last = virGetLastError();

	return error_set(error, ERROR_INTERNAL, NULL, "%s: %s", what,
			 last && last->message ? last->message : "libvirt gave no reason");
}

static void be_silent(void *user _unused_, virErrorPtr error _unused_)
{
	/* Every failed call is reported by its caller. */
}

static void ignore_timeout(int timer, void *opaque _unused_)
{
	(void)virEventRemoveTimeout(timer);
}

static void *run_events(void *arg)
{
	struct vm_host *host = arg;

	(void)pthread_setname_np(pthread_self(), "libvirt-events");
	while (!atomic_load(&host->event_thread_stop))
		if (virEventRunDefaultImpl() < 0)
			break;
	return NULL;
}

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static bool library_ready;

static void initialize_library(void)
{
	library_ready = virInitialize() >= 0 && virEventRegisterDefaultImpl() >= 0;
	virSetErrorFunc(NULL, be_silent);
}

static int write_driver_config(const struct vm_host *host, struct error *error)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	_cleanup_free_ char *folder = NULL;
	_cleanup_free_ char *path = NULL;
	const struct passwd *user = getpwuid(host->uid);
	const struct group *group = getgrgid(host->gid);
	int r;

	if (!user || !group)
		return error_set(error, ERROR_INTERNAL, NULL, "user %u or group %u has no name",
				 (unsigned)host->uid, (unsigned)host->gid);
	if (asprintf(&folder, "%s/etc", host->libvirt_root) < 0 ||
	    asprintf(&path, "%s/qemu.conf", folder) < 0)
		return -ENOMEM;
	/* The agent itself gives files to QEMU's user and makes cgroups, so libvirt must not. A
	 * mount namespace would hide device nodes only, which that user may not open anyway,
	 * and each start would wait for it. */
	r = buf_append_format(&text,
			      "user = \"%s\"\n"
			      "group = \"%s\"\n"
			      "dynamic_ownership = 0\n"
			      "remember_owner = 0\n"
			      "security_driver = \"none\"\n"
			      "seccomp_sandbox = 1\n"
			      "namespaces = []\n"
			      "cgroup_controllers = []\n"
			      "stdio_handler = \"file\"\n"
			      "max_core = 0\n",
			      user->pw_name, group->gr_name);
	if (r >= 0)
		r = fs_make_directories(folder, 0755);
	if (r >= 0)
		r = fs_write_file_atomic(path, buf_slice(&text), 0644);
	return r < 0 ? error_set_errno(error, r, "cannot write %s", path) : 0;
}

struct stopped_message {
	struct vm_host *host;
	char id[VM_ID_BYTES];
};

static void on_stopped(void *arg)
{
	struct stopped_message *message = arg;

	host_domain_stopped(message->host, message->id);
	free(message);
}

/* libvirt's event thread. */
static int on_lifecycle(virConnectPtr connection _unused_, virDomainPtr domain, int event,
			int detail _unused_, void *opaque)
{
	struct stopped_message *message;
	const char *name = virDomainGetName(domain);
	const char *id = name ? host_find_domain_id(opaque, name) : NULL;

	if (event != VIR_DOMAIN_EVENT_STOPPED || !id)
		return 0;
	message = calloc(1, sizeof(*message));
	if (!message)
		return 0; /* the VM's own timer finds the domain gone */
	message->host = opaque;
	(void)snprintf(message->id, sizeof(message->id), "%s", id);
	loop_post(message->host->loop, on_stopped, message);
	return 0;
}

static int start_event_thread(struct vm_host *host, struct error *error)
{
	int r = pthread_create(&host->event_thread, NULL, run_events, host);

	if (r > 0)
		return error_set_errno(error, r, "cannot start libvirt's event thread");
	host->event_thread_runs = true;
	return 0;
}

static void read_versions(struct vm_host *host)
{
	unsigned long version = 0;

	if (virConnectGetLibVersion(host->connection, &version) >= 0)
		(void)snprintf(host->libvirt_version, sizeof(host->libvirt_version), "%lu.%lu.%lu",
			       version / 1000000, version / 1000 % 1000, version % 1000);
}

/* QEMU's capabilities are asked once per binary and take seconds: better now than in the first
 * request. libvirt keeps the answer. */
static int warm_capabilities(struct vm_host *host, struct error *error)
{
	_cleanup_free_ char *answer = NULL;

	answer = virConnectGetDomainCapabilities(
		host->connection, host->emulator_started, "x86_64", "microvm",
		host->verdict.accelerator == ACCELERATOR_KVM ? "kvm" : "qemu", 0);
	if (!answer)
		return libvirt_error_set(error, "libvirt cannot use this QEMU");
	return 0;
}

/* libvirt's own log would flood stderr with what it finds unusual here ("tainted"). Read by the
 * library when it is initialised; no other thread runs yet. */
static void send_log_to_file(const struct vm_host *host)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_free_ char *outputs = NULL;

	if (asprintf(&path, "%s/libvirt.log", host->libvirt_root) < 0 ||
	    asprintf(&outputs, "4:file:%s", path) < 0)
		return;
	(void)unlink(path);
	(void)setenv("LIBVIRT_LOG_OUTPUTS", outputs, 0);
}

/* The embedded driver looks its distribution's default user up before it reads which user
 * is configured, and fails where there is none. */
static int check_default_user(const struct vm_host *host, struct error *error)
{
	if (!host->embedded || geteuid() != 0 ||
	    (getpwnam(LIBVIRT_DEFAULT_USER) && getgrnam(LIBVIRT_DEFAULT_USER)))
		return 0;
	return error_set(error, ERROR_INVALID_PARAMETER, NULL,
			 "libvirt needs the system user and group \"%s\": useradd --system "
			 "--user-group --no-create-home --shell /usr/sbin/nologin %s",
			 LIBVIRT_DEFAULT_USER, LIBVIRT_DEFAULT_USER);
}

int libvirt_link_open(struct vm_host *host, struct error *error)
{
	_cleanup_free_ char *uri = NULL;
	int r;

	r = check_default_user(host, error);
	if (r < 0)
		return r;
	send_log_to_file(host);
	(void)pthread_once(&library_once, initialize_library);
	if (!library_ready)
		return error_set(error, ERROR_INTERNAL, NULL, "libvirt cannot be initialised");
	if (host->embedded) {
		r = write_driver_config(host, error);
		if (r < 0)
			return r;
		if (asprintf(&uri, "qemu:///embed?root=%s", host->libvirt_root) < 0)
			return -ENOMEM;
	}
	r = start_event_thread(host, error);
	if (r < 0)
		return r;
	host->connection = virConnectOpen(uri ? uri : host->libvirt_uri);
	if (!host->connection)
		return libvirt_error_set(error, "cannot open libvirt");
	host->stopped_callback = virConnectDomainEventRegisterAny(
		host->connection, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
		VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), host, NULL);
	if (host->stopped_callback < 0)
		return libvirt_error_set(error, "cannot listen to libvirt");
	read_versions(host);
	return warm_capabilities(host, error);
}

void libvirt_link_close(struct vm_host *host)
{
	if (host->connection) {
		if (host->stopped_callback >= 0)
			(void)virConnectDomainEventDeregisterAny(host->connection,
								 host->stopped_callback);
		(void)virConnectClose(host->connection);
		host->connection = NULL;
	}
	if (!host->event_thread_runs)
		return;
	atomic_store(&host->event_thread_stop, true);
	(void)virEventAddTimeout(0, ignore_timeout, NULL, NULL);
	(void)pthread_join(host->event_thread, NULL);
	host->event_thread_runs = false;
}
