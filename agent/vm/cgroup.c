/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vm/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "mayfly/fs.h"
#include "mayfly/log.h"

#define PERIOD_US       100000U
/* Of a limit that a group may reach all the time: the shorter, the sooner it goes on. */
#define GROUP_PERIOD_US 50000U
#define QUOTA_MIN_US    1000U /* the kernel takes no less */
#define CPU                                                                                        \
	1 /* of the controllers, as the next: both have a group for each owner, for they           \
	   may be one hierarchy */
#define CPUACCT 2
#define TRIES   8 /* to make a folder in a group that another job removes */

static const char *const controllers[CGROUP_CONTROLLERS] = { "memory", "cpu", "cpuacct" };

const char *cgroup_mode_name(enum cgroup_mode mode)
{
	static const char *const names[] = { "none", "v1", "v2" };

	return names[mode];
}

_printf_(1, 2) static char *path_format(const char *format, ...)
{
	va_list arguments;
	char *path;
	int r;

	va_start(arguments, format);
	r = vasprintf(&path, format, arguments);
	va_end(arguments);
	return r < 0 ? NULL : path;
}

static int write_value(const char *folder, const char *file, const char *value)
{
	_cleanup_free_ char *path = path_format("%s/%s", folder, file);
	_cleanup_close_ int fd = -1;

	if (!path)
		return -ENOMEM;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return fs_write_all(fd, value, strlen(value));
}

static int write_number(const char *folder, const char *file, uint64_t number)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	return write_value(folder, file, text);
}

static int make_folder(const char *path)
{
	return mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

/* "2:cpu,cpuacct:/path" or, for version 2, "0::/path". */
int cgroup_parse_self(const char *text, const char *controller, char *out, size_t size)
{
	_cleanup_free_ char *copy = strdup(text);
	char *rest = copy;
	char *line;

	if (!copy)
		return -ENOMEM;
	while ((line = strsep(&rest, "\n"))) {
		char *path;
		char *name;
		char *list;

		(void)strsep(&line, ":");
		list = strsep(&line, ":");
		path = line;
		if (!list || !path)
			continue;
		if (!*controller && *list)
			continue;
		while ((name = strsep(&list, ",")))
			if (strcmp(name, controller) == 0)
				return snprintf(out, size, "%s", path) < (int)size ? 0
										   : -ENAMETOOLONG;
	}
	return -ENOENT;
}

static void add_warning(struct cgroups *cgroups, char *text)
{
	if (cgroups->warning)
		free(text);
	else
		cgroups->warning = text;
}

static void remove_folders_in(int parent_fd, const char *path, unsigned depth)
{
	int fd = openat(parent_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *entry;
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

	if (!dir) {
		close_p(&fd);
		return;
	}
	while ((entry = readdir(dir))) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		if (depth > 1)
			remove_folders_in(fd, entry->d_name, depth - 1);
		(void)unlinkat(fd, entry->d_name, AT_REMOVEDIR);
	}
	(void)closedir(dir);
}

/* Removes the groups of VMs that are gone, and of their owners; one that still has processes
 * stays. */
static void remove_leftovers(const char *parent)
{
	remove_folders_in(AT_FDCWD, parent, 2);
}

static void open_v1_controller(struct cgroups *cgroups, const char *root, const char *self,
			       const char *name, unsigned index)
{
	char own[512];
	char *parent;
	int r;

	if (cgroup_parse_self(self, controllers[index], own, sizeof(own)) < 0) {
		add_warning(cgroups, path_format("this host has no cgroup controller \"%s\"",
						 controllers[index]));
		return;
	}
	/* In a container the own path may not exist below its mount: then the mount's top. */
	parent = path_format("%s/%s%s", root, controllers[index], own[1] ? own : "");
	if (parent && !fs_exists(parent)) {
		free(parent);
		parent = path_format("%s/%s", root, controllers[index]);
	}
	cgroups->parents[index] = parent ? path_format("%s/%s", parent, name) : NULL;
	free(parent);
	if (!cgroups->parents[index])
		return;
	r = make_folder(cgroups->parents[index]);
	if (r < 0) {
		add_warning(cgroups, path_format("cannot make %s: %s", cgroups->parents[index],
						 strerror(-r)));
		free(TAKE_PTR(cgroups->parents[index]));
		return;
	}
	remove_leftovers(cgroups->parents[index]);
}

/* A group with processes cannot hand controllers down: the agent moves into a leaf of its own
 * group first. That works where systemd delegated it (Delegate=yes) and at the top. */
static int delegate_v2(const char *own, const char *parent)
{
	_cleanup_free_ char *leaf = path_format("%s/mayfly-agent", own);
	int r;

	if (!leaf)
		return -ENOMEM;
	if (write_value(own, "cgroup.subtree_control", "+memory +cpu") < 0) {
		r = make_folder(leaf);
		if (r >= 0)
			r = write_number(leaf, "cgroup.procs", (uint64_t)getpid());
		if (r >= 0)
			r = write_value(own, "cgroup.subtree_control", "+memory +cpu");
		if (r < 0)
			return r;
	}
	r = make_folder(parent);
	return r < 0 ? r : write_value(parent, "cgroup.subtree_control", "+memory +cpu");
}

static void open_v2(struct cgroups *cgroups, const char *root, const char *self, const char *name)
{
	_cleanup_free_ char *own = NULL;
	char *parent;
	char path[512];
	size_t len;
	int r;

	if (cgroup_parse_self(self, "", path, sizeof(path)) < 0)
		path[0] = '\0';
	/* A restarted agent may find itself in the leaf that it made. */
	len = strlen(path);
	if (len > 13 && strcmp(path + len - 13, "/mayfly-agent") == 0)
		path[len - 13] = '\0';
	own = path_format("%s%s", root, path[0] && path[1] ? path : "");
	parent = own ? path_format("%s/%s", own, name) : NULL;
	if (!parent)
		return;
	r = delegate_v2(own, parent);
	if (r < 0) {
		add_warning(cgroups,
			    path_format("cgroup %s does not hand memory and cpu down (%s): VMs run "
					"without these limits",
					own, strerror(-r)));
		free(parent);
		return;
	}
	cgroups->parents[0] = parent;
	remove_leftovers(parent);
}

void cgroups_open(const char *root, const char *self_path, const char *name, struct cgroups *ret)
{
	_cleanup_free_ char *v2 = path_format("%s/cgroup.controllers", root);
	_cleanup_free_ char *v1 = path_format("%s/memory", root);
	_cleanup_buf_ struct buf self = BUF_INIT;

	*ret = (struct cgroups){ .mode = CGROUP_NONE };
	if (v2 && fs_exists(v2))
		ret->mode = CGROUP_V2;
	else if (v1 && fs_exists(v1))
		ret->mode = CGROUP_V1;
	if (ret->mode == CGROUP_NONE || fs_read_file(self_path, 1U << 20, &self) < 0) {
		ret->mode = CGROUP_NONE;
		add_warning(ret, path_format("no cgroups on this host: VMs run without a memory "
					     "limit and CPU quota of the host"));
		return;
	}
	if (ret->mode == CGROUP_V2) {
		open_v2(ret, root, buf_string(&self), name);
		return;
	}
	for (unsigned i = 0; i < CGROUP_CONTROLLERS; i++)
		open_v1_controller(ret, root, buf_string(&self), name, i);
}

static bool is_ours(const struct cgroups *cgroups, const char *parent)
{
	for (unsigned i = 0; i < CGROUP_CONTROLLERS; i++)
		if (cgroups->parents[i] && strcmp(cgroups->parents[i], parent) == 0)
			return true;
	return false;
}

void cgroups_succeed(const struct cgroups *cgroups, const char *record_path)
{
	_cleanup_buf_ struct buf former = BUF_INIT;
	_cleanup_buf_ struct buf ours = BUF_INIT;
	char *rest;
	char *line;
	int r = 0;

	if (fs_read_file(record_path, 1U << 16, &former) >= 0 && former.len) {
		rest = (char *)former.data;
		while ((line = strsep(&rest, "\n"))) {
			/* Only what is named as ours is touched. */
			if (!strstr(line, "/mayfly-vm") || strstr(line, ".."))
				continue;
			remove_leftovers(line);
			if (!is_ours(cgroups, line))
				(void)rmdir(line);
		}
	}
	for (unsigned i = 0; i < CGROUP_CONTROLLERS && r >= 0; i++)
		if (cgroups->parents[i])
			r = buf_append_format(&ours, "%s\n", cgroups->parents[i]);
	if (r >= 0)
		r = fs_write_file_atomic(record_path, buf_slice(&ours), 0600);
	if (r < 0)
		log_warning("cannot write %s: %s", record_path, strerror(-r));
}

void cgroups_close(struct cgroups *cgroups)
{
	for (unsigned i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (cgroups->parents[i])
			(void)rmdir(cgroups->parents[i]);
		free(cgroups->parents[i]);
	}
	free(cgroups->warning);
	*cgroups = (struct cgroups){ 0 };
}

static int set_limits(enum cgroup_mode mode, const char *folder, unsigned index,
		      const struct cgroup_limits *limits)
{
	char quota[48];
	int r;

	if (mode == CGROUP_V2) {
		r = write_number(folder, "memory.max", limits->memory_bytes);
		if (r < 0 || !limits->cpu_quota_us)
			return r;
		(void)snprintf(quota, sizeof(quota), "%u %u", limits->cpu_quota_us, PERIOD_US);
		return write_value(folder, "cpu.max", quota);
	}
	if (index == 0)
		return write_number(folder, "memory.limit_in_bytes", limits->memory_bytes);
	if (index != CPU || !limits->cpu_quota_us)
		return 0;
	r = write_number(folder, "cpu.cfs_period_us", PERIOD_US);
	return r < 0 ? r : write_number(folder, "cpu.cfs_quota_us", limits->cpu_quota_us);
}

/* -- owners' groups -- */

/* NULL: VMs of this controller lie below the parent. */
static char *group_path(const struct cgroups *cgroups, unsigned index, const char *group)
{
	if (!group || (cgroups->mode == CGROUP_V1 && index != CPU && index != CPUACCT))
		return NULL;
	return path_format("%s/%s", cgroups->parents[index], group);
}

static int write_weight(enum cgroup_mode mode, const char *folder, unsigned weight)
{
	if (weight < 1)
		weight = 1;
	if (weight > CGROUP_WEIGHT_MAX)
		weight = CGROUP_WEIGHT_MAX;
	if (mode == CGROUP_V2)
		return write_number(folder, "cpu.weight", weight);
	/* 1,024 is what 100 is in version 2; the kernel takes no less than 2. */
	return write_number(folder, "cpu.shares", (uint64_t)weight * 1024 / CGROUP_WEIGHT_DEFAULT);
}

static int make_group(const struct cgroups *cgroups, unsigned index, const char *path,
		      unsigned weight)
{
	int r = make_folder(path);

	if (r >= 0 && index != CPUACCT)
		r = write_weight(cgroups->mode, path, weight);
	if (r >= 0 && cgroups->mode == CGROUP_V2)
		r = write_value(path, "cgroup.subtree_control", "+memory +cpu");
	return r;
}

/* The VM's folder, with its owner's above it: which the end of another VM may take away meanwhile.
 */
static int make_vm_folder(const struct cgroups *cgroups, unsigned index, const char *id,
			  const struct cgroup_limits *limits, char **ret)
{
	_cleanup_free_ char *group = group_path(cgroups, index, limits->group);
	_cleanup_free_ char *folder =
		path_format("%s/%s", group ? group : cgroups->parents[index], id);
	int r = -ENOMEM;

	for (unsigned i = 0; folder && i < TRIES; i++) {
		r = group ? make_group(cgroups, index, group, limits->weight) : 0;
		if (r >= 0)
			r = make_folder(folder);
		if (r != -ENOENT)
			break;
	}
	if (r >= 0)
		*ret = TAKE_PTR(folder);
	return r;
}

int cgroup_create(const struct cgroups *cgroups, const char *id, pid_t pid,
		  const struct cgroup_limits *limits)
{
	int first = 0;
	int r;

	for (unsigned i = 0; i < CGROUP_CONTROLLERS; i++) {
		_cleanup_free_ char *folder = NULL;

		if (!cgroups->parents[i])
			continue;
		r = make_vm_folder(cgroups, i, id, limits, &folder);
		if (!folder) {
			first = first ? first : r;
			continue;
		}
		if (r >= 0)
			r = set_limits(cgroups->mode, folder, i, limits);
		if (r < 0 && !first)
			first = r;
		r = write_number(folder, "cgroup.procs", (uint64_t)pid);
		if (r < 0 && !first)
			first = r;
	}
	return first;
}

int cgroup_remove(const struct cgroups *cgroups, const char *group_name, const char *id)
{
	int first = 0;

	for (unsigned i = 0; i < CGROUP_CONTROLLERS; i++) {
		_cleanup_free_ char *folder = NULL;
		_cleanup_free_ char *group = NULL;

		if (!cgroups->parents[i])
			continue;
		group = group_path(cgroups, i, group_name);
		folder = path_format("%s/%s", group ? group : cgroups->parents[i], id);
		if (!folder)
			return -ENOMEM;
		if (rmdir(folder) < 0 && errno != ENOENT && !first)
			first = -errno;
		if (group)
			(void)rmdir(group); /* refused while it has others */
	}
	return first;
}

int cgroup_set_weight(const struct cgroups *cgroups, const char *group, unsigned weight)
{
	unsigned index = cgroups->mode == CGROUP_V2 ? 0 : CPU;
	_cleanup_free_ char *path = NULL;
	int r;

	if (!cgroups->parents[index])
		return 0;
	path = group_path(cgroups, index, group);
	if (!path)
		return -ENOMEM;
	r = write_weight(cgroups->mode, path, weight);
	return r == -ENOENT ? 0 : r;
}

int cgroup_limit_cpu(const struct cgroups *cgroups, const char *group, uint64_t thousandths)
{
	unsigned index = cgroups->mode == CGROUP_V2 ? 0 : CPU;
	uint64_t quota_us = thousandths * GROUP_PERIOD_US / 1000;
	_cleanup_free_ char *path = NULL;
	char text[48];
	int r;

	if (!cgroups->parents[index])
		return -ENOENT;
	path = group_path(cgroups, index, group);
	if (!path)
		return -ENOMEM;
	if (quota_us < QUOTA_MIN_US)
		quota_us = QUOTA_MIN_US;
	if (cgroups->mode == CGROUP_V2) {
		if (thousandths)
			(void)snprintf(text, sizeof(text), "%llu %u", (unsigned long long)quota_us,
				       GROUP_PERIOD_US);
		else
			(void)snprintf(text, sizeof(text), "max %u", GROUP_PERIOD_US);
		return write_value(path, "cpu.max", text);
	}
	if (!thousandths)
		return write_value(path, "cpu.cfs_quota_us", "-1");
	r = write_number(path, "cpu.cfs_period_us", GROUP_PERIOD_US);
	return r < 0 ? r : write_number(path, "cpu.cfs_quota_us", quota_us);
}

/* -- what was used -- */

/* "usage_usec 123\n" among other lines; nanoseconds alone. */
static int parse_cpu(enum cgroup_mode mode, const char *text, uint64_t *ret_us)
{
	static const char name[] = "usage_usec ";
	const char *digits = mode == CGROUP_V2 ? strstr(text, name) : text;
	char *end = NULL;
	unsigned long long number;

	if (!digits)
		return -EBADMSG;
	if (mode == CGROUP_V2)
		digits += strlen(name);
	if (*digits < '0' || *digits > '9')
		return -EBADMSG;
	errno = 0;
	number = strtoull(digits, &end, 10);
	if (errno || *end != '\n')
		return -EBADMSG;
	*ret_us = mode == CGROUP_V2 ? number : number / 1000;
	return 0;
}

int cgroup_read_cpu(const struct cgroups *cgroups, const char *group_name, const char *id,
		    uint64_t *ret_us)
{
	unsigned index = cgroups->mode == CGROUP_V2 ? 0 : CPUACCT;
	_cleanup_free_ char *group = NULL;
	_cleanup_free_ char *path = NULL;
	_cleanup_buf_ struct buf text = BUF_INIT;
	int r;

	if (!cgroups->parents[index])
		return -ENOENT;
	group = group_path(cgroups, index, group_name);
	path = path_format("%s%s%s/%s", group ? group : cgroups->parents[index], id ? "/" : "",
			   id ? id : "", cgroups->mode == CGROUP_V2 ? "cpu.stat" : "cpuacct.usage");
	if (!path)
		return -ENOMEM;
	r = fs_read_file(path, 1U << 12, &text);
	return r < 0 ? r : parse_cpu(cgroups->mode, buf_string(&text), ret_us);
}
