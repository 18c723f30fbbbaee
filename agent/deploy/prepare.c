/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "agent/deploy/layer_internal.h"
#include "mayfly/log.h"

static void on_prepared(const struct error *error, void *arg);

void preparation_free(struct preparation *preparation)
{
	timer_disarm(&preparation->retry);
	LIST_REMOVE(preparation, link);
	function_free(preparation->function);
	error_clear(&preparation->error);
	free(preparation);
}

/* Its outcome is of no use: what it may have built is garbage. */
void preparation_discard(struct preparation *preparation)
{
	struct directory *directory = preparation->directory;

	garbage_add(directory, preparation->config);
	preparation_free(preparation);
	garbage_collect(directory);
}

void preparation_abandon(struct entry *entry)
{
	struct preparation *preparation = entry->preparation;

	if (!preparation)
		return;
	entry->preparation = NULL;
	preparation->entry = NULL;
	/* Only waiting to write its outcome again: nothing else will come back to it. */
	if (preparation->retry.source)
		preparation_discard(preparation);
}

/* The package is there. */
static void prepare_service(struct preparation *preparation)
{
	const struct deploy_hooks *hooks = &preparation->directory->hooks;

	if (hooks->prepare && !preparation->error.code)
		hooks->prepare(preparation->function, preparation->config, on_prepared, preparation,
			       hooks->user);
	else
		change_finish(preparation);
}

static void on_prepared(const struct error *error, void *arg)
{
	struct preparation *preparation = arg;

	if (!preparation->entry) {
		preparation_discard(preparation);
		return;
	}
	/* Not a verdict on the function: it is taken up at the next start. */
	if (preparation->directory->stopping)
		return;
	if (error && error_copy(&preparation->error, error) < 0)
		(void)error_set_errno(&preparation->error, ENOMEM, "Cannot tell the failure");
	change_finish(preparation);
}

static void build(struct job *job)
{
	struct preparation *preparation = container_of(job, struct preparation, job.job);
	struct directory *directory = preparation->directory;

	const struct function_config *config = preparation->config;
	const char *code_digest = config->code_digest;

	if (directory->stopping)
		return;
	if (preparation->upload_id[0] &&
	    upload_build(directory->state_dir, preparation->upload_id,
			 directory->share_packages ? NULL : preparation->function->tenant,
			 &preparation->package, &preparation->error) < 0)
		return;
	if (preparation->package.digest[0])
		code_digest = preparation->package.digest;
	if (config->layer_count)
		(void)!layer_files_merge(directory->state_dir, code_digest, config,
					 &preparation->merged, &preparation->error);
}

static int set_digest(char **to, const char *digest)
{
	char *copy = strdup(digest);

	if (!copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

static int take_package(struct preparation *preparation)
{
	struct function_config *config = preparation->config;
	const struct package *code = &preparation->package, *merged = &preparation->merged;
	bool layered = config->layer_count > 0;
	int r = 0;

	if (layered && code->digest[0])
		r = set_digest(&config->code_digest, code->digest);
	if (r == 0 && layered)
		r = set_digest(&config->package_digest, merged->digest);
	else if (r == 0)
		r = set_digest(&config->package_digest, code->digest);
	return r < 0 ? error_set_errno(&preparation->error, ENOMEM, "Cannot keep the package") : 0;
}

/* What was built before it failed has no other user. */
static void drop_code(struct preparation *preparation)
{
	struct function_config built = { .package_digest = preparation->package.digest };

	if (preparation->package.digest[0])
		garbage_add(preparation->directory, &built);
}

static void on_built(struct lane_job *job)
{
	struct preparation *preparation = container_of(job, struct preparation, job);
	struct directory *directory = preparation->directory;

	directory->building--;
	if (preparation->error.code)
		drop_code(preparation);
	else if (preparation->package.digest[0] || preparation->merged.digest[0])
		(void)!take_package(preparation);
	if (!preparation->entry)
		preparation_discard(preparation);
	else if (!directory->stopping)
		prepare_service(preparation);
	directory_job_done(directory);
	garbage_collect(directory);
}

void preparation_start(struct directory *directory, struct entry *entry)
{
	struct preparation *preparation = calloc(1, sizeof(*preparation));

	if (!preparation || function_copy(entry->function, &preparation->function) < 0)
		abort(); /* as loop_post(): the function would wait for ever */
	preparation->directory = directory;
	preparation->entry = entry;
	preparation->config = preparation->function->update ? preparation->function->update
							    : &preparation->function->config;
	copy_id(preparation->upload_id, entry->upload_id);
	entry->preparation = preparation;
	LIST_INSERT_HEAD(&directory->preparations, preparation, link);

	if (!preparation->upload_id[0] &&
	    (preparation->config->package_digest || !preparation->config->layer_count)) {
		prepare_service(preparation);
		return;
	}
	preparation->job = (struct lane_job){ .job.work = build,
					      .done = on_built,
					      .key = preparation->function->tenant };
	directory->building++;
	directory_submit(directory, &directory->build_lane, &preparation->job);
}
