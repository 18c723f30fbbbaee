/* SPDX-License-Identifier: Apache-2.0 */

#include "channel.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "mayfly/clock.h"
#include "mayfly/frame.h"

#define READ_BYTES (32U << 10)

static int dispatch_frame(struct channel *channel, struct slice body)
{
	host_message *message = mayfly__guest__v1__host_message__unpack(NULL, body.len, body.data);

	if (!message)
		return -EBADMSG;
	channel->on_message(message, channel->user);
	mayfly__guest__v1__host_message__free_unpacked(message, NULL);
	return 0;
}

int channel_feed(struct channel *channel, struct slice bytes)
{
	int r = buf_append(&channel->in, bytes.data, bytes.len);
	if (r < 0)
		return r;

	size_t offset = 0;
	for (;;) {
		struct slice body;
		size_t consumed;
		struct slice rest = slice_new(channel->in.data + offset, channel->in.len - offset);

		r = frame_parse(rest, &body, &consumed);
		if (r <= 0)
			break;
		r = dispatch_frame(channel, body);
		if (r < 0)
			break;
		offset += consumed;
	}
	buf_consume(&channel->in, offset);
	/* A big payload's buffer is not kept: its pages would stay private to this clone. */
	if (channel->in.len == 0 && channel->in.capacity > 4 * READ_BYTES)
		buf_free(&channel->in);
	return r;
}

static void read_port(struct channel *channel)
{
	uint8_t bytes[READ_BYTES];

	for (;;) {
		ssize_t n = read(channel->source.fd, bytes, sizeof(bytes));
		if (n < 0 && errno == EINTR)
			continue;
		/* 0 while the host side is closed: the edge of its return wakes us. */
		if (n <= 0)
			return;
		int r = channel_feed(channel, slice_new(bytes, (size_t)n));
		if (r < 0) {
			channel->on_broken("malformed message from the agent", channel->user);
			return;
		}
	}
}

static void on_port(struct event_source *source, uint32_t events, void *user)
{
	struct channel *channel = user;

	(void)source;
	if (events & EPOLLOUT)
		channel_flush(channel);
	if (events & (EPOLLIN | EPOLLHUP))
		read_port(channel);
}

int channel_open(struct channel *channel, struct event_loop *loop, int fd,
		 channel_message_fn *on_message, channel_broken_fn *on_broken, void *user)
{
	*channel = (struct channel){
		.loop = loop,
		.source = EVENT_SOURCE_INIT,
		.on_message = on_message,
		.on_broken = on_broken,
		.user = user,
	};
	/* Edge-triggered: a port whose host side is closed would else report HUP for ever. */
	return event_add(loop, &channel->source, fd, EPOLLIN | EPOLLOUT | EPOLLET, on_port,
			 channel);
}

void channel_close(struct channel *channel)
{
	event_close(channel->loop, &channel->source);
	buf_free(&channel->in);
	buf_free(&channel->out);
}

size_t channel_pending(const struct channel *channel)
{
	return channel->out.len - channel->out_offset;
}

int channel_send(struct channel *channel, const guest_message *message)
{
	size_t len = mayfly__guest__v1__guest_message__get_packed_size(message);

	if (len > FRAME_MAX_BYTES)
		return -EMSGSIZE;
	if (channel_pending(channel) + len > CHANNEL_MAX_BYTES)
		return -ENOBUFS;
	int r = buf_reserve(&channel->out, FRAME_HEADER_BYTES + len);
	if (r < 0)
		return r;
	uint8_t *at = channel->out.data + channel->out.len;
	frame_put_header(at, (uint32_t)len);
	(void)mayfly__guest__v1__guest_message__pack(message, at + FRAME_HEADER_BYTES);
	channel->out.len += FRAME_HEADER_BYTES + len;
	return 0;
}

static void release_written(struct channel *channel)
{
	struct buf *out = &channel->out;

	if (channel->out_offset == out->len) {
		channel->out_offset = 0;
		buf_reset(out);
		if (out->capacity > CHANNEL_LOW_BYTES)
			buf_free(out);
		return;
	}
	if (channel->out_offset < out->len / 2)
		return;
	buf_consume(out, channel->out_offset);
	channel->out_offset = 0;
}

void channel_flush(struct channel *channel)
{
	if (channel->source.fd < 0)
		return;
	while (channel_pending(channel) > 0) {
		ssize_t n = write(channel->source.fd, channel->out.data + channel->out_offset,
				  channel_pending(channel));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		channel->out_offset += (size_t)n;
		release_written(channel);
	}
}

void channel_flush_blocking(struct channel *channel, int64_t max_us)
{
	int64_t end = clock_monotonic_us() + max_us;

	for (;;) {
		channel_flush(channel);
		if (channel_pending(channel) == 0 || clock_monotonic_us() >= end)
			return;
		struct pollfd fd = { .fd = channel->source.fd, .events = POLLOUT };
		(void)poll(&fd, 1, 10);
	}
}
