/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/deploy/alias_directory.h"
#include "agent/deploy/internal.h"

const char *directory_region(const struct directory *directory)
{
	return directory->region;
}

const char *directory_default_tenant(const struct directory *directory)
{
	return directory->default_tenant;
}

static const struct entry *find_by_key(const struct directory *directory, const char *tenant,
				       const char *name, const char *version)
{
	char key[ENTRY_KEY_BYTES];
	struct entry *entry;
	int len;

	len = snprintf(key, sizeof(key), "%s/%s%s%s", tenant, name, version ? ":" : "",
		       version ? version : "");
	if (len < 0 || (size_t)len >= sizeof(key))
		return NULL;
	HASH_FIND_STR(directory->entries, key, entry);
	return entry && entry->function ? entry : NULL;
}

const struct entry *directory_find_entry(const struct directory *directory, const char *tenant,
					 const char *name)
{
	return find_by_key(directory, tenant, name, NULL);
}

const struct function *directory_find(const struct directory *directory, const char *tenant,
				      const char *name)
{
	const struct entry *entry = directory_find_entry(directory, tenant, name);

	return entry ? entry->function : NULL;
}

const struct function *directory_find_qualified(const struct directory *directory,
						const char *tenant, const char *name,
						const char *qualifier)
{
	char number[FUNCTION_VERSION_BYTES];
	const struct entry *entry;
	const struct alias *alias;
	uint64_t version;

	if (qualifier[0] == 0 || strcmp(qualifier, FUNCTION_LATEST) == 0)
		return directory_find(directory, tenant, name);
	alias = directory_find_alias(directory, tenant, name, qualifier);
	if (alias) {
		function_version_name(alias->version, number);
		return directory_find_qualified(directory, tenant, name, number);
	}
	if (!function_version_parse(qualifier, &version))
		return NULL;
	entry = find_by_key(directory, tenant, name, qualifier);
	return entry ? entry->function : NULL;
}

char *directory_package_path(const struct directory *directory, const char *package_digest)
{
	return package_path(directory->state_dir, package_digest);
}

void directory_each(const struct directory *directory,
		    void (*fn)(const struct function *function, void *arg), void *arg)
{
	for (struct entry *entry = directory->entries; entry; entry = entry->hh.next)
		if (entry->function)
			fn(entry->function, arg);
}

/* Its key is TENANT/NAME:VERSION; that of $LATEST, which is there as long as any, TENANT/NAME. */
static bool is_version(const struct entry *entry)
{
	return strchr(entry->key, ':') != NULL;
}

/* A name that only changes wait for counts too: one of them may be its creation. */
unsigned directory_count(const struct directory *directory, const char *tenant)
{
	unsigned count = 0;

	for (const struct entry *entry = directory->entries; entry; entry = entry->hh.next)
		count += strncmp(entry->key, tenant, TENANT_ID_DIGITS) == 0 && !is_version(entry);
	return count;
}

int directory_set_not_found(const struct directory *directory, const char *tenant, const char *name,
			    const char *qualifier, struct error *error)
{
	_cleanup_free_ char *arn = function_arn(directory->region, tenant, name, qualifier);

	return error_set(error, ERROR_NOT_FOUND, "function_name", "Function not found: %s",
			 arn ? arn : name);
}

/* -- paging: the marker is the hex of the last name -- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int refuse_marker(struct error *error)
{
	return error_set(error, ERROR_INVALID_PARAMETER, "marker",
			 "The marker is not one that a page of this list ended with.");
}

int marker_decode(const char *marker, char *name, size_t name_bytes, struct error *error)
{
	size_t len = strlen(marker);
	bool good = len % 2 == 0 && len / 2 < name_bytes;

	name[0] = 0;
	for (size_t i = 0; good && i < len; i += 2) {
		int high = hex_digit(marker[i]), low = hex_digit(marker[i + 1]);

		good = high >= 0 && low >= 0 && high + low > 0;
		name[i / 2] = good ? (char)(high << 4 | low) : 0;
		name[i / 2 + 1] = 0;
	}
	return good ? 0 : refuse_marker(error);
}

int page_limit(unsigned max_items, size_t *ret, struct error *error)
{
	if (max_items > DIRECTORY_MAX_ITEMS)
		return error_set(error, ERROR_INVALID_PARAMETER, "max_items",
				 "1 validation error detected: Value '%u' at 'maxItems' failed to "
				 "satisfy constraint: Member must have value less than or equal to "
				 "%d",
				 max_items, DIRECTORY_MAX_ITEMS);
	*ret = max_items && max_items < DIRECTORY_PAGE_ITEMS ? max_items : DIRECTORY_PAGE_ITEMS;
	return 0;
}

/* Where a page of functions goes on. */
struct place {
	char name[FUNCTION_NAME_MAX + 1 + FUNCTION_VERSION_BYTES];
	uint64_t version;
};

/* By name, then by version. */
static int compare(const struct function *function, const char *name, uint64_t version)
{
	int order = strcmp(function->name, name);

	if (order == 0 && function->version != version)
		order = function->version < version ? -1 : 1;
	return order;
}

/* NAME of $LATEST, NAME:NUMBER of a version. */
static int decode_place(const char *marker, struct place *ret, struct error *error)
{
	char *colon;
	int r;

	*ret = (struct place){ 0 };
	r = marker_decode(marker, ret->name, sizeof(ret->name), error);
	if (r < 0)
		return r;
	colon = strchr(ret->name, ':');
	if (colon && !function_version_parse(colon + 1, &ret->version))
		return refuse_marker(error);
	if (colon)
		*colon = 0;
	if (ret->name[0] && function_validate_name(ret->name, NULL) < 0)
		return refuse_marker(error);
	return 0;
}

static void encode_place(const struct function *last, char marker[DIRECTORY_MARKER_BYTES])
{
	char text[DIRECTORY_MARKER_BYTES / 2 + 1], version[FUNCTION_VERSION_BYTES];

	function_version_name(last->version, version);
	(void)snprintf(text, sizeof(text), "%s%s%s", last->name, last->version ? ":" : "",
		       last->version ? version : "");
	hex_encode(text, strlen(text), marker);
}

/* Inserts into the page's functions, which stay in order and at most `max`; what does not fit is
 * remembered as more. */
static void offer(struct directory_page *page, const struct function *function, size_t max,
		  bool *more)
{
	size_t place = page->count;

	while (place > 0 &&
	       compare(page->functions[place - 1], function->name, function->version) > 0)
		place--;
	*more = *more || page->count == max;
	if (place == max)
		return;
	if (page->count < max)
		page->count++;
	memmove(&page->functions[place + 1], &page->functions[place],
		(page->count - place - 1) * sizeof(page->functions[0]));
	page->functions[place] = function;
}

int directory_list(const struct directory *directory, const char *tenant, bool all_versions,
		   unsigned max_items, const char *marker, struct directory_page *ret,
		   struct error *error)
{
	struct place after;
	bool more = false;
	size_t max = 0;
	int r;

	r = page_limit(max_items, &max, error);
	if (r == 0)
		r = decode_place(marker ? marker : "", &after, error);
	if (r < 0)
		return r;

	*ret = (struct directory_page){ 0 };
	for (struct entry *entry = directory->entries; entry; entry = entry->hh.next)
		if (entry->function && (all_versions || entry->head == entry) &&
		    strcmp(entry->function->tenant, tenant) == 0 &&
		    compare(entry->function, after.name, after.version) > 0)
			offer(ret, entry->function, max, &more);
	if (more)
		encode_place(ret->functions[ret->count - 1], ret->next_marker);
	return 0;
}

/* False when the page is full. */
static bool append(struct directory_page *page, const struct function *function, size_t max)
{
	if (page->count == max)
		return false;
	page->functions[page->count++] = function;
	return true;
}

static void fill_versions(const struct entry *head, bool with_latest, uint64_t after, size_t max,
			  struct directory_page *page)
{
	char last[FUNCTION_VERSION_BYTES];
	const struct entry *entry;
	bool more = false;

	if (with_latest)
		more = !append(page, head->function, max);
	TAILQ_FOREACH (entry, &head->versions, version_link)
		if (entry->function->version > after)
			more = !append(page, entry->function, max) || more;
	if (!more)
		return;
	function_version_name(page->functions[page->count - 1]->version, last);
	hex_encode(last, strlen(last), page->next_marker);
}

int directory_list_versions(const struct directory *directory, const char *tenant, const char *name,
			    unsigned max_items, const char *marker, struct directory_page *ret,
			    struct error *error)
{
	const struct entry *head = directory_find_entry(directory, tenant, name);
	char after[FUNCTION_VERSION_BYTES];
	uint64_t number = 0;
	size_t max = 0;
	int r;

	r = page_limit(max_items, &max, error);
	if (r == 0)
		r = marker_decode(marker ? marker : "", after, sizeof(after), error);
	if (r < 0)
		return r;
	if (after[0] && !function_version_parse(after, &number))
		return refuse_marker(error);
	if (!head)
		return directory_set_not_found(directory, tenant, name, NULL, error);
	*ret = (struct directory_page){ 0 };
	fill_versions(head, after[0] == 0, number, max, ret);
	return 0;
}
