/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/deploy/record_policy.h"

#include <errno.h>

typedef Mayfly__Store__V1__StoredStatement stored_statement;

static char *borrow(const char *text)
{
	return text ? (char *)(uintptr_t)text : (char *)(uintptr_t) "";
}

static void fill(const struct policy_statement *from, stored_statement *to)
{
	mayfly__store__v1__stored_statement__init(to);
	to->sid = from->sid;
	to->action = from->action;
	/* The stored enum has an unspecified zero before ours. */
	to->kind = (Mayfly__Store__V1__StoredPrincipal)(from->kind + 1);
	to->principal = from->principal;
	to->source_arn = borrow(from->source_arn);
	to->source_account = borrow(from->source_account);
	to->event_source_token = borrow(from->event_source_token);
	to->principal_org_id = borrow(from->principal_org_id);
	to->function_url_auth_type = borrow(from->function_url_auth_type);
	to->invoked_via_function_url = from->invoked_via_function_url;
}

int record_fill_policy(const struct policy *policy, struct policy_message *to)
{
	size_t count = policy ? policy->count : 0;

	*to = (struct policy_message){ 0 };
	if (!count)
		return 0;
	to->statements = calloc(count, sizeof(*to->statements));
	to->pointers = calloc(count, sizeof(*to->pointers));
	if (!to->statements || !to->pointers)
		return -ENOMEM;
	for (; to->count < count; to->count++) {
		fill(&policy->statements[to->count], &to->statements[to->count]);
		to->pointers[to->count] = &to->statements[to->count];
	}
	return 0;
}

void record_clear_policy(struct policy_message *message)
{
	free(message->statements);
	free(message->pointers);
}

static int append(const stored_statement *from, struct policy *to)
{
	const struct policy_request kept = {
		.sid = from->sid,
		.action = from->action,
		.principal = from->principal,
		.source_arn = from->source_arn,
		.source_account = from->source_account,
		.event_source_token = from->event_source_token,
		.principal_org_id = from->principal_org_id,
		.function_url_auth_type = from->function_url_auth_type,
		.invoked_via_function_url = from->invoked_via_function_url,
	};

	if (from->kind < 1 || from->kind > POLICY_SERVICE + 1 || !from->sid[0] || !from->action[0])
		return -EUCLEAN;
	return policy_append(to, &kept, (enum policy_principal)(from->kind - 1));
}

int record_decode_policy(stored_statement *const *statements, size_t count, struct policy **ret)
{
	_cleanup_(policy_free_p) struct policy *policy = count ? calloc(1, sizeof(*policy)) : NULL;
	int r = count && !policy ? -ENOMEM : 0;

	for (size_t i = 0; i < count && r == 0; i++)
		r = append(statements[i], policy);
	if (r == 0)
		*ret = TAKE_PTR(policy);
	return r;
}
