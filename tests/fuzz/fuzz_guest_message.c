/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_vm

#include <stddef.h>
#include <stdint.h>

#include "agent/vm/channel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Mayfly__Guest__V1__GuestMessage *message;

	if (guest_message_parse(slice_new(data, size), &message) >= 0)
		mayfly__guest__v1__guest_message__free_unpacked(message, NULL);
	return 0;
}
