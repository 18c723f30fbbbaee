/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/deploy/change.h"
#include "agent/deploy/code_storage.h"
#include "agent/deploy/layer_use.h"
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

void change_ask(struct change *change, struct directory *directory)
{
	change_enqueue(change, directory,
		       directory_get_entry(directory, change->tenant, change->name, 0));
}

static void change_free(struct change *change)
{
	function_free(change->next);
	function_free(change->version);
	alias_free(change->alias);
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

static void tell_answer(const struct change *change)
{
	const struct error *error = change->error.code ? &change->error : NULL;
	const struct entry *entry = change->entry;
	const struct alias_entry *alias;

	if (change->answer_alias) {
		alias = error ? NULL : alias_find(entry, change->alias_name);
		change->answer_alias(alias ? alias->alias : NULL, error, change->arg);
	} else if (change->answer && error) {
		change->answer(NULL, error, change->arg);
	} else if (change->answer && change->dry_run) {
		change->answer(change->next, NULL, change->arg);
	} else if (change->answer) {
		change->answer(change->shown ? change->shown : entry->function, NULL, change->arg);
	}
}

/* The change leaves the queue before its answer, so that whoever is told may ask anew. */
static void end(struct change *change)
{
	struct directory *directory = change->directory;
	struct entry *entry = change->entry;

	TAILQ_REMOVE(&entry->changes, change, link);
	directory->changes--;
	start_first(entry);
	tell_answer(change);
	change_free(change);
	directory_drop_idle_entry(directory, entry);
	garbage_collect(directory);
	directory_check_stopped(directory);
}

/* Job of the registry's lane: touches nothing but the change. */
static void commit(struct job *job)
{
	struct change *change = container_of(job, struct change, job.job);
	const char *state_dir = change->directory->state_dir;
	int r = transaction_commit(change);

	if (r == 0 && change->spent_upload_id[0])
		upload_remove(state_dir, change->spent_upload_id);
	if (r < 0 && change->saved)
		upload_remove(state_dir, change->upload_id);
}

static void install_function(struct change *change)
{
	struct directory *directory = change->directory;
	struct entry *entry = change->entry;
	struct function *before = entry->function;

	if (before && !change->next)
		directory_tell(directory, before, DIRECTORY_DELETED);
	if (before) {
		garbage_add(directory, &before->config);
		if (before->update)
			garbage_add(directory, before->update);
	}
	entry->function = TAKE_PTR(change->next);
	copy_id(entry->upload_id, change->upload_id);
	if (entry->function)
		directory_tell(directory, entry->function,
			       before ? DIRECTORY_CHANGED : DIRECTORY_CREATED);
	function_free(before);
}

/* What was committed becomes what is seen. */
static void install(struct change *change)
{
	if (!change->keeps_function)
		install_function(change);
	if (change->version)
		publish_install(change);
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
	config->unzipped_bytes = package->unzipped_bytes;
	/* Until the new image is built there is none. */
	free(config->package_digest);
	free(config->code_digest);
	config->package_digest = config->code_digest = NULL;
	return layer_use_check_bytes(config, &change->error);
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

static int plan_taken_in(struct change *change)
{
	int r = change->kind->taken_in ? change->kind->taken_in(change) : 0;

	return r < 0 ? r : code_storage_check_change(change);
}

static void on_taken_in(struct lane_job *job)
{
	struct change *change = container_of(job, struct change, job);
	struct directory *directory = change->directory;

	if (!change->error.code && !change->dry_run && plan_taken_in(change) < 0 && change->saved)
		upload_remove(directory->state_dir, change->upload_id);
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
	change->job = (struct lane_job){ .job.work = take_in,
					 .done = on_taken_in,
					 .key = change->tenant };
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

/* The version that waits for the package has it, and is prepared next; or fails as $LATEST does. */
static int finish_waiting_version(struct change *change)
{
	struct preparation *preparation = change->preparation;
	const struct error *error = &preparation->error;
	struct entry *waiting = entry_waiting_version(change->entry);
	int r;

	if (!waiting)
		return 0;
	r = function_copy(waiting->function, &change->version);
	if (r < 0)
		return r;
	if (error->code)
		return function_set_state(change->version, FUNCTION_FAILED, error_text(error),
					  reason_code(error, preparation));
	change->version->config.package_digest = strdup(preparation->config->package_digest);
	return change->version->config.package_digest ? 0 : -ENOMEM;
}

static int finish_function(struct change *change)
{
	struct preparation *preparation = change->preparation;
	struct entry *entry = change->entry;
	int r = function_copy(entry->function, &change->next);

	if (r == 0)
		r = change->next->update
			    ? finish_update(change->next, preparation, change->directory)
			    : finish_creation(change->next, preparation);
	copy_id(change->spent_upload_id, entry->upload_id);
	return r == 0 ? finish_waiting_version(change) : r;
}

static int finish_version(struct change *change)
{
	int r = function_copy(change->preparation->entry->function, &change->version);

	change->keeps_function = true;
	return r == 0 ? finish_creation(change->version, change->preparation) : r;
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
	r = preparation->entry == change->entry ? finish_function(change) : finish_version(change);
	if (r == 0)
		return 0;
	(void)error_set_errno(&change->error, r, "Cannot write down the function's state");
	change->kind->failed(change);
	return r;
}

static void finish_committed(struct change *change)
{
	struct preparation *preparation = change->preparation;
	struct entry *entry = preparation->entry;
	const struct function *function = entry->function;
	const struct log_fields fields = { .tenant = function->tenant, .function = function->name };
	struct entry *last = TAILQ_LAST(&change->entry->versions, version_list);
	char version[FUNCTION_VERSION_BYTES];

	function_version_name(function->version, version);
	if (preparation->error.code)
		log_write(LOG_WARNING, &fields, "%s of %s:%s failed: %s",
			  function->state == FUNCTION_FAILED ? "creation" : "update",
			  function->name, version, error_log_text(&preparation->error));
	else
		log_write(LOG_INFO, &fields, "%s:%s is ready", function->name, version);
	garbage_add(change->directory, preparation->config);
	entry->preparation = NULL;
	preparation_free(preparation);
	if (last && last->function->state == FUNCTION_PENDING && !last->preparation &&
	    last != entry_waiting_version(change->entry))
		preparation_start(change->directory, last);
}

static void finish_again(void *arg)
{
	change_finish(arg);
}

static void finish_failed(struct change *change)
{
	struct directory *directory = change->directory;

	log_warning("the outcome of %s cannot be written down, trying again: %s",
		    change->entry->key, error_log_text(&change->error));
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
	change_enqueue(change, preparation->directory, preparation->entry->head);
}
