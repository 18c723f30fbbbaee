/* SPDX-License-Identifier: Apache-2.0 */

#include "rpc/status.h"

#include <errno.h>
#include <google/protobuf/any.pb-c.h>
#include <google/rpc/error_details.pb-c.h>
#include <google/rpc/status.pb-c.h>
#include <grpc/status.h>

#include "rpc/check.h"

#define TYPE_PREFIX "type.googleapis.com/"
#define REASON_KEY  "reason" /* of ErrorInfo's metadata */

static int pack(const ProtobufCMessage *message, struct buf *out)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	int r = buf_reserve(out, size + 1);
	if (r < 0)
		return r;
	out->len += protobuf_c_message_pack(message, out->data + out->len);
	return 0;
}

static int append_cut(struct buf *out, const char *text)
{
	size_t len = strlen(text);
	if (len > RPC_STATUS_MAX_TEXT) {
		len = RPC_STATUS_MAX_TEXT;
		while (len > 0 && ((uint8_t)text[len] & 0xc0) == 0x80)
			len--;
	}
	return buf_append(out, text, len);
}

int rpc_status_encode(const struct error *e, const char *domain, struct buf *ret_status,
		      struct buf *ret_text)
{
	const struct error_kind *kind = error_kind(e->code);
	_cleanup_buf_ struct buf info_bytes = BUF_INIT, request_bytes = BUF_INIT;

	int r = append_cut(ret_text, error_text(e));
	if (r < 0)
		return r;
	char *text = (char *)buf_string(ret_text);

	Google__Rpc__ErrorInfo__MetadataEntry type = GOOGLE__RPC__ERROR_INFO__METADATA_ENTRY__INIT;
	Google__Rpc__ErrorInfo__MetadataEntry reason =
		GOOGLE__RPC__ERROR_INFO__METADATA_ENTRY__INIT;
	Google__Rpc__ErrorInfo__MetadataEntry *metadata[] = { &type, &reason };
	type.key = (char *)"type";
	type.value = (char *)kind->type;
	reason.key = (char *)REASON_KEY;
	reason.value = e->reason;
	Google__Rpc__ErrorInfo info = GOOGLE__RPC__ERROR_INFO__INIT;
	info.reason = (char *)kind->name;
	info.domain = (char *)domain;
	info.metadata = metadata;
	info.n_metadata = e->reason ? 2 : 1;

	Google__Rpc__BadRequest__FieldViolation violation =
		GOOGLE__RPC__BAD_REQUEST__FIELD_VIOLATION__INIT;
	Google__Rpc__BadRequest__FieldViolation *violations[] = { &violation };
	violation.field = e->field;
	violation.description = text;
	Google__Rpc__BadRequest request = GOOGLE__RPC__BAD_REQUEST__INIT;
	request.field_violations = violations;
	request.n_field_violations = 1;

	r = pack(&info.base, &info_bytes);
	if (r == 0 && e->field)
		r = pack(&request.base, &request_bytes);
	if (r < 0)
		return r;

	Google__Protobuf__Any any[2] = { GOOGLE__PROTOBUF__ANY__INIT, GOOGLE__PROTOBUF__ANY__INIT };
	Google__Protobuf__Any *details[] = { &any[0], &any[1] };
	any[0].type_url = (char *)TYPE_PREFIX "google.rpc.ErrorInfo";
	any[0].value = (ProtobufCBinaryData){ info_bytes.len, info_bytes.data };
	any[1].type_url = (char *)TYPE_PREFIX "google.rpc.BadRequest";
	any[1].value = (ProtobufCBinaryData){ request_bytes.len, request_bytes.data };
	Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
	status.code = kind->grpc_status;
	status.message = text;
	status.details = details;
	status.n_details = e->field ? 2 : 1;
	return pack(&status.base, ret_status);
}

static enum error_code code_from_status(int status)
{
	switch (status) {
	case GRPC_STATUS_CANCELLED:
		return ERROR_CANCELLED;
	case GRPC_STATUS_INVALID_ARGUMENT:
	case GRPC_STATUS_OUT_OF_RANGE:
		return ERROR_INVALID_PARAMETER;
	case GRPC_STATUS_DEADLINE_EXCEEDED:
		return ERROR_DEADLINE_EXCEEDED;
	case GRPC_STATUS_NOT_FOUND:
		return ERROR_NOT_FOUND;
	case GRPC_STATUS_ALREADY_EXISTS:
	case GRPC_STATUS_ABORTED:
		return ERROR_CONFLICT;
	case GRPC_STATUS_PERMISSION_DENIED:
		return ERROR_ACCESS_DENIED;
	case GRPC_STATUS_UNAUTHENTICATED:
		return ERROR_UNAUTHENTICATED;
	case GRPC_STATUS_RESOURCE_EXHAUSTED:
		return ERROR_REQUEST_TOO_LARGE; /* from core itself: a message over its limit */
	case GRPC_STATUS_FAILED_PRECONDITION:
		return ERROR_PRECONDITION_FAILED;
	case GRPC_STATUS_UNIMPLEMENTED:
		return ERROR_UNIMPLEMENTED;
	case GRPC_STATUS_UNAVAILABLE:
		return ERROR_UNAVAILABLE;
	default:
		return ERROR_INTERNAL;
	}
}

/* What the details say: our own exception name, the field of the first violation, the limit met. */
struct said {
	enum error_code code;
	char *field;  /* owned */
	char *reason; /* owned */
};

static void take_info(const Google__Rpc__ErrorInfo *info, struct said *said)
{
	enum error_code named = error_code_from_name(info->reason);

	if (named != ERROR_INTERNAL)
		said->code = named;
	for (size_t i = 0; i < info->n_metadata; i++)
		if (strcmp(info->metadata[i]->key, REASON_KEY) == 0 && !said->reason)
			said->reason = strdup(info->metadata[i]->value);
}

static void decode_detail(const Google__Protobuf__Any *any, struct said *said)
{
	struct slice value = slice_new(any->value.data, any->value.len);
	ProtobufCMessage *message = NULL;

	if (strcmp(any->type_url, TYPE_PREFIX "google.rpc.ErrorInfo") == 0 &&
	    rpc_decode_message(&google__rpc__error_info__descriptor, value, &message, NULL) == 0) {
		take_info((const Google__Rpc__ErrorInfo *)message, said);
	} else if (strcmp(any->type_url, TYPE_PREFIX "google.rpc.BadRequest") == 0 &&
		   rpc_decode_message(&google__rpc__bad_request__descriptor, value, &message,
				      NULL) == 0) {
		const Google__Rpc__BadRequest *request = (const Google__Rpc__BadRequest *)message;
		if (request->n_field_violations > 0 && !said->field)
			said->field = strdup(request->field_violations[0]->field);
	}
	protobuf_c_message_free_unpacked(message, NULL);
}

void rpc_status_decode(int code, struct slice text, struct slice details, struct error *ret)
{
	struct said said = { .code = code_from_status(code) };
	ProtobufCMessage *message = NULL;

	if (details.len > 0 &&
	    rpc_decode_message(&google__rpc__status__descriptor, details, &message, NULL) == 0) {
		const Google__Rpc__Status *status = (const Google__Rpc__Status *)message;
		for (size_t i = 0; i < status->n_details; i++)
			decode_detail(status->details[i], &said);
	}
	protobuf_c_message_free_unpacked(message, NULL);
	(void)error_set(ret, said.code, said.field, "%.*s", (int)text.len, (const char *)text.data);
	if (said.reason)
		error_set_reason(ret, said.reason);
	free(said.field);
	free(said.reason);
}
