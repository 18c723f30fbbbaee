/* SPDX-License-Identifier: Apache-2.0 */

/* Resource policies: what each request means, and what is seen of them. Each is kept with the
 * function, version or alias it is about, so that it goes with it. */

#include "agent/deploy/policy_directory.h"

#include <errno.h>
#include <string.h>

#include "agent/deploy/change.h"

static int refuse_memory(struct change *change)
{
	return error_set_errno(&change->error, ENOMEM, "Cannot change the policy");
}

static int check_revision(struct change *change, const char *current)
{
	if (!change->revision_id[0] || strcmp(change->revision_id, current) == 0)
		return 0;
	return error_set(&change->error, ERROR_PRECONDITION_FAILED, "revision_id",
			 "The Revision Id provided does not match the latest Revision Id. Call the "
			 "GetPolicy API to retrieve the latest Revision Id");
}

/* -- whose policy -- */

/* A copy that is to be changed; exactly one of them is set. */
struct target {
	struct function *function;
	struct alias *alias;
};

static struct policy **policy_of(const struct target *target)
{
	return target->alias ? &target->alias->policy : &target->function->policy;
}

static char *revision_of(const struct target *target)
{
	return target->alias ? target->alias->revision_id : target->function->revision_id;
}

static int copy_function(struct change *change, const struct function *from, struct function **ret,
			 struct target *target)
{
	if (function_copy(from, ret) < 0)
		return refuse_memory(change);
	target->function = *ret;
	return 0;
}

static int refuse_missing(struct change *change)
{
	_cleanup_free_ char *arn = function_arn(change->directory->region, change->tenant,
						change->name, change->qualifier);
	uint64_t version;

	if (function_version_parse(change->qualifier, &version))
		return directory_set_not_found(change->directory, change->tenant, change->name,
					       change->qualifier, &change->error);
	return error_set(&change->error, ERROR_NOT_FOUND, "qualifier", "Cannot find alias arn: %s",
			 arn ? arn : change->qualifier);
}

/* What is not about the function itself leaves it as it is. */
static int find_target(struct change *change, struct target *target)
{
	const struct entry *head = change->entry, *entry = NULL;
	const struct alias_entry *alias;
	uint64_t version;

	change->keeps_function = change->qualifier[0] != 0;
	if (!change->keeps_function) {
		/* The record is written whole: what is still to be built stays in it. */
		copy_id(change->upload_id, head->upload_id);
		return copy_function(change, head->function, &change->next, target);
	}
	if (function_version_parse(change->qualifier, &version))
		entry = entry_find_version(head, version);
	if (entry)
		return copy_function(change, entry->function, &change->version, target);
	alias = alias_find(head, change->qualifier);
	if (!alias)
		return refuse_missing(change);
	if (alias_copy(alias->alias, &change->alias) < 0)
		return refuse_memory(change);
	change->alias_name = change->alias->name;
	target->alias = change->alias;
	return 0;
}

static void replace(const struct target *target, struct policy *policy)
{
	struct policy **at = policy_of(target);

	policy_free(*at);
	*at = policy;
	uuid_generate(revision_of(target));
}

/* -- requests -- */

static int check_qualifier(struct change *change)
{
	if (strcmp(change->qualifier, FUNCTION_LATEST) != 0)
		return 0;
	return error_set(&change->error, ERROR_INVALID_PARAMETER, "qualifier",
			 "We currently do not support adding policies for $LATEST.");
}

static int add_begin(struct change *change)
{
	_cleanup_free_ char *arn = function_arn(change->directory->region, change->tenant,
						change->name, change->qualifier);
	struct target target = { 0 };
	struct policy *policy = NULL;
	int r = check_qualifier(change);

	if (r < 0)
		return r;
	if (!change->entry->function)
		return directory_set_not_found(change->directory, change->tenant, change->name,
					       change->qualifier, &change->error);
	r = find_target(change, &target);
	if (r == 0)
		r = check_revision(change, revision_of(&target));
	if (r == 0)
		r = arn ? policy_add(*policy_of(&target), change->statement, arn, &policy,
				     &change->error)
			: refuse_memory(change);
	if (r == 0)
		replace(&target, policy);
	return r;
}

static int remove_begin(struct change *change)
{
	_cleanup_free_ char *arn =
		function_arn(change->directory->region, change->tenant, change->name, NULL);
	struct target target = { 0 };
	struct policy *policy = NULL;
	int r;

	if (!change->entry->function)
		return error_set(&change->error, ERROR_NOT_FOUND, "function_name",
				 "No policy found for: %s", arn ? arn : change->name);
	if (strcmp(change->qualifier, FUNCTION_LATEST) == 0)
		change->qualifier = "";
	r = find_target(change, &target);
	if (r == 0)
		r = policy_remove(*policy_of(&target), change->statement->sid, &policy,
				  &change->error);
	if (r < 0)
		return r;
	/* Last, as in Lambda: of what is not there no revision is asked. */
	r = check_revision(change, revision_of(&target));
	if (r < 0)
		policy_free(policy);
	else
		replace(&target, policy);
	return r;
}

static void committed(struct change *change)
{
	if (change->alias)
		alias_put(change->entry, TAKE_PTR(change->alias));
}

static const struct change_kind add_kind = { .begin = add_begin, .committed = committed };
static const struct change_kind remove_kind = { .begin = remove_begin, .committed = committed };

static void ask(struct directory *directory, const struct change_kind *kind,
		const struct directory_permission *request, directory_answer_fn *answer, void *arg)
{
	struct change *change =
		change_new(kind, request->tenant, request->function_name, answer, arg);

	change->qualifier = request->qualifier;
	change->revision_id = request->revision_id;
	change->statement = &request->statement;
	change_ask(change, directory);
}

void directory_add_permission(struct directory *directory,
			      const struct directory_permission *request,
			      directory_answer_fn *answer, void *arg)
{
	ask(directory, &add_kind, request, answer, arg);
}

void directory_remove_permission(struct directory *directory,
				 const struct directory_permission *request,
				 directory_answer_fn *answer, void *arg)
{
	ask(directory, &remove_kind, request, answer, arg);
}

/* -- reading -- */

bool directory_find_policy(const struct directory *directory, const char *tenant,
			   const char *function_name, const char *qualifier,
			   const struct policy **ret, const char **ret_revision_id)
{
	const struct function *function;
	const struct alias *alias =
		directory_find_alias(directory, tenant, function_name, qualifier);

	function = alias ? NULL
			 : directory_find_qualified(directory, tenant, function_name, qualifier);
	if (!alias && !function)
		return false;
	*ret = alias ? alias->policy : function->policy;
	*ret_revision_id = alias ? alias->revision_id : function->revision_id;
	return true;
}
