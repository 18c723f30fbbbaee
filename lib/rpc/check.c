/* SPDX-License-Identifier: Apache-2.0 */

#include "rpc/check.h"

#include <errno.h>

#include "mayfly/utf8.h"
#include "rpc/rpc_server.h"

/* Where the walk is: linked through the stack, formatted only for an error. */
struct place {
	const struct place *parent;
	const char *field;
};

struct walk {
	unsigned fields;
	struct error *error;
};

static int take_varint(struct slice *in, uint64_t *ret)
{
	uint64_t value = 0;
	for (size_t i = 0; i < in->len && i < 10; i++) {
		value |= (uint64_t)(in->data[i] & 0x7f) << (7 * i);
		if (in->data[i] & 0x80)
			continue;
		*in = slice_new(in->data + i + 1, in->len - i - 1);
		*ret = value;
		return 0;
	}
	return -EBADMSG;
}

static int take_bytes(struct slice *in, uint64_t len, struct slice *ret)
{
	if (len > in->len)
		return -EBADMSG;
	*ret = slice_new(in->data, (size_t)len);
	*in = slice_new(in->data + len, in->len - (size_t)len);
	return 0;
}

int rpc_wire_next(struct slice *in, uint32_t *ret_number, unsigned *ret_wire_type,
		  struct slice *ret_payload)
{
	uint64_t tag, value;
	struct slice skipped;

	if (in->len == 0)
		return 0;
	int r = take_varint(in, &tag);
	if (r < 0)
		return r;
	if (tag >> 32 || tag >> 3 == 0)
		return -EBADMSG;

	*ret_payload = SLICE_INIT;
	*ret_number = (uint32_t)(tag >> 3);
	*ret_wire_type = tag & 7;
	switch (*ret_wire_type) {
	case PROTOBUF_C_WIRE_TYPE_VARINT:
		r = take_varint(in, &value);
		break;
	case PROTOBUF_C_WIRE_TYPE_64BIT:
		r = take_bytes(in, 8, &skipped);
		break;
	case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
		r = take_varint(in, &value);
		if (r == 0)
			r = take_bytes(in, value, ret_payload);
		break;
	case PROTOBUF_C_WIRE_TYPE_32BIT:
		r = take_bytes(in, 4, &skipped);
		break;
	default: /* groups are not part of proto3 */
		r = -EBADMSG;
	}
	return r < 0 ? r : 1;
}

static int append_place(struct buf *b, const struct place *place)
{
	if (!place)
		return 0;
	int r = append_place(b, place->parent);
	if (r == 0 && b->len > 0)
		r = buf_append_string(b, ".");
	return r < 0 ? r : buf_append_string(b, place->field);
}

static int refuse(struct walk *walk, const struct place *place, const char *rule)
{
	_cleanup_buf_ struct buf path = BUF_INIT_MAX(512);
	(void)append_place(&path, place); /* a longer path is cut */
	if (path.len == 0)
		return error_set(walk->error, ERROR_INVALID_PARAMETER, NULL,
				 "The request message %s", rule);
	return error_set(walk->error, ERROR_INVALID_PARAMETER, buf_string(&path),
			 "Value at '%s' %s", buf_string(&path), rule);
}

static int check_text(struct walk *walk, const struct place *place, struct slice text)
{
	for (size_t i = 0; i < text.len;) {
		if (text.data[i] == 0)
			return refuse(walk, place, "must not contain a NUL character");
		if (text.data[i] < 0x80) {
			i++;
			continue;
		}
		size_t n = utf8_sequence_length(text.data + i, text.len - i);
		if (n == 0)
			return refuse(walk, place, "must be valid UTF-8");
		i += n;
	}
	return 0;
}

static int check_at(struct walk *walk, const ProtobufCMessageDescriptor *descriptor,
		    struct slice in, const struct place *parent, unsigned depth)
{
	struct place place = { .parent = parent };

	if (depth > RPC_MAX_NESTING)
		return refuse(walk, NULL, "is nested too deeply");
	for (;;) {
		uint32_t number;
		unsigned wire_type;
		struct slice payload;

		int r = rpc_wire_next(&in, &number, &wire_type, &payload);
		if (r < 0)
			return refuse(walk, parent, "is not a well-formed protobuf message");
		if (r == 0)
			return 0;
		if (++walk->fields > RPC_MAX_FIELDS)
			return refuse(walk, NULL, "has too many fields");

		const ProtobufCFieldDescriptor *field =
			protobuf_c_message_descriptor_get_field(descriptor, number);
		if (!field || wire_type != RPC_WIRE_LENGTH_DELIMITED)
			continue;
		place.field = field->name;
		if (field->type == PROTOBUF_C_TYPE_STRING)
			r = check_text(walk, &place, payload);
		else if (field->type == PROTOBUF_C_TYPE_MESSAGE)
			r = check_at(walk, field->descriptor, payload, &place, depth + 1);
		if (r < 0)
			return r;
	}
}

int rpc_check_message(const ProtobufCMessageDescriptor *descriptor, struct slice in,
		      struct error *e)
{
	struct walk walk = { .error = e };
	return check_at(&walk, descriptor, in, NULL, 1);
}

int rpc_decode_message(const ProtobufCMessageDescriptor *descriptor, struct slice in,
		       ProtobufCMessage **ret, struct error *e)
{
	int r = rpc_check_message(descriptor, in, e);
	if (r < 0)
		return r;
	ProtobufCMessage *message = protobuf_c_message_unpack(descriptor, NULL, in.len, in.data);
	if (!message)
		return error_set(e, ERROR_INVALID_PARAMETER, NULL,
				 "The request message is not a well-formed %s", descriptor->name);
	*ret = message;
	return 0;
}
