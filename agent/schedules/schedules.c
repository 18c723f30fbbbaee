/* SPDX-License-Identifier: Apache-2.0 */

/* Life and looking up. */

#include "agent/schedules/schedules.h"

#include <errno.h>
#include <string.h>

#include "agent/schedules/internal.h"
#include "mayfly/log.h"

/* -- looking up -- */

int schedules_get(const struct schedules *schedules, const char *tenant, const char *name,
		  struct schedule_view *ret, struct error *error)
{
	const struct entry *entry;
	int r = schedule_validate_name(name, error);

	if (r < 0)
		return r;
	entry = book_find_living(schedules, tenant, name);
	if (!entry)
		return schedule_set_not_found(name, error);
	*ret = book_view(entry);
	return 0;
}

unsigned schedules_count(const struct schedules *schedules, const char *tenant)
{
	unsigned count = 0;

	for (size_t i = book_place(schedules, tenant, ""); i < schedules->count; i++, count++)
		if (strcmp(schedules->entries[i]->tenant, tenant) != 0)
			break;
	return count;
}

static int check_filter(const struct schedules_filter *filter, struct error *error)
{
	int r = filter->name_prefix[0] ? schedule_validate_name(filter->name_prefix, error) : 0;

	if (r == 0 && filter->after[0] && schedule_validate_name(filter->after, NULL) < 0)
		r = error_set(error, ERROR_INVALID_PARAMETER, "next_token",
			      "The NextToken is none of this node.");
	if (r == 0 && filter->max_results > SCHEDULES_PAGE_ITEMS)
		r = error_set(error, ERROR_INVALID_PARAMETER, "max_results",
			      "1 validation error detected: Value '%u' at 'maxResults' failed to "
			      "satisfy constraint: Member must have value less than or equal to %d",
			      filter->max_results, SCHEDULES_PAGE_ITEMS);
	return r;
}

int schedules_list(const struct schedules *schedules, const struct schedules_filter *filter,
		   struct schedules_page *ret, struct error *error)
{
	const char *prefix = filter->name_prefix;
	size_t max = filter->max_results ? filter->max_results : SCHEDULES_PAGE_ITEMS;
	const char *from = strcmp(filter->after, prefix) > 0 ? filter->after : prefix;
	int r = check_filter(filter, error);

	if (r < 0)
		return r;
	ret->count = 0;
	ret->next[0] = 0;
	for (size_t i = book_place(schedules, filter->tenant, from); i < schedules->count; i++) {
		const struct entry *entry = schedules->entries[i];

		if (strcmp(entry->tenant, filter->tenant) != 0 ||
		    strncmp(entry->name, prefix, strlen(prefix)) != 0)
			break;
		if (!entry->schedule || strcmp(entry->name, filter->after) == 0 ||
		    (filter->has_state && entry->schedule->disabled != filter->disabled))
			continue;
		if (ret->count == max) {
			memcpy(ret->next, ret->views[max - 1].schedule->name, sizeof(ret->next));
			break;
		}
		ret->views[ret->count++] = book_view(entry);
	}
	return 0;
}

void schedules_gauges(const struct schedules *schedules, struct schedules_gauges *ret)
{
	const struct due_item *first = due_heap_first(&schedules->heap);
	int64_t now_us = schedules_now(schedules);

	*ret = schedules->counters;
	ret->count = (unsigned)schedules->count;
	ret->overdue_us = first && first->due_us < now_us ? now_us - first->due_us : 0;
}

/* -- what is durable -- */

struct loading {
	struct schedules *schedules;
	struct error *error;
};

/* A zone that is there no more makes its schedules stand still, not the node. */
static const struct zone *zone_of(struct schedules *schedules, const struct schedule *schedule)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	const struct zone *known = zones_find(schedules, schedule->timezone);
	struct zone *zone = NULL;

	if (known)
		return known;
	if (zone_load(schedule->timezone, &zone, &error) == 0)
		return zones_keep(schedules, schedule->timezone, zone);
	log_error("Schedule %s of tenant %s cannot fire: %s", schedule->name, schedule->tenant,
		  error_log_text(&error));
	return NULL;
}

static int load_schedule(const char *key _unused_, struct slice value, uint64_t revision, void *arg)
{
	static const struct schedule_mark none;
	const struct loading *loading = arg;
	struct schedules *schedules = loading->schedules;
	struct schedule *schedule = NULL;
	struct entry *entry;
	int r = schedule_record_decode(value, &schedule, loading->error);

	if (r < 0)
		return r;
	r = book_add(schedules, schedule->tenant, schedule->name, &entry);
	if (r < 0) {
		schedule_free(schedule);
		return error_set_errno(loading->error, r, "Cannot take up a schedule");
	}
	entry->revision = revision;
	return fire_install(entry, schedule, zone_of(schedules, schedule), &none);
}

static int load_mark(const char *key, struct slice value, uint64_t revision, void *arg)
{
	const struct loading *loading = arg;
	char tenant[TENANT_ID_BYTES];
	const char *name = key + strlen(SCHEDULE_MARK_PREFIX) + TENANT_ID_BYTES;
	struct schedule_mark mark;
	struct entry *entry = NULL;
	int r = schedule_record_decode_mark(value, &mark, loading->error);

	if (r < 0)
		return r;
	if (strlen(key) > strlen(SCHEDULE_MARK_PREFIX) + TENANT_ID_BYTES) {
		memcpy(tenant, key + strlen(SCHEDULE_MARK_PREFIX), TENANT_ID_BYTES);
		tenant[TENANT_ID_DIGITS] = 0;
		entry = book_find(loading->schedules, tenant, name);
	}
	if (!entry || entry->schedule->generation != mark.generation)
		return error_set(loading->error, ERROR_INTERNAL, NULL,
				 "The registry has %s, but not its schedule.", key);
	entry->mark = mark;
	entry->mark_revision = revision;
	return 0;
}

static int load(struct schedules *schedules, struct error *error)
{
	struct registry *registry = schedules->config.registry;
	struct loading loading = { schedules, error };
	int r = registry_list(registry, SCHEDULE_RECORD_PREFIX, NULL, 0, load_schedule, &loading,
			      error);

	if (r == 0)
		r = registry_list(registry, SCHEDULE_MARK_PREFIX, NULL, 0, load_mark, &loading,
				  error);
	for (size_t i = 0; i < schedules->count && r == 0; i++)
		if (schedules->entries[i]->mark_revision == 0)
			r = error_set(error, ERROR_INTERNAL, NULL,
				      "The registry has no mark of schedule %s.",
				      schedules->entries[i]->name);
	return r < 0 ? error_set_errno(error, r, "Cannot take up the schedules") : 0;
}

/* -- the door -- */

int schedules_open(const struct schedules_config *config, struct schedules **ret,
		   struct error *error)
{
	_cleanup_(schedules_close_p) struct schedules *schedules = calloc(1, sizeof(*schedules));
	int r;

	if (!schedules)
		return error_set_errno(error, ENOMEM, "Cannot open the schedules");
	schedules->config = *config;
	schedules->clock_fd = -1;
	TAILQ_INIT(&schedules->changes);
	lane_init(&schedules->lane, config->loop, 1);
	writer_init(&schedules->writer, config->registry, config->loop);
	schedules->config.region = strdup(config->region);
	if (!schedules->config.region)
		return error_set_errno(error, ENOMEM, "Cannot open the schedules");
	r = load(schedules, error);
	if (r == 0)
		r = schedules_recover(schedules, error);
	if (r < 0)
		return r;
	r = clock_open(schedules);
	if (r == 0)
		r = fire_open(schedules);
	if (r < 0)
		return error_set_errno(error, r, "Cannot open the schedules");
	*ret = TAKE_PTR(schedules);
	return 0;
}

struct schedules *schedules_close(struct schedules *schedules)
{
	if (!schedules)
		return NULL;
	fire_close(schedules);
	clock_close(schedules);
	changes_close(schedules);
	book_clear(schedules);
	zones_clear(schedules);
	due_heap_free(&schedules->heap);
	free((char *)(uintptr_t)schedules->config.region);
	free(schedules);
	return NULL;
}
