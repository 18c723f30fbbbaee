/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_webhook mayfly_core mayfly_base

/* Posts to a server of the test's own, which answers with what it is told. TLS is for the
 * end-to-end tests. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/webhook/webhook.h"
#include "mayfly/clock.h"

#define LIMIT_US (30 * USEC_PER_SEC)
#define OK       "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

/* -- the server: one connection after the other, one request each -- */

static struct {
	int fd;
	uint16_t port;
	pthread_t thread;
	const char *answer; /* NULL: none, ever */
	size_t flood;       /* bytes of a body behind it */
	char request[8192]; /* the last one */
	unsigned connections;
} server;

static void receive(int fd)
{
	size_t len = 0;
	ssize_t n;

	while (len < sizeof(server.request) - 1 &&
	       (n = recv(fd, server.request + len, sizeof(server.request) - 1 - len, 0)) > 0) {
		len += (size_t)n;
		server.request[len] = 0;
		if (strstr(server.request, "\r\n\r\n{") && server.request[len - 1] == '}')
			return;
	}
}

static void *serve(void *arg _unused_)
{
	static char block[4096];
	const char *answer;
	size_t flood;
	int fd;

	while ((fd = accept4(server.fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		__atomic_add_fetch(&server.connections, 1, __ATOMIC_SEQ_CST);
		receive(fd);
		answer = __atomic_load_n(&server.answer, __ATOMIC_SEQ_CST);
		flood = __atomic_load_n(&server.flood, __ATOMIC_SEQ_CST);
		if (answer)
			(void)!send(fd, answer, strlen(answer), MSG_NOSIGNAL);
		for (size_t sent = 0; sent < flood; sent += sizeof(block))
			if (send(fd, block, sizeof(block), MSG_NOSIGNAL) <= 0)
				break;
		if (!answer) /* until the other side gives up */
			(void)!recv(fd, block, sizeof(block), 0);
		(void)close(fd);
	}
	return NULL;
}

static void tell(const char *answer)
{
	__atomic_store_n(&server.answer, answer, __ATOMIC_SEQ_CST);
}

static struct loop *loop;
static struct webhooks *webhooks;
static struct webhook_keys keys; /* of the next post */

static void start_webhooks(bool allow_plain, bool allow_private, unsigned timeout_ms)
{
	struct webhooks_config config = { .ca_file = "",
					  .allow_plain = allow_plain,
					  .allow_private = allow_private,
					  .timeout_ms = timeout_ms };

	assert_int_equal(webhooks_new(&config, loop, &webhooks, NULL), 0);
}

static int set_up(void **state _unused_)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);

	memset(&server, 0, sizeof(server));
	memset(&keys, 0, sizeof(keys));
	server.answer = OK;
	server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(server.fd >= 0);
	assert_int_equal(bind(server.fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(server.fd, 8), 0);
	assert_int_equal(getsockname(server.fd, (struct sockaddr *)&address, &len), 0);
	server.port = ntohs(address.sin_port);
	assert_int_equal(pthread_create(&server.thread, NULL, serve, NULL), 0);
	assert_int_equal(loop_new(1, &loop), 0);
	return 0;
}

static int tear_down(void **state _unused_)
{
	webhooks = webhooks_free(webhooks);
	loop = loop_free(loop);
	(void)shutdown(server.fd, SHUT_RDWR);
	(void)pthread_join(server.thread, NULL);
	(void)close(server.fd);
	return 0;
}

/* -- a post -- */

struct attempt {
	struct webhook_post post;
	char url[256];
	bool is_done;
	enum webhook_result result;
	char why[512];
};

static void on_done(struct webhook_post *post, enum webhook_result result, const char *why)
{
	struct attempt *attempt = container_of(post, struct attempt, post);

	attempt->is_done = true;
	attempt->result = result;
	(void)snprintf(attempt->why, sizeof(attempt->why), "%s", why);
}

static void begin(struct attempt *attempt, const char *scheme, const char *host)
{
	*attempt = (struct attempt){ .post = { .url = attempt->url,
					       .id = "the-id",
					       .condition = "Success",
					       .body = slice_from_string("{\"n\":1}"),
					       .done = on_done } };
	(void)snprintf(attempt->url, sizeof(attempt->url), "%s://%s:%u/a?b=c", scheme, host,
		       server.port);
	attempt->post.keys = keys;
	webhooks_submit(webhooks, &attempt->post);
	assert_false(attempt->is_done);
}

static void wait_done(const struct attempt *attempt)
{
	int64_t end_us = clock_monotonic_us() + LIMIT_US;

	while (!attempt->is_done) {
		assert_true(clock_monotonic_us() < end_us);
		assert_true(sd_event_run(loop_event(loop), 100000) >= 0);
	}
}

static void post(struct attempt *attempt, const char *host)
{
	begin(attempt, "http", host);
	wait_done(attempt);
}

/* -- tests -- */

static void test_a_post(void **state _unused_)
{
	struct attempt attempt;

	start_webhooks(true, true, 10000);
	post(&attempt, "127.0.0.1");
	assert_string_equal(attempt.why, "It answered with status 200.");
	assert_int_equal(attempt.result, WEBHOOK_TAKEN);
	assert_ptr_equal(strstr(server.request, "POST /a?b=c HTTP/1.1\r\n"), server.request);
	assert_non_null(strstr(server.request, "\r\nContent-Type: application/json\r\n"));
	assert_non_null(strstr(server.request, "\r\nMayfly-Delivery-Id: the-id\r\n"));
	assert_non_null(strstr(server.request, "\r\nMayfly-Condition: Success\r\n"));
	assert_non_null(strstr(server.request, "\r\nwebhook-id: the-id\r\n"));
	assert_null(strstr(server.request, "webhook-signature"));
	assert_null(strstr(server.request, "Expect"));
	assert_non_null(strstr(server.request, "\r\n\r\n{\"n\":1}"));
}

static unsigned count_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	const struct dirent *entry;
	unsigned count = 0;

	assert_non_null(tasks);
	while ((entry = readdir(tasks)))
		count += entry->d_name[0] != '.';
	(void)closedir(tasks);
	return count;
}

/* Who has no webhooks has no thread for them. */
static void test_the_thread_comes_with_the_first_post(void **state _unused_)
{
	unsigned before = count_threads();
	struct attempt attempt;

	start_webhooks(true, true, 10000);
	assert_int_equal(count_threads(), before);
	webhooks = webhooks_free(webhooks);
	start_webhooks(true, true, 10000);
	for (unsigned i = 0; i < 2; i++) {
		post(&attempt, "127.0.0.1");
		assert_int_equal(attempt.result, WEBHOOK_TAKEN);
		assert_int_equal(count_threads(), before + 1);
	}
	webhooks = webhooks_free(webhooks);
	assert_int_equal(count_threads(), before);
}

/* Root may have any number of threads, so it is somebody else meanwhile. */
static void test_no_thread_to_be_had(void **state _unused_)
{
	struct rlimit limit, none = { 0 };
	uid_t own = getuid();
	struct attempt attempt;

	start_webhooks(true, true, 10000);
	assert_int_equal(getrlimit(RLIMIT_NPROC, &limit), 0);
	none.rlim_max = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NPROC, &none), 0);
	if (own == 0)
		assert_int_equal(setresuid(65534, 65534, 0), 0);
	post(&attempt, "127.0.0.1");
	if (own == 0)
		assert_int_equal(setresuid(0, 0, 0), 0);
	assert_int_equal(setrlimit(RLIMIT_NPROC, &limit), 0);
	assert_int_equal(attempt.result, WEBHOOK_AGAIN);
	assert_string_equal(attempt.why, "This node cannot start to post now.");
	post(&attempt, "127.0.0.1");
	assert_int_equal(attempt.result, WEBHOOK_TAKEN);
}

static void check_signatures(const struct webhook_keys *with)
{
	int64_t now_s = clock_realtime_us() / USEC_PER_SEC;
	char expected[512], one[WEBHOOK_SIGNATURE_BYTES];
	size_t len = 0;
	const char *at = strstr(server.request, "\r\nwebhook-timestamp: ");
	int64_t time_s;

	assert_non_null(at);
	time_s = strtoll(at + strlen("\r\nwebhook-timestamp: "), NULL, 10);
	assert_in_range(time_s, now_s - LIMIT_US / USEC_PER_SEC, now_s);
	for (size_t i = 0; i < with->count; i++) {
		assert_int_equal(webhook_sign(slice_new(with->bytes[i], WEBHOOK_KEY_BYTES),
					      "the-id", time_s, slice_from_string("{\"n\":1}"),
					      one),
				 0);
		len += (size_t)snprintf(expected + len, sizeof(expected) - len, "%s%s",
					i ? " " : "\r\nwebhook-signature: ", one);
	}
	(void)snprintf(expected + len, sizeof(expected) - len, "\r\n");
	if (!strstr(server.request, expected))
		fail_msg("%s is not in %s", expected, server.request);
}

static void test_signatures(void **state _unused_)
{
	static const struct webhook_keys none;
	struct attempt attempt;
	struct webhook_keys with = { .count = 1, .bytes = { "one", "two" } };

	start_webhooks(true, true, 10000);
	for (; with.count <= WEBHOOK_KEYS_MAX; with.count++) {
		keys = with;
		post(&attempt, "127.0.0.1");
		assert_int_equal(attempt.result, WEBHOOK_TAKEN);
		check_signatures(&with);
		/* No longer kept than they are needed. */
		assert_memory_equal(&attempt.post.keys, &none, sizeof(none));
	}
}

static void test_what_answers_mean(void **state _unused_)
{
	static const struct {
		const char *answer;
		enum webhook_result result;
	} cases[] = {
		{ "HTTP/1.1 204 No Content\r\n\r\n", WEBHOOK_TAKEN },
		{ "HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
		  WEBHOOK_REFUSED },
		{ "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n", WEBHOOK_REFUSED },
		{ "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", WEBHOOK_REFUSED },
		{ "HTTP/1.1 408 Late\r\nContent-Length: 0\r\n\r\n", WEBHOOK_AGAIN },
		{ "HTTP/1.1 429 Many\r\nContent-Length: 0\r\n\r\n", WEBHOOK_AGAIN },
		{ "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", WEBHOOK_AGAIN },
		{ "HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n", WEBHOOK_AGAIN },
		{ "", WEBHOOK_AGAIN },
		{ "SSH-2.0-x\r\n", WEBHOOK_REFUSED },
	};
	struct attempt attempt;

	start_webhooks(true, true, 10000);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		tell(cases[i].answer);
		post(&attempt, "127.0.0.1");
		if (attempt.result != cases[i].result)
			fail_msg("%s: %u, %s", cases[i].answer, attempt.result, attempt.why);
	}
}

/* No more is read than is needed to know the status. */
static void test_a_flood(void **state _unused_)
{
	struct attempt attempt;

	start_webhooks(true, true, 20000);
	__atomic_store_n(&server.flood, 1ULL << 40, __ATOMIC_SEQ_CST);
	tell("HTTP/1.1 200 OK\r\n\r\n");
	post(&attempt, "127.0.0.1");
	assert_int_equal(attempt.result, WEBHOOK_TAKEN);
	tell("HTTP/1.1 503 No\r\n\r\n");
	post(&attempt, "127.0.0.1");
	assert_int_equal(attempt.result, WEBHOOK_AGAIN);
	tell("HTTP/1.1 200 OK\r\nX: "); /* a header without end */
	post(&attempt, "127.0.0.1");
	assert_int_not_equal(attempt.result, WEBHOOK_REFUSED);
}

static void test_no_answer(void **state _unused_)
{
	struct attempt attempt;

	start_webhooks(true, true, 200);
	tell(NULL);
	post(&attempt, "127.0.0.1");
	assert_int_equal(attempt.result, WEBHOOK_AGAIN);
	assert_non_null(strstr(attempt.why, "timed out"));
}

static void test_private_addresses(void **state _unused_)
{
	static const char *const hosts[] = {
		"127.0.0.1", "localhost",          "2130706433",      "0x7f.1", "0177.0.0.1",
		"[::1]",     "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0"
	};
	struct attempt attempt;

	start_webhooks(true, false, 10000);
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		post(&attempt, hosts[i]);
		if (attempt.result != WEBHOOK_REFUSED)
			fail_msg("%s: %s", hosts[i], attempt.why);
		assert_string_equal(attempt.why, "Its address must not be reached from this node.");
	}
	assert_int_equal(__atomic_load_n(&server.connections, __ATOMIC_SEQ_CST), 0);
}

static void test_what_is_no_host(void **state _unused_)
{
	struct attempt attempt;

	start_webhooks(true, true, 10000);
	post(&attempt, "0.0.0.0");
	assert_int_equal(attempt.result, WEBHOOK_REFUSED);
	assert_int_equal(__atomic_load_n(&server.connections, __ATOMIC_SEQ_CST), 0);
}

static void test_plain_needs_leave(void **state _unused_)
{
	struct attempt attempt;

	start_webhooks(false, true, 10000);
	post(&attempt, "127.0.0.1");
	assert_int_equal(attempt.result, WEBHOOK_REFUSED);
	begin(&attempt, "ftp", "127.0.0.1");
	wait_done(&attempt);
	assert_int_equal(attempt.result, WEBHOOK_REFUSED);
	assert_int_equal(__atomic_load_n(&server.connections, __ATOMIC_SEQ_CST), 0);
}

static void test_no_proxy(void **state _unused_)
{
	struct attempt attempt;

	assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
	assert_int_equal(setenv("all_proxy", "http://127.0.0.1:1", 1), 0);
	start_webhooks(true, true, 10000);
	post(&attempt, "127.0.0.1");
	assert_int_equal(attempt.result, WEBHOOK_TAKEN);
	assert_int_equal(unsetenv("http_proxy"), 0);
	assert_int_equal(unsetenv("all_proxy"), 0);
}

/* As when the agent ends: nothing is waited for, nothing is left. */
static void test_posts_that_are_given_up(void **state _unused_)
{
	struct attempt attempts[5];

	start_webhooks(true, true, 60000);
	tell(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++)
		begin(&attempts[i], "http", i % 2 ? "no-such-host.invalid" : "127.0.0.1");
	webhooks = webhooks_free(webhooks);
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++)
		assert_false(attempts[i].is_done);
}

static void test_many_at_once(void **state _unused_)
{
	struct attempt attempts[40];

	start_webhooks(true, true, 20000);
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++)
		begin(&attempts[i], "http", "127.0.0.1");
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
		wait_done(&attempts[i]);
		assert_int_equal(attempts[i].result, WEBHOOK_TAKEN);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_a_post),
		TEST(test_the_thread_comes_with_the_first_post),
		TEST(test_no_thread_to_be_had),
		TEST(test_signatures),
		TEST(test_what_answers_mean),
		TEST(test_a_flood),
		TEST(test_no_answer),
		TEST(test_private_addresses),
		TEST(test_what_is_no_host),
		TEST(test_plain_needs_leave),
		TEST(test_no_proxy),
		TEST(test_posts_that_are_given_up),
		TEST(test_many_at_once),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
