/* SPDX-License-Identifier: Apache-2.0 */

/* Zones that were read, each once: schedules share them. */

#include <stdio.h>

#include "agent/schedules/internal.h"

static struct zone_entry *find(const struct schedules *schedules, const char *name)
{
	struct zone_entry *entry;

	HASH_FIND_STR(schedules->zones, name, entry);
	return entry;
}

const struct zone *zones_find(const struct schedules *schedules, const char *name)
{
	const struct zone_entry *entry = find(schedules, name);

	return entry ? entry->zone : NULL;
}

const struct zone *zones_keep(struct schedules *schedules, const char *name, struct zone *zone)
{
	struct zone_entry *entry = find(schedules, name);

	if (entry) { /* read twice at once */
		zone_free(zone);
		return entry->zone;
	}
	entry = calloc(1, sizeof(*entry));
	if (!entry) {
		zone_free(zone);
		return NULL;
	}
	(void)snprintf(entry->name, sizeof(entry->name), "%s", name);
	entry->zone = zone;
	HASH_ADD_STR(schedules->zones, name, entry);
	return zone;
}

void zones_clear(struct schedules *schedules)
{
	struct zone_entry *entry, *next;

	HASH_ITER (hh, schedules->zones, entry, next) {
		HASH_DEL(schedules->zones, entry);
		zone_free(entry->zone);
		free(entry);
	}
}
