/* SPDX-License-Identifier: Apache-2.0 */

/* What a tenant's provisioned concurrency takes of the node's memory, by MemorySize. Places yield
 * to nobody once they are started, so a tenant may have a part of the node, not all of it. */

#include <string.h>

#include "agent/deploy/change.h"

static uint64_t mb_of_version(const struct entry *head, uint64_t number, uint64_t places)
{
	const struct entry *version = places > 0 ? entry_find_version(head, number) : NULL;

	return version ? places * version->function->config.memory_size_mb : 0;
}

static uint64_t mb_of_function(const struct entry *head, const char *except)
{
	char number[FUNCTION_VERSION_BYTES];
	const struct alias_entry *alias;
	const struct entry *version;
	uint64_t sum = 0;

	TAILQ_FOREACH (version, &head->versions, version_link) {
		function_version_name(version->function->version, number);
		if (strcmp(number, except) != 0)
			sum += (uint64_t)version->function->provisioned *
			       version->function->config.memory_size_mb;
	}
	TAILQ_FOREACH (alias, &head->aliases, link)
		if (strcmp(alias->alias->name, except) != 0)
			sum += mb_of_version(head, alias->alias->version,
					     alias->alias->provisioned);
	return sum;
}

/* What is being written down counts already, for two at once must not take the same room. */
static uint64_t mb_held(const struct entry *head)
{
	const struct change *change = TAILQ_FIRST(&head->changes);
	uint64_t held = mb_of_function(head, ""), next = 0;

	if (change && change->alias && change->alias->provisioned > 0)
		next = mb_of_function(head, change->alias->name) +
		       mb_of_version(head, change->alias->version, change->alias->provisioned);
	else if (change && change->version && change->qualifier)
		next = mb_of_function(head, change->qualifier) +
		       (uint64_t)change->version->provisioned *
			       change->version->config.memory_size_mb;
	return next > held ? next : held;
}

int provision_check_memory(struct change *change, const char *qualifier, uint64_t version,
			   uint64_t places)
{
	const struct directory *directory = change->directory;
	const struct entry *own = change->entry;
	uint64_t wanted = mb_of_version(own, version, places);
	uint64_t others = mb_of_function(own, qualifier), limit;

	/* Less than there was, or as much, always goes. */
	if (!directory->provisioned_mb_of_tenant || others + wanted <= mb_of_function(own, ""))
		return 0;
	for (const struct entry *entry = directory->entries; entry; entry = entry->hh.next)
		if (entry != own && entry->head == entry &&
		    strncmp(entry->key, own->key, TENANT_ID_DIGITS + 1) == 0)
			others += mb_held(entry);
	limit = directory->provisioned_mb_of_tenant(change->tenant, directory->limit_of_tenant_arg);
	if (others + wanted <= limit)
		return 0;
	return error_set(
		&change->error, ERROR_INVALID_PARAMETER, "provisioned_concurrent_executions",
		"%llu MB for Provisioned Concurrency, with the %llu MB that this account "
		"has already, are more than the %llu MB that it may have on this node.",
		(unsigned long long)wanted, (unsigned long long)others, (unsigned long long)limit);
}
