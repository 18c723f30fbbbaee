/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/store/registry.h"

#include <string.h>

struct registry *registry_close(struct registry *registry)
{
	return registry ? registry->ops->close(registry) : NULL;
}

static int check_key(const char *key, struct error *error)
{
	size_t len = strnlen(key, REGISTRY_KEY_BYTES + 1);

	if (len == 0 || len > REGISTRY_KEY_BYTES)
		return error_set(error, ERROR_INTERNAL, NULL,
				 "A registry key must have 1 to %d bytes.", REGISTRY_KEY_BYTES);
	return 0;
}

int registry_get(struct registry *registry, const char *key, struct buf *ret_value,
		 uint64_t *ret_revision, struct error *error)
{
	int r = check_key(key, error);

	return r < 0 ? r : registry->ops->get(registry, key, ret_value, ret_revision, error);
}

int registry_list(struct registry *registry, const char *prefix, const char *after, size_t limit,
		  registry_entry_fn *fn, void *arg, struct error *error)
{
	return registry->ops->list(registry, prefix, after, limit, fn, arg, error);
}

int registry_commit(struct registry *registry, const struct registry_write *writes, size_t count,
		    uint64_t *ret_revision, struct error *error)
{
	if (count == 0 || count > REGISTRY_WRITES)
		return error_set(error, ERROR_INTERNAL, NULL,
				 "A transaction must have 1 to %d writes.", REGISTRY_WRITES);
	for (size_t i = 0; i < count; i++) {
		int r = check_key(writes[i].key, error);

		if (r < 0)
			return r;
		if (writes[i].value.len > REGISTRY_VALUE_BYTES)
			return error_set(error, ERROR_INTERNAL, NULL,
					 "A registry value must have at most %u bytes.",
					 REGISTRY_VALUE_BYTES);
	}
	return registry->ops->commit(registry, writes, count, ret_revision, error);
}
