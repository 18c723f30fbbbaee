/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/functions/function.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/functions/policy.h"
#include "mayfly/id.h"

#define BIT(state) (UINT32_C(1) << (state))

static const char *const state_names[] = {
	[FUNCTION_PENDING] = "Pending",
	[FUNCTION_ACTIVE] = "Active",
	[FUNCTION_INACTIVE] = "Inactive",
	[FUNCTION_FAILED] = "Failed",
};

static const uint32_t state_successors[] = {
	[FUNCTION_PENDING] = BIT(FUNCTION_ACTIVE) | BIT(FUNCTION_FAILED),
	[FUNCTION_ACTIVE] = BIT(FUNCTION_INACTIVE),
	[FUNCTION_INACTIVE] = BIT(FUNCTION_PENDING),
	[FUNCTION_FAILED] = 0,
};

const struct state_table function_states = { "function", state_names, state_successors,
					     ARRAY_SIZE(state_names) };

static const char *const update_names[] = {
	[UPDATE_SUCCESSFUL] = "Successful",
	[UPDATE_FAILED] = "Failed",
	[UPDATE_IN_PROGRESS] = "InProgress",
};

static const uint32_t update_successors[] = {
	[UPDATE_SUCCESSFUL] = BIT(UPDATE_IN_PROGRESS),
	[UPDATE_FAILED] = BIT(UPDATE_IN_PROGRESS),
	[UPDATE_IN_PROGRESS] = BIT(UPDATE_SUCCESSFUL) | BIT(UPDATE_FAILED),
};

const struct state_table update_statuses = { "update", update_names, update_successors,
					     ARRAY_SIZE(update_names) };

const char *function_state_name(enum function_state state)
{
	return state_name(&function_states, state);
}

const char *update_status_name(enum update_status status)
{
	return state_name(&update_statuses, status);
}

/* Both new strings are made before anything changes. */
static int replace_reason(char **reason, char **code, const char *new_reason, const char *new_code)
{
	_cleanup_free_ char *reason_copy = new_reason ? strdup(new_reason) : NULL;
	_cleanup_free_ char *code_copy = new_code ? strdup(new_code) : NULL;

	if ((new_reason && !reason_copy) || (new_code && !code_copy))
		return -ENOMEM;
	free(*reason);
	free(*code);
	*reason = TAKE_PTR(reason_copy);
	*code = TAKE_PTR(code_copy);
	return 0;
}

int function_set_state(struct function *function, enum function_state state, const char *reason,
		       const char *reason_code)
{
	int r;

	if (!state_may_follow(&function_states, function->state, state))
		return -EINVAL;
	r = replace_reason(&function->state_reason, &function->state_reason_code, reason,
			   reason_code);
	if (r < 0)
		return r;
	function->state = state;
	uuid_generate(function->revision_id);
	return 0;
}

int function_set_update_status(struct function *function, enum update_status status,
			       const char *reason, const char *reason_code)
{
	int r;

	if (!state_may_follow(&update_statuses, function->update_status, status))
		return -EINVAL;
	r = replace_reason(&function->update_reason, &function->update_reason_code, reason,
			   reason_code);
	if (r < 0)
		return r;
	function->update_status = status;
	uuid_generate(function->revision_id);
	return 0;
}

const struct function_config *function_visible_config(const struct function *function)
{
	return function->update ? function->update : &function->config;
}

struct function *function_free(struct function *function)
{
	if (!function)
		return NULL;
	function_config_clear(&function->config);
	if (function->update)
		function_config_clear(function->update);
	free(function->update);
	free(function->tenant);
	free(function->name);
	free(function->source_description);
	free(function->state_reason);
	free(function->state_reason_code);
	free(function->update_reason);
	free(function->update_reason_code);
	policy_free(function->policy);
	tag_set_clear(&function->tags);
	free(function);
	return NULL;
}

static int copy_string(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

static int copy_update(struct function *to, const struct function *from)
{
	if (!from->update)
		return 0;
	to->update = calloc(1, sizeof(*to->update));
	if (!to->update)
		return -ENOMEM;
	return function_config_copy(to->update, from->update);
}

int function_copy(const struct function *from, struct function **ret)
{
	_cleanup_(function_free_p) struct function *to = calloc(1, sizeof(*to));

	if (!to)
		return -ENOMEM;
	if (copy_string(&to->tenant, from->tenant) < 0 || copy_string(&to->name, from->name) < 0 ||
	    copy_string(&to->source_description, from->source_description) < 0 ||
	    copy_string(&to->state_reason, from->state_reason) < 0 ||
	    copy_string(&to->state_reason_code, from->state_reason_code) < 0 ||
	    copy_string(&to->update_reason, from->update_reason) < 0 ||
	    copy_string(&to->update_reason_code, from->update_reason_code) < 0 ||
	    tag_set_copy(&to->tags, &from->tags) < 0 ||
	    function_config_copy(&to->config, &from->config) < 0 || copy_update(to, from) < 0 ||
	    policy_copy(from->policy, &to->policy) < 0)
		return -ENOMEM;
	to->version = from->version;
	to->state = from->state;
	to->update_status = from->update_status;
	memcpy(to->revision_id, from->revision_id, sizeof(to->revision_id));
	to->last_modified_us = from->last_modified_us;
	to->has_reserved_concurrency = from->has_reserved_concurrency;
	to->reserved_concurrency = from->reserved_concurrency;
	to->provisioned = from->provisioned;
	to->provisioned_us = from->provisioned_us;
	to->generation = from->generation;
	*ret = TAKE_PTR(to);
	return 0;
}

char *function_arn(const char *region, const char *tenant, const char *name, const char *qualifier)
{
	bool qualified = qualifier && qualifier[0];
	char *arn;

	if (asprintf(&arn, "arn:aws:lambda:%s:%s:function:%s%s%s", region, tenant, name,
		     qualified ? ":" : "", qualified ? qualifier : "") < 0)
		return NULL;
	return arn;
}
