/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "agent/store/registry.h"

struct entry {
	char *key;
	struct buf value;
	uint64_t revision;
};

struct memory {
	struct registry base;
	struct entry *entries; /* in order of key */
	size_t count;
	size_t capacity;
	uint64_t revision;
};

/* The first entry whose key is not below `key`. */
static size_t find_place(const struct memory *memory, const char *key)
{
	size_t low = 0, high = memory->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(memory->entries[middle].key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct entry *find(const struct memory *memory, const char *key)
{
	size_t place = find_place(memory, key);

	if (place == memory->count || strcmp(memory->entries[place].key, key) != 0)
		return NULL;
	return &memory->entries[place];
}

static int memory_get(struct registry *registry, const char *key, struct buf *ret_value,
		      uint64_t *ret_revision, struct error *error)
{
	struct memory *memory = container_of(registry, struct memory, base);
	struct entry *entry = find(memory, key);

	if (!entry)
		return -ENOENT;
	if (buf_append(ret_value, entry->value.data, entry->value.len) < 0)
		return error_set_errno(error, ENOMEM, "Cannot read the registry");
	*ret_revision = entry->revision;
	return 0;
}

static int memory_list(struct registry *registry, const char *prefix, const char *after,
		       size_t limit, registry_entry_fn *fn, void *arg, struct error *error _unused_)
{
	struct memory *memory = container_of(registry, struct memory, base);
	size_t place = find_place(memory, prefix), given = 0;

	for (; place < memory->count && (!limit || given < limit); place++) {
		struct entry *entry = &memory->entries[place];
		int r;

		if (strncmp(entry->key, prefix, strlen(prefix)) != 0)
			break;
		if (after && strcmp(entry->key, after) <= 0)
			continue;
		r = fn(entry->key, buf_slice(&entry->value), entry->revision, arg);
		if (r < 0)
			return r;
		given++;
	}
	return 0;
}

static int check_revisions(const struct memory *memory, const struct registry_write *writes,
			   size_t count, struct error *error)
{
	for (size_t i = 0; i < count; i++) {
		struct entry *entry = find(memory, writes[i].key);
		uint64_t revision = entry ? entry->revision : 0;

		if (!writes[i].whole_prefix && writes[i].revision != REGISTRY_ANY_REVISION &&
		    writes[i].revision != revision)
			return error_set(error, ERROR_PRECONDITION_FAILED, NULL,
					 "The registry's %s was changed meanwhile.", writes[i].key);
	}
	return 0;
}

static int reserve(struct memory *memory, size_t more)
{
	struct entry *grown;

	if (memory->count + more <= memory->capacity)
		return 0;
	grown = reallocarray(memory->entries, memory->count + more + 64, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	memory->entries = grown;
	memory->capacity = memory->count + more + 64;
	return 0;
}

static void clear_entry(struct entry *entry)
{
	free(entry->key);
	buf_free(&entry->value);
}

static void remove_at(struct memory *memory, struct entry *entry)
{
	clear_entry(entry);
	memory->count--;
	memmove(entry, entry + 1,
		(size_t)(memory->entries + memory->count - entry) * sizeof(*entry));
}

static void remove_prefix(struct memory *memory, const char *prefix)
{
	size_t place = find_place(memory, prefix), len = strlen(prefix);

	while (place < memory->count && strncmp(memory->entries[place].key, prefix, len) == 0)
		remove_at(memory, &memory->entries[place]);
}

static void remove_entry(struct memory *memory, const char *key)
{
	struct entry *entry = find(memory, key);

	if (entry)
		remove_at(memory, entry);
}

/* Takes what `fresh` owns. */
static void put_entry(struct memory *memory, struct entry *fresh)
{
	struct entry *entry;

	remove_entry(memory, fresh->key);
	entry = memory->entries + find_place(memory, fresh->key);
	memmove(entry + 1, entry,
		(size_t)(memory->entries + memory->count - entry) * sizeof(*entry));
	*entry = *fresh;
	memory->count++;
	*fresh = (struct entry){ 0 };
}

static int make_entries(const struct registry_write *writes, size_t count, uint64_t revision,
			struct entry *fresh)
{
	for (size_t i = 0; i < count; i++) {
		if (writes[i].remove || writes[i].whole_prefix)
			continue;
		fresh[i].key = strdup(writes[i].key);
		fresh[i].revision = revision;
		if (!fresh[i].key ||
		    buf_append(&fresh[i].value, writes[i].value.data, writes[i].value.len) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int memory_commit(struct registry *registry, const struct registry_write *writes,
			 size_t count, uint64_t *ret_revision, struct error *error)
{
	struct memory *memory = container_of(registry, struct memory, base);
	struct entry fresh[REGISTRY_WRITES] = { 0 };
	int r;

	r = check_revisions(memory, writes, count, error);
	if (r < 0)
		return r;
	r = reserve(memory, count);
	if (r == 0)
		r = make_entries(writes, count, memory->revision + 1, fresh);
	for (size_t i = 0; i < count && r == 0; i++) {
		if (writes[i].whole_prefix)
			remove_prefix(memory, writes[i].key);
		else if (writes[i].remove)
			remove_entry(memory, writes[i].key);
		else
			put_entry(memory, &fresh[i]);
	}
	if (r < 0) {
		for (size_t i = 0; i < count; i++)
			clear_entry(&fresh[i]);
		return error_set_errno(error, r, "Cannot change the registry");
	}
	memory->revision++;
	if (ret_revision)
		*ret_revision = memory->revision;
	return 0;
}

static struct registry *memory_close(struct registry *registry)
{
	struct memory *memory = container_of(registry, struct memory, base);

	for (size_t i = 0; i < memory->count; i++)
		clear_entry(&memory->entries[i]);
	free(memory->entries);
	free(memory);
	return NULL;
}

static const struct registry_ops memory_ops = {
	.get = memory_get,
	.list = memory_list,
	.commit = memory_commit,
	.close = memory_close,
};

int registry_open_memory(struct registry **ret, struct error *error)
{
	struct memory *memory = calloc(1, sizeof(*memory));

	if (!memory)
		return error_set_errno(error, ENOMEM, "Cannot open a registry");
	memory->base.ops = &memory_ops;
	*ret = &memory->base;
	return 0;
}
