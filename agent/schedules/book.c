/* SPDX-License-Identifier: Apache-2.0 */

/* All entries, in order of tenant and name. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/schedules/internal.h"

#define FIRST_SIZE 64

static int compare(const struct entry *entry, const char *tenant, const char *name)
{
	int r = strcmp(entry->tenant, tenant);

	return r ? r : strcmp(entry->name, name);
}

size_t book_place(const struct schedules *schedules, const char *tenant, const char *name)
{
	size_t low = 0, high = schedules->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare(schedules->entries[middle], tenant, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct entry *book_find(const struct schedules *schedules, const char *tenant, const char *name)
{
	size_t place = book_place(schedules, tenant, name);

	if (place == schedules->count || compare(schedules->entries[place], tenant, name) != 0)
		return NULL;
	return schedules->entries[place];
}

struct entry *book_find_living(const struct schedules *schedules, const char *tenant,
			       const char *name)
{
	struct entry *entry = book_find(schedules, tenant, name);

	return entry && entry->schedule ? entry : NULL;
}

static int grow(struct schedules *schedules)
{
	size_t size = schedules->size ? schedules->size * 2 : FIRST_SIZE;
	struct entry **entries;

	if (schedules->count < schedules->size)
		return 0;
	entries = reallocarray(schedules->entries, size, sizeof(struct entry *));
	if (!entries)
		return -ENOMEM;
	schedules->entries = entries;
	schedules->size = size;
	return 0;
}

int book_add(struct schedules *schedules, const char *tenant, const char *name, struct entry **ret)
{
	size_t place = book_place(schedules, tenant, name);
	struct entry *entry = NULL;
	int r = grow(schedules);

	if (r == 0) /* so that nothing can fail once it is durable */
		r = due_heap_reserve(&schedules->heap, schedules->count + 1);
	if (r == 0)
		entry = calloc(1, sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	entry->owner = schedules;
	(void)snprintf(entry->tenant, sizeof(entry->tenant), "%s", tenant);
	(void)snprintf(entry->name, sizeof(entry->name), "%s", name);
	entry->next_us = INT64_MAX;
	TAILQ_INIT(&entry->changes);
	memmove(&schedules->entries[place + 1], &schedules->entries[place],
		(schedules->count - place) * sizeof(struct entry *));
	schedules->entries[place] = entry;
	schedules->count++;
	*ret = entry;
	return 0;
}

static void entry_free(struct entry *entry)
{
	fire_forget(entry);
	op_reset(&entry->op);
	buf_free(&entry->event);
	schedule_free(entry->schedule);
	free(entry);
}

void book_remove(struct entry *entry)
{
	struct schedules *schedules = entry->owner;
	size_t place = book_place(schedules, entry->tenant, entry->name);

	schedules->count--;
	memmove(&schedules->entries[place], &schedules->entries[place + 1],
		(schedules->count - place) * sizeof(struct entry *));
	entry_free(entry);
}

void book_clear(struct schedules *schedules)
{
	for (size_t i = 0; i < schedules->count; i++)
		entry_free(schedules->entries[i]);
	free(schedules->entries);
	schedules->entries = NULL;
	schedules->count = schedules->size = 0;
}

struct schedule_view book_view(const struct entry *entry)
{
	bool has_next = !entry->schedule->disabled && entry->next_us != INT64_MAX;

	return (struct schedule_view){
		.schedule = entry->schedule,
		.next_us = has_next ? entry->next_us : 0,
		.fired_us = entry->mark.fired_us,
	};
}
