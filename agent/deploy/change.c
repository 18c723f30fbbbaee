/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/deploy/change.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

#define RETRY_US USEC_PER_SEC

static void begin(void *arg);

static void start_first(struct entry *entry)
{
	struct change *change = TAILQ_FIRST(&entry->changes);

	if (change)
		loop_post(change->directory->loop, begin, change);
}

void change_enqueue(struct change *change, struct directory *directory, struct entry *entry)
{
	bool idle = TAILQ_EMPTY(&entry->changes);

	change->directory = directory;
	change->entry = entry;
	TAILQ_INSERT_TAIL(&entry->changes, change, link);
	directory->changes++;
	if (idle)
		start_first(entry);
}

struct change *change_new(const struct change_kind *kind, const char *tenant, const char *name,
			  directory_answer_fn *answer, void *arg)
{
	struct change *change = calloc(1, sizeof(*change));

	if (!change)
		abort(); /* as loop_post(): there is no one to tell */
	change->kind = kind;
	change->tenant = tenant;
	change->name = name;
	change->answer = answer;
	change->arg = arg;
	return change;
}

static void change_free(struct change *change)
{
	function_free(change->next);
	error_clear(&change->error);
	free(change);
}

void change_free_queue(struct directory *directory, struct entry *entry)
{
	struct change *change;

	while ((change = TAILQ_FIRST(&entry->changes))) {
		TAILQ_REMOVE(&entry->changes, change, link);
		directory->changes--;
		change_free(change);
	}
}

/* The change leaves the queue before its answer, so that whoever is told may ask anew. */
static void end(struct change *change)
{
	struct directory *directory = change->directory;
	struct entry *entry = change->entry;
	const struct function *answer = change->dry_run ? change->next : entry->function;

	TAILQ_REMOVE(&entry->changes, change, link);
	directory->changes--;
	start_first(entry);
	if (change->answer)
		change->answer(change->error.code ? NULL : answer,
			       change->error.code ? &change->error : NULL, change->arg);
	change_free(change);
	directory_drop_idle_entry(directory, entry);
	garbage_collect(directory);
	directory_check_stopped(directory);
}

/* Job of the registry's lane: touches nothing but the change. */
static void commit(struct job *job)
{
	struct change *change = container_of(job, struct change, job.job);
	struct directory *directory = change->directory;
	_cleanup_buf_ struct buf value = BUF_INIT;
	char key[RECORD_KEY_BYTES];
	struct registry_write write = { .key = key, .revision = REGISTRY_ANY_REVISION };
	int r = 0;

	(void)snprintf(key, sizeof(key), RECORD_PREFIX "%s", change->entry->key);
	write.remove = !change->next;
	if (change->next)
		r = record_encode(change->next, change->upload_id, &value);
	if (r < 0)
		(void)error_set_errno(&change->error, r, "Cannot write down the function");
	write.value = buf_slice(&value);
	if (r == 0)
		r = registry_commit(directory->registry, &write, 1, NULL, &change->error);
	if (r == 0 && change->spent_upload_id[0])
		upload_remove(directory->state_dir, change->spent_upload_id);
	if (r < 0 && change->saved)
		upload_remove(directory->state_dir, change->upload_id);
}

/* What was committed becomes what is seen. */
static void install(struct change *change)
{
	struct directory *directory = change->directory;
	struct entry *entry = change->entry;
	struct function *before = entry->function;

	if (before && !change->next)
		directory_tell(directory, before, DIRECTORY_DELETED);
	if (before) {
		garbage_add(directory, before->config.package_digest);
		if (before->update)
			garbage_add(directory, before->update->package_digest);
	}
	entry->function = TAKE_PTR(change->next);
	copy_id(entry->upload_id, change->upload_id);
	if (entry->function)
		directory_tell(directory, entry->function,
			       before ? DIRECTORY_CHANGED : DIRECTORY_CREATED);
	function_free(before);
}

static void on_committed(struct lane_job *job)
{
	struct change *change = container_of(job, struct change, job);
	struct directory *directory = change->directory;

	if (!change->error.code) {
		install(change);
		change->kind->committed(change);
	} else if (change->kind->failed) {
		change->kind->failed(change);
	}
	end(change);
	directory_job_done(directory);
}

static void submit_commit(struct change *change)
{
	change->job = (struct lane_job){ .job.work = commit, .done = on_committed };
	directory_submit(change->directory, &change->directory->registry_lane, &change->job);
}

static int take_code(struct change *change, const struct package *package)
{
	struct function *next = change->next;
	struct function_config *config = next->update ? next->update : &next->config;
	char *sha256 = strdup(package->code_sha256);

	if (!sha256)
		return error_set_errno(&change->error, ENOMEM, "Cannot check the package");
	free(config->code_sha256);
	config->code_sha256 = sha256;
	config->code_size_bytes = package->code_size_bytes;
	/* Until the new image is built there is none. */
	free(config->package_digest);
	config->package_digest = NULL;
	return 0;
}

/* Job of the intake lane. */
static void take_in(struct job *job)
{
	struct change *change = container_of(job, struct change, job.job);
	const char *state_dir = change->directory->state_dir;
	struct package package = { 0 };

	if (package_verify(state_dir, change->zip, &package, &change->error) < 0 ||
	    take_code(change, &package) < 0 || change->dry_run)
		return;
	hex_id_generate(change->upload_id);
	change->saved = upload_save(state_dir, change->upload_id, change->zip, &change->error) == 0;
}

static void on_taken_in(struct lane_job *job)
{
	struct change *change = container_of(job, struct change, job);
	struct directory *directory = change->directory;

	if (change->error.code || change->dry_run)
		end(change);
	else
		submit_commit(change);
	directory_job_done(directory);
}

/* Names too long were cut for the entry's key: such a change must not touch the entry. */
static int check_names(struct change *change)
{
	if (!tenant_id_is_valid(change->tenant))
		return error_set(&change->error, ERROR_INVALID_PARAMETER, "tenant",
				 "The tenant must be an account id of 12 digits.");
	return function_validate_name(change->name, &change->error);
}

static void begin(void *arg)
{
	struct change *change = arg;
	struct directory *directory = change->directory;
	int r = 0;

	if (directory->stopping && change->kind != &finish_kind)
		r = error_set(&change->error, ERROR_UNAVAILABLE, NULL, "The node is stopping.");
	if (r == 0 && change->name)
		r = check_names(change);
	if (r == 0)
		r = change->kind->begin(change);
	if (r < 0 || change->is_void) {
		end(change);
		return;
	}
	if (!change->kind->has_zip) {
		submit_commit(change);
		return;
	}
	change->job = (struct lane_job){ .job.work = take_in, .done = on_taken_in };
	directory_submit(directory, &directory->intake_lane, &change->job);
}

/* -- the outcome of a preparation -- */

static const char *reason_code(const struct error *error, const struct preparation *preparation)
{
	if (error->code == ERROR_INVALID_ZIP)
		return "InvalidZipFileException";
	/* The package was there: the function's own start failed. */
	return preparation->config->package_digest ? "FunctionError" : "InternalError";
}

static int finish_creation(struct function *next, const struct preparation *preparation)
{
	const struct error *error = &preparation->error;

	if (error->code)
		return function_set_state(next, FUNCTION_FAILED, error_text(error),
					  reason_code(error, preparation));
	function_config_clear(&next->config);
	if (function_config_copy(&next->config, preparation->config) < 0)
		return -ENOMEM;
	return function_set_state(next, FUNCTION_ACTIVE, NULL, NULL);
}

static int finish_update(struct function *next, const struct preparation *preparation,
			 struct directory *directory)
{
	const struct error *error = &preparation->error;

	function_config_clear(next->update);
	free(next->update);
	next->update = NULL;
	if (error->code)
		return function_set_update_status(next, UPDATE_FAILED, error_text(error),
						  reason_code(error, preparation));
	function_config_clear(&next->config);
	if (function_config_copy(&next->config, preparation->config) < 0)
		return -ENOMEM;
	next->generation = ++directory->last_generation;
	return function_set_update_status(next, UPDATE_SUCCESSFUL, NULL, NULL);
}

static int finish_begin(struct change *change)
{
	struct preparation *preparation = change->preparation;
	int r;

	/* Deleted meanwhile, perhaps created anew. */
	change->is_void = !preparation->entry;
	if (change->is_void) {
		preparation_discard(preparation);
		return 0;
	}
	r = function_copy(change->entry->function, &change->next);
	if (r == 0)
		r = change->next->update
			    ? finish_update(change->next, preparation, change->directory)
			    : finish_creation(change->next, preparation);
	copy_id(change->spent_upload_id, change->entry->upload_id);
	if (r == 0)
		return 0;
	(void)error_set_errno(&change->error, r, "Cannot write down the function's state");
	change->kind->failed(change);
	return r;
}

static void finish_committed(struct change *change)
{
	struct entry *entry = change->entry;
	struct preparation *preparation = entry->preparation;
	const struct function *function = entry->function;
	const struct log_fields fields = { .tenant = function->tenant, .function = function->name };

	if (preparation->error.code)
		log_write(LOG_WARNING, &fields, "%s of %s failed: %s",
			  function->state == FUNCTION_FAILED ? "creation" : "update",
			  function->name, error_text(&preparation->error));
	else
		log_write(LOG_INFO, &fields, "%s is ready", function->name);
	garbage_add(change->directory, preparation->config->package_digest);
	entry->preparation = NULL;
	preparation_free(preparation);
}

static void finish_again(void *arg)
{
	change_finish(arg);
}

static void finish_failed(struct change *change)
{
	struct directory *directory = change->directory;

	log_warning("the outcome of %s cannot be written down, trying again: %s",
		    change->entry->key, error_text(&change->error));
	if (!directory->stopping &&
	    timer_arm(&change->preparation->retry, directory->loop, clock_monotonic_us() + RETRY_US,
		      finish_again, change->preparation) < 0)
		log_error("%s stays as it is until the next start", change->entry->key);
}

const struct change_kind finish_kind = {
	.begin = finish_begin,
	.committed = finish_committed,
	.failed = finish_failed,
};

void change_finish(struct preparation *preparation)
{
	struct change *change = calloc(1, sizeof(*change));

	if (!change)
		abort(); /* as loop_post() */
	change->kind = &finish_kind;
	change->preparation = preparation;
	change_enqueue(change, preparation->directory, preparation->entry);
}
