/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/metrics_server.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "mayfly/clock.h"
#include "mayfly/log.h"

#define CONNECTIONS_MAX 16U
#define IDLE_SECONDS    10U
#define PATH            "/metrics"

struct metrics_server {
	struct metrics_sources sources;
	struct loop *loop;
	struct MHD_Daemon *daemon;
	sd_event_source *io;
	struct timer timer; /* of connections that idle */
};

/* -- answers -- */

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *type,
			      struct slice body)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(
		body.len, (void *)(uintptr_t)body.data, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned status, const char *text)
{
	return answer(connection, status, "text/plain", slice_from_string(text));
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version _unused_,
				  const char *upload _unused_, size_t *upload_size,
				  void **state _unused_)
{
	const struct metrics_server *server = arg;
	_cleanup_buf_ struct buf text = BUF_INIT;

	if (*upload_size > 0) {
		*upload_size = 0; /* read and thrown away */
		return MHD_YES;
	}
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET is all there is.\n");
	if (strcmp(url, PATH) != 0)
		return refuse(connection, MHD_HTTP_NOT_FOUND, "See " PATH ".\n");
	if (metrics_text_write(&server->sources, &text) < 0)
		return refuse(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "No memory.\n");
	return answer(connection, MHD_HTTP_OK, METRICS_CONTENT_TYPE, buf_slice(&text));
}

/* -- between its loop and ours -- */

static void on_time(void *arg);

static void run(struct metrics_server *server)
{
	MHD_UNSIGNED_LONG_LONG ms;

	(void)MHD_run(server->daemon);
	if (MHD_get_timeout(server->daemon, &ms) != MHD_YES)
		return;
	if (timer_arm(&server->timer, server->loop,
		      clock_monotonic_us() + (int64_t)ms * USEC_PER_MSEC, on_time, server) < 0)
		log_warning("connections that read metrics have no limit: no memory");
}

static void on_time(void *arg)
{
	run(arg);
}

static int on_io(sd_event_source *source _unused_, int fd _unused_, uint32_t events _unused_,
		 void *arg)
{
	run(arg);
	return 0;
}

/* -- the door -- */

/* HOST:PORT, the host perhaps in brackets. */
static int resolve(const char *address, struct addrinfo **ret, struct error *error)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
					.ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	_cleanup_free_ char *copy = strdup(address);
	char *colon = copy ? strrchr(copy, ':') : NULL;
	char *host = copy;
	int r;

	if (!colon)
		return error_set(error, ERROR_INVALID_PARAMETER, "metrics.listen",
				 "cannot listen on '%s': it is not HOST:PORT", address);
	*colon = '\0';
	if (host[0] == '[' && colon > host + 1 && colon[-1] == ']') {
		colon[-1] = '\0';
		host++;
	}
	r = getaddrinfo(host, colon + 1, &hints, ret);
	if (r == 0)
		return 0;
	return error_set(error, ERROR_INVALID_PARAMETER, "metrics.listen",
			 "cannot listen on '%s': %s", address, gai_strerror(r));
}

static int start_daemon(struct metrics_server *server, const struct sockaddr *address)
{
	unsigned flags = MHD_USE_EPOLL;

	if (address->sa_family == AF_INET6)
		flags |= MHD_USE_IPv6;
	server->daemon =
		MHD_start_daemon(flags, 0, NULL, NULL, on_request, server, MHD_OPTION_SOCK_ADDR,
				 address, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
				 MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS, MHD_OPTION_END);
	return server->daemon ? 0 : -(errno ? errno : EIO);
}

int metrics_server_new(const char *address, const struct metrics_sources *sources,
		       struct loop *loop, struct metrics_server **ret, struct error *error)
{
	_cleanup_(metrics_server_free_p) struct metrics_server *server = calloc(1, sizeof(*server));
	const union MHD_DaemonInfo *info;
	struct addrinfo *place;
	int r;

	if (!server)
		return error_set_errno(error, ENOMEM, "cannot serve metrics");
	server->sources = *sources;
	server->loop = loop;
	r = resolve(address, &place, error);
	if (r < 0)
		return r;
	errno = 0;
	r = start_daemon(server, place->ai_addr);
	freeaddrinfo(place);
	if (r < 0)
		return error_set_errno(error, r, "cannot serve metrics on %s", address);
	info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	r = info ? sd_event_add_io(loop_event(loop), &server->io, info->epoll_fd, EPOLLIN, on_io,
				   server)
		 : -EIO;
	if (r < 0)
		return error_set_errno(error, r, "cannot serve metrics on %s", address);
	*ret = TAKE_PTR(server);
	return 0;
}

struct metrics_server *metrics_server_free(struct metrics_server *server)
{
	if (!server)
		return NULL;
	timer_disarm(&server->timer);
	sd_event_source_disable_unref(server->io);
	if (server->daemon)
		MHD_stop_daemon(server->daemon);
	free(server);
	return NULL;
}

uint16_t metrics_server_port(const struct metrics_server *server)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_BIND_PORT);

	return info ? info->port : 0;
}
