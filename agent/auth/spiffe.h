/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A tenant's user as the URI in a certificate (SPIFFE-ID specification):
 *
 *     spiffe://TRUST_DOMAIN/tenant/123456789012/role/developer/user/ann
 *
 * Pure; any thread. */

#include "agent/auth/principal.h"

#define SPIFFE_TRUST_DOMAIN_MAX 255

/* Who that is, of this trust domain and in exactly this form, into ret->kind, tenant, role and
 * name. -EINVAL of anything else. */
int spiffe_parse(const char *uri, const char *trust_domain, struct principal *ret) _must_use_;

/* Whether a URI says that it is of a tenant's user, in whatever trust domain and however badly. */
bool spiffe_is_user(const char *uri);
