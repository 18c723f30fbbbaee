/* SPDX-License-Identifier: Apache-2.0 */

#include "http.h"

#include <errno.h>
#include <fcntl.h>
#include <strings.h>
#include <sys/socket.h>

#define READ_BYTES (64U << 10)

static const char *const header_names[_HTTP_HEADERS] = {
	[HTTP_HEADER_CONTENT_TYPE] = "Content-Type",
	[HTTP_HEADER_EXPECT] = "Expect",
	[HTTP_HEADER_ERROR_TYPE] = "Lambda-Runtime-Function-Error-Type",
	[HTTP_HEADER_ERROR_BODY] = "Lambda-Runtime-Function-Error-Body",
	[HTTP_HEADER_XRAY_CAUSE] = "Lambda-Runtime-Function-XRay-Error-Cause",
	[HTTP_HEADER_RESPONSE_MODE] = "Lambda-Runtime-Function-Response-Mode",
};

static struct http_connection *connection_of(http_parser *parser)
{
	return container_of(parser, struct http_connection, parser);
}

static void flush(struct http_connection *c)
{
	while (c->out_offset < c->out.len) {
		ssize_t n = send(c->source.fd, c->out.data + c->out_offset,
				 c->out.len - c->out_offset, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		c->out_offset += (size_t)n;
	}
	if (c->out_offset < c->out.len)
		return;
	c->out_offset = 0;
	buf_reset(&c->out);
	if (c->out.capacity > READ_BYTES)
		buf_free(&c->out);
}

static void update_events(struct http_connection *c)
{
	/* What lies behind a pause is read before the peer's end counts, and a peer that ended its
	 * side may still read its answer. */
	uint32_t events = c->paused || c->closing ? 0 : EPOLLRDHUP;

	if (!c->waiting && !c->paused && !c->closing)
		events |= EPOLLIN;
	/* A socket that can be written wakes us for what was read before the answer, and for the
	 * end behind the last one, too. */
	if (c->out_offset < c->out.len || (!c->waiting && c->in.len > 0) || c->closing)
		events |= EPOLLOUT;
	(void)event_set(c->loop, &c->source, events);
}

static int on_message_begin(http_parser *parser)
{
	struct http_connection *c = connection_of(parser);

	buf_reset(&c->url);
	buf_reset(&c->field);
	for (unsigned i = 0; i < _HTTP_HEADERS; i++)
		buf_reset(&c->headers[i]);
	buf_free(&c->body);
	c->value = NULL;
	c->header_bytes = 0;
	c->body_bytes = 0;
	c->streaming = false;
	c->endpoint = 0;
	c->in_request = true;
	return 0;
}

static int on_url(http_parser *parser, const char *at, size_t len)
{
	struct http_connection *c = connection_of(parser);

	if (c->url.len + len > HTTP_URL_BYTES)
		return -1;
	return buf_append(&c->url, at, len);
}

static int on_field(http_parser *parser, const char *at, size_t len)
{
	struct http_connection *c = connection_of(parser);

	c->header_bytes += len;
	if (c->header_bytes > HTTP_HEADERS_BYTES)
		return -1;
	if (c->value_seen) {
		buf_reset(&c->field);
		c->value_seen = false;
	}
	return buf_append(&c->field, at, len);
}

static struct buf *find_header(struct http_connection *c)
{
	for (unsigned i = 0; i < _HTTP_HEADERS; i++)
		if (strcasecmp(buf_string(&c->field), header_names[i]) == 0)
			return &c->headers[i];
	return NULL;
}

static int on_value(http_parser *parser, const char *at, size_t len)
{
	struct http_connection *c = connection_of(parser);

	c->header_bytes += len;
	if (c->header_bytes > HTTP_HEADERS_BYTES)
		return -1;
	if (!c->value_seen) {
		c->value_seen = true;
		c->value = find_header(c);
		/* The last of a repeated header counts. */
		if (c->value)
			buf_reset(c->value);
	}
	return c->value ? buf_append(c->value, at, len) : 0;
}

static int on_headers_complete(http_parser *parser)
{
	struct http_connection *c = connection_of(parser);
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

	c->handler->on_headers(c);
	if (strcasecmp(buf_string(&c->headers[HTTP_HEADER_EXPECT]), "100-continue") == 0)
		return buf_append(&c->out, go_on, sizeof(go_on) - 1);
	return 0;
}

static int on_body(http_parser *parser, const char *at, size_t len)
{
	struct http_connection *c = connection_of(parser);

	c->body_bytes += len;
	c->handler->on_body(c, slice_new(at, len));
	return 0;
}

static int on_message_complete(http_parser *parser)
{
	struct http_connection *c = connection_of(parser);

	c->in_request = false;
	c->waiting = true;
	http_parser_pause(parser, 1);
	return 0;
}

static const http_parser_settings settings = {
	.on_message_begin = on_message_begin,
	.on_url = on_url,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

static int fail(struct http_connection *c, enum http_fault fault)
{
	c->handler->on_fault(c, fault);
	c->in_request = false;
	return -EPIPE;
}

/* Parses what lies in `in` until a request waits for its answer. */
static int parse(struct http_connection *c)
{
	while (c->in.len > 0 && !c->waiting && !c->closing) {
		size_t n = http_parser_execute(&c->parser, &settings, (const char *)c->in.data,
					       c->in.len);
		enum http_errno error = HTTP_PARSER_ERRNO(&c->parser);

		buf_consume(&c->in, n);
		if (error == HPE_PAUSED) {
			http_parser_pause(&c->parser, 0);
			c->handler->on_request(c);
			continue;
		}
		if (error != HPE_OK || c->parser.upgrade)
			return fail(c, HTTP_FAULT_MALFORMED);
	}
	if (c->in.len == 0 && c->in.capacity > READ_BYTES)
		buf_free(&c->in);
	return 0;
}

int http_feed(struct http_connection *c, struct slice bytes)
{
	/* What is read while a request waits is at most one read of pipelined requests. */
	if (buf_append(&c->in, bytes.data, bytes.len) < 0)
		return -EPIPE;
	int r = parse(c);
	flush(c);
	return r;
}

void http_end(struct http_connection *c)
{
	if (c->in_request)
		(void)fail(c, HTTP_FAULT_TRUNCATED);
	c->handler->on_close(c);
	http_connection_free(c);
}

static int read_once(struct http_connection *c)
{
	static uint8_t bytes[READ_BYTES];
	ssize_t n = read(c->source.fd, bytes, sizeof(bytes));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -EPIPE;
	return http_feed(c, slice_new(bytes, (size_t)n));
}

static void on_socket(struct event_source *source, uint32_t events, void *user)
{
	struct http_connection *c = user;
	int r = 0;

	(void)source;
	if (events & EPOLLOUT)
		flush(c);
	if (!c->waiting && c->in.len > 0)
		r = parse(c);
	else if (events & EPOLLIN && !c->waiting && !c->paused)
		r = read_once(c);
	else if (events & (EPOLLHUP | EPOLLERR) || (events & EPOLLRDHUP && !c->closing))
		r = -EPIPE;
	if (r < 0 || (c->closing && c->out_offset >= c->out.len)) {
		http_end(c);
		return;
	}
	update_events(c);
}

int http_connection_open(struct event_loop *loop, int fd, const struct http_handler *handler,
			 void *user, struct http_connection **ret)
{
	struct http_connection *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;

	c->loop = loop;
	c->source = EVENT_SOURCE_INIT;
	c->handler = handler;
	c->user = user;
	http_parser_init(&c->parser, HTTP_REQUEST);
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	int r = event_add(loop, &c->source, fd, EPOLLIN | EPOLLRDHUP, on_socket, c);
	if (r < 0) {
		free(c);
		return r;
	}
	*ret = c;
	return 0;
}

struct http_connection *http_connection_free(struct http_connection *c)
{
	if (!c)
		return NULL;
	event_close(c->loop, &c->source);
	buf_free(&c->in);
	buf_free(&c->out);
	buf_free(&c->url);
	buf_free(&c->field);
	buf_free(&c->body);
	for (unsigned i = 0; i < _HTTP_HEADERS; i++)
		buf_free(&c->headers[i]);
	free(c);
	return NULL;
}

static const char *status_text(int status)
{
	static const struct {
		int status;
		const char *text;
	} texts[] = {
		{ 200, "OK" },
		{ 202, "Accepted" },
		{ 400, "Bad Request" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 413, "Request Entity Too Large" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (texts[i].status == status)
			return texts[i].text;
	return "Internal Server Error";
}

void http_respond(struct http_connection *c, int status, const char *headers, struct slice body)
{
	bool keep_alive = http_should_keep_alive(&c->parser) && !strstr(headers, "Connection:");
	int r = buf_append_format(&c->out, "HTTP/1.1 %d %s\r\n%sContent-Length: %zu\r\n\r\n",
				  status, status_text(status), headers, body.len);

	if (r == 0)
		r = buf_append(&c->out, body.data, body.len);
	c->waiting = false;
	c->closing = !keep_alive || r < 0;
	buf_free(&c->body);
	flush(c);
	update_events(c);
}

void http_pause(struct http_connection *c, bool pause)
{
	if (c->paused == pause)
		return;
	c->paused = pause;
	update_events(c);
}
