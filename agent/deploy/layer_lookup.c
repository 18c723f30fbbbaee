/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/deploy/layer_internal.h"

static void make_key(const char *tenant, const char *name, char key[])
{
	(void)snprintf(key, sizeof(((struct layer_entry *)NULL)->key), "%.*s/%.*s",
		       TENANT_ID_DIGITS, tenant, LAYER_NAME_MAX, name);
}

struct layer_entry *layer_find_entry(const struct directory *directory, const char *tenant,
				     const char *name)
{
	char key[sizeof(((struct layer_entry *)NULL)->key)];
	struct layer_entry *entry;

	make_key(tenant, name, key);
	HASH_FIND_STR(directory->layers, key, entry);
	return entry;
}

struct layer_entry *layer_get_entry(struct directory *directory, const char *tenant,
				    const char *name)
{
	struct layer_entry *entry = layer_find_entry(directory, tenant, name);

	if (entry)
		return entry;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		abort(); /* as loop_post() */
	make_key(tenant, name, entry->key);
	HASH_ADD_STR(directory->layers, key, entry);
	return entry;
}

void layer_put(struct layer_entry *entry, struct layer_version *version)
{
	struct layer_version **grown =
		reallocarray(entry->versions, entry->count + 1, sizeof(*grown));
	size_t at = entry->count;

	if (!grown)
		abort(); /* as loop_post(): it is durable */
	while (at > 0 && grown[at - 1]->version > version->version)
		at--;
	memmove(&grown[at + 1], &grown[at], (entry->count - at) * sizeof(*grown));
	grown[at] = version;
	entry->versions = grown;
	entry->count++;
	if (entry->last_version < version->version)
		entry->last_version = version->version;
}

static size_t find_index(const struct layer_entry *entry, uint64_t version)
{
	size_t i = 0;

	while (entry && i < entry->count && entry->versions[i]->version != version)
		i++;
	return i;
}

struct layer_version *layer_take(struct layer_entry *entry, uint64_t version)
{
	size_t i = find_index(entry, version);
	struct layer_version *found;

	if (!entry || i == entry->count)
		return NULL;
	found = entry->versions[i];
	entry->count--;
	memmove(&entry->versions[i], &entry->versions[i + 1],
		(entry->count - i) * sizeof(struct layer_version *));
	return found;
}

const struct layer_version *directory_find_layer(const struct directory *directory,
						 const char *tenant, const char *name,
						 uint64_t version)
{
	const struct layer_entry *entry = layer_find_entry(directory, tenant, name);
	size_t i = find_index(entry, version);

	return entry && i < entry->count ? entry->versions[i] : NULL;
}

static bool is_of(const struct layer_entry *entry, const char *tenant)
{
	return strncmp(entry->key, tenant, TENANT_ID_DIGITS) == 0;
}

unsigned directory_count_layers(const struct directory *directory, const char *tenant)
{
	size_t count = 0;

	for (const struct layer_entry *entry = directory->layers; entry; entry = entry->hh.next)
		count += is_of(entry, tenant) ? entry->count : 0;
	return (unsigned)count;
}

/* -- paging: the marker is the hex of the last name or number -- */

static const struct layer_version *newest(const struct layer_entry *entry,
					  const struct directory_layer_list *request)
{
	for (size_t i = entry->count; i-- > 0;)
		if (layer_version_suits(entry->versions[i], request->runtime,
					request->architecture))
			return entry->versions[i];
	return NULL;
}

/* Inserts in order of name; what does not fit is remembered as more. */
static void offer(struct directory_layer_page *page, const struct layer_version *version,
		  size_t max, bool *more)
{
	size_t place = page->count;

	while (place > 0 && strcmp(page->versions[place - 1]->name, version->name) > 0)
		place--;
	*more = *more || page->count == max;
	if (place == max)
		return;
	if (page->count < max)
		page->count++;
	memmove(&page->versions[place + 1], &page->versions[place],
		(page->count - place - 1) * sizeof(page->versions[0]));
	page->versions[place] = version;
}

static void list_layers(const struct directory *directory,
			const struct directory_layer_list *request, const char *after, size_t max,
			struct directory_layer_page *page)
{
	const struct layer_version *version;
	const char *last;
	bool more = false;

	for (const struct layer_entry *entry = directory->layers; entry; entry = entry->hh.next) {
		version = is_of(entry, request->tenant) ? newest(entry, request) : NULL;
		if (version && strcmp(version->name, after) > 0)
			offer(page, version, max, &more);
	}
	if (!more)
		return;
	last = page->versions[page->count - 1]->name;
	hex_encode(last, strlen(last), page->next_marker);
}

static void list_versions(const struct layer_entry *entry,
			  const struct directory_layer_list *request, uint64_t before, size_t max,
			  struct directory_layer_page *page)
{
	char last[FUNCTION_VERSION_BYTES];

	for (size_t i = entry ? entry->count : 0; i-- > 0;) {
		const struct layer_version *version = entry->versions[i];
		if (version->version >= before ||
		    !layer_version_suits(version, request->runtime, request->architecture))
			continue;
		if (page->count == max) {
			function_version_name(page->versions[max - 1]->version, last);
			hex_encode(last, strlen(last), page->next_marker);
			return;
		}
		page->versions[page->count++] = version;
	}
}

static int check_max_items(unsigned max_items, struct error *error)
{
	if (max_items <= DIRECTORY_LAYER_ITEMS_MAX)
		return 0;
	return error_set(error, ERROR_INVALID_PARAMETER, "max_items",
			 "1 validation error detected: Value '%u' at 'maxItems' failed to satisfy "
			 "constraint: Member must have value less than or equal to %d",
			 max_items, DIRECTORY_LAYER_ITEMS_MAX);
}

int directory_list_layers(const struct directory *directory,
			  const struct directory_layer_list *request,
			  struct directory_layer_page *ret, struct error *error)
{
	size_t max = request->max_items ? request->max_items : DIRECTORY_PAGE_ITEMS;
	char after[LAYER_NAME_MAX + 1];
	uint64_t before = UINT64_MAX;
	int r;

	r = check_max_items(request->max_items, error);
	if (r == 0)
		r = layer_validate_filter(request->runtime, request->architecture, error);
	if (r == 0)
		r = marker_decode(request->marker ? request->marker : "", after, sizeof(after),
				  error);
	if (r < 0)
		return r;
	if (request->name && after[0] && (!function_version_parse(after, &before) || !before))
		return error_set(error, ERROR_INVALID_PARAMETER, "marker",
				 "The marker is not one that a page of this list ended with.");
	*ret = (struct directory_layer_page){ 0 };
	if (request->name)
		list_versions(layer_find_entry(directory, request->tenant, request->name), request,
			      before, max, ret);
	else
		list_layers(directory, request, after, max, ret);
	return 0;
}
