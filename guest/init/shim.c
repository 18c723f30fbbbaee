/* SPDX-License-Identifier: Apache-2.0 */

#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "outcome.h"

#define READ_BYTES    (64U << 10)
#define OUT_MAX_BYTES (16U << 20)

int shim_parse(struct slice in, struct shim_frame *ret)
{
	if (in.len < SHIM_HEADER_BYTES)
		return 0;
	uint32_t length = (uint32_t)in.data[0] | (uint32_t)in.data[1] << 8 |
			  (uint32_t)in.data[2] << 16 | (uint32_t)in.data[3] << 24;
	uint16_t meta = (uint16_t)(in.data[6] | in.data[7] << 8);

	if (meta > length || in.data[4] < SHIM_HELLO || in.data[4] > SHIM_COMPILED)
		return -EBADMSG;
	*ret = (struct shim_frame){
		.type = in.data[4],
		.flags = in.data[5],
		.length = length,
		.consumed = SHIM_HEADER_BYTES + (size_t)length,
	};
	if (length > SHIM_FRAME_BYTES)
		return -EMSGSIZE;
	if (in.len - SHIM_HEADER_BYTES < length)
		return 0;
	ret->meta = slice_new(in.data + SHIM_HEADER_BYTES, meta);
	ret->data = slice_new(in.data + SHIM_HEADER_BYTES + meta, length - meta);
	return 1;
}

static void deliver_response(struct shim *shim, const struct shim_frame *frame)
{
	const struct runtime_listener *listener = shim->listener;

	if (frame->data.len > OUTCOME_LIMIT_BYTES) {
		listener->on_response_too_large(shim->user);
		listener->on_next(shim->user);
		return;
	}
	listener->on_response_start(frame->meta, false, shim->user);
	listener->on_response_data(frame->data, shim->user);
	listener->on_response_end(shim->user);
	listener->on_next(shim->user);
}

static void deliver(struct shim *shim, const struct shim_frame *frame)
{
	const struct runtime_listener *listener = shim->listener;

	switch (frame->type) {
	case SHIM_HELLO:
		listener->on_hello(frame->meta, shim->user);
		return;
	case SHIM_READY:
		listener->on_next(shim->user);
		return;
	case SHIM_INIT_ERROR:
		listener->on_init_error(frame->meta, frame->data, shim->user);
		return;
	case SHIM_PONG:
		listener->on_pong(shim->user);
		return;
	case SHIM_RESPONSE:
		deliver_response(shim, frame);
		return;
	case SHIM_ERROR:
		listener->on_error(frame->meta, frame->data, shim->user);
		listener->on_next(shim->user);
		if (frame->flags & SHIM_FLAG_LEAVING)
			listener->on_leaving(shim->user);
		return;
	case SHIM_STREAM_START:
		listener->on_response_start(frame->meta, true, shim->user);
		return;
	case SHIM_STREAM_CHUNK:
		listener->on_response_data(frame->data, shim->user);
		return;
	case SHIM_STREAM_END:
		listener->on_response_end(shim->user);
		listener->on_next(shim->user);
		return;
	case SHIM_HOOKS_DONE:
		listener->on_hooks_done(frame->meta, frame->data, shim->user);
		return;
	case SHIM_COMPILED:
		listener->on_compiled(frame->meta, frame->data, shim->user);
		return;
	default:
		listener->on_broken("unknown frame from the runtime", shim->user);
	}
}

static bool is_answer(uint8_t type)
{
	return type == SHIM_RESPONSE || type == SHIM_ERROR;
}

/* Begins to throw a frame away that is too long to be kept. */
static void begin_skip(struct shim *shim, const struct shim_frame *frame)
{
	if (!is_answer(frame->type)) {
		shim->listener->on_broken("oversized frame from the runtime", shim->user);
		return;
	}
	size_t have = shim->in.len < frame->consumed ? shim->in.len : frame->consumed;
	shim->skip = frame->consumed - have;
	buf_consume(&shim->in, have);
	if (shim->skip > 0)
		return;
	shim->listener->on_response_too_large(shim->user);
	shim->listener->on_next(shim->user);
}

static struct slice skip_bytes(struct shim *shim, struct slice bytes)
{
	size_t n = bytes.len < shim->skip ? bytes.len : shim->skip;

	if (n == 0)
		return bytes;
	shim->skip -= n;
	if (shim->skip == 0) {
		shim->listener->on_response_too_large(shim->user);
		shim->listener->on_next(shim->user);
	}
	return slice_new(bytes.data + n, bytes.len - n);
}

static void parse_frames(struct shim *shim)
{
	size_t offset = 0;
	int r;

	for (;;) {
		struct shim_frame frame;
		/* A listener may have closed the link, and with it the buffer. */
		if (!shim_is_open(shim))
			return;
		struct slice rest = slice_new(shim->in.data + offset, shim->in.len - offset);
		r = shim_parse(rest, &frame);
		if (r == -EMSGSIZE) {
			buf_consume(&shim->in, offset);
			begin_skip(shim, &frame);
			return;
		}
		if (r <= 0)
			break;
		deliver(shim, &frame);
		offset += frame.consumed;
	}
	buf_consume(&shim->in, offset);
	if (shim->in.len == 0 && shim->in.capacity > 4 * READ_BYTES)
		buf_free(&shim->in);
	if (r < 0)
		shim->listener->on_broken("malformed frame from the runtime", shim->user);
}

void shim_feed(struct shim *shim, struct slice bytes)
{
	bytes = skip_bytes(shim, bytes);
	if (bytes.len == 0 || !shim_is_open(shim))
		return;
	if (buf_append(&shim->in, bytes.data, bytes.len) < 0) {
		shim->listener->on_broken("out of memory for the runtime's answer", shim->user);
		return;
	}
	parse_frames(shim);
}

static void read_link(struct shim *shim, bool all)
{
	static uint8_t bytes[READ_BYTES];

	while (shim_is_open(shim)) {
		ssize_t n = read(shim->source.fd, bytes, sizeof(bytes));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			/* Its process ended or closed the link; SIGCHLD or the deadline tells. */
			event_remove(shim->loop, &shim->source);
			return;
		}
		shim_feed(shim, slice_new(bytes, (size_t)n));
		if ((size_t)n < sizeof(bytes) || !all)
			return;
	}
}

void shim_drain(struct shim *shim)
{
	read_link(shim, true);
}

static void flush(struct shim *shim)
{
	while (shim->out_offset < shim->out.len) {
		ssize_t n = send(shim->source.fd, shim->out.data + shim->out_offset,
				 shim->out.len - shim->out_offset, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		shim->out_offset += (size_t)n;
	}
	bool blocked = shim->out_offset < shim->out.len;
	if (!blocked) {
		shim->out_offset = 0;
		buf_free(&shim->out);
	}
	(void)event_set(shim->loop, &shim->source,
			(shim->paused ? 0 : EPOLLIN) | (blocked ? EPOLLOUT : 0));
}

static void on_link(struct event_source *source, uint32_t events, void *user)
{
	struct shim *shim = user;

	(void)source;
	if (events & EPOLLOUT)
		flush(shim);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		read_link(shim, false);
}

int shim_open(struct shim *shim, struct event_loop *loop, int fd,
	      const struct runtime_listener *listener, void *user)
{
	*shim = (struct shim){
		.loop = loop,
		.source = EVENT_SOURCE_INIT,
		.listener = listener,
		.user = user,
	};
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	return event_add(loop, &shim->source, fd, EPOLLIN, on_link, shim);
}

void shim_close(struct shim *shim)
{
	event_close(shim->loop, &shim->source);
	buf_free(&shim->in);
	buf_free(&shim->out);
	shim->out_offset = 0;
	shim->skip = 0;
	shim->paused = false;
}

static int queue_rest(struct shim *shim, const struct iovec *parts, unsigned count, size_t written)
{
	for (unsigned i = 0; i < count; i++) {
		size_t skip = written < parts[i].iov_len ? written : parts[i].iov_len;
		int r = buf_append(&shim->out, (uint8_t *)parts[i].iov_base + skip,
				   parts[i].iov_len - skip);
		if (r < 0)
			return r;
		written -= skip;
	}
	return event_set(shim->loop, &shim->source, shim->source.events | EPOLLOUT);
}

int shim_send(struct shim *shim, enum shim_type type, uint8_t flags, struct slice meta,
	      struct slice data)
{
	size_t length = meta.len + data.len;

	if (!shim_is_open(shim))
		return -EPIPE;
	if (meta.len > UINT16_MAX || length > SHIM_FRAME_BYTES ||
	    shim->out.len + length > OUT_MAX_BYTES)
		return -EMSGSIZE;
	uint8_t header[SHIM_HEADER_BYTES] = {
		(uint8_t)length,         (uint8_t)(length >> 8),
		(uint8_t)(length >> 16), (uint8_t)(length >> 24),
		(uint8_t)type,           flags,
		(uint8_t)meta.len,       (uint8_t)(meta.len >> 8),
	};
	struct iovec parts[] = {
		{ header, sizeof(header) },
		{ (void *)(uintptr_t)meta.data, meta.len },
		{ (void *)(uintptr_t)data.data, data.len },
	};
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = ARRAY_SIZE(parts) };
	ssize_t n = 0;

	if (shim->out.len == 0) {
		n = sendmsg(shim->source.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n < 0)
			n = 0;
	}
	if ((size_t)n == sizeof(header) + length)
		return 0;
	return queue_rest(shim, parts, ARRAY_SIZE(parts), (size_t)n);
}

static int append_field(struct buf *meta, struct slice field)
{
	/* A NUL would shift the fields behind it. */
	const uint8_t *nul = field.len ? memchr(field.data, 0, field.len) : NULL;
	size_t len = nul ? (size_t)(nul - field.data) : field.len;
	int r = buf_append(meta, field.data, len);

	return r < 0 ? r : buf_append(meta, "", 1);
}

int shim_send_event(struct shim *shim, const struct runtime_event *event)
{
	_cleanup_buf_ struct buf meta = BUF_INIT_MAX(UINT16_MAX);
	char deadline[24];

	(void)snprintf(deadline, sizeof(deadline), "%lld", (long long)event->deadline_ms);
	const struct slice fields[] = {
		slice_from_string(event->request_id),
		slice_from_string(event->function_arn),
		slice_from_string(deadline),
		slice_from_string(event->trace_id),
		event->client_context,
		event->cognito_identity,
		slice_from_string(event->tenant_id),
		slice_from_string(event->content_type),
	};
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		int r = append_field(&meta, fields[i]);
		if (r < 0)
			return r;
	}
	return shim_send(shim, SHIM_INVOKE, 0, buf_slice(&meta), event->payload);
}

void shim_pause(struct shim *shim, bool pause)
{
	if (!shim_is_open(shim) || shim->paused == pause)
		return;
	shim->paused = pause;
	uint32_t out = shim->source.events & EPOLLOUT;
	(void)event_set(shim->loop, &shim->source, (pause ? 0 : EPOLLIN) | out);
}
