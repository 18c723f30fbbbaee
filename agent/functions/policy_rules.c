/* SPDX-License-Identifier: Apache-2.0 */

/* What a statement may say (AddPermission API reference), and what a policy looks like. */

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "agent/functions/policy_internal.h"
#include "agent/functions/text.h"

#define SID_MAX           100
#define ACTION_MAX        256
#define PRINCIPAL_MAX     256
#define SOURCE_ARN_MAX    2048
#define TOKEN_MAX         256
#define ORGANISATION_MIN  10 /* after "o-" */
#define ORGANISATION_MAX  32

#define SID_PATTERN       "([a-zA-Z0-9-_]+)"
#define ACTION_PATTERN    "(lambda:[*]|lambda:[a-zA-Z]+|[*])"
#define PRINCIPAL_PATTERN "[^\\s]+"
#define SOURCE_ARN_PATTERN                                                                         \
	"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\\-])+:((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-"      \
	"[a-z]+-\\d{1})?:(\\d{12})?:(.*)"
#define ACCOUNT_PATTERN      "\\d{12}"
#define TOKEN_PATTERN        "[a-zA-Z0-9._\\-]+"
#define ORGANISATION_PATTERN "^o-[a-z0-9]{10,32}$"

#define SERVICE_SUFFIX       ".amazonaws.com"

/* -- characters -- */

typedef bool is_fn(char c);

static bool is_token_character(char c)
{
	return is_name_character(c) || c == '.';
}

static bool is_lower_or_digit(char c)
{
	return is_lower(c) || is_digit(c);
}

static size_t count(const char *text, is_fn *is)
{
	size_t n = 0;

	while (text[n] && is(text[n]))
		n++;
	return n;
}

static bool is_all(const char *text, is_fn *is)
{
	return text[0] && text[count(text, is)] == 0;
}

/* -- fields -- */

int policy_validate_sid(const char *sid, struct error *error)
{
	if (strnlen(sid, SID_MAX + 1) > SID_MAX)
		return text_refuse_length(error, "statement_id", "statementId", sid, SID_MAX);
	return is_all(sid, is_name_character)
		       ? 0
		       : text_refuse_pattern(error, "statement_id", "statementId", sid,
					     SID_PATTERN);
}

static bool is_action(const char *action)
{
	if (strcmp(action, "*") == 0 || strcmp(action, "lambda:*") == 0)
		return true;
	return strncmp(action, "lambda:", 7) == 0 && is_all(action + 7, is_letter);
}

static int validate_action(const char *action, struct error *error)
{
	if (strnlen(action, ACTION_MAX + 1) > ACTION_MAX)
		return text_refuse_length(error, "action", "action", action, ACTION_MAX);
	return is_action(action)
		       ? 0
		       : text_refuse_pattern(error, "action", "action", action, ACTION_PATTERN);
}

/* The part up to the next colon, which is passed. */
static bool take_part(const char **rest, size_t *ret_len)
{
	const char *colon = strchr(*rest, ':');

	if (!colon)
		return false;
	*ret_len = (size_t)(colon - *rest);
	*rest = colon + 1;
	return true;
}

static bool is_account_part(const char *text, size_t len)
{
	return len == 0 || (len == TENANT_ID_DIGITS && count(text, is_digit) >= len);
}

/* The region is taken as any name, for what it says is never asked. */
static bool is_source_arn(const char *arn)
{
	const char *at = arn, *account;
	size_t len;

	if (!take_part(&at, &len) || strncmp(arn, "arn:", 4) != 0)
		return false;
	if (strncmp(at, "aws", 3) != 0 || !take_part(&at, &len)) /* partition */
		return false;
	if (!take_part(&at, &len) || len == 0) /* service */
		return false;
	if (!take_part(&at, &len)) /* region */
		return false;
	account = at;
	return take_part(&at, &len) && is_account_part(account, len);
}

static int validate_source_arn(const char *arn, struct error *error)
{
	if (!arn[0])
		return 0;
	if (strnlen(arn, SOURCE_ARN_MAX + 1) > SOURCE_ARN_MAX)
		return text_refuse_length(error, "source_arn", "sourceArn", arn, SOURCE_ARN_MAX);
	return is_source_arn(arn) ? 0
				  : text_refuse_pattern(error, "source_arn", "sourceArn", arn,
							SOURCE_ARN_PATTERN);
}

static int validate_account(const char *account, struct error *error)
{
	return !account[0] || tenant_id_is_valid(account)
		       ? 0
		       : text_refuse_pattern(error, "source_account", "sourceAccount", account,
					     ACCOUNT_PATTERN);
}

static int validate_token(const char *token, struct error *error)
{
	if (!token[0])
		return 0;
	if (strnlen(token, TOKEN_MAX + 1) > TOKEN_MAX)
		return text_refuse_length(error, "event_source_token", "eventSourceToken", token,
					  TOKEN_MAX);
	return is_all(token, is_token_character)
		       ? 0
		       : text_refuse_pattern(error, "event_source_token", "eventSourceToken", token,
					     TOKEN_PATTERN);
}

static int validate_organisation(const char *id, struct error *error)
{
	size_t len;

	if (!id[0])
		return 0;
	len = strncmp(id, "o-", 2) == 0 ? count(id + 2, is_lower_or_digit) : 0;
	return len >= ORGANISATION_MIN && len <= ORGANISATION_MAX && id[2 + len] == 0
		       ? 0
		       : text_refuse_pattern(error, "principal_org_id", "principalOrgID", id,
					     ORGANISATION_PATTERN);
}

static int validate_url(const struct policy_request *request, struct error *error)
{
	const char *type = request->function_url_auth_type;

	if (type[0] && strcmp(type, "NONE") != 0 && strcmp(type, "AWS_IAM") != 0)
		return error_set(error, ERROR_INVALID_PARAMETER, "function_url_auth_type",
				 "1 validation error detected: Value '%.*s%s' at "
				 "'functionUrlAuthType' failed to satisfy constraint: Member must "
				 "satisfy enum value set: [NONE, AWS_IAM]",
				 shown_length(type, SHOWN_BYTES), type,
				 shown_rest(type, SHOWN_BYTES));
	if (type[0] && strcmp(request->action, "lambda:InvokeFunctionUrl") != 0)
		return error_set(error, ERROR_INVALID_PARAMETER, "function_url_auth_type",
				 "FunctionUrlAuthType is only supported for "
				 "lambda:InvokeFunctionUrl action");
	if (request->invoked_via_function_url &&
	    strcmp(request->action, "lambda:InvokeFunction") != 0)
		return error_set(
			error, ERROR_INVALID_PARAMETER, "invoked_via_function_url",
			"InvokedViaFunctionUrl is only supported for lambda:InvokeFunction action");
	return 0;
}

int policy_validate(const struct policy_request *request, struct error *error)
{
	int r = policy_validate_sid(request->sid, error);

	if (r == 0)
		r = validate_action(request->action, error);
	if (r == 0)
		r = validate_source_arn(request->source_arn, error);
	if (r == 0)
		r = validate_account(request->source_account, error);
	if (r == 0)
		r = validate_token(request->event_source_token, error);
	if (r == 0)
		r = validate_organisation(request->principal_org_id, error);
	return r < 0 ? r : validate_url(request, error);
}

/* -- principals -- */

/* arn:PARTITION:iam::ACCOUNT:root, :user/NAME or :role/NAME, a path before the name included. */
static bool is_identity(const char *arn)
{
	const char *at = arn, *account;
	size_t len;

	if (strncmp(arn, "arn:aws", 7) != 0 || !take_part(&at, &len) || !take_part(&at, &len))
		return false;
	if (strncmp(at, "iam::", 5) != 0)
		return false;
	account = at + 5;
	at = account;
	if (!take_part(&at, &len) || len == 0 || !is_account_part(account, len))
		return false;
	if (strcmp(at, "root") == 0)
		return true;
	return (strncmp(at, "user/", 5) == 0 || strncmp(at, "role/", 5) == 0) && at[5] &&
	       !strchr(at, ':');
}

static bool is_service_character(char c)
{
	return is_lower_or_digit(c) || c == '.' || c == '-';
}

/* Which services there are is AWS's to know. */
static bool is_service(const char *name)
{
	size_t len = strlen(name), suffix = strlen(SERVICE_SUFFIX);

	return name[0] != '.' && len > suffix && is_all(name, is_service_character) &&
	       strcmp(name + len - suffix, SERVICE_SUFFIX) == 0;
}

static bool has_space(const char *text)
{
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c <= ' ' || *c == 0x7f)
			return true;
	return false;
}

int policy_parse_principal(const char *text, enum policy_principal *ret_kind, char **ret,
			   struct error *error)
{
	int r = 0;

	if (!text[0] || has_space(text))
		return text_refuse_pattern(error, "principal", "principal", text,
					   PRINCIPAL_PATTERN);
	if (strcmp(text, "*") == 0) {
		*ret_kind = POLICY_EVERYBODY;
		*ret = strdup("");
	} else if (tenant_id_is_valid(text)) {
		*ret_kind = POLICY_AWS;
		r = asprintf(ret, "arn:aws:iam::%s:root", text);
	} else if (strnlen(text, PRINCIPAL_MAX + 1) <= PRINCIPAL_MAX && is_identity(text)) {
		*ret_kind = POLICY_AWS;
		*ret = strdup(text);
	} else if (strnlen(text, PRINCIPAL_MAX + 1) <= PRINCIPAL_MAX && is_service(text)) {
		*ret_kind = POLICY_SERVICE;
		*ret = strdup(text);
	} else {
		return error_set(error, ERROR_INVALID_PARAMETER, "principal",
				 "The provided principal was invalid. Please check the principal "
				 "and try again.");
	}
	if (r < 0)
		*ret = NULL;
	return *ret ? 0 : error_set_errno(error, ENOMEM, "Cannot change the policy");
}

/* -- JSON -- */

/* Into the operator's object, which is made when it is needed. */
static int add_condition(json_t *condition, const char *operator, const char * key,
			 const char *value)
{
	json_t *object = json_object_get(condition, operator);

	if (!value)
		return 0;
	if (!object) {
		object = json_object();
		if (json_object_set_new(condition, operator, object) < 0)
			return -ENOMEM;
	}
	return json_object_set_new(object, key, json_string(value)) < 0 ? -ENOMEM : 0;
}

static json_t *condition_of(const struct policy_statement *statement)
{
	json_t *condition = json_object();

	if (condition &&
	    add_condition(condition, "StringEquals", "lambda:FunctionUrlAuthType",
			  statement->function_url_auth_type) == 0 &&
	    add_condition(condition, "StringEquals", "aws:PrincipalOrgID",
			  statement->principal_org_id) == 0 &&
	    add_condition(condition, "StringEquals", "AWS:SourceAccount",
			  statement->source_account) == 0 &&
	    add_condition(condition, "StringEquals", "lambda:EventSourceToken",
			  statement->event_source_token) == 0 &&
	    add_condition(condition, "Bool", "lambda:InvokedViaFunctionUrl",
			  statement->invoked_via_function_url ? "true" : NULL) == 0 &&
	    add_condition(condition, "ArnLike", "AWS:SourceArn", statement->source_arn) == 0)
		return condition;
	json_decref(condition);
	return NULL;
}

static json_t *principal_of(const struct policy_statement *statement)
{
	if (statement->kind == POLICY_EVERYBODY)
		return json_string("*");
	return json_pack("{s:s}", statement->kind == POLICY_SERVICE ? "Service" : "AWS",
			 statement->principal);
}

static json_t *statement_of(const struct policy_statement *statement, const char *resource)
{
	json_t *condition = condition_of(statement);
	json_t *object =
		condition ? json_pack("{s:s,s:s,s:o,s:s,s:s}", "Sid", statement->sid, "Effect",
				      "Allow", "Principal", principal_of(statement), "Action",
				      statement->action, "Resource", resource)
			  : NULL;

	if (object && json_object_size(condition) > 0 &&
	    json_object_set(object, "Condition", condition) < 0) {
		json_decref(object);
		object = NULL;
	}
	json_decref(condition);
	return object;
}

static char *print(json_t *object)
{
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	return text;
}

char *policy_statement_json(const struct policy_statement *statement, const char *resource)
{
	return print(statement_of(statement, resource));
}

char *policy_json(const struct policy *policy, const char *resource)
{
	json_t *statements = json_array();

	for (size_t i = 0; i < policy->count; i++)
		if (json_array_append_new(statements,
					  statement_of(&policy->statements[i], resource)) < 0) {
			json_decref(statements);
			return NULL;
		}
	return print(json_pack("{s:s,s:s,s:o}", "Version", "2012-10-17", "Id", "default",
			       "Statement", statements));
}
