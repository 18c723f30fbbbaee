/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A function's resource policy: who else may do what with it. Pure values and rules as in
 * function.h; patterns, messages and JSON are Lambda's (AddPermission API reference). A struct
 * policy owns its strings; NULL is the empty one. */

#include "agent/functions/function.h"

#define POLICY_MAX_BYTES 20480 /* as JSON */

enum policy_principal {
	POLICY_EVERYBODY, /* "*" */
	POLICY_AWS,       /* an ARN of an account, a user or a role */
	POLICY_SERVICE,   /* such as s3.amazonaws.com */
};

struct policy_statement {
	char *sid;
	char *action;
	enum policy_principal kind;
	char *principal; /* "" for everybody */
	/* Conditions; NULL is none. */
	char *source_arn;
	char *source_account;
	char *event_source_token;
	char *principal_org_id;
	char *function_url_auth_type;
	bool invoked_via_function_url;
};

struct policy {
	struct policy_statement *statements; /* in order of adding */
	size_t count;
};

struct policy *policy_free(struct policy *policy);
DEFINE_CLEANUP(struct policy, policy_free)
/* 0 or -ENOMEM; *ret is NULL for the empty one. */
int policy_copy(const struct policy *from, struct policy **ret) _must_use_;

/* The values a tenant gives; "" is not given. All borrowed. */
struct policy_request {
	const char *sid;
	const char *action;
	const char *principal;
	const char *source_arn;
	const char *source_account;
	const char *event_source_token;
	const char *principal_org_id;
	const char *function_url_auth_type;
	bool invoked_via_function_url;
};

/* The policy with one statement more, or with one less; the caller's, as *ret of policy_copy().
 * `resource` is the ARN of the function with its qualifier. `policy` stays as it is. */
int policy_add(const struct policy *policy, const struct policy_request *request,
	       const char *resource, struct policy **ret, struct error *error) _must_use_;
int policy_remove(const struct policy *policy, const char *sid, struct policy **ret,
		  struct error *error) _must_use_;

/* Appends a statement that was kept, all but the first three may be "". 0 or -ENOMEM. */
int policy_append(struct policy *policy, const struct policy_request *kept,
		  enum policy_principal kind) _must_use_;

/* NULL when there is none. */
const struct policy_statement *policy_find(const struct policy *policy, const char *sid);

/* Lambda's JSON, byte for byte but for the order of members; the caller frees. NULL: no memory. */
char *policy_statement_json(const struct policy_statement *statement, const char *resource);
char *policy_json(const struct policy *policy, const char *resource);

/* Who asks. */
struct policy_caller {
	const char *tenant;
	const char *user;
	bool is_owner;    /* of the function's own tenant */
	bool may_at_home; /* their role lets them do this with functions of their own tenant */
};

/* Does a statement without conditions, for nothing tells here whether one holds, let them do
 * `action`? As in IAM: in the own account it is enough to be named, alone or with everybody; a
 * statement for an account lets in those of another one whom that account lets. */
bool policy_grants(const struct policy *policy, const char *action,
		   const struct policy_caller *caller);
