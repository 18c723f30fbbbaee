/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_webhook mayfly_core mayfly_base

/* Where tenants may have the node connect to. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netdb.h>
#include <string.h>

#include "agent/webhook/webhook_address.h"
#include "mayfly/cleanup.h"

/* As libcurl's resolver reads it: any notation of a number. */
static bool judge(const char *text, bool (*fn)(const struct sockaddr *, socklen_t))
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM }, *info;
	bool result;

	if (getaddrinfo(text, "443", &hints, &info) != 0)
		fail_msg("%s is no address", text);
	result = fn(info->ai_addr, info->ai_addrlen);
	freeaddrinfo(info);
	return result;
}

/* The first and the last address of every forbidden network. */
static const char *const forbidden[] = {
	"0.0.0.0",
	"0.255.255.255",
	"10.0.0.0",
	"10.255.255.255",
	"100.64.0.0",
	"100.127.255.255",
	"127.0.0.1",
	"127.255.255.255",
	"169.254.0.0",
	"169.254.169.254",
	"169.254.255.255",
	"172.16.0.0",
	"172.31.255.255",
	"192.0.0.0",
	"192.0.0.255",
	"192.0.2.0",
	"192.0.2.255",
	"192.88.99.0",
	"192.88.99.255",
	"192.168.0.0",
	"192.168.255.255",
	"198.18.0.0",
	"198.19.255.255",
	"198.51.100.0",
	"198.51.100.255",
	"203.0.113.0",
	"203.0.113.255",
	"224.0.0.0",
	"239.255.255.255",
	"240.0.0.0",
	"255.255.255.255",
	/* 127.0.0.1 and 10.1.2.3 in other notations */
	"2130706433",
	"0x7f000001",
	"017700000001",
	"127.1",
	"0x7f.1",
	"0177.0.0.1",
	"10.66051",
	/* nobody, this host, IPv4 in other forms: compatible, mapped, NAT64, 6to4, Teredo */
	"::",
	"::1",
	"::7f00:1",
	"::ffff:127.0.0.1",
	"::ffff:10.1.2.3",
	"::ffff:8.8.8.8",
	"::ffff:0:127.0.0.1",
	"64:ff9b::7f00:1",
	"64:ff9b::8.8.8.8",
	"64:ff9b:1::1",
	"2002:7f00:1::",
	"2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	"2001::1",
	"2001:0:ffff:ffff:ffff:ffff:ffff:ffff",
	"2001:10::1",
	"2001:20::1",
	"2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
	"100::1",
	"2001:db8::",
	"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
	"3fff::1",
	"3fff:fff::1",
	"fc00::1",
	"fd00::1",
	"fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	"fe80::1",
	"febf::1",
	"fec0::1",
	"ff02::1",
	"ff0e::1",
	"4000::1",
	"5f00::1",
};

static const char *const allowed[] = {
	"1.0.0.0",          "1.1.1.1",         "8.8.8.8",      "9.255.255.255",
	"11.0.0.0",         "100.63.255.255",  "100.128.0.0",  "126.255.255.255",
	"128.0.0.0",        "169.253.255.255", "169.255.0.0",  "172.15.255.255",
	"172.32.0.0",       "192.0.1.0",       "192.0.3.0",    "192.167.255.255",
	"192.169.0.0",      "198.17.255.255",  "198.20.0.0",   "223.255.255.255",
	"134744072",        "2000::1",         "2001:200::1",  "2001:4860:4860::8888",
	"2001:db7:ffff::1", "2001:db9::1",     "2003::1",      "2606:4700::1111",
	"2a00:1450::1",     "3ffe::1",         "3fff:1000::1",
};

static void test_what_is_public(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++)
		if (judge(forbidden[i], webhook_address_is_public))
			fail_msg("%s is allowed", forbidden[i]);
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		if (!judge(allowed[i], webhook_address_is_public))
			fail_msg("%s is forbidden", allowed[i]);
}

static void test_what_is_a_host(void **state _unused_)
{
	static const char *const hosts[] = { "127.0.0.1",        "10.0.0.1",    "192.168.1.1",
					     "8.8.8.8",          "::1",         "fd00::1",
					     "::ffff:127.0.0.1", "2606:4700::1" };
	static const char *const none[] = {
		"0.0.0.0", "0.1.2.3", "224.0.0.1",      "239.1.1.1",        "255.255.255.255",
		"::",      "ff02::1", "::ffff:0.0.0.0", "::ffff:224.0.0.1", "::ffff:255.255.255.255"
	};

	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++)
		if (!judge(hosts[i], webhook_address_is_host))
			fail_msg("%s is forbidden", hosts[i]);
	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		if (judge(none[i], webhook_address_is_host))
			fail_msg("%s is allowed", none[i]);
}

static void test_another_family(void **state _unused_)
{
	struct sockaddr_storage address = { .ss_family = AF_UNIX };

	assert_false(webhook_address_is_public((struct sockaddr *)&address, sizeof(address)));
	assert_false(webhook_address_is_host((struct sockaddr *)&address, sizeof(address)));
	address.ss_family = AF_INET;
	assert_false(webhook_address_is_public((struct sockaddr *)&address, 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_public),
		cmocka_unit_test(test_what_is_a_host),
		cmocka_unit_test(test_another_family),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
