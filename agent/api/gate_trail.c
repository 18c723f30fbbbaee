/* SPDX-License-Identifier: Apache-2.0 */

/* What the gate notes for the audit log: changes, refusals, and what a policy let in. */

#include <stdio.h>

#include "agent/api/gate_internal.h"
#include "agent/functions/destination.h"
#include "mayfly/clock.h"
#include "mayfly/hash.h"

#define RESOURCE_BYTES  160
#define MESSAGE_BYTES   320
#define PRINCIPAL_BYTES (PRINCIPAL_NAME_BYTES + 48) /* with the rest of an ARN */
#define SHARE_BYTES     (TENANT_ID_BYTES + 16)

/* Of what is noted alone. */
static void find_resource(ProtobufCMessage *request, char out[RESOURCE_BYTES])
{
	static const char *const names[] = { "function_name", "access_key_id", "user",
					     "template_id",   "layer_name",    "resource",
					     "runtime",       "name" };
	char **url = gate_find_text(request, "url");
	char shown[DESTINATION_SHOWN_BYTES];

	out[0] = 0;
	for (size_t i = 0; i < ARRAY_SIZE(names) && !out[0]; i++) {
		char **text = gate_find_text(request, names[i]);

		if (text)
			gate_copy_text(out, RESOURCE_BYTES, *text);
	}
	if (out[0] || !url)
		return;
	destination_show(*url, shown);
	/* What is no URL may be anything. */
	gate_copy_text(out, RESOURCE_BYTES, strncmp(shown, "http", 4) == 0 ? shown : "...");
}

/* What a broken rule is told with quotes the request, which may have secrets in any field: that is
 * for the caller alone. */
static void describe(const struct error *e, char out[MESSAGE_BYTES])
{
	bool quotes =
		e->code == ERROR_INVALID_PARAMETER || e->code == ERROR_INVALID_REQUEST_CONTENT;

	if (e->log || !quotes)
		gate_copy_text(out, MESSAGE_BYTES, error_log_text(e));
	else
		(void)snprintf(out, MESSAGE_BYTES, "%.64s breaks a rule",
			       e->field ? e->field : "the request");
}

/* With its NUL, which separates. */
static uint64_t add_to_hash(uint64_t hash, const char *text)
{
	return hash_fnv1a(hash, slice_new(text, strlen(text) + 1));
}

/* Of what a policy lets somebody do, the first time in a minute. Two that share a place are noted
 * more often. */
static bool may_note_granted(struct gate *gate, const struct gate_call *known, const char *resource)
{
	int64_t minute = clock_monotonic_us() / USEC_PER_MINUTE;
	uint64_t hash = HASH_FNV1A_INIT;
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

static bool is_noted(const struct gate_call *known, const struct error *e)
{
	return (e && (e->code == ERROR_UNAUTHENTICATED || e->code == ERROR_ACCESS_DENIED)) ||
	       (known->row &&
		(known->row->effect == ACCESS_CHANGE || known->row->effect == ACCESS_MANAGE));
}

/* A creation says only in its answer what it made. */
static void learn_from_reply(struct gate_call *known, const ProtobufCMessage *reply)
{
	char **tenant = gate_find_text((ProtobufCMessage *)(uintptr_t)reply, "tenant");

	if (!known->tenant[0] && tenant)
		gate_copy_text(known->tenant, sizeof(known->tenant), *tenant);
}

/* In another tenant's trail a user's name says nothing without their own. */
static void name_principal(const struct gate_call *known, char out[PRINCIPAL_BYTES])
{
	const struct principal *principal = &known->principal;

	if (known->is_granted)
		(void)snprintf(out, PRINCIPAL_BYTES, "arn:aws:iam::%s:user/%s", principal->tenant,
			       principal->name);
	else
		gate_copy_text(out, PRINCIPAL_BYTES, principal->name);
}

/* Whose room it takes. What failed and what a policy let in have rooms of their own, so that they
 * push out no change. */
static void choose_share(const struct gate_call *known, const struct error *e,
			 char out[SHARE_BYTES])
{
	const struct principal *principal = &known->principal;

	if (principal->kind == PRINCIPAL_OPERATOR)
		gate_copy_text(out, SHARE_BYTES, AUDIT_SHARE_OPERATORS);
	else if (principal->kind == PRINCIPAL_NOBODY)
		gate_copy_text(out, SHARE_BYTES, AUDIT_SHARE_UNKNOWN);
	else
		(void)snprintf(out, SHARE_BYTES, "%s%s", known->tenant,
			       e                   ? " failed"
			       : known->is_granted ? " granted"
						   : "");
}

void gate_note(struct rpc_call *call, const ProtobufCMessage *reply, const struct error *e,
	       struct gate *gate)
{
	struct gate_call *known = rpc_call_context(call);
	const char *method = rpc_call_method(call); /* "" when there is no such */
	char message[MESSAGE_BYTES], resource[RESOURCE_BYTES], who[PRINCIPAL_BYTES];
	char share[SHARE_BYTES];
	struct rpc_peer peer;
	bool noted = is_noted(known, e);

	if (!noted && !known->is_granted)
		return;
	find_resource(rpc_call_request(call), resource);
	if (!noted && !may_note_granted(gate, known, resource))
		return;
	peer = rpc_call_peer(call);
	learn_from_reply(known, reply);
	name_principal(known, who);
	choose_share(known, e, share);
	message[0] = 0;
	if (e)
		describe(e, message);
	const struct audit_record record = {
		.principal = who,
		.access_key_id = known->principal.key_id,
		.tenant = known->tenant,
		.method = method + (method[0] == '/'),
		.resource = resource,
		.peer = peer.address,
		.result = e ? error_kind(e->code)->name : "OK",
		.message = message,
		.share = share,
	};
	if (e)
		failures_note(&gate->failures, &record);
	else
		trail_note(gate->trail, &record);
}
