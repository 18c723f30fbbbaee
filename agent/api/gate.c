/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/gate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/api/grant.h"
#include "agent/auth/access.h"
#include "agent/tenants/keys.h"
#include "mayfly/clock.h"

#define NOTES_OF_UNKNOWN_MAX 60 /* in a minute */
#define RESOURCE_BYTES       160
#define MESSAGE_BYTES        320
#define PRINCIPAL_BYTES      (PRINCIPAL_NAME_BYTES + 48) /* with the rest of an ARN */
#define USEC_PER_MINUTE      (60 * USEC_PER_SEC)

/* What is known of a call; in its context. */
struct gate_call {
	struct principal principal;
	const struct access_row *row; /* NULL: not looked up yet, or not in the table */
	char tenant[TENANT_ID_BYTES]; /* what it is about, "" for the node */
	bool is_granted;              /* by the function's policy, not by the table */
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

/* "" when the request has no such field. */
static const char *text_of(ProtobufCMessage *request, const char *name)
{
	char **text = find_text(request, name);

	return text ? *text : "";
}

/* Of what is noted alone. */
static void find_resource(ProtobufCMessage *request, char out[RESOURCE_BYTES])
{
	static const char *const names[] = { "function_name", "access_key_id", "user",
					     "template_id",   "layer_name",    "resource",
					     "runtime",       "name" };

	out[0] = 0;
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

/* Once for a call: its method stays what it is. */
static const struct access_row *find_row(struct rpc_call *call)
{
	struct gate_call *known = rpc_call_context(call);

	if (!known->row)
		known->row = access_find(rpc_call_method(call));
	return known->row;
}

static int greet(struct rpc_call *call, void *arg, struct error *e)
{
	struct gate_call *known = rpc_call_context(call);
	const struct gate *gate = arg;

	find_principal(gate, call, &known->principal);
	return access_greet(find_row(call), &known->principal, e);
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

/* Only where the table refuses, or the name may be that of another tenant's function: who calls
 * their own pays nothing. */
static bool is_granted(const struct gate *gate, const struct gate_call *known,
		       ProtobufCMessage *request, bool is_refused, char tenant[TENANT_ID_BYTES])
{
	const struct grant_question question = {
		.row = known->row,
		.user = &known->principal,
		.tenant = text_of(request, "tenant"),
		.function_name = text_of(request, "function_name"),
		.qualifier = text_of(request, "qualifier"),
		.is_refused = is_refused,
	};
	char owner[TENANT_ID_BYTES];

	if (!is_refused && !strchr(question.function_name, ':'))
		return false;
	if (!grant_find(gate->directory, &question, owner))
		return false;
	copy_text(tenant, TENANT_ID_BYTES, owner);
	return true;
}

/* What the table says, or else the function. */
static int decide(const struct gate *gate, struct gate_call *known, ProtobufCMessage *request,
		  char tenant[TENANT_ID_BYTES], struct error *e)
{
	const struct access_row *row = known->row;
	_cleanup_error_ struct error refusal = ERROR_INIT;
	int r = access_check(row, &known->principal, text_of(request, "tenant"),
			     tenants_default(gate->tenants), tenant, &refusal);

	known->is_granted = row && row->grant && gate->directory && request &&
			    known->principal.kind == PRINCIPAL_USER &&
			    is_granted(gate, known, request, r < 0, tenant);
	if (!known->is_granted) {
		if (r < 0)
			error_move(e, &refusal);
		return r;
	}
	/* The own tenant must be able to as well: suspended is suspended. */
	return tenants_check(gate->tenants, known->principal.tenant, row->effect, false, e);
}

/* Freed with the request, as what it decoded itself. */
static int complete(char **named, const char *tenant, struct error *e)
{
	char *copy;

	if (strcmp(*named, tenant) == 0)
		return 0;
	copy = strdup(tenant);
	if (!copy)
		return error_set_errno(e, ENOMEM, "Cannot take the request");
	if (*named != protobuf_c_empty_string)
		free(*named);
	*named = copy;
	return 0;
}

static int admit(struct rpc_call *call, ProtobufCMessage *request, void *arg, struct error *e)
{
	const struct gate *gate = arg;
	struct gate_call *known = rpc_call_context(call);
	char **named = find_text(request, "tenant");
	char tenant[TENANT_ID_BYTES];
	int r;

	find_principal(gate, call, &known->principal);
	(void)find_row(call);
	choose_tenant(known, named ? *named : "");
	r = decide(gate, known, request, tenant, e);
	if (r < 0 || !tenant[0])
		return r;
	if (is_about_all(request) && known->principal.kind != PRINCIPAL_OPERATOR)
		return error_set(e, ERROR_ACCESS_DENIED, "all_tenants",
				 "Only operators may ask for all tenants.");
	copy_text(known->tenant, sizeof(known->tenant), tenant);
	r = tenants_check(gate->tenants, tenant, known->row->effect,
			  known->principal.kind == PRINCIPAL_OPERATOR, e);
	return r < 0 || !named ? r : complete(named, tenant, e);
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

static uint64_t add_to_hash(uint64_t hash, const char *text)
{
	for (const char *c = text;; c++) {
		hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211); /* FNV-1a */
		if (!*c)
			return hash;
	}
}

/* Of what a policy lets somebody do, the first time in a minute. Two that share a place are noted
 * more often. */
static bool may_note_granted(struct gate *gate, const struct gate_call *known, const char *resource)
{
	int64_t minute = clock_monotonic_us() / USEC_PER_MINUTE;
	uint64_t hash = UINT64_C(14695981039346656037);
	struct gate_granted *place;

	hash = add_to_hash(hash, known->row->method);
	hash = add_to_hash(hash, known->principal.tenant);
	hash = add_to_hash(hash, known->principal.name);
	hash = add_to_hash(hash, known->principal.key_id);
	hash = add_to_hash(hash, resource);
	place = &gate->granted[hash % GATE_GRANTED_PLACES];
	if (place->hash == hash && place->minute == minute)
		return false;
	*place = (struct gate_granted){ .hash = hash, .minute = minute };
	return true;
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

/* In another tenant's trail a user's name says nothing without their own. */
static void name_principal(const struct gate_call *known, char out[PRINCIPAL_BYTES])
{
	const struct principal *principal = &known->principal;

	if (known->is_granted)
		(void)snprintf(out, PRINCIPAL_BYTES, "arn:aws:iam::%s:user/%s", principal->tenant,
			       principal->name);
	else
		copy_text(out, PRINCIPAL_BYTES, principal->name);
}

static void answered(struct rpc_call *call, const ProtobufCMessage *reply, const struct error *e,
		     void *arg)
{
	struct gate *gate = arg;
	struct gate_call *known = rpc_call_context(call);
	const char *method = rpc_call_method(call); /* "" when there is no such */
	char message[MESSAGE_BYTES], resource[RESOURCE_BYTES], who[PRINCIPAL_BYTES];
	struct rpc_peer peer;
	bool noted = is_noted(gate, known, e);

	if (!noted && !known->is_granted)
		return;
	find_resource(rpc_call_request(call), resource);
	if (!noted && !may_note_granted(gate, known, resource))
		return;
	peer = rpc_call_peer(call);
	learn_from_reply(known, reply);
	name_principal(known, who);
	copy_text(message, sizeof(message), e ? error_text(e) : "");
	const struct audit_record record = {
		.principal = who,
		.access_key_id = known->principal.key_id,
		.tenant = known->tenant,
		.method = method + (method[0] == '/'),
		.resource = resource,
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
