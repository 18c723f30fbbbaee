/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/webhook/webhook_address.h"

#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

#include "mayfly/cleanup.h"

struct network {
	uint8_t prefix[16];
	uint8_t bits;
};

static const struct network special_v4[] = {
	{ { 0 }, 8 },             /* this network */
	{ { 10 }, 8 },            /* private */
	{ { 100, 64 }, 10 },      /* shared (RFC 6598) */
	{ { 127 }, 8 },           /* loopback */
	{ { 169, 254 }, 16 },     /* link-local, and the metadata services of clouds */
	{ { 172, 16 }, 12 },      /* private */
	{ { 192, 0, 0 }, 24 },    /* protocol assignments */
	{ { 192, 0, 2 }, 24 },    /* documentation */
	{ { 192, 88, 99 }, 24 },  /* 6to4 relays */
	{ { 192, 168 }, 16 },     /* private */
	{ { 198, 18 }, 15 },      /* benchmarks */
	{ { 198, 51, 100 }, 24 }, /* documentation */
	{ { 203, 0, 113 }, 24 },  /* documentation */
	{ { 224 }, 4 },           /* multicast */
	{ { 240 }, 4 },           /* reserved, broadcast */
};

/* Only this part of IPv6 is given out for the public internet. It leaves out ::, ::1, IPv4-mapped
 * and -compatible addresses, NAT64 (64:ff9b::/96, 64:ff9b:1::/48), fc00::/7, fe80::/10, ff00::/8.
 */
static const struct network public_v6 = { { 0x20 }, 3 };

/* And of that not these. */
static const struct network special_v6[] = {
	{ { 0x20, 0x01 }, 23 },             /* protocol assignments, Teredo, ORCHID */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32 }, /* documentation */
	{ { 0x20, 0x02 }, 16 },             /* 6to4 */
	{ { 0x3f, 0xff }, 20 },             /* documentation (RFC 9637) */
};

static bool is_in(const uint8_t *address, const struct network *network)
{
	unsigned whole = network->bits / 8, rest = network->bits % 8;

	if (memcmp(address, network->prefix, whole) != 0)
		return false;
	return rest == 0 || (address[whole] ^ network->prefix[whole]) >> (8 - rest) == 0;
}

static bool is_in_any(const uint8_t *address, const struct network *networks, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (is_in(address, &networks[i]))
			return true;
	return false;
}

/* The bytes of the address; NULL for another family. */
static const uint8_t *bytes_of(const struct sockaddr *address, socklen_t len)
{
	if (address->sa_family == AF_INET && len >= sizeof(struct sockaddr_in))
		return (const uint8_t *)&((const struct sockaddr_in *)address)->sin_addr;
	if (address->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6))
		return (const uint8_t *)&((const struct sockaddr_in6 *)address)->sin6_addr;
	return NULL;
}

bool webhook_address_is_public(const struct sockaddr *address, socklen_t len)
{
	const uint8_t *bytes = bytes_of(address, len);

	if (!bytes)
		return false;
	if (address->sa_family == AF_INET)
		return !is_in_any(bytes, special_v4, ARRAY_SIZE(special_v4));
	return is_in(bytes, &public_v6) && !is_in_any(bytes, special_v6, ARRAY_SIZE(special_v6));
}

bool webhook_address_is_host(const struct sockaddr *address, socklen_t len)
{
	static const struct network none_v4[] = { { { 0 }, 8 }, { { 224 }, 3 } };
	static const struct network none_v6[] = {
		{ { 0 }, 128 },
		{ { 0xff }, 8 },
		{ { [10] = 0xff, 0xff, 0 }, 104 },
		{ { [10] = 0xff, 0xff, 224 }, 99 },
	};
	const uint8_t *bytes = bytes_of(address, len);

	if (!bytes)
		return false;
	if (address->sa_family == AF_INET)
		return !is_in_any(bytes, none_v4, ARRAY_SIZE(none_v4));
	return !is_in_any(bytes, none_v6, ARRAY_SIZE(none_v6));
}
