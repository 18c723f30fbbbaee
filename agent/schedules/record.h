/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Schedules as the registry's bytes and back. Private to this room. Any thread. */

#include "agent/schedules/schedule.h"

#define SCHEDULE_RECORD_PREFIX "schedule/"
#define SCHEDULE_MARK_PREFIX   "schedule-mark/"
#define SCHEDULE_KEY_BYTES     96

/* How far a schedule is. */
struct schedule_mark {
	uint64_t generation; /* of the schedule that it belongs to */
	int64_t done_us;     /* occurrences up to then are dealt with */
	int64_t fired_us;    /* the last that became an event; 0: none */
};

/* `prefix` is one of the two. */
void schedule_record_key(const char *prefix, const char *tenant, const char *name,
			 char out[SCHEDULE_KEY_BYTES]);

/* Into an empty buffer; 0 or -ENOMEM. */
int schedule_record_encode(const struct schedule *schedule, struct buf *ret) _must_use_;
int schedule_record_encode_mark(const struct schedule_mark *mark, struct buf *ret) _must_use_;

/* Refuse what the agent has not written. */
int schedule_record_decode(struct slice bytes, struct schedule **ret,
			   struct error *error) _must_use_;
int schedule_record_decode_mark(struct slice bytes, struct schedule_mark *ret,
				struct error *error) _must_use_;
