/* SPDX-License-Identifier: Apache-2.0 */

/* Published versions: how one is made of $LATEST, its entry beside the function's, its end. */

#include <errno.h>
#include <string.h>

#include "agent/deploy/code_storage.h"
#include "mayfly/clock.h"

#define CODE_SHA256_SHOWN 64 /* bytes of one that a request gives; a right one has 44 */

/* -- entries -- */

struct entry *entry_find_version(const struct entry *head, uint64_t version)
{
	struct entry *entry;

	TAILQ_FOREACH (entry, &head->versions, version_link)
		if (entry->function->version == version)
			return entry;
	return NULL;
}

void entry_link_version(struct entry *head, struct entry *entry)
{
	struct entry *before = TAILQ_LAST(&head->versions, version_list);

	while (before && before->function->version > entry->function->version)
		before = TAILQ_PREV(before, version_list, version_link);
	if (before)
		TAILQ_INSERT_AFTER(&head->versions, before, entry, version_link);
	else
		TAILQ_INSERT_HEAD(&head->versions, entry, version_link);
	entry->head = head;
	if (head->last_version < entry->function->version)
		head->last_version = entry->function->version;
}

void entry_drop_version(struct directory *directory, struct entry *entry)
{
	directory_tell(directory, entry->function, DIRECTORY_DELETED);
	preparation_abandon(entry);
	garbage_add(directory, &entry->function->config);
	TAILQ_REMOVE(&entry->head->versions, entry, version_link);
	HASH_DEL(directory->entries, entry);
	function_free(entry->function);
	free(entry);
}

struct entry *entry_waiting_version(const struct entry *head)
{
	struct entry *entry = TAILQ_LAST(&head->versions, version_list);

	return entry && entry->function->state == FUNCTION_PENDING &&
			       !entry->function->config.package_digest
		       ? entry
		       : NULL;
}

/* What was committed of a version becomes what is seen. */
void publish_install(struct change *change)
{
	struct directory *directory = change->directory;
	struct function *version = TAKE_PTR(change->version);
	struct entry *entry = entry_find_version(change->entry, version->version);
	bool is_new = !entry;

	if (is_new)
		entry = directory_get_entry(directory, version->tenant, version->name,
					    version->version);
	else
		function_free(entry->function);
	entry->function = version;
	if (is_new) {
		entry_link_version(change->entry, entry);
		change->shown = version;
	}
	directory_tell(directory, version, is_new ? DIRECTORY_CREATED : DIRECTORY_CHANGED);
}

/* -- publishing -- */

int publish_plan(struct change *change, const struct function *latest)
{
	const struct entry *head = change->entry;
	const struct entry *last = entry_find_version(head, head->last_version);
	int r;

	if (last && last->function->state != FUNCTION_FAILED &&
	    function_is_published(latest, last->function)) {
		change->shown = last->function;
		return 0;
	}
	r = function_publish(latest, head->last_version + 1, change->description, &change->version);
	if (r < 0)
		return error_set_errno(&change->error, r, "Cannot publish a version");
	/* Its layers stay as they are: nothing will be made anew of the code alone. */
	free(change->version->config.code_digest);
	change->version->config.code_digest = NULL;
	change->version->last_modified_us = clock_realtime_us();
	change->version->generation = ++change->directory->last_generation;
	change->numbers = true;
	return function_validate_config(&change->version->config, &change->error);
}

static int check_code(struct change *change, const struct function *latest)
{
	const char *given = change->code_sha256;

	if (!given || !given[0] || strcmp(given, latest->config.code_sha256) == 0)
		return 0;
	return error_set(&change->error, ERROR_INVALID_PARAMETER, "code_sha256",
			 "CodeSHA256 (%.*s) is different from current CodeSHA256 in $LATEST (%s). "
			 "Please try again with the CodeSHA256 in $LATEST.",
			 CODE_SHA256_SHOWN, given, latest->config.code_sha256);
}

static int publish_begin(struct change *change)
{
	int r = change_check_settled(change);

	if (r == 0)
		r = check_code(change, change->entry->function);
	if (r == 0)
		r = publish_plan(change, change->entry->function);
	if (r == 0)
		r = code_storage_check_change(change);
	change->keeps_function = true;
	change->is_void = !change->version;
	return r;
}

static void prepare_published(struct change *change)
{
	preparation_start(change->directory,
			  entry_find_version(change->entry, change->entry->last_version));
}

static const struct change_kind publish_kind = {
	.begin = publish_begin,
	.committed = prepare_published,
};

void directory_publish(struct directory *directory, const struct directory_publish_request *request,
		       directory_answer_fn *answer, void *arg)
{
	struct change *change =
		change_new(&publish_kind, request->tenant, request->name, answer, arg);

	change->code_sha256 = request->code_sha256;
	change->description = request->description;
	change->revision_id = request->revision_id;
	change_ask(change, directory);
}

/* -- deleting -- */

/* One that is not there is deleted already, as long as the function is. */
static int delete_version_begin(struct change *change)
{
	if (!change->entry->function)
		return directory_set_not_found(change->directory, change->tenant, change->name,
					       NULL, &change->error);
	change->keeps_function = true;
	change->is_void = !entry_find_version(change->entry, change->dropped_version);
	return alias_check_unused(change->entry, change->dropped_version, &change->error);
}

static void delete_version_committed(struct change *change)
{
	entry_drop_version(change->directory,
			   entry_find_version(change->entry, change->dropped_version));
}

static const struct change_kind delete_version_kind = {
	.begin = delete_version_begin,
	.committed = delete_version_committed,
};

void directory_delete_version(struct directory *directory, const char *tenant, const char *name,
			      uint64_t version, directory_answer_fn *answer, void *arg)
{
	struct change *change = change_new(&delete_version_kind, tenant, name, answer, arg);

	change->dropped_version = version;
	change_ask(change, directory);
}
