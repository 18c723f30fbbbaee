/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "agent/deploy/internal.h"
#include "mayfly/log.h"

/* Packages are shared by digest. One that may have lost its last user is a candidate; it is
 * removed when no build is under way, for a build may find that very image and use it. Builds
 * that come later wait in the same lane behind the removal. */

struct removal {
	struct lane_job job;
	struct directory *directory;
	char digest[DIGEST_HEX_BYTES];
	struct error error;
	LIST_ENTRY(removal) link;
};

static void removal_free(struct removal *removal)
{
	LIST_REMOVE(removal, link);
	error_clear(&removal->error);
	free(removal);
}

static bool names(const struct function_config *config, const char *digest)
{
	return config && config->package_digest && strcmp(config->package_digest, digest) == 0;
}

static bool is_used(const char *digest, void *arg)
{
	const struct directory *directory = arg;
	const struct preparation *preparation;

	for (struct entry *entry = directory->entries; entry; entry = entry->hh.next)
		if (entry->function && (names(&entry->function->config, digest) ||
					names(entry->function->update, digest)))
			return true;
	LIST_FOREACH (preparation, &directory->preparations, link)
		if (preparation->entry && names(preparation->config, digest))
			return true;
	return false;
}

static void remove_package(struct job *job)
{
	struct removal *removal = container_of(job, struct removal, job.job);

	(void)!package_remove(removal->directory->state_dir, removal->digest, &removal->error);
}

static void on_removed(struct lane_job *job)
{
	struct removal *removal = container_of(job, struct removal, job);
	struct directory *directory = removal->directory;

	if (removal->error.code)
		log_warning("package %s stays: %s", removal->digest, error_text(&removal->error));
	removal_free(removal);
	directory_job_done(directory);
}

void garbage_add(struct directory *directory, const char *digest)
{
	struct candidate *candidate;

	if (!digest)
		return;
	candidate = calloc(1, sizeof(*candidate));
	if (!candidate)
		return; /* the next start finds it */
	(void)snprintf(candidate->digest, sizeof(candidate->digest), "%s", digest);
	SLIST_INSERT_HEAD(&directory->candidates, candidate, link);
}

void garbage_collect(struct directory *directory)
{
	struct candidate *candidate;
	struct removal *removal;

	if (directory->building || directory->stopping)
		return;
	while ((candidate = SLIST_FIRST(&directory->candidates))) {
		SLIST_REMOVE_HEAD(&directory->candidates, link);
		removal =
			is_used(candidate->digest, directory) ? NULL : calloc(1, sizeof(*removal));
		if (removal) {
			removal->directory = directory;
			removal->job =
				(struct lane_job){ .job.work = remove_package, .done = on_removed };
			memcpy(removal->digest, candidate->digest, sizeof(removal->digest));
			LIST_INSERT_HEAD(&directory->removals, removal, link);
			directory_submit(directory, &directory->build_lane, &removal->job);
		}
		free(candidate);
	}
}

void garbage_forget(struct directory *directory)
{
	struct candidate *candidate;
	struct removal *removal;

	while ((candidate = SLIST_FIRST(&directory->candidates))) {
		SLIST_REMOVE_HEAD(&directory->candidates, link);
		free(candidate);
	}
	while ((removal = LIST_FIRST(&directory->removals)))
		removal_free(removal);
}

int garbage_collect_all(struct directory *directory, struct error *error)
{
	return package_collect(directory->state_dir, is_used, directory, error);
}
