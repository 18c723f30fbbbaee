/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/deploy/code_storage.h"

#include <string.h>

#include "agent/deploy/layer_internal.h"

static uint64_t bytes_of(const struct function *function)
{
	return function ? function_visible_config(function)->code_size_bytes : 0;
}

uint64_t directory_code_bytes(const struct directory *directory, const char *tenant)
{
	uint64_t bytes = 0;

	for (const struct entry *entry = directory->entries; entry; entry = entry->hh.next)
		if (strncmp(entry->key, tenant, TENANT_ID_DIGITS) == 0)
			bytes += bytes_of(entry->function);
	for (const struct layer_entry *layer = directory->layers; layer; layer = layer->hh.next)
		for (size_t i = 0; i < layer->count; i++)
			if (strcmp(layer->versions[i]->tenant, tenant) == 0)
				bytes += layer->versions[i]->code_size_bytes;
	return bytes;
}

uint64_t directory_code_limit(const struct directory *directory, const char *tenant)
{
	return directory->code_storage_of_tenant
		       ? directory->code_storage_of_tenant(tenant, directory->limit_of_tenant_arg)
		       : UINT64_MAX;
}

static int check(const struct directory *directory, const char *tenant, uint64_t bytes,
		 struct error *error)
{
	if (bytes <= directory_code_limit(directory, tenant))
		return 0;
	return error_set(error, ERROR_CODE_STORAGE_EXCEEDED, NULL, "Code storage limit exceeded.");
}

/* What makes it less is never refused, however much there is. */
int code_storage_check_change(struct change *change)
{
	uint64_t before = directory_code_bytes(change->directory, change->tenant), after = before;

	if (change->next)
		after = after - bytes_of(change->entry->function) + bytes_of(change->next);
	if (change->numbers)
		after += bytes_of(change->version);
	return after <= before ? 0
			       : check(change->directory, change->tenant, after, &change->error);
}

int code_storage_check(const struct directory *directory, const char *tenant, uint64_t more,
		       struct error *error)
{
	return check(directory, tenant, directory_code_bytes(directory, tenant) + more, error);
}
