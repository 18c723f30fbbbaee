/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "agent/deploy/change.h"
#include "agent/functions/destination.h"
#include "agent/deploy/layer_use.h"
#include "mayfly/clock.h"

/* Lambda's words, for an update as well. */
#define CREATING_REASON "The function is being created."
#define CREATING_CODE   "Creating"

static int refuse_memory(struct change *change)
{
	return error_set_errno(&change->error, ENOMEM, "Cannot change the function");
}

static int validate(struct change *change, const struct function_config *config)
{
	const struct directory *directory = change->directory;
	int r;

	r = function_validate_config(config, &change->error);
	if (r == 0)
		r = destination_check_dead_letters(config, directory->region, change->tenant,
						   &change->error);
	if (r < 0)
		return r;
	return function_validate_runtime(config->runtime, (const char *const *)directory->runtimes,
					 directory->runtime_count, &change->error);
}

static int check_zip_given(struct change *change)
{
	if (change->zip.len)
		return 0;
	return error_set(&change->error, ERROR_INVALID_PARAMETER, "zip_file",
			 "Please provide a source for function code.");
}

static void prepare(struct change *change)
{
	preparation_start(change->directory, change->entry);
}

/* -- create -- */

static int fill_new_function(struct change *change, struct function *function)
{
	function->tenant = strdup(change->tenant);
	function->name = strdup(change->name);
	function->state_reason = strdup(CREATING_REASON);
	function->state_reason_code = strdup(CREATING_CODE);
	if (!function->tenant || !function->name || !function->state_reason ||
	    !function->state_reason_code)
		return -ENOMEM;
	function->state = FUNCTION_PENDING;
	function->update_status = UPDATE_SUCCESSFUL;
	function->last_modified_us = clock_realtime_us();
	function->generation = ++change->directory->last_generation;
	uuid_generate(function->revision_id);
	if (function_config_set_defaults(&function->config, change->name) < 0 ||
	    tag_set_put(&function->tags, change->tags, change->tag_count) < 0)
		return -ENOMEM;
	return function_config_apply(&function->config, change->patch);
}

static int create_begin(struct change *change)
{
	_cleanup_(function_free_p) struct function *function = calloc(1, sizeof(*function));
	int r;

	if (!function || fill_new_function(change, function) < 0)
		return refuse_memory(change);
	r = validate(change, &function->config);
	if (r == 0)
		r = tag_set_validate(&function->tags, &change->error);
	if (r == 0)
		r = layer_use_resolve(change, &function->config, NULL);
	if (r < 0)
		return r;
	r = check_zip_given(change);
	if (r < 0)
		return r;
	if (change->entry->function)
		return error_set(&change->error, ERROR_CONFLICT, "function_name",
				 "Function already exist: %s", change->name);
	change->next = TAKE_PTR(function);
	return 0;
}

/* The version waits for the package that $LATEST waits for. */
static int plan_version(struct change *change)
{
	return change->publish ? publish_plan(change, change->next) : 0;
}

static const struct change_kind create_kind = {
	.begin = create_begin,
	.taken_in = plan_version,
	.committed = prepare,
	.has_zip = true,
};

/* -- update -- */

static int refuse_state(struct change *change, const struct function *function)
{
	return error_set(
		&change->error, ERROR_CONFLICT, "function_name",
		"The operation cannot be performed at this time. The function is currently "
		"in the following state: %s",
		function_state_name(function->state));
}

static int refuse_in_progress(struct change *change)
{
	_cleanup_free_ char *arn =
		function_arn(change->directory->region, change->tenant, change->name, NULL);

	return error_set(&change->error, ERROR_CONFLICT, "function_name",
			 "The operation cannot be performed at this time. An update is in progress "
			 "for resource: %s",
			 arn ? arn : change->name);
}

int change_check_revision(struct change *change, const char *current)
{
	if (!change->revision_id || !change->revision_id[0] ||
	    strcmp(change->revision_id, current) == 0)
		return 0;
	return error_set(&change->error, ERROR_PRECONDITION_FAILED, "revision_id",
			 "The Revision Id provided does not match the latest Revision Id. "
			 "Call the GetFunction/GetAlias API to retrieve the latest Revision "
			 "Id");
}

int change_check_settled(struct change *change)
{
	const struct function *function = change->entry->function;
	int r;

	if (!function)
		return directory_set_not_found(change->directory, change->tenant, change->name,
					       NULL, &change->error);
	r = change_check_revision(change, function->revision_id);
	if (r < 0)
		return r;
	if (function->state == FUNCTION_PENDING || function->state == FUNCTION_FAILED)
		return refuse_state(change, function);
	if (function->update_status == UPDATE_IN_PROGRESS)
		return refuse_in_progress(change);
	return 0;
}

/* `next` is the function with an update of its own configuration. */
static int begin_update(struct change *change, struct function *next)
{
	int r;

	next->update = calloc(1, sizeof(*next->update));
	if (!next->update || function_config_copy(next->update, &next->config) < 0)
		return refuse_memory(change);
	r = function_set_update_status(next, UPDATE_IN_PROGRESS, CREATING_REASON, CREATING_CODE);
	if (r < 0)
		return refuse_memory(change);
	next->last_modified_us = clock_realtime_us();
	return 0;
}

static int update_code_begin(struct change *change)
{
	_cleanup_(function_free_p) struct function *next = NULL;
	int r;

	r = change_check_settled(change);
	if (r < 0)
		return r;
	r = check_zip_given(change);
	if (r < 0)
		return r;
	if (function_copy(change->entry->function, &next) < 0)
		return refuse_memory(change);
	r = change->dry_run ? 0 : begin_update(change, next);
	if (r < 0)
		return r;
	change->next = TAKE_PTR(next);
	return 0;
}

static const struct change_kind update_code_kind = {
	.begin = update_code_begin,
	.taken_in = plan_version,
	.committed = prepare,
	.has_zip = true,
};

static int update_configuration_begin(struct change *change)
{
	_cleanup_(function_free_p) struct function *next = NULL;
	int r;

	r = change_check_settled(change);
	if (r < 0)
		return r;
	if (function_copy(change->entry->function, &next) < 0)
		return refuse_memory(change);
	r = begin_update(change, next);
	if (r < 0)
		return r;
	if (function_config_apply(next->update, change->patch) < 0)
		return refuse_memory(change);
	r = validate(change, next->update);
	if (r == 0)
		r = layer_use_resolve(change, next->update, &next->config);
	if (r < 0)
		return r;
	change->next = TAKE_PTR(next);
	return 0;
}

static const struct change_kind update_configuration_kind = {
	.begin = update_configuration_begin,
	.committed = prepare,
};

/* -- delete -- */

static int delete_begin(struct change *change)
{
	if (!change->entry->function)
		return directory_set_not_found(change->directory, change->tenant, change->name,
					       NULL, &change->error);
	copy_id(change->spent_upload_id, change->entry->upload_id);
	return 0;
}

static void delete_committed(struct change *change)
{
	struct entry *version;

	alias_drop_all(change->entry);
	while ((version = TAILQ_FIRST(&change->entry->versions)))
		entry_drop_version(change->directory, version);
	preparation_abandon(change->entry);
}

static const struct change_kind delete_kind = {
	.begin = delete_begin,
	.committed = delete_committed,
};

/* -- the door -- */

void directory_create(struct directory *directory, const struct directory_create_request *request,
		      directory_answer_fn *answer, void *arg)
{
	struct change *change =
		change_new(&create_kind, request->tenant, request->name, answer, arg);

	change->patch = &request->config;
	change->tags = request->tags;
	change->tag_count = request->tag_count;
	change->zip = request->zip;
	change->publish = request->publish;
	change_ask(change, directory);
}

void directory_update_code(struct directory *directory,
			   const struct directory_update_code_request *request,
			   directory_answer_fn *answer, void *arg)
{
	struct change *change =
		change_new(&update_code_kind, request->tenant, request->name, answer, arg);

	change->revision_id = request->revision_id;
	change->zip = request->zip;
	change->dry_run = request->dry_run;
	change->publish = request->publish;
	change_ask(change, directory);
}

void directory_update_configuration(struct directory *directory,
				    const struct directory_update_configuration_request *request,
				    directory_answer_fn *answer, void *arg)
{
	struct change *change =
		change_new(&update_configuration_kind, request->tenant, request->name, answer, arg);

	change->revision_id = request->revision_id;
	change->patch = &request->config;
	change_ask(change, directory);
}

void directory_delete(struct directory *directory, const char *tenant, const char *name,
		      directory_answer_fn *answer, void *arg)
{
	change_ask(change_new(&delete_kind, tenant, name, answer, arg), directory);
}
