/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The one table of who may call what. Pure; any thread. */

#include <stddef.h>

#include "agent/auth/principal.h"

enum access_scope {
	ACCESS_PUBLIC, /* anybody, known or not */
	ACCESS_KNOWN,  /* anybody who is known */
	ACCESS_NODE,   /* operators: it is about the node, or about all tenants */
	ACCESS_TRAIL,  /* as ACCESS_TENANT; but where an operator names none, about all tenants,
			* those  that are gone included */
	ACCESS_TENANT, /* about the tenant that the request names: its users with a role that is
			* listed, and operators */
};

enum access_effect {
	ACCESS_READ,
	ACCESS_INVOKE,
	ACCESS_CHANGE, /* not while the tenant is suspended, as ACCESS_INVOKE */
	ACCESS_MANAGE, /* a change that operators may make then too */
};

/* What a tenant's calls are counted as, of which it may make so many a second. */
enum access_rate {
	ACCESS_RATE_CONTROL,  /* the control plane, in sum */
	ACCESS_RATE_FUNCTION, /* GetFunction, as the next one apart in Lambda too */
	ACCESS_RATE_POLICY,   /* GetPolicy */
	ACCESS_RATE_READ,     /* logs, metrics, usage, queues, audit: not Lambda's own */
	ACCESS_RATE_NONE,
	ACCESS_RATE_COUNT = ACCESS_RATE_NONE,
};

struct access_row {
	const char *method; /* "/package.Service/Method" */
	enum access_scope scope;
	unsigned roles; /* bits of enum role */
	enum access_effect effect;
	/* How many of these streams may be open on the node; 0: they have other bounds, or it is
	 * none. */
	unsigned streams;
	enum access_rate rate; /* see access_rate_of() */
	/* What a function's resource policy calls it: it may let in a user whom the above refuses;
	 * NULL: no policy may. */
	const char *grant;
};

const struct access_row *access_rows(size_t *ret_count);

/* NULL: nobody may call it. */
const struct access_row *access_find(const char *method);

/* Is it worth to hear what they want? Refuses callers who are not known. `row` NULL as above. */
int access_greet(const struct access_row *row, const struct principal *principal,
		 struct error *error) _must_use_;

/* May they? `named` is the tenant that the request names, "" for the caller's own. ret_tenant gets
 * the tenant it is about; whether that exists is not looked at, so a user learns nothing of other
 * tenants from the answer. */
int access_check(const struct access_row *row, const struct principal *principal, const char *named,
		 const char *default_tenant, char ret_tenant[TENANT_ID_BYTES],
		 struct error *error) _must_use_;

enum access_rate access_rate_of(const struct access_row *row) _pure_;

/* Of streams of one row, a tenant may have a quarter, and an eighth is kept for operators. */
#define ACCESS_STREAMS_OF_TENANT 4
#define ACCESS_STREAMS_KEPT      8

struct access_streams {
	unsigned all, of_users, of_tenant; /* open ones; the last: of the caller's tenant */
};
/* May one more be opened? `row->streams` is not 0. */
int access_check_streams(const struct access_row *row, const struct principal *principal,
			 const struct access_streams *open, struct error *error) _must_use_;

/* Does a role let its users do this in their own tenant? */
bool access_role_may(const struct access_row *row, enum role role);
