/* SPDX-License-Identifier: Apache-2.0 */

/* Policies of layer versions: kept in the version's record, so that they go with it. */

#include <errno.h>
#include <string.h>

#include "agent/deploy/layer_internal.h"
#include "agent/functions/text.h"

int directory_set_no_layer(const struct directory *directory, const char *tenant, const char *name,
			   uint64_t version, struct error *error)
{
	_cleanup_free_ char *arn = layer_arn(directory->region, tenant, name, version);

	return error_set(error, ERROR_NOT_FOUND, "layer_name", "Layer version %.*s does not exist.",
			 arn ? shown_length(arn, SHOWN_BYTES) : (int)strlen(name),
			 arn ? arn : name);
}

static int check_revision(struct layer_change *change, const struct layer_version *version)
{
	const char *given = change->permission->revision_id;

	if (!given[0] || strcmp(given, version->revision_id) == 0)
		return 0;
	return error_set(&change->error, ERROR_PRECONDITION_FAILED, "revision_id",
			 "The Revision Id provided does not match the latest Revision Id. Call the "
			 "GetLayerPolicy API to retrieve the latest Revision Id");
}

static int plan(struct layer_change *change, const struct layer_version *version)
{
	const struct directory_layer_permission *permission = change->permission;
	_cleanup_free_ char *arn =
		layer_arn(change->directory->region, change->tenant, change->name, change->number);
	int r = check_revision(change, version);

	if (r < 0)
		return r;
	if (permission->removes)
		return policy_remove(version->policy, permission->statement.sid, &change->policy,
				     &change->error);
	r = arn ? layer_validate_permission(&permission->statement, &change->error)
		: error_set_errno(&change->error, ENOMEM, "Cannot change the policy");
	return r < 0 ? r
		     : policy_add(version->policy, &permission->statement, arn, &change->policy,
				  &change->error);
}

/* The version as it shall be, in the registry's bytes. */
static int encode(struct layer_change *change, const struct layer_version *version)
{
	struct layer_version next = *version;
	int r;

	uuid_generate(change->revision_id);
	memcpy(next.revision_id, change->revision_id, UUID_BYTES);
	next.policy = change->policy;
	r = layer_encode(&next, &change->record);
	return r < 0 ? error_set_errno(&change->error, r, "Cannot write down the policy") : 0;
}

static void commit(struct job *job)
{
	struct layer_change *change = container_of(job, struct layer_change, job.job);
	char key[LAYER_KEY_BYTES];

	layer_key(change->tenant, change->name, change->number, key);
	const struct registry_write write = { .key = key,
					      .value = buf_slice(&change->record),
					      .revision = REGISTRY_ANY_REVISION };
	(void)!registry_commit(change->directory->registry, &write, 1, NULL, &change->error);
}

static void on_committed(struct lane_job *job)
{
	struct layer_change *change = container_of(job, struct layer_change, job);
	struct directory *directory = change->directory;
	struct layer_version *version =
		change->error.code
			? NULL
			: layer_take(layer_find_entry(directory, change->tenant, change->name),
				     change->number);

	if (version) {
		policy_free(version->policy);
		version->policy = TAKE_PTR(change->policy);
		memcpy(version->revision_id, change->revision_id, UUID_BYTES);
		layer_put(layer_find_entry(directory, change->tenant, change->name), version);
	}
	layer_change_end(change);
	directory_job_done(directory);
}

static void permit(void *arg)
{
	struct layer_change *change = arg;
	const struct layer_version *version;
	int r;

	if (layer_change_must_wait(change))
		return;
	version = directory_find_layer(change->directory, change->tenant, change->name,
				       change->number);
	r = layer_change_check_running(change);
	if (r == 0 && !version)
		r = directory_set_no_layer(change->directory, change->tenant, change->name,
					   change->number, &change->error);
	if (r == 0)
		r = plan(change, version);
	if (r == 0)
		r = encode(change, version);
	if (r < 0) {
		layer_change_end(change);
		return;
	}
	change->committing = true;
	layer_change_submit(change, &change->directory->registry_lane, commit, on_committed);
}

void directory_permit_layer(struct directory *directory,
			    const struct directory_layer_permission *request,
			    directory_layer_fn *answer, void *arg)
{
	struct layer_change *change =
		layer_change_new(directory, request->tenant, request->name, answer, arg);

	change->permission = request;
	change->number = request->version;
	change->begin = permit;
	loop_post(directory->loop, permit, change);
}
