/* SPDX-License-Identifier: Apache-2.0 */

/* Aliases: what each request means, what is seen of them, who must not be deleted for them. */

#include <errno.h>
#include <string.h>

#include "agent/deploy/alias_directory.h"
#include "agent/deploy/change.h"

/* -- those of a function -- */

struct alias_entry *alias_find(const struct entry *head, const char *name)
{
	struct alias_entry *entry;

	TAILQ_FOREACH (entry, &head->aliases, link)
		if (strcmp(entry->alias->name, name) == 0)
			return entry;
	return NULL;
}

void alias_put(struct entry *head, struct alias *alias)
{
	struct alias_entry *entry = alias_find(head, alias->name), *after = NULL;

	if (entry) {
		alias_free(entry->alias);
		entry->alias = alias;
		return;
	}
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		abort(); /* as loop_post(): it is durable */
	entry->alias = alias;
	TAILQ_FOREACH (after, &head->aliases, link)
		if (strcmp(after->alias->name, alias->name) > 0)
			break;
	if (after)
		TAILQ_INSERT_BEFORE(after, entry, link);
	else
		TAILQ_INSERT_TAIL(&head->aliases, entry, link);
}

static void drop(struct entry *head, struct alias_entry *entry)
{
	TAILQ_REMOVE(&head->aliases, entry, link);
	alias_free(entry->alias);
	free(entry);
}

void alias_drop_all(struct entry *head)
{
	struct alias_entry *entry;

	while ((entry = TAILQ_FIRST(&head->aliases)))
		drop(head, entry);
}

int alias_check_unused(const struct entry *head, uint64_t version, struct error *error)
{
	_cleanup_buf_ struct buf names = BUF_INIT;
	const struct alias_entry *entry;

	TAILQ_FOREACH (entry, &head->aliases, link)
		if (alias_leads_to(entry->alias, version) &&
		    buf_append_format(&names, "%s%s", names.len ? ", " : "", entry->alias->name) <
			    0)
			return error_set_errno(error, ENOMEM, "Cannot delete the version");
	if (names.len == 0)
		return 0;
	return error_set(error, ERROR_CONFLICT, "qualifier",
			 "Unable to delete version because the following aliases reference it: "
			 "[%s]",
			 buf_string(&names));
}

/* -- requests -- */

/* `given` names it in the request, or is NULL. */
static int check_version(struct change *change, uint64_t version, const char *given)
{
	char name[FUNCTION_VERSION_BYTES];

	function_version_name(version, name);
	if (change->entry->function && (version == 0 || entry_find_version(change->entry, version)))
		return 0;
	return directory_set_not_found(change->directory, change->tenant, change->name,
				       given ? given : name, &change->error);
}

static int check_versions(struct change *change, const struct alias *alias)
{
	const struct alias_patch *patch = change->alias_patch;
	int r = check_version(change, alias->version, patch->version);

	if (r == 0 && alias->is_weighted)
		r = check_version(change, alias->additional_version,
				  patch->has_routing ? patch->weights[0].version : NULL);
	return r;
}

static int refuse_existing(struct change *change)
{
	_cleanup_free_ char *arn = function_arn(change->directory->region, change->tenant,
						change->name, change->alias_name);

	return error_set(&change->error, ERROR_CONFLICT, "name", "Alias already exists: %s",
			 arn ? arn : change->alias_name);
}

static int refuse_missing(struct change *change)
{
	_cleanup_free_ char *arn = function_arn(change->directory->region, change->tenant,
						change->name, change->alias_name);

	return error_set(&change->error, ERROR_NOT_FOUND, "name", "Alias not found: %s",
			 arn ? arn : change->alias_name);
}

static int refuse_memory(struct change *change)
{
	return error_set_errno(&change->error, ENOMEM, "Cannot change the alias");
}

static int create_begin(struct change *change)
{
	_cleanup_(alias_free_p) struct alias *alias = calloc(1, sizeof(*alias));
	int r;

	change->keeps_function = true;
	r = alias_validate_name(change->alias_name, &change->error);
	if (r < 0)
		return r;
	if (alias) {
		alias->name = strdup(change->alias_name);
		alias->description = strdup("");
	}
	if (!alias || !alias->name || !alias->description)
		return refuse_memory(change);
	r = alias_apply(alias, change->alias_patch, &change->error);
	if (r == 0)
		r = check_versions(change, alias);
	if (r < 0)
		return r;
	if (alias_find(change->entry, change->alias_name))
		return refuse_existing(change);
	change->alias = TAKE_PTR(alias);
	return 0;
}

static int update_begin(struct change *change)
{
	const struct alias_entry *entry;
	int r;

	change->keeps_function = true;
	r = alias_validate_name(change->alias_name, &change->error);
	if (r < 0)
		return r;
	if (!change->entry->function)
		return directory_set_not_found(change->directory, change->tenant, change->name,
					       NULL, &change->error);
	entry = alias_find(change->entry, change->alias_name);
	if (!entry)
		return refuse_missing(change);
	r = change_check_revision(change, entry->alias->revision_id);
	if (r < 0)
		return r;
	if (alias_copy(entry->alias, &change->alias) < 0)
		return refuse_memory(change);
	r = alias_apply(change->alias, change->alias_patch, &change->error);
	if (r == 0)
		r = check_versions(change, change->alias);
	return r < 0 ? r : provision_check_alias(change);
}

static int delete_begin(struct change *change)
{
	int r = alias_validate_name(change->alias_name, &change->error);

	change->keeps_function = change->drops_alias = true;
	change->is_void = !alias_find(change->entry, change->alias_name);
	return r;
}

static void put_committed(struct change *change)
{
	alias_put(change->entry, TAKE_PTR(change->alias));
	directory_tell(change->directory, change->entry->function, DIRECTORY_ALIASES);
}

static void delete_committed(struct change *change)
{
	drop(change->entry, alias_find(change->entry, change->alias_name));
	directory_tell(change->directory, change->entry->function, DIRECTORY_ALIASES);
}

static const struct change_kind create_kind = { .begin = create_begin, .committed = put_committed };
static const struct change_kind update_kind = { .begin = update_begin, .committed = put_committed };
static const struct change_kind delete_kind = { .begin = delete_begin,
						.committed = delete_committed };

static void ask(struct directory *directory, const struct change_kind *kind,
		const struct directory_alias_request *request, directory_alias_fn *answer,
		void *arg)
{
	struct change *change =
		change_new(kind, request->tenant, request->function_name, NULL, arg);

	change->answer_alias = answer;
	change->alias_name = request->name;
	change->alias_patch = &request->patch;
	change->revision_id = request->revision_id;
	change_ask(change, directory);
}

void directory_create_alias(struct directory *directory,
			    const struct directory_alias_request *request,
			    directory_alias_fn *answer, void *arg)
{
	ask(directory, &create_kind, request, answer, arg);
}

void directory_update_alias(struct directory *directory,
			    const struct directory_alias_request *request,
			    directory_alias_fn *answer, void *arg)
{
	ask(directory, &update_kind, request, answer, arg);
}

void directory_delete_alias(struct directory *directory,
			    const struct directory_alias_request *request,
			    directory_alias_fn *answer, void *arg)
{
	ask(directory, &delete_kind, request, answer, arg);
}

/* -- reading -- */

const struct alias *directory_find_alias(const struct directory *directory, const char *tenant,
					 const char *function_name, const char *name)
{
	const struct entry *head = directory_find_entry(directory, tenant, function_name);
	const struct alias_entry *entry = head ? alias_find(head, name) : NULL;

	return entry ? entry->alias : NULL;
}

static bool is_of_version(const struct alias *alias, const char *version)
{
	char name[FUNCTION_VERSION_BYTES];

	function_version_name(alias->version, name);
	return version[0] == 0 || strcmp(version, name) == 0;
}

int directory_list_aliases(const struct directory *directory,
			   const struct directory_alias_list *request,
			   struct directory_alias_page *ret, struct error *error)
{
	const struct entry *head =
		directory_find_entry(directory, request->tenant, request->function_name);
	const struct alias_entry *entry;
	char after[ALIAS_NAME_MAX + 1];
	size_t max;
	int r;

	r = page_limit(request->max_items, &max, error);
	if (r == 0)
		r = marker_decode(request->marker ? request->marker : "", after, sizeof(after),
				  error);
	if (r < 0)
		return r;
	if (!head)
		return directory_set_not_found(directory, request->tenant, request->function_name,
					       NULL, error);
	*ret = (struct directory_alias_page){ 0 };
	TAILQ_FOREACH (entry, &head->aliases, link) {
		if (strcmp(entry->alias->name, after) <= 0 ||
		    !is_of_version(entry->alias, request->version))
			continue;
		if (ret->count == max) {
			const char *last = ret->aliases[max - 1]->name;

			hex_encode(last, strlen(last), ret->next_marker);
			break;
		}
		ret->aliases[ret->count++] = entry->alias;
	}
	return 0;
}
