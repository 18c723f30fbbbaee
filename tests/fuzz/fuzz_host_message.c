/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_init_core

/* What init takes from the agent's port: frames and the messages in them. */

#include <stdint.h>

#include "guest/init/channel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_message(const host_message *message, void *user)
{
	*(int *)user += (int)message->kind_case;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int seen = 0;
	struct channel channel = { .on_message = on_message, .user = &seen };
	size_t half = size / 2;

	if (channel_feed(&channel, slice_new(data, half)) >= 0)
		(void)!channel_feed(&channel, slice_new(data + half, size - half));
	buf_free(&channel.in);
	return 0;
}
