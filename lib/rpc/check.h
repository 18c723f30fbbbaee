/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What protobuf-c does not check and must hold before it may decode a foreign message:
 * nesting (it recurses without a limit), text (it cuts strings at a NUL and takes any bytes as
 * UTF-8), and the number of fields (each costs far more memory than its bytes). Any thread. */

#include <protobuf-c/protobuf-c.h>

#include "mayfly/buf.h"
#include "mayfly/error.h"

/* Fields of a whole message, at all depths. */
#define RPC_MAX_FIELDS 100000

/* 0, or -EINVAL with the path of the field in *e. */
int rpc_check_message(const ProtobufCMessageDescriptor *descriptor, struct slice in,
		      struct error *e) _must_use_;

/* Checks, then decodes; the message is the caller's (protobuf_c_message_free_unpacked). */
int rpc_decode_message(const ProtobufCMessageDescriptor *descriptor, struct slice in,
		       ProtobufCMessage **ret, struct error *e) _must_use_;

/* Takes one field off the front of *in. 1 and *ret_number, *ret_wire_type, *ret_payload (of
 * length-delimited fields, else empty); 0 at the end; -EBADMSG. */
int rpc_wire_next(struct slice *in, uint32_t *ret_number, unsigned *ret_wire_type,
		  struct slice *ret_payload) _must_use_;

#define RPC_WIRE_LENGTH_DELIMITED 2
