/* SPDX-License-Identifier: Apache-2.0 */

/* Keeps the files of a group, and of all groups of a tenant together, within their bounds: the
 * oldest go first. Part of the flush job: runs on a worker, one at a time. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/logs/log_internal.h"
#include "mayfly/fs.h"

#define TRIM_TO_PERCENT 90 /* so that not every flush trims */

struct part_file {
	char *path;
	uint64_t size;
	struct timespec written;
};

struct part_list {
	struct part_file *files;
	size_t count, capacity;
	uint64_t bytes;
};

static void part_list_clear(struct part_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->files[i].path);
	free(list->files);
	*list = (struct part_list){ 0 };
}

static int part_list_add(struct part_list *list, const char *folder, const char *name,
			 const struct stat *st)
{
	size_t capacity = list->capacity ? 2 * list->capacity : 16;
	struct part_file *file;

	if (list->count == list->capacity) {
		file = reallocarray(list->files, capacity, sizeof(*file));
		if (!file)
			return -ENOMEM;
		list->files = file;
		list->capacity = capacity;
	}
	file = &list->files[list->count];
	if (asprintf(&file->path, "%s/%s", folder, name) < 0)
		return -ENOMEM;
	file->size = (uint64_t)st->st_size;
	file->written = st->st_mtim;
	list->count++;
	list->bytes += file->size;
	return 0;
}

/* Each regular file of a folder. */
static int part_list_read(const char *folder, struct part_list *list)
{
	DIR *dir = opendir(folder);
	struct stat st;
	int r = 0;

	if (!dir)
		return -errno;
	for (struct dirent *entry; r == 0 && (entry = readdir(dir));)
		if (entry->d_name[0] != '.' &&
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode))
			r = part_list_add(list, folder, entry->d_name, &st);
	(void)closedir(dir);
	return r;
}

static int compare_age(const void *a, const void *b)
{
	const struct part_file *x = a;
	const struct part_file *y = b;

	if (x->written.tv_sec != y->written.tv_sec)
		return x->written.tv_sec < y->written.tv_sec ? -1 : 1;
	if (x->written.tv_nsec != y->written.tv_nsec)
		return x->written.tv_nsec < y->written.tv_nsec ? -1 : 1;
	return strcmp(x->path, y->path);
}

/* -- a group -- */

void log_group_measure(struct log_group *group)
{
	_cleanup_(part_list_clear) struct part_list list = { 0 };

	if (group->measured)
		return;
	(void)part_list_read(group->path, &list);
	group->bytes = list.bytes;
	group->measured = true;
}

void log_group_trim(struct log_group *group, const char *keep)
{
	_cleanup_(part_list_clear) struct part_list list = { 0 };
	uint64_t target = group->store->group_max_bytes / 100 * TRIM_TO_PERCENT;

	if (part_list_read(group->path, &list) < 0)
		return;
	group->bytes = list.bytes;
	if (list.bytes <= group->store->group_max_bytes)
		return;
	qsort(list.files, list.count, sizeof(*list.files), compare_age);
	for (size_t i = 0; i < list.count && group->bytes > target; i++) {
		if (strcmp(list.files[i].path, keep) == 0 || unlink(list.files[i].path) < 0)
			continue;
		group->bytes -= list.files[i].size;
		group->tenant->bytes -= list.files[i].size + LOG_FILE_COST_BYTES;
	}
}

/* -- a tenant -- */

/* Of the folders below a tenant's. */
typedef void group_folder_fn(const char *folder, void *arg);

static int each_folder(const char *path, group_folder_fn *fn, void *arg)
{
	DIR *dir = opendir(path);
	char folder[PATH_MAX];
	struct stat st;

	if (!dir)
		return -errno;
	for (struct dirent *entry; (entry = readdir(dir));)
		if (entry->d_name[0] != '.' &&
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISDIR(st.st_mode) &&
		    snprintf(folder, sizeof(folder), "%s/%s", path, entry->d_name) <
			    (int)sizeof(folder))
			fn(folder, arg);
	(void)closedir(dir);
	return 0;
}

struct tenant_parts {
	struct part_list list;
	uint64_t folders;
	int result; /* -ENOMEM: the list is not whole */
};

static void read_folder(const char *folder, void *arg)
{
	struct tenant_parts *parts = arg;

	parts->folders++;
	if (part_list_read(folder, &parts->list) == -ENOMEM)
		parts->result = -ENOMEM;
}

/* One that has files stays, whatever this tries. */
static void remove_folder(const char *folder, void *arg)
{
	struct log_tenant *tenant = arg;

	if (rmdir(folder) == 0)
		tenant->bytes -= LOG_FILE_COST_BYTES;
}

static void read_tenant(struct log_tenant *tenant, struct tenant_parts *parts)
{
	(void)each_folder(tenant->path, read_folder, parts);
	tenant->bytes =
		parts->list.bytes + (parts->list.count + parts->folders) * LOG_FILE_COST_BYTES;
}

void log_tenant_measure(struct log_tenant *tenant)
{
	struct tenant_parts parts = { 0 };

	if (tenant->measured)
		return;
	read_tenant(tenant, &parts);
	part_list_clear(&parts.list);
	tenant->measured = true;
}

static void trim_parts(struct log_tenant *tenant, const struct part_list *list, const char *keep)
{
	uint64_t target = tenant->store->tenant_max_bytes / 100 * TRIM_TO_PERCENT;

	qsort(list->files, list->count, sizeof(*list->files), compare_age);
	for (size_t i = 0; i < list->count && tenant->bytes > target; i++)
		if (strcmp(list->files[i].path, keep) != 0 && unlink(list->files[i].path) == 0)
			tenant->bytes -= list->files[i].size + LOG_FILE_COST_BYTES;
}

/* The bytes of its groups are then less than they say, which they find out when they are trimmed.
 */
void log_tenant_trim(struct log_tenant *tenant, const char *keep)
{
	struct tenant_parts parts = { 0 };

	read_tenant(tenant, &parts);
	if (parts.result == 0 && tenant->bytes > tenant->store->tenant_max_bytes) {
		trim_parts(tenant, &parts.list, keep);
		(void)each_folder(tenant->path, remove_folder, tenant);
	}
	part_list_clear(&parts.list);
}
