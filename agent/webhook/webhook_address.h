/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which addresses tenants may have the node connect to (IANA special-purpose address registries,
 * RFC 6890). Pure; any thread. */

#include <stdbool.h>
#include <sys/socket.h>

/* Whether it is of the public internet: no loopback, link-local, private, shared, documentation,
 * multicast, reserved or unspecified address, none that leads to an IPv4 address in another form
 * (mapped, NAT64, 6to4, Teredo), and no other family. */
bool webhook_address_is_public(const struct sockaddr *address, socklen_t len);

/* Whether it stands for one host at all: neither multicast nor broadcast nor unspecified. */
bool webhook_address_is_host(const struct sockaddr *address, socklen_t len);
