/* SPDX-License-Identifier: Apache-2.0 */

/* Groups that somebody writes to or hears, and their tenants. Loop thread. */

#include <errno.h>

#include "agent/logs/log_internal.h"
#include "agent/logs/log_name.h"

char *log_group_path(const struct log_store *store, const char *tenant, const char *group)
{
	char tenant_name[NAME_MAX + 1];
	char group_name[NAME_MAX + 1];
	char *path;

	log_name_encode(tenant, tenant_name);
	log_name_encode(group, group_name);
	if (asprintf(&path, "%s/%s/%s", store->directory, tenant_name, group_name) < 0)
		return NULL;
	return path;
}

/* Of a group's path; NULL: no memory. It stays, so that its files are counted once. */
static struct log_tenant *tenant_get(struct log_store *store, const char *group_path)
{
	size_t len = (size_t)(strrchr(group_path, '/') - group_path);
	struct log_tenant *tenant;

	HASH_FIND(hh, store->tenants, group_path, len, tenant);
	if (tenant)
		return tenant;
	tenant = calloc(1, sizeof(*tenant));
	if (!tenant || !(tenant->path = strndup(group_path, len))) {
		free(tenant);
		return NULL;
	}
	tenant->store = store;
	HASH_ADD_KEYPTR(hh, store->tenants, tenant->path, len, tenant);
	return tenant;
}

int log_group_get(struct log_store *store, const char *tenant, const char *name,
		  struct log_group **ret)
{
	_cleanup_free_ char *path = log_group_path(store, tenant, name);
	struct log_group *group;

	if (!path)
		return -ENOMEM;
	HASH_FIND_STR(store->groups, path, group);
	if (!group) {
		group = calloc(1, sizeof(*group));
		if (!group || !(group->tenant = tenant_get(store, path))) {
			free(group);
			return -ENOMEM;
		}
		group->store = store;
		group->path = TAKE_PTR(path);
		TAILQ_INIT(&group->tails);
		HASH_ADD_KEYPTR(hh, store->groups, group->path, strlen(group->path), group);
	}
	group->references++;
	*ret = group;
	return 0;
}

void log_group_put(struct log_group *group)
{
	if (--group->references > 0)
		return;
	HASH_DEL(group->store->groups, group);
	free(group->path);
	free(group);
}

void log_tenants_clear(struct log_store *store)
{
	struct log_tenant *tenant, *next;

	HASH_ITER (hh, store->tenants, tenant, next) {
		HASH_DEL(store->tenants, tenant);
		free(tenant->path);
		free(tenant);
	}
}
