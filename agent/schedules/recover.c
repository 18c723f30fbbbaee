/* SPDX-License-Identifier: Apache-2.0 */

/* What the last agent had made an event of and not yet marked. Blocks: before the loop runs, so
 * that no event has ended meanwhile. */

#include <errno.h>

#include "agent/schedules/internal.h"
#include "mayfly/log.h"

/* An occurrence that may have become an event, by that event's request id. */
struct candidate {
	char request_id[UUID_BYTES];
	struct entry *entry;
	int64_t occurrence_us;
	bool found;
	UT_hash_handle hh;
};

/* The one that is under way is always the first that is not marked. */
static int add_candidate(struct candidate **all, struct entry *entry)
{
	struct candidate *candidate;
	int64_t next_us;

	if (entry->schedule->disabled || !entry->timetable.zone ||
	    occurrence_next(&entry->timetable, entry->mark.done_us, &next_us) < 0)
		return 0;
	candidate = calloc(1, sizeof(*candidate));
	if (!candidate)
		return -ENOMEM;
	candidate->entry = entry;
	candidate->occurrence_us = next_us;
	occurrence_request_id(entry->schedule, next_us, candidate->request_id);
	HASH_ADD_STR(*all, request_id, candidate);
	return 0;
}

static void compare(const char *request_id, void *arg)
{
	struct candidate **all = arg, *candidate;

	HASH_FIND_STR(*all, request_id, candidate);
	if (candidate)
		candidate->found = true;
}

/* As the last agent would have. */
static int mark_now(struct schedules *schedules, const struct candidate *candidate,
		    struct error *error)
{
	struct entry *entry = candidate->entry;
	struct schedule_mark mark = entry->mark;
	struct schedule_op op = { 0 };
	bool goes = fire_is_last(entry, candidate->occurrence_us);
	int r;

	mark.done_us = mark.fired_us = candidate->occurrence_us;
	r = goes ? 0 : schedule_record_encode_mark(&mark, &op.values[0]);
	if (goes) {
		op_remove(&op, SCHEDULE_RECORD_PREFIX, entry, entry->revision);
		op_remove(&op, SCHEDULE_MARK_PREFIX, entry, entry->mark_revision);
	} else {
		op_put(&op, SCHEDULE_MARK_PREFIX, entry, entry->mark_revision);
	}
	if (r == 0)
		r = registry_commit(schedules->config.registry, op.writes, op.count, &op.revision,
				    error);
	if (r == 0) {
		log_notice("Schedule %s of tenant %s: event %s is its occurrence", entry->name,
			   entry->tenant, candidate->request_id);
		entry->mark = mark;
		entry->mark_revision = op.revision;
	}
	op_reset(&op);
	if (r == 0 && goes)
		book_remove(entry);
	return r;
}

int schedules_recover(struct schedules *schedules, struct error *error)
{
	struct candidate *all = NULL, *candidate, *next;
	struct event_gauges events;
	int r = 0;

	event_queue_gauges(schedules->config.events, &events);
	for (size_t i = 0; events.waiting > 0 && i < schedules->count && r == 0; i++)
		r = add_candidate(&all, schedules->entries[i]);
	if (r == 0)
		event_queue_each(schedules->config.events, compare, &all);
	HASH_ITER (hh, all, candidate, next) {
		if (candidate->found && r == 0)
			r = mark_now(schedules, candidate, error);
		HASH_DEL(all, candidate);
		free(candidate);
	}
	return r < 0 ? error_set_errno(error, r, "Cannot take up the schedules") : 0;
}
