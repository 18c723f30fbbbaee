/* SPDX-License-Identifier: Apache-2.0 */

/* Layer versions come and go: the ZIP is checked and saved in a job, then the version gets its
 * number and is committed in another, then it is seen. Numbers are given on the loop, so that none
 * is given twice; one whose commit failed is not given again. */

#include <errno.h>
#include <string.h>

#include "agent/deploy/code_storage.h"
#include "agent/deploy/layer_internal.h"
#include "mayfly/clock.h"

#define WRITES 2

static void layer_change_free(struct layer_change *change)
{
	LIST_REMOVE(change, link);
	layer_version_free(change->version);
	policy_free(change->policy);
	buf_free(&change->record);
	error_clear(&change->error);
	free(change);
}

void layer_changes_forget(struct directory *directory)
{
	struct layer_change *change;

	while ((change = LIST_FIRST(&directory->layer_changes)))
		layer_change_free(change);
}

static void begin_waiting(struct directory *directory)
{
	struct layer_change *change;

	LIST_FOREACH (change, &directory->layer_changes, link) {
		if (change->waiting)
			loop_post(directory->loop, change->begin, change);
		change->waiting = false;
	}
}

bool layer_change_must_wait(struct layer_change *change)
{
	const struct layer_change *other;

	LIST_FOREACH (other, &change->directory->layer_changes, link)
		if (other->committing && other->number == change->number &&
		    strcmp(other->tenant, change->tenant) == 0 &&
		    strcmp(other->name, change->name) == 0)
			change->waiting = true;
	return change->waiting;
}

void layer_change_end(struct layer_change *change)
{
	struct directory *directory = change->directory;
	const struct error *error = change->error.code ? &change->error : NULL;
	const struct layer_version *version =
		error ? NULL
		      : directory_find_layer(directory, change->tenant, change->name,
					     change->number);

	change->answer(version, error, change->arg);
	layer_change_free(change);
	directory->changes--;
	begin_waiting(directory);
	garbage_collect(directory);
	directory_check_stopped(directory);
}

void layer_change_submit(struct layer_change *change, struct lane *lane,
			 void (*work)(struct job *job), void (*done)(struct lane_job *job))
{
	change->job = (struct lane_job){ .job.work = work, .done = done };
	if (lane == &change->directory->intake_lane)
		change->job.key = change->tenant;
	directory_submit(change->directory, lane, &change->job);
}

struct layer_change *layer_change_new(struct directory *directory, const char *tenant,
				      const char *name, directory_layer_fn *answer, void *arg)
{
	struct layer_change *change = calloc(1, sizeof(*change));

	if (!change)
		abort(); /* as loop_post(): there is no one to tell */
	change->directory = directory;
	change->tenant = tenant;
	change->name = name;
	change->answer = answer;
	change->arg = arg;
	directory->changes++;
	LIST_INSERT_HEAD(&directory->layer_changes, change, link);
	return change;
}

int layer_change_check_running(struct layer_change *change)
{
	return change->directory->stopping
		       ? error_set(&change->error, ERROR_UNAVAILABLE, NULL, "The node is stopping.")
		       : 0;
}

/* -- publishing -- */

/* Job of the registry's lane: touches nothing but the change. */
static void commit_version(struct job *job)
{
	struct layer_change *change = container_of(job, struct layer_change, job.job);
	const struct layer_version *version = change->version;
	struct layer_numbering numbering = { .last_version = version->version };
	char keys[WRITES][LAYER_KEY_BYTES];
	_cleanup_buf_ struct buf record = BUF_INIT, number = BUF_INIT;
	int r;

	(void)snprintf(numbering.tenant, sizeof(numbering.tenant), "%s", version->tenant);
	(void)snprintf(numbering.name, sizeof(numbering.name), "%s", version->name);
	layer_key(version->tenant, version->name, version->version, keys[0]);
	layer_numbering_key(version->tenant, version->name, keys[1]);
	r = layer_encode(version, &record);
	if (r == 0)
		r = layer_numbering_encode(&numbering, &number);
	if (r < 0) {
		(void)error_set_errno(&change->error, r, "Cannot write down the layer");
	} else {
		const struct registry_write writes[WRITES] = {
			{ .key = keys[0],
			  .value = buf_slice(&record),
			  .revision = REGISTRY_ANY_REVISION },
			{ .key = keys[1],
			  .value = buf_slice(&number),
			  .revision = REGISTRY_ANY_REVISION },
		};
		r = registry_commit(change->directory->registry, writes, WRITES, NULL,
				    &change->error);
	}
	if (r < 0)
		layer_file_remove(change->directory->state_dir, version->content);
}

static void on_version_committed(struct lane_job *job)
{
	struct layer_change *change = container_of(job, struct layer_change, job);
	struct directory *directory = change->directory;

	if (!change->error.code)
		layer_put(layer_get_entry(directory, change->tenant, change->name),
			  TAKE_PTR(change->version));
	layer_change_end(change);
	directory_job_done(directory);
}

/* Job of the intake lane. */
static void take_in(struct job *job)
{
	struct layer_change *change = container_of(job, struct layer_change, job.job);
	const char *state_dir = change->directory->state_dir;
	struct layer_version *version = change->version;
	struct package package = { 0 };
	char content[HEX_ID_BYTES];

	if (package_verify(state_dir, change->request->zip, &package, &change->error) < 0)
		return;
	hex_id_generate(content);
	version->content = strdup(content);
	version->code_sha256 = strdup(package.code_sha256);
	version->code_size_bytes = package.code_size_bytes;
	version->unzipped_bytes = package.unzipped_bytes;
	if (!version->content || !version->code_sha256)
		(void)error_set_errno(&change->error, ENOMEM, "Cannot take the layer");
	else
		(void)!layer_file_save(state_dir, content, change->request->zip, &change->error);
}

static void on_taken_in(struct lane_job *job)
{
	struct layer_change *change = container_of(job, struct layer_change, job);
	struct directory *directory = change->directory;

	if (!change->error.code &&
	    code_storage_check(directory, change->tenant, change->version->code_size_bytes,
			       &change->error) < 0)
		layer_file_remove(directory->state_dir, change->version->content);
	if (change->error.code) {
		layer_change_end(change);
	} else {
		struct layer_entry *entry =
			layer_get_entry(directory, change->tenant, change->name);
		change->number = change->version->version = ++entry->last_version;
		change->version->created_us = clock_realtime_us();
		layer_change_submit(change, &directory->registry_lane, commit_version,
				    on_version_committed);
	}
	directory_job_done(directory);
}

static int begin_version(struct layer_change *change)
{
	const struct directory_layer_request *request = change->request;
	int r = layer_change_check_running(change);

	if (r == 0)
		r = layer_validate_values(&request->values, &change->error);
	if (r < 0)
		return r;
	if (!request->zip.len)
		return error_set(&change->error, ERROR_INVALID_PARAMETER, "zip_file",
				 "Uploaded file must be a non-empty zip");
	r = layer_version_new(change->tenant, change->name, &request->values, &change->version);
	return r < 0 ? error_set_errno(&change->error, r, "Cannot publish the layer") : 0;
}

static void publish(void *arg)
{
	struct layer_change *change = arg;

	if (begin_version(change) < 0)
		layer_change_end(change);
	else
		layer_change_submit(change, &change->directory->intake_lane, take_in, on_taken_in);
}

void directory_publish_layer(struct directory *directory,
			     const struct directory_layer_request *request,
			     directory_layer_fn *answer, void *arg)
{
	struct layer_change *change =
		layer_change_new(directory, request->tenant, request->name, answer, arg);

	change->request = request;
	loop_post(directory->loop, publish, change);
}

/* -- deleting -- */

static void commit_removal(struct job *job)
{
	struct layer_change *change = container_of(job, struct layer_change, job.job);
	char key[LAYER_KEY_BYTES];

	layer_key(change->tenant, change->name, change->number, key);
	const struct registry_write write = { .key = key,
					      .remove = true,
					      .revision = REGISTRY_ANY_REVISION };
	(void)!registry_commit(change->directory->registry, &write, 1, NULL, &change->error);
}

static void on_removal_committed(struct lane_job *job)
{
	struct layer_change *change = container_of(job, struct layer_change, job);
	struct directory *directory = change->directory;
	struct layer_version *version = NULL;

	if (!change->error.code)
		version = layer_take(layer_find_entry(directory, change->tenant, change->name),
				     change->number);
	if (version)
		garbage_add_layer(directory, version->content);
	layer_version_free(version);
	layer_change_end(change);
	directory_job_done(directory);
}

static void delete_version(void *arg)
{
	struct layer_change *change = arg;

	if (layer_change_must_wait(change))
		return;
	if (layer_change_check_running(change) < 0 ||
	    !directory_find_layer(change->directory, change->tenant, change->name,
				  change->number)) {
		layer_change_end(change);
		return;
	}
	change->committing = true;
	layer_change_submit(change, &change->directory->registry_lane, commit_removal,
			    on_removal_committed);
}

void directory_delete_layer(struct directory *directory, const char *tenant, const char *name,
			    uint64_t version, directory_layer_fn *answer, void *arg)
{
	struct layer_change *change = layer_change_new(directory, tenant, name, answer, arg);

	change->number = version;
	change->begin = delete_version;
	loop_post(directory->loop, delete_version, change);
}
