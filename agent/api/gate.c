/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/gate.h"

#include <errno.h>

#include "agent/api/gate_internal.h"
#include "agent/api/grant.h"

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

/* What is for anybody is for those, too, whose certificate is worth nothing. */
static int find_caller(const struct gate *gate, struct rpc_call *call, struct error *e)
{
	struct gate_call *known = rpc_call_context(call);
	_cleanup_error_ struct error refusal = ERROR_INIT;
	int r = gate_find_caller(gate, call, &known->principal, &refusal);

	if (r == 0 || (known->row && known->row->scope == ACCESS_PUBLIC))
		return 0;
	error_move(e, &refusal);
	return r;
}

/* Tenants share what callers may take, and the operators are one of them. */
static struct slice payer_of(const struct principal *principal)
{
	const char *payer = principal->kind == PRINCIPAL_USER ? principal->tenant : "";

	return slice_new(payer, strlen(payer));
}

static int greet(struct rpc_call *call, void *arg, struct error *e)
{
	struct gate_call *known = rpc_call_context(call);
	int r;

	(void)find_row(call);
	r = find_caller(arg, call, e);
	if (r == 0 && known->principal.kind != PRINCIPAL_NOBODY)
		rpc_call_vouch(call, payer_of(&known->principal));
	return r < 0 ? r : access_greet(known->row, &known->principal, e);
}

/* -- before the handler: a key may have gone while the request came -- */

/* Of a user who is refused it is the own one, whatever was named. */
static void choose_tenant(struct gate_call *known, const char *named)
{
	const struct principal *principal = &known->principal;

	if (principal->kind == PRINCIPAL_USER)
		gate_copy_text(known->tenant, sizeof(known->tenant), principal->tenant);
	else if (principal->kind == PRINCIPAL_OPERATOR && tenant_id_is_valid(named))
		gate_copy_text(known->tenant, sizeof(known->tenant), named);
}

/* Only where the table refuses, or the name may be that of another tenant's function: who calls
 * their own pays nothing. */
static bool is_granted(const struct gate *gate, const struct gate_call *known,
		       ProtobufCMessage *request, bool is_refused, char tenant[TENANT_ID_BYTES])
{
	const struct grant_question question = {
		.row = known->row,
		.user = &known->principal,
		.tenant = gate_text_of(request, "tenant"),
		.function_name = gate_text_of(request, "function_name"),
		.qualifier = gate_text_of(request, "qualifier"),
		.is_refused = is_refused,
	};
	char owner[TENANT_ID_BYTES];

	if (!is_refused && !strchr(question.function_name, ':'))
		return false;
	if (!grant_find(gate->directory, &question, owner))
		return false;
	gate_copy_text(tenant, TENANT_ID_BYTES, owner);
	return true;
}

/* What the table says, or else the function. */
int gate_decide(const struct gate *gate, struct gate_call *known, ProtobufCMessage *request,
		char tenant[TENANT_ID_BYTES], struct error *e)
{
	const struct access_row *row = known->row;
	_cleanup_error_ struct error refusal = ERROR_INIT;
	int r = access_check(row, &known->principal, gate_text_of(request, "tenant"),
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

static int let_in(struct rpc_call *call, ProtobufCMessage *request, struct gate *gate,
		  struct error *e)
{
	struct gate_call *known = rpc_call_context(call);
	char **named = gate_find_text(request, "tenant");
	char tenant[TENANT_ID_BYTES];
	int r;

	(void)find_row(call);
	r = find_caller(gate, call, e);
	if (r < 0)
		return r;
	choose_tenant(known, named ? *named : "");
	r = gate_decide(gate, known, request, tenant, e);
	if (r == 0) /* who may not takes nothing from those of their tenant who may */
		r = gate_check_rate(gate, known, e);
	if (r < 0 || !tenant[0])
		return r;
	if (is_about_all(request) && known->principal.kind != PRINCIPAL_OPERATOR)
		return error_set(e, ERROR_ACCESS_DENIED, "all_tenants",
				 "Only operators may ask for all tenants.");
	gate_copy_text(known->tenant, sizeof(known->tenant), tenant);
	r = tenants_check(gate->tenants, tenant, known->row->effect,
			  known->principal.kind == PRINCIPAL_OPERATOR, e);
	if (r == 0 && known->row->effect == ACCESS_INVOKE)
		r = tenants_check_runs(gate->tenants, tenant, e);
	return r < 0 || !named ? r : complete(named, tenant, e);
}

static int admit(struct rpc_call *call, ProtobufCMessage *request, void *arg, struct error *e)
{
	int r = let_in(call, request, arg, e);

	if (r == 0)
		r = gate_check_stream(arg, call, e);
	if (r == 0)
		gate_follow_stream(arg, call);
	return r;
}

static void answered(struct rpc_call *call, const ProtobufCMessage *reply, const struct error *e,
		     void *arg)
{
	gate_leave_stream(rpc_call_context(call));
	gate_note(call, reply, e, arg);
}

bool gate_is_granted(struct rpc_call *call)
{
	const struct gate_call *known = rpc_call_context(call);

	return known && known->is_granted;
}

void gate_guard(struct gate *gate, struct rpc_server_options *options)
{
	options->greet = greet;
	options->admit = admit;
	options->answered = answered;
	options->gate = gate;
	options->context_bytes = sizeof(struct gate_call);
}
