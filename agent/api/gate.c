/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/gate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/auth/access.h"
#include "agent/tenants/keys.h"
#include "mayfly/clock.h"

#define NOTES_OF_UNKNOWN_MAX 60 /* in a minute */
#define RESOURCE_BYTES       160
#define MESSAGE_BYTES        320
#define USEC_PER_MINUTE      (60 * USEC_PER_SEC)

/* What is known of a call; in its context. */
struct gate_call {
	struct principal principal;
	const struct access_row *row; /* NULL: not in the table */
	char tenant[TENANT_ID_BYTES]; /* what it is about, "" for the node */
	char resource[RESOURCE_BYTES];
};

/* -- fields that requests have in common -- */

/* The message's own text field of that name, or NULL. */
static char **find_text(ProtobufCMessage *message, const char *name)
{
	const ProtobufCFieldDescriptor *field =
		message ? protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name)
			: NULL;

	if (!field || field->type != PROTOBUF_C_TYPE_STRING ||
	    field->label == PROTOBUF_C_LABEL_REPEATED || field->quantifier_offset)
		return NULL;
	return (char **)((char *)message + field->offset);
}

/* Cuts between characters. */
static void copy_text(char *to, size_t size, const char *from)
{
	size_t len = strlen(from);

	if (len >= size) {
		len = size - 1;
		while (len > 0 && ((unsigned char)from[len] & 0xc0) == 0x80)
			len--;
	}
	memcpy(to, from, len);
	to[len] = 0;
}

static void find_resource(ProtobufCMessage *request, char out[RESOURCE_BYTES])
{
	static const char *const names[] = { "function_name", "access_key_id", "user",
					     "template_id",   "runtime",       "name" };

	for (size_t i = 0; i < ARRAY_SIZE(names) && !out[0]; i++) {
		char **text = find_text(request, names[i]);

		if (text)
			copy_text(out, RESOURCE_BYTES, *text);
	}
}

/* -- who -- */

static void find_operator(const struct gate *gate, const struct rpc_peer *peer,
			  struct principal *ret)
{
	if (peer->kind == RPC_PEER_UNIX) {
		ret->kind = PRINCIPAL_OPERATOR;
		(void)snprintf(ret->name, sizeof(ret->name), "uid %u", (unsigned)peer->uid);
	} else if (peer->kind == RPC_PEER_TLS && peer->has_certificate) {
		ret->kind = PRINCIPAL_OPERATOR;
		(void)snprintf(ret->name, sizeof(ret->name), "%s", peer->common_name);
		for (char *p = ret->name; *p; p++)
			if (*p < ' ' || *p > '~')
				*p = '?'; /* it is shown, and may be anything */
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

/* -- before the request -- */

static int greet(struct rpc_call *call, void *arg, struct error *e)
{
	struct gate_call *known = rpc_call_context(call);
	const struct gate *gate = arg;

	find_principal(gate, call, &known->principal);
	known->row = access_find(rpc_call_method(call));
	return access_greet(rpc_call_method(call), &known->principal, e);
}

/* -- before the handler: a key may have gone while the request came -- */

/* Of a user who is refused it is the own one, whatever was named. */
static void choose_tenant(struct gate_call *known, const char *named)
{
	const struct principal *principal = &known->principal;

	if (principal->kind == PRINCIPAL_USER)
		copy_text(known->tenant, sizeof(known->tenant), principal->tenant);
	else if (principal->kind == PRINCIPAL_OPERATOR && tenant_id_is_valid(named))
		copy_text(known->tenant, sizeof(known->tenant), named);
}

static int admit(struct rpc_call *call, ProtobufCMessage *request, void *arg, struct error *e)
{
	const struct gate *gate = arg;
	struct gate_call *known = rpc_call_context(call);
	char **named = find_text(request, "tenant");
	const char *method = rpc_call_method(call);
	char tenant[TENANT_ID_BYTES];
	int r;

	find_principal(gate, call, &known->principal);
	known->row = access_find(method);
	choose_tenant(known, named ? *named : "");
	find_resource(request, known->resource);
	r = access_check(method, &known->principal, named ? *named : "",
			 tenants_default(gate->tenants), tenant, e);
	if (r < 0 || !tenant[0])
		return r;
	if (is_about_all(request) && known->principal.kind != PRINCIPAL_OPERATOR)
		return error_set(e, ERROR_ACCESS_DENIED, "all_tenants",
				 "Only operators may ask for all tenants.");
	copy_text(known->tenant, sizeof(known->tenant), tenant);
	r = tenants_check(gate->tenants, tenant, known->row->effect,
			  known->principal.kind == PRINCIPAL_OPERATOR, e);
	if (r < 0 || !named || (*named)[0])
		return r;
	/* Freed with the request, as what it decoded itself. */
	*named = strdup(tenant);
	if (*named)
		return 0;
	*named = (char *)(uintptr_t)protobuf_c_empty_string;
	return error_set_errno(e, ENOMEM, "Cannot take the request");
}

/* -- after it -- */

static void note_left_out(struct gate *gate)
{
	char message[96];

	(void)snprintf(message, sizeof(message), "%u more calls of unknown callers in one minute",
		       gate->left_out);
	const struct audit_record record = { .principal = "",
					     .access_key_id = "",
					     .tenant = "",
					     .method = "",
					     .resource = "",
					     .peer = "",
					     .result = error_kind(ERROR_UNAUTHENTICATED)->name,
					     .message = message };
	trail_note(gate->trail, &record);
}

static bool may_note_unknown(struct gate *gate)
{
	int64_t minute = clock_monotonic_us() / USEC_PER_MINUTE;

	if (minute != gate->minute) {
		if (gate->left_out)
			note_left_out(gate);
		gate->minute = minute;
		gate->noted = gate->left_out = 0;
	}
	if (gate->noted < NOTES_OF_UNKNOWN_MAX) {
		gate->noted++;
		return true;
	}
	gate->left_out++;
	return false;
}

static bool is_noted(struct gate *gate, const struct gate_call *known, const struct error *e)
{
	if (e && e->code == ERROR_UNAUTHENTICATED)
		return may_note_unknown(gate);
	return (e && e->code == ERROR_ACCESS_DENIED) ||
	       (known->row &&
		(known->row->effect == ACCESS_CHANGE || known->row->effect == ACCESS_MANAGE));
}

/* A creation says only in its answer what it made. */
static void learn_from_reply(struct gate_call *known, const ProtobufCMessage *reply)
{
	char **tenant = find_text((ProtobufCMessage *)(uintptr_t)reply, "tenant");

	if (!known->tenant[0] && tenant)
		copy_text(known->tenant, sizeof(known->tenant), *tenant);
}

static void answered(struct rpc_call *call, const ProtobufCMessage *reply, const struct error *e,
		     void *arg)
{
	struct gate *gate = arg;
	struct gate_call *known = rpc_call_context(call);
	const char *method = rpc_call_method(call); /* "" when there is no such */
	struct rpc_peer peer = rpc_call_peer(call);
	char message[MESSAGE_BYTES];

	if (!is_noted(gate, known, e))
		return;
	learn_from_reply(known, reply);
	copy_text(message, sizeof(message), e ? error_text(e) : "");
	const struct audit_record record = {
		.principal = known->principal.name,
		.access_key_id = known->principal.key_id,
		.tenant = known->tenant,
		.method = method + (method[0] == '/'),
		.resource = known->resource,
		.peer = peer.address,
		.result = e ? error_kind(e->code)->name : "OK",
		.message = message,
	};
	trail_note(gate->trail, &record);
}

void gate_guard(struct gate *gate, struct rpc_server_options *options)
{
	options->greet = greet;
	options->admit = admit;
	options->answered = answered;
	options->gate = gate;
	options->context_bytes = sizeof(struct gate_call);
}
