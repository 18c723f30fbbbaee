/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* cron(minutes hours day-of-month month day-of-week year) in the dialect of Amazon EventBridge
 * (EventBridge Scheduler user guide, "Cron-based schedules"). Pure; any thread. */

#include <stdbool.h>
#include <stdint.h>

#include "mayfly/cleanup.h"

#define CRON_YEAR_MIN    1970
#define CRON_YEAR_MAX    2199
#define CRON_YEAR_WORDS  4 /* of 64 bits */
#define CRON_FIELD_BYTES 256

/* Bit n stands for the value n, of years for CRON_YEAR_MIN + n. */
struct cron {
	uint64_t minutes;
	uint32_t hours;
	uint16_t months;
	uint64_t years[CRON_YEAR_WORDS];
	bool by_weekday; /* else by the day of the month */
	/* By the day of the month. */
	uint32_t days;
	uint32_t near_days; /* nW: the weekday nearest to day n, within the month */
	bool last_day;      /* L */
	bool last_workday;  /* LW */
	/* By the weekday, 1 for Sunday to 7. */
	uint8_t weekdays;
	uint8_t last_weekdays;   /* nL: the last one of the month */
	uint8_t nth_weekdays[6]; /* n#m: of m, bit n */
};

/* `fields`: what stands between the brackets. -EINVAL with a sentence that says why. */
#define CRON_REASON_BYTES 200
int cron_parse(const char *fields, struct cron *ret, char reason[CRON_REASON_BYTES]) _must_use_;

/* The first local second that matches at or after `from_s`. -ENOENT: there is none any more. */
int cron_next(const struct cron *cron, int64_t from_s, int64_t *ret_s) _must_use_;
