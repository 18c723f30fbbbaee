/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One HTTP/1.1 connection of the Runtime API: parses requests, keeps what the API needs of
 * them, writes answers. Knows nothing of Lambda's states; runtime_api.c does. While a request
 * waits for its answer the connection reads no further. */

#include <http_parser.h>
#include <sys/queue.h>

#include "event.h"
#include "mayfly/buf.h"

#define HTTP_URL_BYTES     2048
#define HTTP_HEADERS_BYTES (128U << 10)

/* The request headers that mean something here. */
enum http_header {
	HTTP_HEADER_CONTENT_TYPE,
	HTTP_HEADER_EXPECT,
	HTTP_HEADER_ERROR_TYPE,
	HTTP_HEADER_ERROR_BODY, /* a trailer */
	HTTP_HEADER_XRAY_CAUSE,
	HTTP_HEADER_RESPONSE_MODE,
	_HTTP_HEADERS,
};

struct http_connection;

/* Why no whole request will come. */
enum http_fault {
	HTTP_FAULT_TRUNCATED, /* the peer ended its side in the midst of one */
	HTTP_FAULT_MALFORMED, /* it sent what is no HTTP, or over a limit */
};

struct http_handler {
	/* All headers are here; what is wrong with them is said in on_request. */
	void (*on_headers)(struct http_connection *connection);
	void (*on_body)(struct http_connection *connection, struct slice data);
	/* Must be answered now or later, by http_respond(). */
	void (*on_request)(struct http_connection *connection);
	/* Must be answered at once, with "Connection: close": the peer may still read. What was
	 * read of a request is there, when connection->in_request. */
	void (*on_fault)(struct http_connection *connection, enum http_fault fault);
	/* The connection is freed after it. */
	void (*on_close)(struct http_connection *connection);
};

struct http_connection {
	struct event_loop *loop;
	struct event_source source;
	const struct http_handler *handler;
	void *user; /* weak: the API */
	LIST_ENTRY(http_connection) link;
	http_parser parser;
	struct buf in; /* behind a request that is not answered yet */
	struct buf out;
	size_t out_offset;
	struct buf url;
	struct buf field;
	struct buf headers[_HTTP_HEADERS];
	struct buf *value; /* the header being read, or NULL */
	bool value_seen;
	size_t header_bytes;
	bool in_request;
	bool waiting; /* for our answer */
	bool paused;
	bool closing;
	/* For the API. */
	unsigned endpoint; /* 0 until the headers are complete */
	struct buf body;
	size_t body_bytes;
	bool streaming;
};

/* Takes the descriptor over, which it makes non-blocking. */
int http_connection_open(struct event_loop *loop, int fd, const struct http_handler *handler,
			 void *user, struct http_connection **ret) _must_use_;
struct http_connection *http_connection_free(struct http_connection *connection);

/* `headers` is text of "Name: value\r\n" lines, or "". */
void http_respond(struct http_connection *connection, int status, const char *headers,
		  struct slice body);

/* Holds the sender back. */
void http_pause(struct http_connection *connection, bool pause);

/* Takes bytes as if the peer had sent them; -EPIPE when the connection is to be closed. */
int http_feed(struct http_connection *connection, struct slice bytes) _must_use_;

/* The peer's end: closes, telling the handler. */
void http_end(struct http_connection *connection);
