/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/access_key_service.h"

#include <errno.h>

#include "mayfly/v1/access_key.pb-c.h"

/* -- messages -- */

/* Strings are borrowed from the key. */
static void encode(const struct access_key *from, Mayfly__V1__AccessKey *to)
{
	mayfly__v1__access_key__init(to);
	to->access_key_id = (char *)(uintptr_t)from->id;
	to->tenant = (char *)(uintptr_t)from->tenant;
	to->user = (char *)(uintptr_t)from->user;
	/* The public enum has an unspecified zero before ours. */
	to->role = (Mayfly__V1__Role)(from->role + 1);
	to->state = from->inactive ? MAYFLY__V1__ACCESS_KEY_STATE__ACCESS_KEY_STATE_INACTIVE
				   : MAYFLY__V1__ACCESS_KEY_STATE__ACCESS_KEY_STATE_ACTIVE;
	to->created_at_us = from->created_us;
	to->expires_at_us = from->expires_us;
}

/* -- answers -- */

static void answer_created(const struct access_key *key, const char *secret,
			   const struct error *error, void *arg)
{
	Mayfly__V1__CreateAccessKeyResponse response = MAYFLY__V1__CREATE_ACCESS_KEY_RESPONSE__INIT;
	Mayfly__V1__AccessKey message;

	if (error) {
		rpc_call_fail(arg, error);
		return;
	}
	encode(key, &message);
	response.access_key = &message;
	response.secret_access_key = (char *)(uintptr_t)secret;
	rpc_call_reply(arg, &response.base);
}

static void answer_key(const struct access_key *key, const char *secret _unused_,
		       const struct error *error, void *arg)
{
	Mayfly__V1__AccessKey message;

	if (error) {
		rpc_call_fail(arg, error);
		return;
	}
	encode(key, &message);
	rpc_call_reply(arg, &message.base);
}

static void answer_deleted(const struct access_key *key _unused_, const char *secret _unused_,
			   const struct error *error, void *arg)
{
	Mayfly__V1__DeleteAccessKeyResponse response = MAYFLY__V1__DELETE_ACCESS_KEY_RESPONSE__INIT;

	if (error)
		rpc_call_fail(arg, error);
	else
		rpc_call_reply(arg, &response.base);
}

/* -- methods: the gate has put the tenant into each request -- */

static void on_create(struct rpc_call *call, const ProtobufCMessage *message, void *tenants)
{
	const Mayfly__V1__CreateAccessKeyRequest *from =
		(const Mayfly__V1__CreateAccessKeyRequest *)message;
	const struct keys_create_request request = {
		.tenant = from->tenant,
		.user = from->user,
		.role = (enum role)((int)from->role - 1), /* unspecified is none of ours */
		.expires_us = from->expires_at_us,
	};

	keys_create(tenants, &request, answer_created, call);
}

static void on_list(struct rpc_call *call, const ProtobufCMessage *message, void *tenants)
{
	const Mayfly__V1__ListAccessKeysRequest *from =
		(const Mayfly__V1__ListAccessKeysRequest *)message;
	Mayfly__V1__ListAccessKeysResponse response = MAYFLY__V1__LIST_ACCESS_KEYS_RESPONSE__INIT;
	const struct access_key *keys[ACCESS_KEYS_MAX];
	Mayfly__V1__AccessKey messages[ACCESS_KEYS_MAX];
	Mayfly__V1__AccessKey *pointers[ACCESS_KEYS_MAX];

	response.n_access_keys = keys_list(tenants, from->tenant, keys);
	for (size_t i = 0; i < response.n_access_keys; i++) {
		encode(keys[i], &messages[i]);
		pointers[i] = &messages[i];
	}
	response.access_keys = pointers;
	rpc_call_reply(call, &response.base);
}

static void on_set_state(struct rpc_call *call, const ProtobufCMessage *message, void *tenants)
{
	const Mayfly__V1__SetAccessKeyStateRequest *from =
		(const Mayfly__V1__SetAccessKeyStateRequest *)message;
	bool inactive = from->state == MAYFLY__V1__ACCESS_KEY_STATE__ACCESS_KEY_STATE_INACTIVE;
	_cleanup_error_ struct error error = ERROR_INIT;

	if (inactive || from->state == MAYFLY__V1__ACCESS_KEY_STATE__ACCESS_KEY_STATE_ACTIVE) {
		keys_set_inactive(tenants, from->tenant, from->access_key_id, inactive, answer_key,
				  call);
		return;
	}
	(void)error_set(&error, ERROR_INVALID_PARAMETER, "state",
			"The state must be ACTIVE or INACTIVE.");
	rpc_call_fail(call, &error);
}

static void on_delete(struct rpc_call *call, const ProtobufCMessage *message, void *tenants)
{
	const Mayfly__V1__DeleteAccessKeyRequest *from =
		(const Mayfly__V1__DeleteAccessKeyRequest *)message;

	keys_delete(tenants, from->tenant, from->access_key_id, answer_deleted, call);
}

static const struct rpc_method_handler handlers[] = {
	{ "Create", on_create }, { "List", on_list }, { "SetState", on_set_state },
	{ "Delete", on_delete }, { NULL, NULL },
};

int access_key_service_register(struct rpc_server *server, struct tenants *tenants,
				struct error *error)
{
	return rpc_server_add_service(server, &mayfly__v1__access_key_service__descriptor, handlers,
				      tenants, error);
}
