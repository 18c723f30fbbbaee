/* SPDX-License-Identifier: Apache-2.0 */

/* Provisioned concurrency: kept with its version or alias, so that it goes with it, and moves with
 * the alias. A version has it from one of them at most. */

#include <errno.h>
#include <string.h>

#include "agent/deploy/change.h"
#include "mayfly/clock.h"

#define UNPUBLISHED                                                                                \
	"Provisioned Concurrency Configs cannot be applied to unpublished function versions."

/* -- sums -- */

static uint64_t sum_but(const struct entry *head, const char *qualifier)
{
	char number[FUNCTION_VERSION_BYTES];
	const struct alias_entry *alias;
	const struct entry *version;
	uint64_t sum = 0;

	TAILQ_FOREACH (version, &head->versions, version_link) {
		function_version_name(version->function->version, number);
		sum += strcmp(number, qualifier) == 0 ? 0 : version->function->provisioned;
	}
	TAILQ_FOREACH (alias, &head->aliases, link)
		sum += strcmp(alias->alias->name, qualifier) == 0 ? 0 : alias->alias->provisioned;
	return sum;
}

/* What is being written down counts already. */
uint64_t provision_total(const struct entry *head)
{
	const struct change *change = TAILQ_FIRST(&head->changes);
	uint64_t held = sum_but(head, ""), next;

	if (!change || !change->qualifier)
		return held;
	next = sum_but(head, change->qualifier) + change->provisioned;
	return next > held ? next : held;
}

/* Of aliases but `except`, which may be "". */
static const struct alias *provisioned_alias(const struct entry *head, uint64_t version,
					     const char *except)
{
	const struct alias_entry *entry;

	TAILQ_FOREACH (entry, &head->aliases, link)
		if (entry->alias->provisioned > 0 && entry->alias->version == version &&
		    strcmp(entry->alias->name, except) != 0)
			return entry->alias;
	return NULL;
}

unsigned directory_provisioned(const struct directory *directory, const struct function *version)
{
	const struct entry *head = directory_find_entry(directory, version->tenant, version->name);
	const struct alias *alias;

	if (!head || version->version == 0)
		return 0;
	alias = provisioned_alias(head, version->version, "");
	return version->provisioned + (alias ? alias->provisioned : 0);
}

unsigned directory_provision_each(const struct directory *directory, const char *tenant,
				  const char *name,
				  void (*fn)(const struct function *version, void *arg), void *arg)
{
	const struct entry *head = directory_find_entry(directory, tenant, name);
	const struct entry *version;

	if (!head)
		return 0;
	TAILQ_FOREACH (version, &head->versions, version_link)
		fn(version->function, arg);
	return (unsigned)sum_but(head, "");
}

/* -- Put -- */

static int refuse(struct change *change, enum error_code code, const char *field, const char *text)
{
	return error_set(&change->error, code, field, "%s", text);
}

static int check_room(struct change *change)
{
	const struct function *function = change->entry->function;
	uint64_t sum = sum_but(change->entry, change->qualifier) + change->provisioned;
	unsigned minimum = change->directory->unreserved_minimum;
	uint64_t unreserved;

	if (function->has_reserved_concurrency)
		return sum <= function->reserved_concurrency
			       ? 0
			       : refuse(change, ERROR_INVALID_PARAMETER,
					"provisioned_concurrent_executions",
					"Requested Provisioned Concurrency should not be greater "
					"than the reservedConcurrentExecution for function");
	unreserved = reserve_unreserved(change);
	if (sum > unreserved)
		return error_set(&change->error, ERROR_INVALID_PARAMETER,
				 "provisioned_concurrent_executions",
				 "Specified ConcurrentExecutions for function is greater than "
				 "account's unreserved concurrency [%llu].",
				 (unsigned long long)unreserved);
	if (sum + minimum > unreserved)
		return error_set(&change->error, ERROR_INVALID_PARAMETER,
				 "provisioned_concurrent_executions",
				 "Specified ConcurrentExecutions for function decreases account's "
				 "UnreservedConcurrentExecution below its minimum value of [%u].",
				 minimum);
	return 0;
}

/* SnapStart has its own way to be quick; and whom would a sandbox serve that is not anybody's? */
static int check_version(struct change *change, const struct function *version)
{
	if (version->config.tenancy == TENANCY_PER_TENANT)
		return refuse(change, ERROR_INVALID_PARAMETER, "qualifier",
			      "Provisioned Concurrency is not supported for functions with the "
			      "tenant isolation mode PER_TENANT.");
	if (!function_config_has_snap_start(&version->config, version->version))
		return 0;
	return refuse(change, ERROR_INVALID_PARAMETER, "qualifier",
		      "Provisioned Concurrency cannot be used with a version that has SnapStart.");
}

static int check_alias_target(struct change *change, const struct alias *alias)
{
	const struct entry *version = entry_find_version(change->entry, alias->version);

	if (!version)
		return refuse(change, ERROR_INVALID_PARAMETER, "qualifier", UNPUBLISHED);
	if (version->function->provisioned > 0 ||
	    provisioned_alias(change->entry, alias->version, alias->name))
		return refuse(change, ERROR_CONFLICT, "qualifier",
			      "Alias can't be used for Provisioned Concurrency configuration on an "
			      "already Provisioned version");
	return check_version(change, version->function);
}

int provision_check_alias(struct change *change)
{
	const struct alias *alias = change->alias;
	int r = alias->provisioned > 0 ? check_alias_target(change, alias) : 0;

	return r < 0 ? r
		     : provision_check_memory(change, alias->name, alias->version,
					      alias->provisioned);
}

static int plan_alias(struct change *change, const struct alias *alias)
{
	int r;

	if (change->provisioned > 0 && alias->is_weighted)
		return refuse(change, ERROR_INVALID_PARAMETER, "qualifier",
			      "Alias with weights can not be used with Provisioned Concurrency");
	change->is_void = change->provisioned == 0 && alias->provisioned == 0;
	r = change->provisioned > 0 ? check_alias_target(change, alias) : 0;
	if (r == 0 && change->provisioned > 0)
		r = check_room(change);
	if (r == 0)
		r = provision_check_memory(change, alias->name, alias->version,
					   change->provisioned);
	if (r < 0)
		return r;
	if (alias_copy(alias, &change->alias) < 0)
		return error_set_errno(&change->error, ENOMEM, "Cannot change the alias");
	change->alias_name = change->qualifier;
	change->alias->provisioned = change->provisioned;
	change->alias->provisioned_us = clock_realtime_us();
	return 0;
}

static int plan_version(struct change *change, const struct entry *version)
{
	int r = change->provisioned > 0 ? check_version(change, version->function) : 0;

	change->is_void = change->provisioned == 0 && version->function->provisioned == 0;
	if (r == 0 && change->provisioned > 0 &&
	    provisioned_alias(change->entry, version->function->version, ""))
		r = refuse(change, ERROR_CONFLICT, "qualifier",
			   "Version is pointed by a Provisioned Concurrency alias");
	if (r == 0 && change->provisioned > 0)
		r = check_room(change);
	if (r == 0)
		r = provision_check_memory(change, change->qualifier, version->function->version,
					   change->provisioned);
	if (r < 0)
		return r;
	if (function_copy(version->function, &change->version) < 0)
		return error_set_errno(&change->error, ENOMEM, "Cannot change the version");
	change->version->provisioned = change->provisioned;
	change->version->provisioned_us = clock_realtime_us();
	return 0;
}

static const struct entry *find_version(const struct entry *head, const char *qualifier)
{
	uint64_t number;

	return function_version_parse(qualifier, &number) && number > 0
		       ? entry_find_version(head, number)
		       : NULL;
}

static int provision_begin(struct change *change)
{
	const struct entry *head = change->entry;
	const struct alias_entry *alias = alias_find(head, change->qualifier);
	const struct entry *version = find_version(head, change->qualifier);

	change->keeps_function = true;
	if (!head->function || (!alias && !version))
		return directory_set_not_found(change->directory, change->tenant, change->name,
					       head->function ? change->qualifier : NULL,
					       &change->error);
	return alias ? plan_alias(change, alias->alias) : plan_version(change, version);
}

static void provision_committed(struct change *change)
{
	struct entry *head = change->entry;
	uint64_t number;

	if (change->alias) {
		number = change->alias->version;
		alias_put(head, TAKE_PTR(change->alias));
		directory_tell(change->directory, head->function, DIRECTORY_ALIASES);
	} else if (!function_version_parse(change->qualifier, &number)) {
		return;
	}
	if (entry_find_version(head, number))
		change->shown = entry_find_version(head, number)->function;
}

static const struct change_kind provision_kind = {
	.begin = provision_begin,
	.committed = provision_committed,
};

void directory_set_provisioned(struct directory *directory,
			       const struct directory_provision_request *request,
			       directory_answer_fn *answer, void *arg)
{
	struct change *change =
		change_new(&provision_kind, request->tenant, request->name, answer, arg);

	change->qualifier = request->qualifier;
	change->provisioned = request->provisioned;
	change_ask(change, directory);
}

/* -- reading -- */

static void fill_version(const struct entry *version, struct directory_provision *ret)
{
	*ret = (struct directory_provision){
		.provisioned = version->function->provisioned,
		.modified_us = version->function->provisioned_us,
		.version = version->function,
	};
	function_version_name(version->function->version, ret->qualifier);
}

static void fill_alias(const struct entry *head, const struct alias *alias,
		       struct directory_provision *ret)
{
	const struct entry *version = entry_find_version(head, alias->version);

	*ret = (struct directory_provision){
		.provisioned = alias->provisioned,
		.modified_us = alias->provisioned_us,
		.version = version ? version->function : head->function,
	};
	(void)snprintf(ret->qualifier, sizeof(ret->qualifier), "%s", alias->name);
}

int directory_get_provision(const struct directory *directory, const char *tenant, const char *name,
			    const char *qualifier, struct directory_provision *ret,
			    struct error *error)
{
	const struct entry *head = directory_find_entry(directory, tenant, name);
	const struct alias_entry *alias = head ? alias_find(head, qualifier) : NULL;
	const struct entry *version = head ? find_version(head, qualifier) : NULL;

	if (!alias && !version)
		return directory_set_not_found(directory, tenant, name, head ? qualifier : NULL,
					       error);
	if (alias)
		fill_alias(head, alias->alias, ret);
	else
		fill_version(version, ret);
	return 0;
}

/* False when the page is full. */
static bool append(struct directory_provision_page *page, const struct directory_provision *item,
		   size_t max)
{
	const char *last;

	if (page->count < max) {
		page->items[page->count++] = *item;
		return true;
	}
	last = page->items[max - 1].qualifier;
	hex_encode(last, strlen(last), page->next_marker);
	return false;
}

static void list(const struct entry *head, const char *after, size_t max,
		 struct directory_provision_page *page)
{
	struct directory_provision item;
	const struct alias_entry *alias;
	const struct entry *version;
	uint64_t number = 0;
	bool in_aliases = after[0] && !function_version_parse(after, &number);

	TAILQ_FOREACH (version, &head->versions, version_link) {
		if (in_aliases || version->function->version <= number ||
		    version->function->provisioned == 0)
			continue;
		fill_version(version, &item);
		if (!append(page, &item, max))
			return;
	}
	TAILQ_FOREACH (alias, &head->aliases, link) {
		if (alias->alias->provisioned == 0 ||
		    (in_aliases && strcmp(alias->alias->name, after) <= 0))
			continue;
		fill_alias(head, alias->alias, &item);
		if (!append(page, &item, max))
			return;
	}
}

int directory_list_provisions(const struct directory *directory, const char *tenant,
			      const char *name, unsigned max_items, const char *marker,
			      struct directory_provision_page *ret, struct error *error)
{
	const struct entry *head = directory_find_entry(directory, tenant, name);
	char after[FUNCTION_QUALIFIER_MAX + 1];
	size_t max;
	int r;

	r = page_limit(max_items, &max, error);
	if (r == 0)
		r = marker_decode(marker ? marker : "", after, sizeof(after), error);
	if (r < 0)
		return r;
	if (!head)
		return directory_set_not_found(directory, tenant, name, NULL, error);
	*ret = (struct directory_provision_page){ 0 };
	list(head, after, max, ret);
	return 0;
}
