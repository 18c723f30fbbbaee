/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The time by which old things are deleted. It is the machine's, but for one that is suddenly
 * ahead, by more than an hour: this goes on as before then, until that one has stood for a day of
 * running. So a clock that is wrong for less deletes nothing that it should not, also when the
 * agent starts with it: what was known is kept in a file. One that goes back is followed at once.
 * Loop thread. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/core/loop.h"
#include "mayfly/error.h"

#define PATIENT_CLOCK_SLACK_US    (3600LL * 1000000)
#define PATIENT_CLOCK_PATIENCE_US (24 * 3600LL * 1000000)

/* The rule alone. */
struct patient_time {
	int64_t known_us;  /* Unix time as it was believed … */
	int64_t at_us;     /* … then, by the monotonic clock */
	int64_t waited_us; /* for how long the machine's has been ahead, while somebody looked */
	bool is_ahead;
};
int64_t patient_time_look(struct patient_time *time, int64_t realtime_us, int64_t monotonic_us);

struct patient_clock;

/* Without the file, as at the first start, the machine's time is believed, and so it is when the
 * file cannot be read, which is logged. Blocks: before the loop runs. The loop is borrowed. */
int patient_clock_open(const char *path, struct loop *loop, struct patient_clock **ret,
		       struct error *error) _must_use_;
/* Copes with NULL. */
struct patient_clock *patient_clock_close(struct patient_clock *clock);
DEFINE_CLEANUP(struct patient_clock, patient_clock_close)

/* Unix time; to be asked once an hour or more often. Now and then it is written to the file, by a
 * job. */
int64_t patient_clock_now_us(struct patient_clock *clock);
