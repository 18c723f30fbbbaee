/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/functions/policy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/functions/policy_internal.h"

static void clear_statement(struct policy_statement *statement)
{
	free(statement->sid);
	free(statement->action);
	free(statement->principal);
	free(statement->source_arn);
	free(statement->source_account);
	free(statement->event_source_token);
	free(statement->principal_org_id);
	free(statement->function_url_auth_type);
}

struct policy *policy_free(struct policy *policy)
{
	if (!policy)
		return NULL;
	for (size_t i = 0; i < policy->count; i++)
		clear_statement(&policy->statements[i]);
	free(policy->statements);
	free(policy);
	return NULL;
}

static int copy_text(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

/* A condition that is "" is none. */
static int copy_condition(char **to, const char *from)
{
	return copy_text(to, from && from[0] ? from : NULL);
}

int policy_append(struct policy *policy, const struct policy_request *kept,
		  enum policy_principal kind)
{
	struct policy_statement *grown =
		reallocarray(policy->statements, policy->count + 1, sizeof(*grown));
	struct policy_statement *statement;

	if (!grown)
		return -ENOMEM;
	policy->statements = grown;
	statement = &grown[policy->count++]; /* what is half made is freed with it */
	*statement = (struct policy_statement){
		.kind = kind,
		.invoked_via_function_url = kept->invoked_via_function_url,
	};
	return copy_text(&statement->sid, kept->sid) < 0 ||
			       copy_text(&statement->action, kept->action) < 0 ||
			       copy_text(&statement->principal, kept->principal) < 0 ||
			       copy_condition(&statement->source_arn, kept->source_arn) < 0 ||
			       copy_condition(&statement->source_account, kept->source_account) <
				       0 ||
			       copy_condition(&statement->event_source_token,
					      kept->event_source_token) < 0 ||
			       copy_condition(&statement->principal_org_id,
					      kept->principal_org_id) < 0 ||
			       copy_condition(&statement->function_url_auth_type,
					      kept->function_url_auth_type) < 0
		       ? -ENOMEM
		       : 0;
}

/* All statements but `without`; never NULL. */
static int copy_but(const struct policy *from, const struct policy_statement *without,
		    struct policy **ret)
{
	_cleanup_(policy_free_p) struct policy *to = calloc(1, sizeof(*to));
	int r = to ? 0 : -ENOMEM;

	for (size_t i = 0; from && i < from->count && r == 0; i++) {
		const struct policy_statement *statement = &from->statements[i];
		const struct policy_request kept = {
			.sid = statement->sid,
			.action = statement->action,
			.principal = statement->principal,
			.source_arn = statement->source_arn,
			.source_account = statement->source_account,
			.event_source_token = statement->event_source_token,
			.principal_org_id = statement->principal_org_id,
			.function_url_auth_type = statement->function_url_auth_type,
			.invoked_via_function_url = statement->invoked_via_function_url,
		};

		if (statement != without)
			r = policy_append(to, &kept, statement->kind);
	}
	if (r == 0)
		*ret = TAKE_PTR(to);
	return r;
}

int policy_copy(const struct policy *from, struct policy **ret)
{
	*ret = NULL;
	return from && from->count > 0 ? copy_but(from, NULL, ret) : 0;
}

const struct policy_statement *policy_find(const struct policy *policy, const char *sid)
{
	for (size_t i = 0; policy && i < policy->count; i++)
		if (strcmp(policy->statements[i].sid, sid) == 0)
			return &policy->statements[i];
	return NULL;
}

/* -- changing -- */

static int refuse_memory(struct error *error)
{
	return error_set_errno(error, ENOMEM, "Cannot change the policy");
}

static int check_size(const struct policy *policy, const char *resource, struct error *error)
{
	_cleanup_free_ char *json = policy_json(policy, resource);

	if (!json)
		return refuse_memory(error);
	if (strlen(json) <= POLICY_MAX_BYTES)
		return 0;
	return error_set(error, ERROR_POLICY_LENGTH_EXCEEDED, NULL,
			 "The final policy size (%zu) is bigger than the limit (%d).", strlen(json),
			 POLICY_MAX_BYTES);
}

int policy_add(const struct policy *policy, const struct policy_request *request,
	       const char *resource, struct policy **ret, struct error *error)
{
	_cleanup_(policy_free_p) struct policy *next = NULL;
	_cleanup_free_ char *principal = NULL;
	struct policy_request kept = *request;
	enum policy_principal kind = POLICY_EVERYBODY;
	int r = policy_validate(request, error);

	if (r == 0)
		r = policy_parse_principal(request->principal, &kind, &principal, error);
	if (r < 0)
		return r;
	if (policy_find(policy, request->sid))
		return error_set(error, ERROR_CONFLICT, "statement_id",
				 "The statement id (%s) provided already exists. Please provide a "
				 "new statement id, or remove the existing statement.",
				 request->sid);
	kept.principal = principal;
	if (copy_but(policy, NULL, &next) < 0 || policy_append(next, &kept, kind) < 0)
		return refuse_memory(error);
	r = check_size(next, resource, error);
	if (r == 0)
		*ret = TAKE_PTR(next);
	return r;
}

int policy_remove(const struct policy *policy, const char *sid, struct policy **ret,
		  struct error *error)
{
	const struct policy_statement *statement = policy_find(policy, sid);
	int r = policy_validate_sid(sid, error);

	if (r < 0)
		return r;
	if (!policy || policy->count == 0)
		return error_set(error, ERROR_NOT_FOUND, "statement_id",
				 "No policy is associated with the given resource.");
	if (!statement)
		return error_set(error, ERROR_NOT_FOUND, "statement_id",
				 "Statement %s is not found in resource policy.", sid);
	*ret = NULL;
	if (policy->count > 1 && copy_but(policy, statement, ret) < 0)
		return refuse_memory(error);
	return 0;
}

/* -- deciding -- */

static bool has_condition(const struct policy_statement *statement)
{
	return statement->source_arn || statement->source_account ||
	       statement->event_source_token || statement->principal_org_id ||
	       statement->function_url_auth_type || statement->invoked_via_function_url;
}

/* IAM looks at the case of actions as little as at whether they exist. */
static bool has_action(const struct policy_statement *statement, const char *action)
{
	return strcmp(statement->action, "*") == 0 ||
	       strcasecmp(statement->action, "lambda:*") == 0 ||
	       strcasecmp(statement->action, action) == 0;
}

/* arn:PARTITION:iam::ACCOUNT:WHAT; the partition says nothing here. */
static bool names(const char *principal, const char *account, const char *what)
{
	const char *rest = strstr(principal, ":iam::");
	size_t len = strlen(account);

	if (!rest)
		return false;
	rest += strlen(":iam::");
	return strncmp(rest, account, len) == 0 && rest[len] == ':' &&
	       strcmp(rest + len + 1, what) == 0;
}

static bool grants(const struct policy_statement *statement, const struct policy_caller *caller)
{
	char user[sizeof("user/") + POLICY_USER_MAX];
	bool is_named, is_everybody = statement->kind == POLICY_EVERYBODY;

	if (statement->kind == POLICY_SERVICE)
		return false;
	(void)snprintf(user, sizeof(user), "user/%s", caller->user);
	is_named = !is_everybody && names(statement->principal, caller->tenant, user);
	if (caller->is_owner)
		return is_everybody || is_named;
	return caller->may_at_home &&
	       (is_everybody || is_named || names(statement->principal, caller->tenant, "root"));
}

bool policy_grants(const struct policy *policy, const char *action,
		   const struct policy_caller *caller)
{
	for (size_t i = 0; policy && i < policy->count; i++) {
		const struct policy_statement *statement = &policy->statements[i];

		if (!has_condition(statement) && has_action(statement, action) &&
		    grants(statement, caller))
			return true;
	}
	return false;
}
