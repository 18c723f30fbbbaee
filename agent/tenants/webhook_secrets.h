/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What posts to the webhooks of tenants are signed with. Every address of every tenant has a secret
 * from the start, derived from one root that the node keeps, so that nothing is to be made, kept or
 * forgotten for addresses that come and go; one that was rotated has a random one, kept sealed.
 * Part of struct tenants (tenants.h); loop thread. */

#include "agent/auth/webhook_secret.h"
#include "agent/tenants/tenants.h"

#define WEBHOOK_ROTATED_MAX 1000 /* addresses of a tenant */

struct webhook_secrets {
	struct webhook_secret current, previous;
	bool has_previous;         /* it signs, too */
	int64_t previous_until_us; /* Unix time, as what follows; 0: it does not */
	int64_t rotated_us;        /* 0: never */
};

/* Those of an address at that time. The caller overwrites them. 0 or -ENOMEM. */
int webhook_secrets_find(const struct tenants *tenants, const char *tenant, const char *url,
			 int64_t now_us, struct webhook_secrets *ret) _must_use_;

/* Is that the URL of a webhook as destinations have them? */
int webhook_secrets_check_url(const char *url, struct error *error) _must_use_;

/* `secrets` is NULL on failure, `error` on success; both borrowed during the call. Once, later,
 * from the loop. */
typedef void webhook_secrets_answer_fn(const struct webhook_secrets *secrets, const char *tenant,
				       const char *url, const struct error *error, void *arg);

/* Draws a new one; the former signs, too, for `overlap_us`. The request is copied. */
void webhook_secrets_rotate(struct tenants *tenants, const char *tenant, const char *url,
			    int64_t overlap_us, webhook_secrets_answer_fn *answer, void *arg);
