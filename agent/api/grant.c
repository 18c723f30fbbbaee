/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/grant.h"

#include <stdio.h>
#include <string.h>

#include "agent/deploy/policy_directory.h"

/* The account in the name; else the tenant that is named; else the own one. A name that says one
 * thing and a tenant that says another is a mistake, which is answered as ever. */
static bool find_owner(const struct grant_question *question, char ret[TENANT_ID_BYTES])
{
	const char *own = question->user->tenant, *named = question->tenant;

	if (!strchr(question->function_name, ':') ||
	    !function_reference_account(question->function_name, ret))
		(void)snprintf(ret, TENANT_ID_BYTES, "%s", named[0] ? named : own);
	return !named[0] || strcmp(named, own) == 0 || strcmp(named, ret) == 0;
}

bool grant_find(const struct directory *directory, const struct grant_question *question,
		char ret_owner[TENANT_ID_BYTES])
{
	const struct principal *user = question->user;
	struct policy_caller caller = { .tenant = user->tenant, .user = user->name };
	struct function_reference reference;
	const struct policy *policy;
	const char *revision_id;

	if (!find_owner(question, ret_owner))
		return false;
	caller.is_owner = strcmp(ret_owner, user->tenant) == 0;
	caller.may_at_home = access_role_may(question->row, user->role);
	if (caller.is_owner && !question->is_refused)
		return false;
	return function_parse_reference(question->function_name, question->qualifier,
					directory_region(directory), ret_owner, &reference,
					NULL) == 0 &&
	       directory_find_policy(directory, ret_owner, reference.name, reference.qualifier,
				     &policy, &revision_id) &&
	       policy_grants(policy, question->row->grant, &caller);
}
