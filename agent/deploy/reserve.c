/* SPDX-License-Identifier: Apache-2.0 */

/* Reserved concurrency: kept with the function, so that it goes with it. */

#include <errno.h>

#include "agent/deploy/change.h"

/* What a function holds, or is about to: its reservation, else its provisioned concurrency. What is
 * being written down counts already, for two at once must not take the same room. */
static uint64_t reservation_of(const struct entry *entry)
{
	const struct change *change = TAILQ_FIRST(&entry->changes);
	const struct function *held = entry->function;
	const struct function *next = change ? change->next : NULL;
	uint64_t reserved = held && held->has_reserved_concurrency ? held->reserved_concurrency : 0;

	if (entry->head != entry)
		return 0; /* its function's */
	if (next && next->has_reserved_concurrency && next->reserved_concurrency > reserved)
		reserved = next->reserved_concurrency;
	return reserved > provision_total(entry) ? reserved : provision_total(entry);
}

static uint64_t reserved_beside(const struct change *change)
{
	const struct entry *own = change->entry;
	uint64_t sum = 0;

	for (struct entry *entry = change->directory->entries; entry; entry = entry->hh.next)
		if (entry != own && strncmp(entry->key, own->key, TENANT_ID_DIGITS + 1) == 0)
			sum += reservation_of(entry);
	return sum;
}

static uint64_t limit_of(const struct directory *directory, const char *tenant)
{
	unsigned own = directory->limit_of_tenant
			       ? directory->limit_of_tenant(tenant, directory->limit_of_tenant_arg)
			       : 0;

	return own > 0 ? own : directory->concurrency_limit;
}

uint64_t reserve_unreserved(const struct change *change)
{
	uint64_t limit = limit_of(change->directory, change->tenant);
	uint64_t taken = reserved_beside(change);

	return limit > taken ? limit - taken : 0;
}

static int check_provisioned(struct change *change)
{
	uint64_t total = provision_total(change->entry);

	if (!change->reserved || *change->reserved >= total)
		return 0;
	return error_set(&change->error, ERROR_INVALID_PARAMETER, "reserved_concurrent_executions",
			 " ReservedConcurrentExecutions  %u should not be lower than function's "
			 "total provisioned concurrency [%llu].",
			 *change->reserved, (unsigned long long)total);
}

static int check_room(struct change *change)
{
	const struct directory *directory = change->directory;
	uint64_t sum;

	if (!change->reserved)
		return 0;
	sum = reserved_beside(change) + *change->reserved;
	if (sum + directory->unreserved_minimum <= limit_of(directory, change->tenant))
		return 0;
	return error_set(&change->error, ERROR_INVALID_PARAMETER, "reserved_concurrent_executions",
			 "Specified ReservedConcurrentExecutions for function decreases account's "
			 "UnreservedConcurrentExecution below its minimum value of [%u].",
			 directory->unreserved_minimum);
}

static int reserve_begin(struct change *change)
{
	_cleanup_(function_free_p) struct function *next = NULL;
	int r;

	if (!change->entry->function)
		return directory_set_not_found(change->directory, change->tenant, change->name,
					       NULL, &change->error);
	r = check_provisioned(change);
	if (r == 0)
		r = check_room(change);
	if (r < 0)
		return r;
	if (function_copy(change->entry->function, &next) < 0)
		return error_set_errno(&change->error, ENOMEM, "Cannot change the function");
	next->has_reserved_concurrency = change->reserved != NULL;
	next->reserved_concurrency = change->reserved ? *change->reserved : 0;
	/* The record is written whole: what is still to be built stays in it. */
	copy_id(change->upload_id, change->entry->upload_id);
	change->next = TAKE_PTR(next);
	return 0;
}

static void reserve_committed(struct change *change)
{
	(void)change;
}

static const struct change_kind reserve_kind = {
	.begin = reserve_begin,
	.committed = reserve_committed,
};

void directory_set_reserved_concurrency(struct directory *directory, const char *tenant,
					const char *name, const unsigned *reserved,
					directory_answer_fn *answer, void *arg)
{
	struct change *change = change_new(&reserve_kind, tenant, name, answer, arg);

	change->reserved = reserved;
	change_ask(change, directory);
}
