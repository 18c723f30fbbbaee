/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/gate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/auth/access.h"
#include "agent/tenants/keys.h"
#include "mayfly/clock.h"

/* The request's own field of that name, or NULL. */
static char **find_tenant(ProtobufCMessage *request)
{
	const ProtobufCFieldDescriptor *field =
		request ? protobuf_c_message_descriptor_get_field_by_name(request->descriptor,
									  "tenant")
			: NULL;

	if (!field || field->type != PROTOBUF_C_TYPE_STRING ||
	    field->label == PROTOBUF_C_LABEL_REPEATED)
		return NULL;
	return (char **)((char *)request + field->offset);
}

static void find_operator(const struct gate *gate, const struct rpc_peer *peer,
			  struct principal *ret)
{
	if (peer->kind == RPC_PEER_UNIX) {
		ret->kind = PRINCIPAL_OPERATOR;
		(void)snprintf(ret->name, sizeof(ret->name), "uid %u", (unsigned)peer->uid);
	} else if (peer->kind == RPC_PEER_TLS && peer->has_certificate) {
		ret->kind = PRINCIPAL_OPERATOR;
		(void)snprintf(ret->name, sizeof(ret->name), "%s", peer->common_name);
	} else if (peer->kind == RPC_PEER_TCP && gate->tcp_is_operator) {
		ret->kind = PRINCIPAL_OPERATOR;
		(void)snprintf(ret->name, sizeof(ret->name), "loopback");
	}
}

static void find_principal(const struct gate *gate, const struct rpc_call *call,
			   struct principal *ret)
{
	struct slice authorization = rpc_call_metadata(call, "authorization");
	struct rpc_peer peer = rpc_call_peer(call);

	*ret = (struct principal){ .kind = PRINCIPAL_NOBODY };
	if (!authorization.data)
		find_operator(gate, &peer, ret);
	else if (keys_authenticate(gate->tenants, authorization, clock_realtime_us(), ret) < 0)
		ret->kind = PRINCIPAL_NOBODY;
}

/* Whether the request is about every tenant. */
static bool is_about_all(const ProtobufCMessage *request)
{
	const ProtobufCFieldDescriptor *field =
		request ? protobuf_c_message_descriptor_get_field_by_name(request->descriptor,
									  "all_tenants")
			: NULL;

	return field && field->type == PROTOBUF_C_TYPE_BOOL &&
	       *(const protobuf_c_boolean *)((const char *)request + field->offset);
}

static int admit(struct rpc_call *call, ProtobufCMessage *request, void *arg, struct error *e)
{
	const struct gate *gate = arg;
	const char *method = rpc_call_method(call);
	char tenant[TENANT_ID_BYTES];
	struct principal principal;
	char **named = find_tenant(request);
	const struct access_row *row;
	int r;

	find_principal(gate, call, &principal);
	r = access_check(method, &principal, named ? *named : "", tenants_default(gate->tenants),
			 tenant, e);
	if (r < 0 || !tenant[0])
		return r;
	if (is_about_all(request) && principal.kind != PRINCIPAL_OPERATOR)
		return error_set(e, ERROR_ACCESS_DENIED, "all_tenants",
				 "Only operators may ask for all tenants.");
	row = access_find(method);
	r = tenants_check(gate->tenants, tenant, row->effect, principal.kind == PRINCIPAL_OPERATOR,
			  e);
	if (r < 0 || !named || (*named)[0])
		return r;
	/* Freed with the request, as what it decoded itself. */
	*named = strdup(tenant);
	if (*named)
		return 0;
	*named = (char *)(uintptr_t)protobuf_c_empty_string;
	return error_set_errno(e, ENOMEM, "Cannot take the request");
}

void gate_guard(struct gate *gate, struct rpc_server_options *options)
{
	options->admit = admit;
	options->gate = gate;
}
