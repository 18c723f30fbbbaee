/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tenants/record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "mayfly/store/v1/tenant.pb-c.h"

typedef Mayfly__Store__V1__StoredTenant stored_tenant;

static void stored_tenant_free(stored_tenant *stored)
{
	mayfly__store__v1__stored_tenant__free_unpacked(stored, NULL);
}
DEFINE_CLEANUP(stored_tenant, stored_tenant_free)

#define ACTIVE    MAYFLY__STORE__V1__STORED_TENANT_STATE__STORED_TENANT_STATE_ACTIVE
#define SUSPENDED MAYFLY__STORE__V1__STORED_TENANT_STATE__STORED_TENANT_STATE_SUSPENDED
#define DELETED   MAYFLY__STORE__V1__STORED_TENANT_STATE__STORED_TENANT_STATE_DELETED

/* `optional` is a oneof of one in the generated code. */
#define HAS_CONCURRENT                                                                             \
	MAYFLY__STORE__V1__STORED_TENANT___CONCURRENT_EXECUTIONS_CONCURRENT_EXECUTIONS
#define HAS_STORAGE MAYFLY__STORE__V1__STORED_TENANT___CODE_STORAGE_BYTES_CODE_STORAGE_BYTES
#define HAS_EVENTS  MAYFLY__STORE__V1__STORED_TENANT___WAITING_EVENTS_WAITING_EVENTS
#define HAS_PROVISIONED                                                                            \
	MAYFLY__STORE__V1__STORED_TENANT___PROVISIONED_MEMORY_MB_PROVISIONED_MEMORY_MB
#define HAS_WEIGHT MAYFLY__STORE__V1__STORED_TENANT___WEIGHT_WEIGHT

void record_tenant_key(const char *id, char out[RECORD_KEY_BYTES])
{
	(void)snprintf(out, RECORD_KEY_BYTES, TENANT_RECORD_PREFIX "%s", id);
}

static void fill_limits(stored_tenant *message, const struct tenant_limits *limits)
{
	if (limits->has_concurrent_executions) {
		message->_concurrent_executions_case = HAS_CONCURRENT;
		message->concurrent_executions = limits->concurrent_executions;
	}
	if (limits->has_code_storage_bytes) {
		message->_code_storage_bytes_case = HAS_STORAGE;
		message->code_storage_bytes = limits->code_storage_bytes;
	}
	if (limits->has_waiting_events) {
		message->_waiting_events_case = HAS_EVENTS;
		message->waiting_events = limits->waiting_events;
	}
	if (limits->has_provisioned_memory_mb) {
		message->_provisioned_memory_mb_case = HAS_PROVISIONED;
		message->provisioned_memory_mb = limits->provisioned_memory_mb;
	}
	if (limits->has_weight) {
		message->_weight_case = HAS_WEIGHT;
		message->weight = limits->weight;
	}
}

int record_encode_tenant(const struct tenant *tenant, bool deleted, struct buf *ret)
{
	stored_tenant message = MAYFLY__STORE__V1__STORED_TENANT__INIT;
	int r;

	message.tenant = (char *)(uintptr_t)tenant->id;
	message.state = DELETED;
	if (!deleted) {
		message.name = (char *)(uintptr_t)tenant->name;
		message.state = tenant->state == TENANT_ACTIVE ? ACTIVE : SUSPENDED;
		message.created_us = tenant->created_us;
		fill_limits(&message, &tenant->limits);
	}
	r = buf_reserve(ret, mayfly__store__v1__stored_tenant__get_packed_size(&message));
	if (r < 0)
		return r;
	ret->len = mayfly__store__v1__stored_tenant__pack(&message, ret->data);
	return 0;
}

static bool is_sound(const stored_tenant *message)
{
	return message && tenant_id_is_valid(message->tenant) &&
	       tenant_validate_name(message->name, NULL) == 0 &&
	       (message->state == ACTIVE || message->state == SUSPENDED ||
		message->state == DELETED);
}

int record_decode_tenant(struct slice bytes, struct tenant *ret, bool *ret_deleted,
			 struct error *error)
{
	_cleanup_(stored_tenant_free_p) stored_tenant *message =
		mayfly__store__v1__stored_tenant__unpack(NULL, bytes.len, bytes.data);

	if (!is_sound(message))
		return error_set(error, ERROR_INTERNAL, NULL,
				 "A tenant's record in the registry is damaged.");
	*ret = (struct tenant){
		.state = message->state == SUSPENDED ? TENANT_SUSPENDED : TENANT_ACTIVE,
		.created_us = message->created_us,
		.limits = {
			.has_concurrent_executions =
				message->_concurrent_executions_case == HAS_CONCURRENT,
			.concurrent_executions = message->concurrent_executions,
			.has_code_storage_bytes = message->_code_storage_bytes_case == HAS_STORAGE,
			.code_storage_bytes = message->code_storage_bytes,
			.has_waiting_events = message->_waiting_events_case == HAS_EVENTS,
			.waiting_events = message->waiting_events,
			.has_provisioned_memory_mb =
				message->_provisioned_memory_mb_case == HAS_PROVISIONED,
			.provisioned_memory_mb = message->provisioned_memory_mb,
			.has_weight = message->_weight_case == HAS_WEIGHT,
			.weight = message->weight,
		},
	};
	(void)snprintf(ret->id, sizeof(ret->id), "%s", message->tenant);
	(void)snprintf(ret->name, sizeof(ret->name), "%s", message->name);
	*ret_deleted = message->state == DELETED;
	return 0;
}

/* -- access keys -- */

typedef Mayfly__Store__V1__StoredAccessKey stored_access_key;

static void stored_access_key_free(stored_access_key *stored)
{
	mayfly__store__v1__stored_access_key__free_unpacked(stored, NULL);
}
DEFINE_CLEANUP(stored_access_key, stored_access_key_free)

void record_access_key_key(const char *id, char out[RECORD_KEY_BYTES])
{
	(void)snprintf(out, RECORD_KEY_BYTES, ACCESS_KEY_RECORD_PREFIX "%s", id);
}

int record_encode_access_key(const struct access_key *key, struct buf *ret)
{
	stored_access_key message = MAYFLY__STORE__V1__STORED_ACCESS_KEY__INIT;
	int r;

	message.access_key_id = (char *)(uintptr_t)key->id;
	message.tenant = (char *)(uintptr_t)key->tenant;
	message.user = (char *)(uintptr_t)key->user;
	/* The stored enum has an unspecified zero before ours. */
	message.role = (Mayfly__Store__V1__StoredRole)(key->role + 1);
	message.inactive = key->inactive;
	message.created_us = key->created_us;
	message.expires_us = key->expires_us;
	message.sealed_secret.data = (uint8_t *)(uintptr_t)key->sealed;
	message.sealed_secret.len = sizeof(key->sealed);
	r = buf_reserve(ret, mayfly__store__v1__stored_access_key__get_packed_size(&message));
	if (r < 0)
		return r;
	ret->len = mayfly__store__v1__stored_access_key__pack(&message, ret->data);
	return 0;
}

int record_decode_access_key(struct slice bytes, struct access_key *ret, struct error *error)
{
	_cleanup_(stored_access_key_free_p) stored_access_key *message =
		mayfly__store__v1__stored_access_key__unpack(NULL, bytes.len, bytes.data);

	if (!message || !access_key_id_is_valid(message->access_key_id) ||
	    !tenant_id_is_valid(message->tenant) ||
	    access_key_validate_user(message->user, NULL) < 0 || message->role < 1 ||
	    (unsigned)message->role > ROLE_COUNT ||
	    message->sealed_secret.len != sizeof(ret->sealed))
		return error_set(error, ERROR_INTERNAL, NULL,
				 "An access key's record in the registry is damaged.");
	*ret = (struct access_key){
		.role = (enum role)(message->role - 1),
		.inactive = message->inactive,
		.created_us = message->created_us,
		.expires_us = message->expires_us,
	};
	(void)snprintf(ret->id, sizeof(ret->id), "%s", message->access_key_id);
	(void)snprintf(ret->tenant, sizeof(ret->tenant), "%s", message->tenant);
	(void)snprintf(ret->user, sizeof(ret->user), "%s", message->user);
	memcpy(ret->sealed, message->sealed_secret.data, sizeof(ret->sealed));
	return 0;
}
