/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One occurrence of a schedule: when it is, when it fires, and which event it becomes. Pure: the
 * same again after a restart. Any thread. */

#include "agent/schedules/schedule.h"

/* A schedule with what its texts mean. */
struct timetable {
	const struct schedule *schedule; /* borrowed, as the zone */
	const struct zone *zone;
	struct expression expression;
};

/* The first one after `after_us`, within StartDate and EndDate; -ENOENT: there is none. */
int occurrence_next(const struct timetable *timetable, int64_t after_us,
		    int64_t *ret_us) _must_use_;

/* The last one after `after_us` and not after `until_us`, and how many were before it, of which no
 * more than OCCURRENCE_COUNT_MAX are counted. */
#define OCCURRENCE_COUNT_MAX 100
int occurrence_last(const struct timetable *timetable, int64_t after_us, int64_t until_us,
		    int64_t *ret_us, unsigned *ret_before) _must_use_;

/* When it fires: later where the schedule has a flexible window. */
int64_t occurrence_due(const struct schedule *schedule, int64_t occurrence_us);

/* Of the event: the same for every try to make it one, another after a change of the schedule. */
void occurrence_request_id(const struct schedule *schedule, int64_t occurrence_us,
			   char ret[UUID_BYTES]);

/* The schedule's input, or EventBridge Scheduler's own event, into an empty buffer. 0 or a negative
 * errno. */
int occurrence_event(const struct schedule *schedule, const char *region, int64_t occurrence_us,
		     unsigned attempt, struct buf *ret) _must_use_;

/* Whether the input is JSON once its attributes have values. */
int occurrence_check_input(const struct schedule *schedule, const char *region,
			   struct error *error) _must_use_;
