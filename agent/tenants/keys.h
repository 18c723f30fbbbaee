/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The access keys of the tenants' users. Part of struct tenants (tenants.h); loop thread. */

#include "agent/auth/access_key.h"
#include "agent/tenants/tenants.h"

#define ACCESS_KEYS_MAX 100 /* of a tenant */

/* Who shows that key, in ret->tenant, ret->name and ret->role. -EPERM when there is no such key,
 * the secret is another, the key is inactive or expired: nobody can tell these apart. */
int keys_authenticate(const struct tenants *tenants, struct slice authorization, int64_t now_us,
		      struct principal *ret) _must_use_;

/* `secret` is there after a creation alone. `key` is NULL on failure and after a deletion. Once,
 * later, from the loop; all borrowed during the call. */
typedef void keys_answer_fn(const struct access_key *key, const char *secret,
			    const struct error *error, void *arg);

/* Requests are copied. The tenant exists. */
struct keys_create_request {
	const char *tenant;
	const char *user;
	enum role role;
	int64_t expires_us; /* 0: never */
};
void keys_create(struct tenants *tenants, const struct keys_create_request *request,
		 keys_answer_fn *answer, void *arg);
void keys_set_inactive(struct tenants *tenants, const char *tenant, const char *id, bool inactive,
		       keys_answer_fn *answer, void *arg);
void keys_delete(struct tenants *tenants, const char *tenant, const char *id,
		 keys_answer_fn *answer, void *arg);

/* Those of a tenant, in order of id; at most ACCESS_KEYS_MAX. Borrowed until the loop turns. */
size_t keys_list(const struct tenants *tenants, const char *tenant,
		 const struct access_key *ret[ACCESS_KEYS_MAX]);
