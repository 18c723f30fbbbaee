/* SPDX-License-Identifier: Apache-2.0 */

/* Sockets. Core would unlink a live server's unix socket, make it with the umask's mode and
 * not know its peers, so unix connections are accepted here and handed over. */

#include "rpc/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <grpc/grpc_security_constants.h>
#include <grpc/support/alloc.h>

#define LISTEN_BACKLOG  128
#define ACCEPT_RETRY_MS 100
#define PEER_FIRST_FD   256
#define PEER_TABLE_MAX  (1U << 20)

/* -- peers -- */

/* Core names a connection by its descriptor number alone. So that a number is not used again
 * while a call of a closed connection may still be on its way to us, connections take turns
 * through a wide range of numbers. Returns the descriptor to use; owns `fd`. */
static int peer_move_fd(struct peer_table *peers, int fd)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur <= 2UL * PEER_FIRST_FD)
		return fd;
	int end = limit.rlim_cur < PEER_TABLE_MAX ? (int)limit.rlim_cur : (int)PEER_TABLE_MAX;
	if (peers->next_fd < PEER_FIRST_FD || peers->next_fd >= end - PEER_FIRST_FD)
		peers->next_fd = PEER_FIRST_FD;
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, peers->next_fd);
	if (moved < 0)
		return fd;
	peers->next_fd = moved + 1;
	(void)close(fd);
	return moved;
}

static int peer_remember(struct peer_table *peers, int *fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(*fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;

	(void)pthread_mutex_lock(&peers->lock);
	*fd = peer_move_fd(peers, *fd);
	int r = 0;
	if ((size_t)*fd >= peers->count) {
		size_t count = ((size_t)*fd + 1) * 2;
		struct ucred *grown = realloc(peers->by_fd, count * sizeof(*grown));
		if (grown) {
			memset(grown + peers->count, 0, (count - peers->count) * sizeof(*grown));
			peers->by_fd = grown;
			peers->count = count;
		} else {
			r = -ENOMEM;
		}
	}
	if (r == 0)
		peers->by_fd[*fd] = cred;
	(void)pthread_mutex_unlock(&peers->lock);
	return r;
}

static void copy_property(const grpc_auth_context *context, const char *name,
			  char out[RPC_PEER_TEXT_BYTES])
{
	grpc_auth_property_iterator found =
		grpc_auth_context_find_properties_by_name(context, name);
	const grpc_auth_property *property = grpc_auth_property_iterator_next(&found);

	if (property)
		(void)snprintf(out, RPC_PEER_TEXT_BYTES, "%.*s", (int)property->value_length,
			       property->value);
}

/* Borrowed from the context. */
static struct slice find_property(const grpc_auth_context *context, const char *name)
{
	grpc_auth_property_iterator found =
		grpc_auth_context_find_properties_by_name(context, name);
	const grpc_auth_property *property = grpc_auth_property_iterator_next(&found);

	return property ? slice_new(property->value, property->value_length) : SLICE_INIT;
}

/* Core has verified the certificate when the connection was made, or the handshake would have
 * failed; much may have happened since. */
static void find_tls(struct rpc_server *server, grpc_call *core, struct rpc_peer *peer)
{
	char type[RPC_PEER_TEXT_BYTES] = "";
	grpc_auth_context *context = grpc_call_auth_context(core);

	copy_property(context, GRPC_TRANSPORT_SECURITY_TYPE_PROPERTY_NAME, type);
	if (strcmp(type, GRPC_SSL_TRANSPORT_SECURITY_TYPE) == 0) {
		struct slice leaf = find_property(context, GRPC_X509_PEM_CERT_PROPERTY_NAME);
		struct slice chain = find_property(context, GRPC_X509_PEM_CERT_CHAIN_PROPERTY_NAME);

		peer->kind = RPC_PEER_TLS;
		copy_property(context, GRPC_X509_CN_PROPERTY_NAME, peer->common_name);
		if (leaf.len > 0)
			tls_judge(server, leaf, chain, &peer->certificate);
	}
	grpc_auth_context_release(context);
}

struct rpc_peer peer_find(struct rpc_server *server, grpc_call *core)
{
	struct rpc_peer peer = { .kind = RPC_PEER_UNKNOWN, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	struct peer_table *peers = &server->peers;
	char *name = grpc_call_get_peer(core);

	if (strncmp(name, "ipv4:", 5) == 0 || strncmp(name, "ipv6:", 5) == 0) {
		peer.kind = RPC_PEER_TCP;
		(void)snprintf(peer.address, sizeof(peer.address), "%s", name);
		find_tls(server, core, &peer);
	} else if (strncmp(name, "fd:", 3) == 0) {
		unsigned long fd = strtoul(name + 3, NULL, 10);
		(void)pthread_mutex_lock(&peers->lock);
		if (fd < peers->count && peers->by_fd[fd].pid != 0) {
			peer.kind = RPC_PEER_UNIX;
			(void)snprintf(peer.address, sizeof(peer.address), "unix");
			peer.uid = peers->by_fd[fd].uid;
			peer.gid = peers->by_fd[fd].gid;
			peer.pid = peers->by_fd[fd].pid;
		}
		(void)pthread_mutex_unlock(&peers->lock);
	}
	gpr_free(name);
	return peer;
}

/* -- unix -- */

static void accept_one(struct unix_listener *listener, grpc_server_credentials *creds)
{
	_cleanup_close_ int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS)
			return;
		log_warning("rpc: cannot accept on %s: %m", listener->path);
		struct pollfd stop = { .fd = listener->stop_fd, .events = POLLIN };
		(void)poll(&stop, 1, ACCEPT_RETRY_MS);
		return;
	}
	int r = peer_remember(&listener->server->peers, &fd);
	if (r < 0) {
		log_warning("rpc: refused a connection on %s: %s", listener->path, strerror(-r));
		return;
	}
	grpc_server_add_channel_from_fd(listener->server->cores[RPC_LOCAL], TAKE_FD(fd), creds);
}

static void *accept_run(void *arg)
{
	struct unix_listener *listener = arg;
	grpc_server_credentials *creds = grpc_insecure_server_credentials_create();
	struct pollfd fds[] = { { .fd = listener->fd, .events = POLLIN },
				{ .fd = listener->stop_fd, .events = POLLIN } };

	while (poll(fds, ARRAY_SIZE(fds), -1) >= 0 || errno == EINTR) {
		if (fds[1].revents)
			break;
		if (fds[0].revents & POLLIN)
			accept_one(listener, creds);
	}
	grpc_server_credentials_release(creds);
	return NULL;
}

/* Who connects from now on is told at once that nobody is there. */
static void listener_close(struct unix_listener *listener)
{
	if (listener->fd < 0)
		return;
	(void)unlink(listener->path); /* ours: the lock is still held */
	(void)close(listener->fd);
	listener->fd = -1;
}

static void listener_free(struct unix_listener *listener)
{
	listener_close(listener);
	close_p(&listener->stop_fd);
	close_p(&listener->lock_fd);
	free(listener->path);
	free(listener);
}
DEFINE_CLEANUP(struct unix_listener, listener_free)

static int lock_path(const char *path, int *ret_fd, struct error *e)
{
	_cleanup_free_ char *lock = NULL;
	if (asprintf(&lock, "%s.lock", path) < 0)
		return error_set_errno(e, ENOMEM, "cannot listen on %s", path);

	_cleanup_close_ int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_set_errno(e, errno, "cannot open %s", lock);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return error_set(e, ERROR_CONFLICT, NULL, "another server listens on %s", path);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* Nobody can connect before listen(), so mode and group hold from the first connection on. */
static int bind_path(int fd, const char *path, mode_t mode, gid_t gid, struct error *e)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat st;

	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(e, ERROR_INVALID_PARAMETER, NULL,
				 "the socket path %s is longer than %zu characters", path,
				 sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (lstat(path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode))
			return error_set(e, ERROR_CONFLICT, NULL, "%s is not a socket", path);
		if (unlink(path) < 0)
			return error_set_errno(e, errno, "cannot remove the old socket %s", path);
	}
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set_errno(e, errno, "cannot bind %s", path);
	if (gid != (gid_t)-1 && lchown(path, (uid_t)-1, gid) < 0)
		return error_set_errno(e, errno, "cannot give %s to group %u", path, gid);
	if (chmod(path, mode) < 0)
		return error_set_errno(e, errno, "cannot set the mode of %s", path);
	if (listen(fd, LISTEN_BACKLOG) < 0)
		return error_set_errno(e, errno, "cannot listen on %s", path);
	return 0;
}

int rpc_server_listen_unix(struct rpc_server *server, const char *path, mode_t mode, gid_t gid,
			   struct error *e)
{
	_cleanup_(listener_free_p) struct unix_listener *listener = calloc(1, sizeof(*listener));
	if (!listener)
		return error_set_errno(e, ENOMEM, "cannot listen on %s", path);
	listener->fd = listener->lock_fd = listener->stop_fd = -1;
	listener->server = server;
	listener->path = strdup(path);
	if (!listener->path)
		return error_set_errno(e, ENOMEM, "cannot listen on %s", path);

	int r = lock_path(path, &listener->lock_fd, e);
	if (r < 0)
		return r;
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	listener->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0 || listener->stop_fd < 0)
		return error_set_errno(e, errno, "cannot make a socket");
	r = bind_path(fd, path, mode, gid, e);
	if (r < 0)
		return r;
	listener->fd = TAKE_FD(fd);
	LIST_INSERT_HEAD(&server->listeners, listener, link);
	listener = NULL;
	return 0;
}

int listeners_start(struct rpc_server *server, struct error *e)
{
	struct unix_listener *listener;

	LIST_FOREACH (listener, &server->listeners, link) {
		int r = pthread_create(&listener->thread, NULL, accept_run, listener);
		if (r != 0)
			return error_set_errno(e, r, "cannot start a thread");
		listener->running = true;
	}
	return 0;
}

void listeners_stop(struct rpc_server *server)
{
	struct unix_listener *listener;
	const uint64_t one = 1;

	LIST_FOREACH (listener, &server->listeners, link) {
		if (!listener->running)
			continue;
		if (write(listener->stop_fd, &one, sizeof(one)) < 0)
			log_error("rpc: cannot stop a listener: %m");
		(void)pthread_join(listener->thread, NULL);
		listener->running = false;
		listener_close(listener);
	}
}

void listeners_free(struct rpc_server *server)
{
	struct unix_listener *listener;

	while ((listener = LIST_FIRST(&server->listeners))) {
		LIST_REMOVE(listener, link);
		listener_free(listener);
	}
	free(server->peers.by_fd);
}

/* -- TCP -- */

static bool is_loopback(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (strcmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* "127.0.0.1:8000", "localhost:8000" or "[::1]:8000". */
static int check_tcp_address(const char *address, struct error *e)
{
	const char *colon = strrchr(address, ':');
	if (!colon || colon == address || colon[1] == '\0' ||
	    strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
	    strtoul(colon + 1, NULL, 10) > UINT16_MAX)
		return error_set(e, ERROR_INVALID_PARAMETER, NULL,
				 "'%s' is not an address: it should look like 127.0.0.1:8000",
				 address);

	_cleanup_free_ char *host = strndup(address, (size_t)(colon - address));
	if (!host)
		return error_set_errno(e, ENOMEM, "cannot listen on %s", address);
	char *name = host;
	size_t len = strlen(host);
	if (host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		name = host + 1;
	}
	if (!is_loopback(name))
		return error_set(e, ERROR_INVALID_PARAMETER, NULL,
				 "refusing to listen on %s: without TLS only loopback addresses "
				 "such as 127.0.0.1 are allowed",
				 address);
	return 0;
}

int listen_network(struct rpc_server *server, const char *address, grpc_server_credentials *creds,
		   const char *failure, uint16_t *ret_port, struct error *e)
{
	int port = grpc_server_add_http2_port(server->cores[RPC_NETWORK], address, creds);

	grpc_server_credentials_release(creds);
	if (port <= 0)
		return error_set(e, ERROR_CONFLICT, NULL, "cannot listen on %s: %s", address,
				 failure);
	if (ret_port)
		*ret_port = (uint16_t)port;
	return connections_watch(&server->connections, (uint16_t)port, e);
}

int rpc_server_listen_tcp(struct rpc_server *server, const char *address, uint16_t *ret_port,
			  struct error *e)
{
	int r = check_tcp_address(address, e);
	if (r < 0)
		return r;
	return listen_network(server, address, grpc_insecure_server_credentials_create(),
			      "is it in use?", ret_port, e);
}
