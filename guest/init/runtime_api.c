/* SPDX-License-Identifier: Apache-2.0 */

#include "runtime_api.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <sys/socket.h>
#include <unistd.h>

#include "outcome.h"
#include "runtime_api_errors.h"

#define API_PREFIX         "/2018-06-01"
#define ERROR_BODY_BYTES   (OUTCOME_LIMIT_BYTES)
#define NEXT_HEADERS_BYTES (64U << 10)

enum endpoint {
	ENDPOINT_UNKNOWN,
	ENDPOINT_NEXT,
	ENDPOINT_RESPONSE,
	ENDPOINT_ERROR,
	ENDPOINT_INIT_ERROR,
	ENDPOINT_RESTORE_NEXT,
	ENDPOINT_RESTORE_ERROR,
	ENDPOINT_PING,
	ENDPOINT_WRONG_METHOD,
};

static struct slice header(struct http_connection *c, enum http_header name)
{
	return buf_slice(&c->headers[name]);
}

/* ---- routing ---- */

static enum endpoint match_fixed(const char *path, bool get)
{
	static const struct {
		const char *path;
		bool get;
		enum endpoint endpoint;
	} routes[] = {
		{ API_PREFIX "/runtime/invocation/next", true, ENDPOINT_NEXT },
		{ API_PREFIX "/runtime/init/error", false, ENDPOINT_INIT_ERROR },
		{ API_PREFIX "/runtime/restore/next", true, ENDPOINT_RESTORE_NEXT },
		{ API_PREFIX "/runtime/restore/error", false, ENDPOINT_RESTORE_ERROR },
		{ API_PREFIX "/ping", true, ENDPOINT_PING },
	};

	for (size_t i = 0; i < ARRAY_SIZE(routes); i++)
		if (strcmp(path, routes[i].path) == 0)
			return routes[i].get == get ? routes[i].endpoint : ENDPOINT_WRONG_METHOD;
	return ENDPOINT_UNKNOWN;
}

/* .../runtime/invocation/{id}/response or /error; *ret_id is the id. */
static enum endpoint match_invocation(const char *path, bool post, struct slice *ret_id)
{
	static const char prefix[] = API_PREFIX "/runtime/invocation/";

	if (strncmp(path, prefix, sizeof(prefix) - 1) != 0)
		return ENDPOINT_UNKNOWN;
	const char *id = path + sizeof(prefix) - 1;
	const char *end = strchr(id, '/');
	if (!end || end == id)
		return ENDPOINT_UNKNOWN;
	*ret_id = slice_new(id, (size_t)(end - id));
	bool response = strcmp(end, "/response") == 0;
	if (!response && strcmp(end, "/error") != 0)
		return ENDPOINT_UNKNOWN;
	if (!post)
		return ENDPOINT_WRONG_METHOD;
	return response ? ENDPOINT_RESPONSE : ENDPOINT_ERROR;
}

static enum endpoint route(struct http_connection *c, struct slice *ret_id)
{
	char *path = (char *)c->url.data;
	bool get = c->parser.method == HTTP_GET;
	bool post = c->parser.method == HTTP_POST;

	if (!path || strlen(path) != c->url.len)
		return ENDPOINT_UNKNOWN;
	path[strcspn(path, "?#")] = '\0';
	enum endpoint endpoint = match_fixed(path, get);
	if (endpoint == ENDPOINT_UNKNOWN)
		endpoint = match_invocation(path, post, ret_id);
	if (endpoint != ENDPOINT_UNKNOWN && !get && !post)
		return ENDPOINT_WRONG_METHOD;
	return endpoint;
}

/* ---- answers ---- */

#define JSON_HEADER  "Content-Type: application/json\r\n"
#define CLOSE_HEADER "Connection: close\r\n"

static void respond_ok(struct http_connection *c)
{
	http_respond(c, 202, JSON_HEADER, slice_from_string("{\"status\":\"OK\"}\n"));
}

static void respond_json(struct http_connection *c, int status, const char *headers,
			 const char *type, const char *text)
{
	json_t *object = json_pack("{s:s, s:s}", "errorMessage", text, "errorType", type);
	_cleanup_free_ char *body = object ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	http_respond(c, status, headers, slice_from_string(body));
}

static void respond_error(struct http_connection *c, int status, const char *type, const char *text)
{
	respond_json(c, status, JSON_HEADER, type, text);
}

static void respond_state(struct runtime_api *api, struct http_connection *c,
			  enum runtime_api_state to)
{
	char text[160];

	(void)snprintf(text, sizeof(text),
		       "State transition from %s to %s failed for runtime. Error: %s",
		       runtime_api_state_name(api->state), runtime_api_state_name(to),
		       "State transition is not allowed");
	respond_error(c, 403, "InvalidStateTransition", text);
}

/* ---- next ---- */

static void wait_here(struct runtime_api *api, struct http_connection *c)
{
	/* A runtime whose connection broke asks again on a new one: the newest counts. */
	if (api->waiting && api->waiting != c)
		respond_json(api->waiting, 500, JSON_HEADER CLOSE_HEADER, "InternalServerError",
			     "Internal Server Error");
	api->waiting = c;
}

/* Told when the runtime goes on. One that crashed with its response on the way never does: then its
 * exit says more. */
static void report_truncated(struct runtime_api *api)
{
	static const char type[] = "Runtime.TruncatedResponse";
	static const char body[] = "{\"errorType\":\"Runtime.TruncatedResponse\","
				   "\"errorMessage\":\"Truncated response\"}";

	if (!api->truncated)
		return;
	api->truncated = false;
	api->listener->on_error(slice_from_string(type), slice_from_string(body), api->user);
}

static void handle_next(struct runtime_api *api, struct http_connection *c)
{
	if (!runtime_api_may(api->state, RUNTIME_API_READY)) {
		respond_state(api, c, RUNTIME_API_READY);
		return;
	}
	bool again = api->state == RUNTIME_API_READY;
	api->state = RUNTIME_API_READY;
	wait_here(api, c);
	report_truncated(api);
	if (!again)
		api->listener->on_next(api->user);
}

static void handle_restore_next(struct runtime_api *api, struct http_connection *c)
{
	if (!api->snap_start || !runtime_api_may(api->state, RUNTIME_API_RESTORE_READY)) {
		respond_state(api, c, RUNTIME_API_RESTORE_READY);
		return;
	}
	bool again = api->state == RUNTIME_API_RESTORE_READY;
	api->state = RUNTIME_API_RESTORE_READY;
	wait_here(api, c);
	if (!again)
		api->listener->on_restore_next(api->user);
}

static int add_header(struct buf *out, const char *name, struct slice value)
{
	/* A line break would begin a header of the sender's own. */
	for (size_t i = 0; i < value.len; i++)
		if (value.data[i] < ' ' && value.data[i] != '\t')
			return -EINVAL;
	if (value.len == 0)
		return 0;
	return buf_append_format(out, "%s: %.*s\r\n", name, (int)value.len,
				 (const char *)value.data);
}

static int write_event_headers(struct buf *out, const struct runtime_event *event)
{
	char deadline[24];

	(void)snprintf(deadline, sizeof(deadline), "%lld", (long long)event->deadline_ms);
	const char *type = *event->content_type ? event->content_type : "application/json";
	const struct {
		const char *name;
		struct slice value;
	} headers[] = {
		{ "Content-Type", slice_from_string(type) },
		{ "Lambda-Runtime-Aws-Request-Id", slice_from_string(event->request_id) },
		{ "Lambda-Runtime-Deadline-Ms", slice_from_string(deadline) },
		{ "Lambda-Runtime-Invoked-Function-Arn", slice_from_string(event->function_arn) },
		{ "Lambda-Runtime-Trace-Id", slice_from_string(event->trace_id) },
		{ "Lambda-Runtime-Client-Context", event->client_context },
		{ "Lambda-Runtime-Cognito-Identity", event->cognito_identity },
		{ "Lambda-Runtime-Aws-Tenant-Id", slice_from_string(event->tenant_id) },
	};
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
		int r = add_header(out, headers[i].name, headers[i].value);
		if (r < 0)
			return r;
	}
	return 0;
}

int runtime_api_send_event(struct runtime_api *api, const struct runtime_event *event)
{
	_cleanup_buf_ struct buf headers = BUF_INIT_MAX(NEXT_HEADERS_BYTES);
	struct http_connection *c = api->waiting;

	if (!c || api->state != RUNTIME_API_READY)
		return -EAGAIN;
	int r = write_event_headers(&headers, event);
	if (r < 0)
		return r;
	(void)snprintf(api->request_id, sizeof(api->request_id), "%s", event->request_id);
	api->state = RUNTIME_API_RUNNING;
	api->waiting = NULL;
	http_respond(c, 200, buf_string(&headers), event->payload);
	return 0;
}

int runtime_api_send_restored(struct runtime_api *api)
{
	struct http_connection *c = api->waiting;

	if (!c || api->state != RUNTIME_API_RESTORE_READY)
		return -EAGAIN;
	api->waiting = NULL;
	api->restored = true;
	api->state = RUNTIME_API_STARTED;
	http_respond(c, 200, "", SLICE_INIT);
	return 0;
}

/* ---- response ---- */

static bool mode_is_streaming(struct http_connection *c)
{
	return slice_equals_string(header(c, HTTP_HEADER_RESPONSE_MODE), "streaming");
}

static bool mode_is_valid(struct http_connection *c)
{
	struct slice mode = header(c, HTTP_HEADER_RESPONSE_MODE);

	return mode.len == 0 || mode_is_streaming(c) || slice_equals_string(mode, "buffered");
}

static bool id_is_current(const struct runtime_api *api, struct slice id)
{
	return *api->request_id && slice_equals_string(id, api->request_id);
}

/* Passes a streaming response on from its first byte. */
static void begin_streaming(struct runtime_api *api, struct http_connection *c, struct slice id)
{
	if (!mode_is_streaming(c) || !id_is_current(api, id) ||
	    !runtime_api_may(api->state, RUNTIME_API_RESPONSE))
		return;
	c->streaming = true;
	api->sender = c;
	api->state = RUNTIME_API_RESPONSE;
	api->listener->on_response_start(header(c, HTTP_HEADER_CONTENT_TYPE), true, api->user);
}

/* The trailers of a stream that broke: type, and JSON in base64. */
static void finish_streaming(struct runtime_api *api, struct http_connection *c)
{
	struct slice type = header(c, HTTP_HEADER_ERROR_TYPE);
	_cleanup_buf_ struct buf body = BUF_INIT;

	api->sender = NULL;
	api->state = RUNTIME_API_RESPONSE_SENT;
	if (type.len == 0) {
		api->listener->on_response_end(api->user);
	} else {
		runtime_api_decode_base64(header(c, HTTP_HEADER_ERROR_BODY), &body);
		api->listener->on_error(type, buf_slice(&body), api->user);
	}
	respond_ok(c);
}

static void finish_buffered(struct runtime_api *api, struct http_connection *c)
{
	api->state = RUNTIME_API_RESPONSE_SENT;
	if (c->body_bytes > OUTCOME_LIMIT_BYTES) {
		char text[96];
		(void)snprintf(text, sizeof(text),
			       "Exceeded maximum allowed payload size (%u bytes).",
			       OUTCOME_LIMIT_BYTES);
		api->listener->on_response_too_large(api->user);
		respond_error(c, 413, "RequestEntityTooLarge", text);
		return;
	}
	api->listener->on_response_start(header(c, HTTP_HEADER_CONTENT_TYPE), false, api->user);
	api->listener->on_response_data(buf_slice(&c->body), api->user);
	api->listener->on_response_end(api->user);
	respond_ok(c);
}

static void handle_response(struct runtime_api *api, struct http_connection *c, struct slice id)
{
	if (c->streaming) {
		finish_streaming(api, c);
		return;
	}
	if (!id_is_current(api, id)) {
		respond_error(c, 400, "InvalidRequestID", "Invalid request ID");
		return;
	}
	if (!runtime_api_may(api->state, RUNTIME_API_RESPONSE)) {
		respond_state(api, c, RUNTIME_API_RESPONSE);
		return;
	}
	if (!mode_is_valid(c)) {
		static const char body[] = "{\"errorType\":\"Runtime.InvalidResponseModeHeader\","
					   "\"errorMessage\":\"Invalid function response mode\"}";
		api->state = RUNTIME_API_RESPONSE_SENT;
		api->listener->on_error(slice_from_string("Runtime.InvalidResponseModeHeader"),
					slice_from_string(body), api->user);
		respond_error(c, 400, "InvalidFunctionResponseMode",
			      "Invalid function response mode");
		return;
	}
	finish_buffered(api, c);
}

/* ---- errors ---- */

static void handle_error(struct runtime_api *api, struct http_connection *c, struct slice id)
{
	if (!id_is_current(api, id)) {
		respond_error(c, 400, "InvalidRequestID", "Invalid request ID");
		return;
	}
	if (!runtime_api_may(api->state, RUNTIME_API_ERROR_RESPONSE)) {
		respond_state(api, c, RUNTIME_API_ERROR_RESPONSE);
		return;
	}
	_cleanup_buf_ struct buf body = BUF_INIT;
	runtime_api_strip_cause(header(c, HTTP_HEADER_CONTENT_TYPE), &c->body, &body);
	api->state = RUNTIME_API_RESPONSE_SENT;
	api->listener->on_error(header(c, HTTP_HEADER_ERROR_TYPE), buf_slice(&body), api->user);
	respond_ok(c);
}

static void handle_init_error(struct runtime_api *api, struct http_connection *c)
{
	/* After the restore an init error is a restore error. */
	bool restoring = api->restored && api->state == RUNTIME_API_STARTED;

	if (!runtime_api_may(api->state, RUNTIME_API_INIT_ERROR)) {
		respond_state(api, c, RUNTIME_API_INIT_ERROR);
		return;
	}
	_cleanup_buf_ struct buf body = BUF_INIT;
	runtime_api_strip_cause(header(c, HTTP_HEADER_CONTENT_TYPE), &c->body, &body);
	_cleanup_buf_ struct buf type = BUF_INIT;
	struct slice reported = header(c, HTTP_HEADER_ERROR_TYPE);
	int r = reported.len ? buf_append(&type, reported.data, reported.len)
			     : buf_append_string(&type, "Runtime.Unknown");
	api->state = RUNTIME_API_INIT_ERROR;
	/* Answered first: the listener may end the process and this connection with it. */
	respond_ok(c);
	struct slice text = r < 0 ? slice_from_string("Runtime.Unknown") : buf_slice(&type);
	if (restoring)
		api->listener->on_hooks_done(text, buf_slice(&body), api->user);
	else
		api->listener->on_init_error(text, buf_slice(&body), api->user);
}

static void handle_restore_error(struct runtime_api *api, struct http_connection *c)
{
	if (!api->restored || api->state != RUNTIME_API_STARTED) {
		respond_state(api, c, RUNTIME_API_RESTORE_ERROR);
		return;
	}
	handle_init_error(api, c);
}

/* ---- connection handler ---- */

static void on_headers(struct http_connection *c)
{
	struct slice id = SLICE_INIT;

	c->endpoint = route(c, &id);
	if (c->endpoint == ENDPOINT_RESPONSE)
		begin_streaming(c->user, c, id);
}

static void on_body(struct http_connection *c, struct slice data)
{
	struct runtime_api *api = c->user;

	if (c->streaming) {
		api->listener->on_response_data(data, api->user);
		return;
	}
	/* Beyond the limit only the count matters. */
	if (c->body_bytes > ERROR_BODY_BYTES) {
		buf_free(&c->body);
		return;
	}
	if (buf_append(&c->body, data.data, data.len) < 0)
		c->body_bytes = ERROR_BODY_BYTES + 1;
}

static void on_request(struct http_connection *c)
{
	struct runtime_api *api = c->user;
	struct slice id = SLICE_INIT;

	switch (route(c, &id)) {
	case ENDPOINT_NEXT:
		handle_next(api, c);
		return;
	case ENDPOINT_RESPONSE:
		handle_response(api, c, id);
		return;
	case ENDPOINT_ERROR:
		handle_error(api, c, id);
		return;
	case ENDPOINT_INIT_ERROR:
		handle_init_error(api, c);
		return;
	case ENDPOINT_RESTORE_NEXT:
		handle_restore_next(api, c);
		return;
	case ENDPOINT_RESTORE_ERROR:
		handle_restore_error(api, c);
		return;
	case ENDPOINT_PING:
		http_respond(c, 200, "Content-Type: text/plain\r\n", slice_from_string("pong"));
		return;
	case ENDPOINT_WRONG_METHOD:
		respond_error(c, 405, "MethodNotAllowed", "Method Not Allowed");
		return;
	default:
		respond_error(c, 404, "NotFound", "404 page not found");
	}
}

/* Whether the request that broke was to answer the invocation, which it does no more. */
static bool lose_response(struct runtime_api *api, struct http_connection *c)
{
	struct slice id = SLICE_INIT;

	if (!c->in_request || c->endpoint != ENDPOINT_RESPONSE)
		return false;
	(void)route(c, &id);
	if (api->sender != c &&
	    (!id_is_current(api, id) || !runtime_api_may(api->state, RUNTIME_API_RESPONSE)))
		return false;
	api->sender = NULL;
	api->state = RUNTIME_API_RESPONSE_SENT;
	api->truncated = true;
	return true;
}

static void on_fault(struct http_connection *c, enum http_fault fault)
{
	bool lost = lose_response(c->user, c);

	if (lost || fault == HTTP_FAULT_TRUNCATED)
		respond_json(c, 400, JSON_HEADER CLOSE_HEADER, "TruncatedHTTPRequest",
			     "HTTP request detected as truncated");
	else /* the words of Lambda's HTTP server, beneath its API */
		http_respond(c, 400, "Content-Type: text/plain; charset=utf-8\r\n" CLOSE_HEADER,
			     slice_from_string("400 Bad Request"));
}

static void on_close(struct http_connection *c)
{
	struct runtime_api *api = c->user;

	LIST_REMOVE(c, link);
	api->connections_len--;
	if (api->waiting == c)
		api->waiting = NULL;
	if (api->sender == c)
		api->sender = NULL;
}

static const struct http_handler handler = {
	.on_headers = on_headers,
	.on_body = on_body,
	.on_request = on_request,
	.on_fault = on_fault,
	.on_close = on_close,
};

/* ---- life ---- */

void runtime_api_init(struct runtime_api *api, struct event_loop *loop,
		      const struct runtime_listener *listener, void *user)
{
	*api = (struct runtime_api){
		.loop = loop,
		.source = EVENT_SOURCE_INIT,
		.listener = listener,
		.user = user,
	};
	LIST_INIT(&api->connections);
}

int runtime_api_accept(struct runtime_api *api, int fd)
{
	struct http_connection *c;

	if (api->connections_len >= RUNTIME_API_CONNECTIONS) {
		(void)close(fd);
		return -EMFILE;
	}
	int r = http_connection_open(api->loop, fd, &handler, api, &c);
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	LIST_INSERT_HEAD(&api->connections, c, link);
	api->connections_len++;
	return 0;
}

static void on_listening(struct event_source *source, uint32_t events, void *user)
{
	int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd >= 0)
		(void)runtime_api_accept(user, fd);
}

int runtime_api_listen(struct runtime_api *api)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(RUNTIME_API_PORT),
		.sin_addr.s_addr = inet_addr(RUNTIME_API_ADDRESS),
	};
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 64) < 0)
		return -errno;
	int r = event_add(api->loop, &api->source, fd, EPOLLIN, on_listening, api);
	if (r < 0)
		return r;
	(void)TAKE_FD(fd);
	return 0;
}

void runtime_api_reset(struct runtime_api *api, bool snap_start)
{
	struct http_connection *c;

	api->waiting = NULL;
	api->sender = NULL;
	while ((c = LIST_FIRST(&api->connections))) {
		LIST_REMOVE(c, link);
		http_connection_free(c);
	}
	api->connections_len = 0;
	api->state = RUNTIME_API_STARTED;
	api->snap_start = snap_start;
	api->restored = false;
	api->truncated = false;
	api->request_id[0] = '\0';
}

void runtime_api_close(struct runtime_api *api)
{
	runtime_api_reset(api, false);
	event_close(api->loop, &api->source);
}

void runtime_api_pause(struct runtime_api *api, bool pause)
{
	if (api->sender)
		http_pause(api->sender, pause);
}
