/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_rpc

/* Which connections stay when there are too many. Real sockets, on the addresses of loopback. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rpc/connections.h"

#define CLIENTS 32

struct bench {
	struct connections connections;
	int listener, clients[CLIENTS], servers[CLIENTS];
	size_t count;
};

static void setup(struct bench *b, int family, unsigned max, unsigned max_per_address)
{
	struct sockaddr_storage any = { .ss_family = (sa_family_t)family };

	*b = (struct bench){ .listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	assert_int_equal(connections_init(&b->connections, max, max_per_address, NULL), 0);
	assert_int_equal(bind(b->listener, (struct sockaddr *)&any, sizeof(any)), 0);
	assert_int_equal(listen(b->listener, CLIENTS), 0);
}

static void teardown(struct bench *b)
{
	connections_clear(&b->connections);
	(void)close(b->listener);
	for (size_t i = 0; i < b->count; i++) {
		(void)close(b->clients[i]);
		if (b->servers[i] >= 0)
			(void)close(b->servers[i]);
	}
}

/* One more, of 127.0.0.`host` or, with 0, of ::1. Whether it may stay. */
static bool comes(struct bench *b, unsigned host)
{
	struct sockaddr_storage to;
	socklen_t len = sizeof(to);
	size_t i = b->count++;

	assert_true(i < CLIENTS);
	assert_int_equal(getsockname(b->listener, (struct sockaddr *)&to, &len), 0);
	b->clients[i] = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (to.ss_family == AF_INET) {
		struct sockaddr_in from = { .sin_family = AF_INET };
		from.sin_addr.s_addr = htonl(0x7f000000 | host);
		((struct sockaddr_in *)&to)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		assert_int_equal(bind(b->clients[i], (struct sockaddr *)&from, sizeof(from)), 0);
	} else {
		((struct sockaddr_in6 *)&to)->sin6_addr = in6addr_loopback;
	}
	assert_int_equal(connect(b->clients[i], (struct sockaddr *)&to, len), 0);
	b->servers[i] = accept(b->listener, NULL, NULL);
	assert_true(b->servers[i] >= 0);
	if (connections_take(&b->connections, b->servers[i]))
		return true;
	(void)close(b->servers[i]);
	b->servers[i] = -1;
	return false;
}

/* Whether the server has ended it. */
static bool was_ended(const struct bench *b, size_t i)
{
	char byte;

	return recv(b->clients[i], &byte, 1, MSG_DONTWAIT) == 0;
}

/* As core calls the client. */
static void vouch(struct bench *b, size_t i)
{
	struct sockaddr_storage own;
	socklen_t len = sizeof(own);
	char text[INET6_ADDRSTRLEN], peer[128];

	assert_int_equal(getsockname(b->clients[i], (struct sockaddr *)&own, &len), 0);
	if (own.ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (struct sockaddr_in *)&own;
		(void)snprintf(peer, sizeof(peer), "ipv4:%s:%u",
			       inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text)),
			       ntohs(v4->sin_port));
	} else {
		const struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&own;
		(void)snprintf(peer, sizeof(peer), "ipv6:%%5B%s%%25lo%%5D:%u",
			       inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text)),
			       ntohs(v6->sin6_port));
	}
	connections_vouch(&b->connections, peer);
}

static void oldest_stranger_gives_way(void **state)
{
	struct bench b;

	(void)state;
	setup(&b, AF_INET, 3, 3);
	assert_true(comes(&b, 1) && comes(&b, 2) && comes(&b, 3));
	vouch(&b, 0);
	assert_true(comes(&b, 4));
	assert_false(was_ended(&b, 0));
	assert_true(was_ended(&b, 1));
	assert_false(was_ended(&b, 2));
	vouch(&b, 2);
	vouch(&b, 3);
	assert_false(comes(&b, 5)); /* all of those who are left are known */
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(was_ended(&b, i), i == 1);
	teardown(&b);
}

static void one_address_makes_room_of_its_own(void **state)
{
	struct bench b;

	(void)state;
	setup(&b, AF_INET, 8, 2);
	assert_true(comes(&b, 9) && comes(&b, 1) && comes(&b, 1) && comes(&b, 1));
	assert_false(was_ended(&b, 0)); /* older, but of another */
	assert_true(was_ended(&b, 1));
	vouch(&b, 2);
	vouch(&b, 3);
	assert_false(comes(&b, 1));
	assert_true(comes(&b, 2));
	teardown(&b);
}

static void closed_ones_are_forgotten(void **state)
{
	struct bench b;

	(void)state;
	setup(&b, AF_INET, 2, 2);
	assert_true(comes(&b, 1) && comes(&b, 1));
	vouch(&b, 0);
	vouch(&b, 1);
	(void)close(b.servers[0]);
	b.servers[0] = -1;
	assert_true(comes(&b, 1)); /* under the same number, perhaps */
	vouch(&b, 2);
	assert_false(comes(&b, 1));
	teardown(&b);
}

static void ipv6_counts_by_network(void **state)
{
	struct bench b;

	(void)state;
	setup(&b, AF_INET6, 8, 2);
	assert_true(comes(&b, 0) && comes(&b, 0) && comes(&b, 0));
	assert_true(was_ended(&b, 0));
	vouch(&b, 1);
	vouch(&b, 2);
	assert_false(comes(&b, 0));
	teardown(&b);
}

static void peers_that_are_none(void **state)
{
	static const char *const peers[] = { "",
					     "unix:",
					     "fd:12",
					     "ipv4:",
					     "ipv4:1.2.3.4",
					     "ipv6:",
					     "ipv6::1",
					     "ipv4:1.2.3.4.5:6",
					     "ipv6:%5B",
					     "ipv6:%5D:1" };
	struct bench b;

	(void)state;
	setup(&b, AF_INET, 1, 1);
	assert_true(comes(&b, 1));
	for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++)
		connections_vouch(&b.connections, peers[i]);
	assert_true(comes(&b, 1)); /* so the first was still a stranger's */
	assert_true(was_ended(&b, 0));
	teardown(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(oldest_stranger_gives_way),
		cmocka_unit_test(one_address_makes_room_of_its_own),
		cmocka_unit_test(closed_ones_are_forgotten),
		cmocka_unit_test(ipv6_counts_by_network),
		cmocka_unit_test(peers_that_are_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
