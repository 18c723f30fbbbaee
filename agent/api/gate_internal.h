/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the gate share. Loop thread. */

#include <string.h>
#include <sys/queue.h>

#include "agent/api/gate.h"
#include "agent/auth/access.h"

/* What is known of a call; in its context. */
struct gate_call {
	struct principal principal;
	const struct access_row *row; /* NULL: not looked up yet, or not in the table */
	char tenant[TENANT_ID_BYTES]; /* what it is about, "" for the node */
	bool is_granted;              /* by the function's policy, not by the table */
	/* ---- of a stream that was let in ---- */
	struct rpc_call *stream; /* it; NULL: this is none */
	bool was_suspended;      /* the caller's tenant, then already */
	LIST_ENTRY(gate_call) link;
};

/* gate_caller.c: who calls, in ret. Refused, with nobody in ret, is who shows a certificate that is
 * worth nothing: whatever else they show. */
int gate_find_caller(const struct gate *gate, const struct rpc_call *call, struct principal *ret,
		     struct error *e) _must_use_;

/* gate.c: what a call may do now, and in which tenant, "" for none. */
int gate_decide(const struct gate *gate, struct gate_call *known, ProtobufCMessage *request,
		char tenant[TENANT_ID_BYTES], struct error *e) _must_use_;

/* gate_streams.c: whether one more may be opened; then from being let in to the answer. Nothing of
 * a call that is no stream. */
int gate_check_stream(const struct gate *gate, struct rpc_call *call, struct error *e) _must_use_;
void gate_follow_stream(struct gate *gate, struct rpc_call *call);
void gate_leave_stream(struct gate_call *known);

/* gate_rate.c: of a user, whether their tenant calls too often; else it is counted. */
int gate_check_rate(struct gate *gate, const struct gate_call *known, struct error *e) _must_use_;
void gate_forget_rates(struct gate *gate);

/* gate_trail.c: options.answered, and what it does there. */
void gate_note(struct rpc_call *call, const ProtobufCMessage *reply, const struct error *e,
	       struct gate *gate);

/* -- fields that requests have in common -- */

/* The message's own text field of that name, or NULL. */
static inline char **gate_find_text(ProtobufCMessage *message, const char *name)
{
	const ProtobufCFieldDescriptor *field =
		message ? protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name)
			: NULL;

	if (!field || field->type != PROTOBUF_C_TYPE_STRING ||
	    field->label == PROTOBUF_C_LABEL_REPEATED || field->quantifier_offset)
		return NULL;
	return (char **)((char *)message + field->offset);
}

/* "" when the request has no such field. */
static inline const char *gate_text_of(ProtobufCMessage *request, const char *name)
{
	char **text = gate_find_text(request, name);

	return text ? *text : "";
}

/* Cuts between characters. */
static inline void gate_copy_text(char *to, size_t size, const char *from)
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
