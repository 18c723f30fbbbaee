/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vm/channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "mayfly/frame.h"

#define READ_BYTES (128U << 10)
#define KEEP_BYTES (256U << 10) /* an empty buffer larger than this is given back */

struct channel {
	struct loop *loop;
	int fd;
	sd_event_source *source;
	struct buf in;
	struct buf out;
	size_t sent; /* of `out` */
	const struct channel_events *events;
	void *user;
	bool closed;
	bool dispatching;
	bool free_wanted;
};

static void channel_destroy(struct channel *channel)
{
	(void)sd_event_source_disable_unref(channel->source);
	if (channel->fd >= 0)
		(void)close(channel->fd);
	buf_free(&channel->in);
	buf_free(&channel->out);
	free(channel);
}

struct channel *channel_free(struct channel *channel)
{
	if (!channel)
		return NULL;
	channel->free_wanted = true;
	if (!channel->dispatching)
		channel_destroy(channel);
	return NULL;
}

static void channel_close(struct channel *channel, const char *reason)
{
	if (channel->closed)
		return;
	channel->closed = true;
	(void)sd_event_source_set_enabled(channel->source, SD_EVENT_OFF);
	if (!channel->free_wanted)
		channel->events->on_closed(reason, channel->user);
}

static void give_back_if_large(struct buf *b)
{
	if (!b->len && b->capacity > KEEP_BYTES)
		buf_free(b);
}

/* Writes what the socket takes. Errors are left to the reading side, which hears of the end. */
static void channel_flush(struct channel *channel)
{
	ssize_t n;

	while (channel->sent < channel->out.len) {
		n = send(channel->fd, channel->out.data + channel->sent,
			 channel->out.len - channel->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		channel->sent += (size_t)n;
	}
	/* Moving what is left to the front costs; done only when much was sent. */
	if (channel->sent == channel->out.len || channel->sent > (1U << 20)) {
		buf_consume(&channel->out, channel->sent);
		channel->sent = 0;
	}
	give_back_if_large(&channel->out);
	(void)sd_event_source_set_io_events(channel->source,
					    EPOLLIN | (channel->out.len ? EPOLLOUT : 0U));
}

static void handle_frame(struct channel *channel, struct slice body)
{
	Mayfly__Guest__V1__GuestMessage *message;

	if (guest_message_parse(body, &message) < 0) {
		channel_close(channel, "the guest sent a malformed message");
		return;
	}
	channel->events->on_message(message, channel->user);
	mayfly__guest__v1__guest_message__free_unpacked(message, NULL);
}

static void handle_input(struct channel *channel)
{
	struct slice body;
	size_t consumed;
	size_t done = 0;
	int r;

	while (!channel->closed && !channel->free_wanted) {
		r = frame_parse(slice_new(channel->in.data + done, channel->in.len - done), &body,
				&consumed);
		if (r < 0)
			channel_close(channel, "the guest sent a frame that is too long");
		if (r <= 0)
			break;
		handle_frame(channel, body);
		done += consumed;
	}
	buf_consume(&channel->in, done);
	give_back_if_large(&channel->in);
}

static void channel_read(struct channel *channel)
{
	ssize_t n;

	if (buf_reserve(&channel->in, READ_BYTES) < 0) {
		channel_close(channel, "no memory for the guest's message");
		return;
	}
	n = recv(channel->fd, channel->in.data + channel->in.len, READ_BYTES, MSG_DONTWAIT);
	if (n > 0) {
		channel->in.len += (size_t)n;
		handle_input(channel);
		return;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		channel_close(channel, "the guest channel closed");
}

static int on_io(sd_event_source *source _unused_, int fd _unused_, uint32_t revents,
		 void *userdata)
{
	struct channel *channel = userdata;

	channel->dispatching = true;
	if (revents & EPOLLOUT)
		channel_flush(channel);
	if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
		channel_read(channel);
	channel->dispatching = false;
	if (channel->free_wanted)
		channel_destroy(channel);
	return 0;
}

int channel_new(struct loop *loop, int fd, const struct channel_events *events, void *user,
		struct channel **ret)
{
	struct channel *channel;
	int r;

	channel = calloc(1, sizeof(*channel));
	if (!channel) {
		(void)close(fd);
		return -ENOMEM;
	}
	*channel = (struct channel){
		.loop = loop,
		.fd = fd,
		.in = BUF_INIT_MAX(FRAME_MAX_BYTES + FRAME_HEADER_BYTES + READ_BYTES),
		.out = BUF_INIT_MAX(CHANNEL_QUEUE_BYTES),
		.events = events,
		.user = user,
	};
	r = sd_event_add_io(loop_event(loop), &channel->source, fd, EPOLLIN, on_io, channel);
	if (r < 0) {
		channel_destroy(channel);
		return r;
	}
	*ret = channel;
	return 0;
}

int channel_send(struct channel *channel, const Mayfly__Guest__V1__HostMessage *message)
{
	size_t len = mayfly__guest__v1__host_message__get_packed_size(message);
	uint8_t *at;
	int r;

	if (channel->closed)
		return -ENOTCONN;
	if (len > FRAME_MAX_BYTES)
		return -EMSGSIZE;
	r = buf_reserve(&channel->out, FRAME_HEADER_BYTES + len);
	if (r < 0)
		return r == -EMSGSIZE ? -ENOBUFS : r;
	at = channel->out.data + channel->out.len;
	frame_put_header(at, (uint32_t)len);
	(void)mayfly__guest__v1__host_message__pack(message, at + FRAME_HEADER_BYTES);
	channel->out.len += FRAME_HEADER_BYTES + len;
	channel_flush(channel);
	return 0;
}
