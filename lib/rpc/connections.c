/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/connections.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mayfly/cleanup.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

#define DESCRIPTORS_SHARE 4 /* one part: each may take two, and as many may be leaving */
#define LOOK_EVERY_US     (10 * USEC_PER_MSEC)
#define TELL_EVERY_US     (60 * USEC_PER_SEC)

int connections_init(struct connections *connections, unsigned max, unsigned max_per_address,
		     struct error *e)
{
	struct rlimit limit;

	*connections = (struct connections){ .max = max, .max_per_address = max_per_address };
	(void)pthread_mutex_init(&connections->lock, NULL);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur / DESCRIPTORS_SHARE < max)
		connections->max = (unsigned)(limit.rlim_cur / DESCRIPTORS_SHARE);
	connections->room = 2 * (size_t)connections->max; /* with those that leave */
	connections->all = calloc(connections->room, sizeof(*connections->all));
	connections->spare_fd = eventfd(0, EFD_CLOEXEC);
	return connections->all && connections->spare_fd >= 0
		       ? 0
		       : error_set_errno(e, ENOMEM, "cannot make an RPC server");
}

/* -- one of them -- */

/* Who has one IPv6 address has 2^64 of them. */
static bool is_same_place(const struct in6_addr *a, const struct in6_addr *b)
{
	size_t len = IN6_IS_ADDR_V4MAPPED(a) ? sizeof(*a) : sizeof(*a) / 2;

	return memcmp(a, b, len) == 0;
}

static bool is_gone(const struct connection *connection)
{
	struct stat st;

	return fstat(connection->fd, &st) < 0 || !S_ISSOCK(st.st_mode) ||
	       st.st_ino != connection->socket;
}

static bool is_stranger(const struct connection *connection)
{
	return connection->own_fd >= 0;
}

static void map_ipv4(const struct in_addr *v4, struct in6_addr *ret)
{
	*ret = (struct in6_addr){ .s6_addr = { [10] = 0xff, [11] = 0xff } };
	memcpy(&ret->s6_addr[12], v4, sizeof(*v4));
}

static int find_peer(int fd, struct in6_addr *ret_address, uint16_t *ret_port)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} peer = { .any = { .sa_family = AF_UNSPEC } };
	socklen_t len = sizeof(peer);

	if (getpeername(fd, &peer.any, &len) < 0)
		return -errno;
	if (peer.any.sa_family == AF_INET) {
		map_ipv4(&peer.v4.sin_addr, ret_address);
		*ret_port = ntohs(peer.v4.sin_port);
		return 0;
	}
	if (peer.any.sa_family != AF_INET6)
		return -EAFNOSUPPORT;
	*ret_address = peer.v6.sin6_addr;
	*ret_port = ntohs(peer.v6.sin6_port);
	return 0;
}

static void let_go(struct connection *connection)
{
	close_p(&connection->own_fd);
	connection->own_fd = -1;
}

static void end(struct connection *connection)
{
	(void)shutdown(connection->own_fd, SHUT_RDWR);
	let_go(connection);
	connection->leaving = true;
}

/* -- all of them; under the lock -- */

static void drop_gone(struct connections *connections)
{
	size_t kept = 0;

	for (size_t i = 0; i < connections->count; i++) {
		struct connection *connection = &connections->all[i];
		if (is_gone(connection))
			let_go(connection);
		else
			connections->all[kept++] = *connection;
	}
	connections->count = kept;
}

struct census {
	unsigned all, of_place;
	struct connection *stranger, *stranger_of_place; /* the oldest */
};

static void look(struct connection *connection, struct connection **oldest)
{
	if (is_stranger(connection) && (!*oldest || connection->number < (*oldest)->number))
		*oldest = connection;
}

static struct census count(const struct connections *connections, const struct in6_addr *place)
{
	struct census census = { 0 };

	for (size_t i = 0; i < connections->count; i++) {
		struct connection *connection = &connections->all[i];
		if (connection->leaving)
			continue;
		census.all++;
		look(connection, &census.stranger);
		if (!is_same_place(&connection->address, place))
			continue;
		census.of_place++;
		look(connection, &census.stranger_of_place);
	}
	return census;
}

static bool is_full(const struct connections *connections, const struct census *census)
{
	return census->all >= connections->max ||
	       census->of_place >= connections->max_per_address ||
	       connections->count == connections->room;
}

/* Whether there is room for one more of that place now. */
static bool make_room(struct connections *connections, const struct in6_addr *place)
{
	struct census census = count(connections, place);
	int64_t now_us = clock_monotonic_us();

	if (is_full(connections, &census) && (connections->count == connections->room ||
					      now_us - connections->looked_us >= LOOK_EVERY_US)) {
		drop_gone(connections);
		connections->looked_us = now_us;
		census = count(connections, place);
	}
	if (connections->count == connections->room)
		return false;
	if (census.of_place >= connections->max_per_address) {
		if (!census.stranger_of_place)
			return false;
		end(census.stranger_of_place);
		connections->ended++;
	} else if (census.all >= connections->max) {
		if (!census.stranger)
			return false;
		end(census.stranger);
		connections->ended++;
	}
	return true;
}

static void tell(struct connections *connections)
{
	int64_t now_us = clock_monotonic_us();

	if (connections->told_us && now_us - connections->told_us < TELL_EVERY_US)
		return;
	log_warning("rpc: too many connections: %u refused, %u of callers who are not known ended",
		    connections->refused, connections->ended);
	connections->refused = connections->ended = 0;
	connections->told_us = now_us;
}

static bool take(struct connections *connections, struct connection *taken)
{
	if (connections->spare_fd < 0)
		connections->spare_fd = eventfd(0, EFD_CLOEXEC); /* somebody was faster then */
	if (!make_room(connections, &taken->address))
		return false;
	taken->own_fd = fcntl(taken->fd, F_DUPFD_CLOEXEC, 0);
	if (taken->own_fd < 0)
		return false;
	taken->number = ++connections->next_number;
	connections->all[connections->count++] = *taken;
	return true;
}

bool connections_take(struct connections *connections, int fd)
{
	struct connection taken = { .fd = fd, .own_fd = -1 };
	struct stat st;

	if (find_peer(fd, &taken.address, &taken.port) < 0 || fstat(fd, &st) < 0)
		return false;
	taken.socket = st.st_ino;

	(void)pthread_mutex_lock(&connections->lock);
	bool is_taken = take(connections, &taken);
	if (!is_taken)
		connections->refused++;
	if (connections->refused || connections->ended)
		tell(connections);
	(void)pthread_mutex_unlock(&connections->lock);
	return is_taken;
}

/* "ipv4:192.0.2.1:51234", "ipv6:%5B2001:db8::1%25eth0%5D:51234"; newer versions of core write "[".
 */
static int parse_peer(const char *peer, struct in6_addr *ret_address, uint16_t *ret_port)
{
	bool is_v4 = strncmp(peer, "ipv4:", 5) == 0;
	const char *host = peer + 5, *colon = strrchr(peer, ':');
	char text[INET6_ADDRSTRLEN];
	struct in_addr v4;

	if ((!is_v4 && strncmp(peer, "ipv6:", 5) != 0) || colon <= host)
		return -EINVAL;
	if (!is_v4 && *host == '[')
		host++;
	else if (!is_v4 && strncmp(host, "%5B", 3) == 0)
		host += 3;
	size_t len = is_v4 ? (size_t)(colon - host) : strcspn(host, "%]");
	if (len >= sizeof(text))
		return -EINVAL;
	memcpy(text, host, len);
	text[len] = '\0';
	*ret_port = (uint16_t)strtoul(colon + 1, NULL, 10);
	if (!is_v4)
		return inet_pton(AF_INET6, text, ret_address) == 1 ? 0 : -EINVAL;
	if (inet_pton(AF_INET, text, &v4) != 1)
		return -EINVAL;
	map_ipv4(&v4, ret_address);
	return 0;
}

static uint64_t place_of(const struct in6_addr *address)
{
	uint64_t network, host;

	memcpy(&network, &address->s6_addr[0], sizeof(network));
	memcpy(&host, &address->s6_addr[8], sizeof(host));
	return IN6_IS_ADDR_V4MAPPED(address) ? host : network;
}

struct connection_ref connections_find(struct connections *connections, const char *peer,
				       uint64_t *ret_place)
{
	struct connection_ref found = { .number = 0, .fd = -1 };
	struct in6_addr address;
	uint16_t port;

	*ret_place = 0;
	if (parse_peer(peer, &address, &port) < 0)
		return found;
	*ret_place = place_of(&address);
	(void)pthread_mutex_lock(&connections->lock);
	for (size_t i = 0; i < connections->count; i++) {
		const struct connection *connection = &connections->all[i];
		if (connection->port == port && !connection->leaving &&
		    memcmp(&connection->address, &address, sizeof(address)) == 0)
			found = (struct connection_ref){ connection->number, connection->fd,
							 connection->socket };
	}
	(void)pthread_mutex_unlock(&connections->lock);
	return found;
}

uint64_t connection_received(const struct connection_ref *connection)
{
	const struct connection asked = { .fd = connection->fd, .socket = connection->socket };
	struct tcp_info info;
	socklen_t len = sizeof(info);

	memset(&info, 0, sizeof(info));
	if (getsockopt(connection->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 || is_gone(&asked))
		return 0;
	return info.tcpi_bytes_received;
}

void connections_vouch(struct connections *connections, const char *peer)
{
	struct in6_addr address;
	uint16_t port;

	if (parse_peer(peer, &address, &port) < 0)
		return;
	(void)pthread_mutex_lock(&connections->lock);
	for (size_t i = 0; i < connections->count; i++) {
		struct connection *connection = &connections->all[i];
		if (connection->port == port && is_stranger(connection) &&
		    memcmp(&connection->address, &address, sizeof(address)) == 0)
			let_go(connection);
	}
	(void)pthread_mutex_unlock(&connections->lock);
}

/* -- between core and the C library -- */

static pthread_mutex_t watched_lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, connections) watched = LIST_HEAD_INITIALIZER(watched);

int connections_watch(struct connections *connections, uint16_t port, struct error *e)
{
	if (connections->n_ports == CONNECTIONS_PORTS)
		return error_set(e, ERROR_INVALID_PARAMETER, NULL,
				 "too many addresses to listen on");
	(void)pthread_mutex_lock(&watched_lock);
	if (connections->n_ports == 0)
		LIST_INSERT_HEAD(&watched, connections, link);
	connections->ports[connections->n_ports++] = port;
	(void)pthread_mutex_unlock(&watched_lock);
	return 0;
}

void connections_clear(struct connections *connections)
{
	if (connections->n_ports > 0) {
		(void)pthread_mutex_lock(&watched_lock);
		LIST_REMOVE(connections, link);
		(void)pthread_mutex_unlock(&watched_lock);
	}
	for (size_t i = 0; i < connections->count; i++)
		let_go(&connections->all[i]);
	close_p(&connections->spare_fd);
	free(connections->all);
	(void)pthread_mutex_destroy(&connections->lock);
}

static uint16_t local_port(int listener)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} own = { .any = { .sa_family = AF_UNSPEC } };
	socklen_t len = sizeof(own);

	if (getsockname(listener, &own.any, &len) < 0)
		return 0;
	if (own.any.sa_family == AF_INET)
		return ntohs(own.v4.sin_port);
	return own.any.sa_family == AF_INET6 ? ntohs(own.v6.sin6_port) : 0;
}

static struct connections *find_watched(uint16_t port)
{
	struct connections *connections;

	LIST_FOREACH (connections, &watched, link)
		for (size_t i = 0; i < connections->n_ports; i++)
			if (connections->ports[i] == port)
				return connections;
	return NULL;
}

/* Of a connection to a port that nobody watches: yes. */
static bool may_stay(int listener, int accepted)
{
	uint16_t port = local_port(listener);
	bool may = true;

	if (port == 0)
		return true;
	(void)pthread_mutex_lock(&watched_lock);
	struct connections *connections = find_watched(port);
	if (connections)
		may = connections_take(connections, accepted);
	(void)pthread_mutex_unlock(&watched_lock);
	return may;
}

/* With no descriptor left core would never accept again: a connection that waits is taken in place
 * of the one that is kept for this, and let go. True when accepting is worth another try; else
 * errno is what to say. */
static bool drop_next(int listener)
{
	uint16_t port = local_port(listener);
	int dropped = -1, error = errno;

	(void)pthread_mutex_lock(&watched_lock);
	struct connections *connections = port ? find_watched(port) : NULL;
	if (connections) {
		close_p(&connections->spare_fd);
		dropped = (int)syscall(SYS_accept4, listener, NULL, NULL, SOCK_CLOEXEC);
		close_p(&dropped);
		connections->spare_fd = eventfd(0, EFD_CLOEXEC);
		error = EAGAIN;
	}
	(void)pthread_mutex_unlock(&watched_lock);
	errno = error;
	return dropped >= 0;
}

/* For whoever in this process accepts, core among them. */
int accept4(int fd, __SOCKADDR_ARG address, socklen_t *address_len, int flags)
{
	socklen_t room = address_len ? *address_len : 0;

	for (;;) {
		int accepted =
			(int)syscall(SYS_accept4, fd, address.__sockaddr__, address_len, flags);
		if (accepted < 0 && (errno == EMFILE || errno == ENFILE) && drop_next(fd))
			continue;
		if (accepted < 0 || may_stay(fd, accepted))
			return accepted;
		(void)close(accepted);
		if (address_len)
			*address_len = room;
	}
}
