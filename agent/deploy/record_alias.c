/* SPDX-License-Identifier: Apache-2.0 */

/* Aliases as the registry's bytes. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/deploy/record.h"
#include "agent/deploy/record_policy.h"
#include "mayfly/store/v1/function.pb-c.h"

typedef Mayfly__Store__V1__StoredAlias stored_alias;

void record_alias_key(const char *tenant, const char *function_name, const char *name,
		      char out[RECORD_KEY_BYTES])
{
	(void)snprintf(out, RECORD_KEY_BYTES, ALIAS_PREFIX "%s/%s:%s", tenant, function_name, name);
}

static char *borrow(const char *text)
{
	return (char *)(uintptr_t)text;
}

int record_alias_encode(const char *tenant, const char *function_name, const struct alias *alias,
			struct buf *ret)
{
	_cleanup_(record_clear_policy) struct policy_message policy;
	stored_alias message = MAYFLY__STORE__V1__STORED_ALIAS__INIT;
	int r = record_fill_policy(alias->policy, &policy);

	if (r < 0)
		return r;
	message.tenant = borrow(tenant);
	message.function_name = borrow(function_name);
	message.name = alias->name;
	message.version = alias->version;
	message.description = alias->description;
	message.is_weighted = alias->is_weighted;
	message.additional_version = alias->additional_version;
	message.weight = alias->weight;
	message.provisioned_concurrency = alias->provisioned;
	message.provisioned_us = alias->provisioned_us;
	message.revision_id = borrow(alias->revision_id);
	message.policy = policy.pointers;
	message.n_policy = policy.count;
	r = buf_reserve(ret, mayfly__store__v1__stored_alias__get_packed_size(&message));
	if (r < 0)
		return r;
	ret->len = mayfly__store__v1__stored_alias__pack(&message, ret->data);
	return 0;
}

static bool is_sound(const stored_alias *message)
{
	return message && tenant_id_is_valid(message->tenant) &&
	       function_validate_name(message->function_name, NULL) == 0 &&
	       alias_validate_name(message->name, NULL) == 0 &&
	       strlen(message->revision_id) == UUID_BYTES - 1;
}

static int decode(const stored_alias *from, struct alias_record *to)
{
	to->alias = calloc(1, sizeof(*to->alias));
	if (!to->alias)
		return -ENOMEM;
	(void)snprintf(to->tenant, sizeof(to->tenant), "%s", from->tenant);
	(void)snprintf(to->function_name, sizeof(to->function_name), "%s", from->function_name);
	to->alias->version = from->version;
	to->alias->is_weighted = from->is_weighted;
	to->alias->additional_version = from->additional_version;
	to->alias->weight = from->weight;
	to->alias->provisioned = from->provisioned_concurrency;
	to->alias->provisioned_us = from->provisioned_us;
	memcpy(to->alias->revision_id, from->revision_id, UUID_BYTES);
	to->alias->name = strdup(from->name);
	to->alias->description = strdup(from->description);
	if (!to->alias->name || !to->alias->description)
		return -ENOMEM;
	return record_decode_policy(from->policy, from->n_policy, &to->alias->policy);
}

int record_alias_decode(struct slice bytes, struct alias_record *ret, struct error *error)
{
	stored_alias *message =
		mayfly__store__v1__stored_alias__unpack(NULL, bytes.len, bytes.data);
	int r;

	if (!is_sound(message))
		r = error_set(error, ERROR_INTERNAL, NULL,
			      "An alias's record in the registry is damaged.");
	else
		r = decode(message, ret);
	if (r < 0)
		r = error_set_errno(error, r, "Cannot read an alias's record");
	if (message)
		mayfly__store__v1__stored_alias__free_unpacked(message, NULL);
	return r;
}
