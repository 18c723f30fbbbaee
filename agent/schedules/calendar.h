/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The proleptic Gregorian calendar. Seconds are counted from 1970-01-01T00:00:00 of whichever
 * clock: UTC, or a zone's own ("local seconds"). Pure; any thread. */

#include <stdbool.h>
#include <stdint.h>

#define CALENDAR_MINUTE_S 60LL
#define CALENDAR_HOUR_S   3600LL
#define CALENDAR_DAY_S    86400LL

struct calendar {
	int64_t year;
	unsigned month; /* 1 to 12 */
	unsigned day;   /* 1 to 31 */
	unsigned hour;
	unsigned minute;
	unsigned second;
};

bool calendar_is_leap_year(int64_t year);
unsigned calendar_days_in_month(int64_t year, unsigned month);

/* Days since 1970-01-01. */
int64_t calendar_days(int64_t year, unsigned month, unsigned day);

/* 0: Sunday, to 6. */
unsigned calendar_weekday(int64_t days);

int64_t calendar_seconds(const struct calendar *calendar);
void calendar_split(int64_t seconds, struct calendar *ret);

/* "2026-11-26T02:30:00Z", with NUL; years 0 to 9999. */
#define CALENDAR_TEXT_BYTES 32
void calendar_format(int64_t seconds, char out[CALENDAR_TEXT_BYTES]);
