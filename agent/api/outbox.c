/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/outbox.h"

struct outbox_item {
	STAILQ_ENTRY(outbox_item) link;
	ProtobufCMessage *message; /* owned */
	size_t bytes;
};

void outbox_init(struct outbox *outbox, const struct outbox_limits *limits)
{
	*outbox = (struct outbox){ .limits = limits };
	STAILQ_INIT(&outbox->items);
}

static void remove_first(struct outbox *outbox)
{
	struct outbox_item *item = STAILQ_FIRST(&outbox->items);

	STAILQ_REMOVE_HEAD(&outbox->items, link);
	outbox->count--;
	outbox->bytes -= item->bytes;
	protobuf_c_message_free_unpacked(item->message, NULL);
	free(item);
}

void outbox_clear(struct outbox *outbox)
{
	while (!STAILQ_EMPTY(&outbox->items))
		remove_first(outbox);
	outbox->dropped = 0;
}

static bool is_over(const struct outbox *outbox)
{
	const struct outbox_limits *limits = outbox->limits;

	return (limits->max_count && outbox->count > limits->max_count) ||
	       (limits->max_bytes && outbox->bytes > limits->max_bytes);
}

void outbox_put(struct outbox *outbox, ProtobufCMessage *message)
{
	struct outbox_item *item = message ? malloc(sizeof(*item)) : NULL;

	if (!item) {
		if (message)
			protobuf_c_message_free_unpacked(message, NULL);
		outbox->dropped++;
		return;
	}
	item->message = message;
	item->bytes = protobuf_c_message_get_packed_size(message) + sizeof(*item);
	STAILQ_INSERT_TAIL(&outbox->items, item, link);
	outbox->count++;
	outbox->bytes += item->bytes;
	while (is_over(outbox)) {
		remove_first(outbox);
		outbox->dropped++;
	}
}

bool outbox_is_empty(const struct outbox *outbox)
{
	return outbox->count == 0 && outbox->dropped == 0;
}

/* Where the dropped ones were, at the front. True when it is on its way. */
static bool send_dropped(struct outbox *outbox, struct rpc_call *call)
{
	ProtobufCMessage *message = outbox->limits->make_dropped(outbox->dropped);
	int r;

	if (!message)
		return false;
	r = rpc_call_send(call, message);
	protobuf_c_message_free_unpacked(message, NULL);
	if (r < 0)
		return false;
	outbox->dropped = 0;
	return true;
}

bool outbox_pump(struct outbox *outbox, struct rpc_call *call)
{
	while (!outbox_is_empty(outbox)) {
		if (outbox->dropped > 0 && outbox->limits->make_dropped) {
			if (!send_dropped(outbox, call))
				return false;
			continue;
		}
		outbox->dropped = 0;
		if (outbox->count == 0)
			break;
		if (rpc_call_send(call, STAILQ_FIRST(&outbox->items)->message) < 0)
			return false;
		remove_first(outbox);
	}
	return true;
}
