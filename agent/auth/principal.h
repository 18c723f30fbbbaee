/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who calls. A value; any thread. */

#include "agent/functions/tenant.h"

#define PRINCIPAL_NAME_BYTES 128

enum principal_kind {
	PRINCIPAL_NOBODY,
	PRINCIPAL_OPERATOR, /* of the node */
	PRINCIPAL_USER,     /* of one tenant, with a role */
};

enum role {
	ROLE_ADMIN,     /* everything of the tenant, its access keys too */
	ROLE_DEVELOPER, /* deploys, invokes and reads */
	ROLE_INVOKER,   /* invokes, and reads nothing */
	ROLE_AUDITOR,   /* reads */
	ROLE_COUNT,
};

struct principal {
	enum principal_kind kind;
	char name[PRINCIPAL_NAME_BYTES]; /* "uid 0", a certificate's common name, a user's name */
	char tenant[TENANT_ID_BYTES];    /* of a user */
	enum role role;                  /* of a user */
	char key_id[24];    /* of a user: which access key was shown; "" by a certificate */
	int64_t expires_us; /* Unix time until when they are known; 0: ever */
};

const char *role_name(enum role role); /* "admin" */
