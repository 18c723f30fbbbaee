/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The framed channel to the agent over the virtio-serial port. Messages are queued and
 * written by channel_flush(), which the owner calls once per turn of the loop, so that what
 * belongs together leaves in one write. */

#include "event.h"
#include "mayfly/buf.h"
#include "protocol.h"

/* Above HIGH, whoever produces (the runtime's response) is to be held back, until LOW. */
#define CHANNEL_HIGH_BYTES (4U << 20)
#define CHANNEL_LOW_BYTES  (1U << 20)
#define CHANNEL_MAX_BYTES  (32U << 20)

typedef void channel_message_fn(const host_message *message, void *user);
typedef void channel_broken_fn(const char *reason, void *user);

struct channel {
	struct event_loop *loop;
	struct event_source source;
	struct buf in;
	struct buf out;
	size_t out_offset;
	channel_message_fn *on_message;
	channel_broken_fn *on_broken;
	void *user;
};

/* Takes the descriptor over. */
int channel_open(struct channel *channel, struct event_loop *loop, int fd,
		 channel_message_fn *on_message, channel_broken_fn *on_broken,
		 void *user) _must_use_;
void channel_close(struct channel *channel);

/* -ENOBUFS when CHANNEL_MAX_BYTES wait. */
int channel_send(struct channel *channel, const guest_message *message) _must_use_;
void channel_flush(struct channel *channel);

/* Writes everything, waiting for the host at most `max_us`; for last words. */
void channel_flush_blocking(struct channel *channel, int64_t max_us);

size_t channel_pending(const struct channel *channel) _pure_;

/* Feeds bytes as if the host had sent them; for channel_open's reader and for fuzzing. */
int channel_feed(struct channel *channel, struct slice bytes) _must_use_;
