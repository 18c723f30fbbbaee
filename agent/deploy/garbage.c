/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "agent/deploy/layer_use.h"
#include "mayfly/log.h"

/* Packages are shared by digest: by the functions of a tenant, and with directory_config's
 * share_packages, or as former versions built them, by those of all. One that may have lost its
 * last user is a candidate; it is removed when no build is under way, for a build may find that
 * very image and use it. Builds that come later wait in the same lane behind the removal. */

struct removal {
	struct lane_job job;
	struct directory *directory;
	char digest[DIGEST_HEX_BYTES];
	bool is_layer;
	struct error error;
	LIST_ENTRY(removal) link;
};

static void removal_free(struct removal *removal)
{
	LIST_REMOVE(removal, link);
	error_clear(&removal->error);
	free(removal);
}

static bool is_same(const char *digest, const char *other)
{
	return digest && strcmp(digest, other) == 0;
}

static bool names(const struct function_config *config, const char *digest)
{
	return config &&
	       (is_same(config->package_digest, digest) || is_same(config->code_digest, digest));
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

	if (removal->is_layer)
		layer_file_remove(removal->directory->state_dir, removal->digest);
	else
		(void)!package_remove(removal->directory->state_dir, removal->digest,
				      &removal->error);
}

static void on_removed(struct lane_job *job)
{
	struct removal *removal = container_of(job, struct removal, job);
	struct directory *directory = removal->directory;

	if (removal->error.code)
		log_warning("package %s stays: %s", removal->digest,
			    error_log_text(&removal->error));
	removal_free(removal);
	directory_job_done(directory);
}

static void add(struct directory *directory, const char *digest, bool is_layer)
{
	struct candidate *candidate;

	if (!digest)
		return;
	candidate = calloc(1, sizeof(*candidate));
	if (!candidate)
		return; /* the next start finds it */
	(void)snprintf(candidate->digest, sizeof(candidate->digest), "%s", digest);
	candidate->is_layer = is_layer;
	SLIST_INSERT_HEAD(&directory->candidates, candidate, link);
}

void garbage_add_layer(struct directory *directory, const char *content)
{
	add(directory, content, true);
}

void garbage_add(struct directory *directory, const struct function_config *config)
{
	add(directory, config->package_digest, false);
	add(directory, config->code_digest, false);
	for (size_t i = 0; i < config->layer_count; i++)
		add(directory, config->layers[i].content, true);
}

static bool candidate_is_used(const struct candidate *candidate, struct directory *directory)
{
	return candidate->is_layer ? layer_use_has(directory, candidate->digest)
				   : is_used(candidate->digest, directory);
}

void garbage_collect(struct directory *directory)
{
	struct candidate *candidate;
	struct removal *removal;

	if (directory->building || directory->stopping)
		return;
	while ((candidate = SLIST_FIRST(&directory->candidates))) {
		SLIST_REMOVE_HEAD(&directory->candidates, link);
		removal = candidate_is_used(candidate, directory) ? NULL
								  : calloc(1, sizeof(*removal));
		if (removal) {
			removal->directory = directory;
			removal->job =
				(struct lane_job){ .job.work = remove_package, .done = on_removed };
			memcpy(removal->digest, candidate->digest, sizeof(removal->digest));
			removal->is_layer = candidate->is_layer;
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
