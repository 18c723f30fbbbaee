/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "agent/deploy/internal.h"
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

	garbage_add(directory, preparation->config->package_digest);
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

	if (directory->stopping)
		return;
	(void)!upload_build(directory->state_dir, preparation->upload_id, &preparation->package,
			    &preparation->error);
}

static int take_package(struct preparation *preparation)
{
	struct function_config *config = preparation->config;
	char *digest = strdup(preparation->package.digest);

	if (!digest)
		return error_set_errno(&preparation->error, ENOMEM, "Cannot keep the package");
	free(config->package_digest);
	config->package_digest = digest;
	return 0;
}

static void on_built(struct lane_job *job)
{
	struct preparation *preparation = container_of(job, struct preparation, job);
	struct directory *directory = preparation->directory;

	directory->building--;
	if (!preparation->error.code && preparation->package.digest[0])
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

	if (!preparation->upload_id[0]) {
		prepare_service(preparation);
		return;
	}
	preparation->job = (struct lane_job){ .job.work = build, .done = on_built };
	directory->building++;
	directory_submit(directory, &directory->build_lane, &preparation->job);
}
