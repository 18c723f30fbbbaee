/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/deploy/internal.h"

const char *directory_region(const struct directory *directory)
{
	return directory->region;
}

const char *directory_default_tenant(const struct directory *directory)
{
	return directory->default_tenant;
}

const struct function *directory_find(const struct directory *directory, const char *tenant,
				      const char *name)
{
	char key[ENTRY_KEY_BYTES];
	struct entry *entry;
	int len;

	len = snprintf(key, sizeof(key), "%s/%s", tenant, name);
	if (len < 0 || (size_t)len >= sizeof(key))
		return NULL;
	HASH_FIND_STR(directory->entries, key, entry);
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

static int decode_marker(const char *marker, char name[FUNCTION_NAME_MAX + 1], struct error *error)
{
	size_t len = strlen(marker);
	bool good = len % 2 == 0 && len <= 2 * FUNCTION_NAME_MAX;

	for (size_t i = 0; good && i < len; i += 2) {
		int high = hex_digit(marker[i]), low = hex_digit(marker[i + 1]);

		good = high >= 0 && low >= 0;
		name[i / 2] = good ? (char)(high << 4 | low) : 0;
		name[i / 2 + 1] = 0;
	}
	if (good && (len == 0 || function_validate_name(name, NULL) == 0))
		return 0;
	return error_set(error, ERROR_INVALID_PARAMETER, "marker",
			 "The marker is not one that a page of this list ended with.");
}

/* Inserts into the page's functions, which stay in order and at most `max`; what does not fit is
 * remembered as more. */
static void offer(struct directory_page *page, const struct function *function, size_t max,
		  bool *more)
{
	size_t place = page->count;

	while (place > 0 && strcmp(page->functions[place - 1]->name, function->name) > 0)
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

int directory_list(const struct directory *directory, const char *tenant, unsigned max_items,
		   const char *marker, struct directory_page *ret, struct error *error)
{
	size_t max =
		max_items && max_items < DIRECTORY_PAGE_ITEMS ? max_items : DIRECTORY_PAGE_ITEMS;
	char after[FUNCTION_NAME_MAX + 1] = "";
	bool more = false;
	int r;

	if (max_items > DIRECTORY_MAX_ITEMS)
		return error_set(error, ERROR_INVALID_PARAMETER, "max_items",
				 "1 validation error detected: Value '%u' at 'maxItems' failed to "
				 "satisfy constraint: Member must have value less than or equal to "
				 "%d",
				 max_items, DIRECTORY_MAX_ITEMS);
	r = decode_marker(marker ? marker : "", after, error);
	if (r < 0)
		return r;

	*ret = (struct directory_page){ 0 };
	for (struct entry *entry = directory->entries; entry; entry = entry->hh.next)
		if (entry->function && strcmp(entry->function->tenant, tenant) == 0 &&
		    strcmp(entry->function->name, after) > 0)
			offer(ret, entry->function, max, &more);
	if (more)
		hex_encode(ret->functions[ret->count - 1]->name,
			   strlen(ret->functions[ret->count - 1]->name), ret->next_marker);
	return 0;
}
