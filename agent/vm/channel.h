/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The guest channel: frames of protobuf over the unix socket behind the virtio-serial port. What
 * comes out of it was written by a hostile guest: sizes are bounded, every field is checked, and
 * the first malformed frame closes it. Loop thread. */

#include <stdbool.h>

#include "agent/core/loop.h"
#include "mayfly/buf.h"
#include "mayfly/guest/v1/guest.pb-c.h"

#define CHANNEL_QUEUE_BYTES (64U << 20) /* that wait to be taken by the guest */

struct channel;

struct channel_events {
	void (*on_message)(const Mayfly__Guest__V1__GuestMessage *message, void *user);
	void (*on_closed)(const char *reason, void *user); /* nothing follows */
};

/* Takes the connected socket in any case. */
int channel_new(struct loop *loop, int fd, const struct channel_events *events, void *user,
		struct channel **ret) _must_use_;
/* No callback follows; may be called from one. */
struct channel *channel_free(struct channel *channel);

/* -ENOBUFS when the queue is full, -EMSGSIZE when the message is larger than a frame. */
int channel_send(struct channel *channel, const Mayfly__Guest__V1__HostMessage *message) _must_use_;

/* Unpacks and checks one frame's body; `*ret` is freed with
 * mayfly__guest__v1__guest_message__free_unpacked(). 0 or -EBADMSG. */
int guest_message_parse(struct slice body, Mayfly__Guest__V1__GuestMessage **ret) _must_use_;
