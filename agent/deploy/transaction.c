/* SPDX-License-Identifier: Apache-2.0 */

/* What one change writes into the registry: all of it or nothing. A job's; reads the change alone.
 */

#include "agent/deploy/change.h"

#define WRITES_MAX 4

struct transaction {
	const struct master_key *key;
	struct registry_write writes[WRITES_MAX];
	char keys[WRITES_MAX][RECORD_KEY_BYTES];
	struct buf values[WRITES_MAX];
	size_t count;
};

static void transaction_clear(struct transaction *transaction)
{
	for (size_t i = 0; i < transaction->count; i++)
		buf_free(&transaction->values[i]);
}

/* A write whose key, and value or kind of removal, is filled in by the caller. */
static size_t add_write(struct transaction *transaction)
{
	size_t i = transaction->count++;

	transaction->writes[i] = (struct registry_write){
		.key = transaction->keys[i],
		.revision = REGISTRY_ANY_REVISION,
	};
	return i;
}

static int add_function(struct transaction *transaction, const struct function *function,
			const char *upload_id)
{
	size_t i = add_write(transaction);

	record_key(function->tenant, function->name, function->version, transaction->keys[i]);
	return record_encode(function, upload_id, transaction->key, &transaction->values[i]);
}

static void add_removal(struct transaction *transaction, const struct change *change,
			uint64_t version)
{
	size_t i = add_write(transaction);

	record_key(change->tenant, change->name, version, transaction->keys[i]);
	transaction->writes[i].remove = true;
}

static void add_removal_of_all(struct transaction *transaction, const struct change *change)
{
	size_t i;

	add_removal(transaction, change, 0);
	i = add_write(transaction);
	record_versions_prefix(change->tenant, change->name, transaction->keys[i]);
	transaction->writes[i].whole_prefix = true;
	i = add_write(transaction);
	record_alias_key(change->tenant, change->name, "", transaction->keys[i]);
	transaction->writes[i].whole_prefix = true;
}

static int add_alias(struct transaction *transaction, const struct change *change)
{
	size_t i = add_write(transaction);

	record_alias_key(change->tenant, change->name, change->alias_name, transaction->keys[i]);
	transaction->writes[i].remove = change->drops_alias;
	return change->drops_alias ? 0
				   : record_alias_encode(change->tenant, change->name,
							 change->alias, &transaction->values[i]);
}

static int add_numbering(struct transaction *transaction, const struct function *version)
{
	struct numbering numbering = { .last_version = version->version };
	size_t i = add_write(transaction);

	(void)snprintf(numbering.tenant, sizeof(numbering.tenant), "%s", version->tenant);
	(void)snprintf(numbering.name, sizeof(numbering.name), "%s", version->name);
	numbering_key(version->tenant, version->name, transaction->keys[i]);
	return numbering_encode(&numbering, &transaction->values[i]);
}

static int fill(struct transaction *transaction, const struct change *change)
{
	int r = 0;

	if (change->next)
		r = add_function(transaction, change->next, change->upload_id);
	else if (!change->keeps_function)
		add_removal_of_all(transaction, change);
	if (r == 0 && change->version)
		r = add_function(transaction, change->version, "");
	if (r == 0 && change->numbers)
		r = add_numbering(transaction, change->version);
	if (change->dropped_version)
		add_removal(transaction, change, change->dropped_version);
	if (r == 0 && (change->alias || change->drops_alias))
		r = add_alias(transaction, change);
	for (size_t i = 0; i < transaction->count; i++)
		transaction->writes[i].value = buf_slice(&transaction->values[i]);
	return r;
}

int transaction_commit(struct change *change)
{
	_cleanup_(transaction_clear) struct transaction transaction = {
		.key = &change->directory->master_key
	};
	int r = fill(&transaction, change);

	if (r < 0)
		return error_set_errno(&change->error, r, "Cannot write down the function");
	return registry_commit(change->directory->registry, transaction.writes, transaction.count,
			       NULL, &change->error);
}
