/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_rpc

/* A foreign request: what passes the check must decode without harm, and its texts must
 * be whole. The first byte chooses the message. */

#include <stddef.h>
#include <stdint.h>

#include "rpc/check.h"
#include "rpc/status.h"

#include <google/protobuf/descriptor.pb-c.h>
#include <mayfly/v1/function.pb-c.h>
#include <mayfly/v1/invoke.pb-c.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const ProtobufCMessageDescriptor *const messages[] = {
		&mayfly__v1__create_function_request__descriptor,
		&mayfly__v1__update_function_configuration_request__descriptor,
		&mayfly__v1__invoke_request__descriptor,
		&google__protobuf__file_descriptor_set__descriptor,
	};
	ProtobufCMessage *message = NULL;
	_cleanup_error_ struct error e = ERROR_INIT, status = ERROR_INIT;

	if (size == 0)
		return 0;
	struct slice in = slice_new(data + 1, size - 1);
	int r = rpc_decode_message(messages[data[0] % ARRAY_SIZE(messages)], in, &message, &e);
	if ((r < 0) != (e.code != ERROR_NONE) || (r == 0) != (message != NULL))
		abort();
	protobuf_c_message_free_unpacked(message, NULL);
	rpc_status_decode(data[0], SLICE_INIT, in, &status);
	return 0;
}
