/* SPDX-License-Identifier: Apache-2.0 */

/* When a cron expression matches next. */

#include "agent/schedules/cron.h"

#include <errno.h>
#include <strings.h>

#include "agent/schedules/calendar.h"

#define DAYS_MAX 31
#define SUNDAY   1 /* as cron counts */
#define SATURDAY 7

static bool has_year(const struct cron *cron, int64_t year)
{
	unsigned bit = (unsigned)(year - CRON_YEAR_MIN);

	return cron->years[bit / 64] >> (bit % 64) & 1;
}

/* 1 to 7. */
static unsigned weekday_of(unsigned first_weekday, unsigned day)
{
	return (first_weekday - 1 + day - 1) % 7 + 1;
}

/* The workday nearest to a day, without leaving the month. */
static unsigned nearest_workday(unsigned first_weekday, unsigned length, unsigned day)
{
	unsigned weekday = weekday_of(first_weekday, day);

	if (weekday == SATURDAY)
		return day == 1 ? day + 2 : day - 1;
	if (weekday == SUNDAY)
		return day == length ? day - 2 : day + 1;
	return day;
}

static uint32_t days_of_month(const struct cron *cron, unsigned first_weekday, unsigned length)
{
	uint32_t days = cron->days;
	unsigned day;

	for (day = 1; day <= length; day++)
		if (cron->near_days >> day & 1)
			days |= UINT32_C(1) << nearest_workday(first_weekday, length, day);
	if (cron->last_day)
		days |= UINT32_C(1) << length;
	for (day = length; cron->last_workday; day--) {
		unsigned weekday = weekday_of(first_weekday, day);

		if (weekday == SATURDAY || weekday == SUNDAY)
			continue;
		days |= UINT32_C(1) << day;
		break;
	}
	return days;
}

static uint32_t days_of_week(const struct cron *cron, unsigned first_weekday, unsigned length)
{
	uint32_t days = 0;

	for (unsigned day = 1; day <= length; day++) {
		unsigned weekday = weekday_of(first_weekday, day);
		unsigned nth = (day - 1) / 7 + 1;

		if (cron->weekdays >> weekday & 1 || cron->nth_weekdays[nth] >> weekday & 1 ||
		    (day + 7 > length && cron->last_weekdays >> weekday & 1))
			days |= UINT32_C(1) << day;
	}
	return days;
}

/* Bit n: day n of the month matches. */
static uint32_t matching_days(const struct cron *cron, int64_t year, unsigned month)
{
	unsigned length = calendar_days_in_month(year, month);
	unsigned first = calendar_weekday(calendar_days(year, month, 1)) + 1;
	uint32_t days = cron->by_weekday ? days_of_week(cron, first, length)
					 : days_of_month(cron, first, length);

	return days & (uint32_t)((UINT64_C(1) << (length + 1)) - 1);
}

/* The lowest bit from `from` on; false when there is none. */
static bool lowest(uint64_t bits, unsigned from, unsigned *ret)
{
	bits = from < 64 ? bits >> from << from : 0;
	if (!bits)
		return false;
	*ret = (unsigned)ffsll((long long)bits) - 1;
	return true;
}

/* At or after hour and minute. */
static bool next_in_day(const struct cron *cron, struct calendar *at)
{
	unsigned hour, minute;

	if (cron->hours >> at->hour & 1 && lowest(cron->minutes, at->minute, &minute)) {
		at->minute = minute;
		return true;
	}
	if (!lowest(cron->hours, at->hour + 1, &hour) || !lowest(cron->minutes, 0, &minute))
		return false;
	at->hour = hour;
	at->minute = minute;
	return true;
}

static void begin_day(struct calendar *at, unsigned day)
{
	at->day = day;
	at->hour = at->minute = 0;
}

static bool next_in_month(const struct cron *cron, struct calendar *at)
{
	uint32_t days = matching_days(cron, at->year, at->month);
	unsigned day;

	while (lowest(days, at->day, &day)) {
		if (day != at->day)
			begin_day(at, day);
		if (next_in_day(cron, at))
			return true;
		begin_day(at, day + 1);
	}
	return false;
}

static bool next_in_year(const struct cron *cron, struct calendar *at)
{
	unsigned month;

	while (lowest(cron->months, at->month, &month)) {
		if (month != at->month) {
			at->month = month;
			begin_day(at, 1);
		}
		if (next_in_month(cron, at))
			return true;
		at->month++;
		begin_day(at, 1);
	}
	return false;
}

int cron_next(const struct cron *cron, int64_t from_s, int64_t *ret_s)
{
	static const struct calendar first = { .year = CRON_YEAR_MIN, .month = 1, .day = 1 };
	struct calendar at;

	if (from_s < calendar_seconds(&first))
		from_s = calendar_seconds(&first);
	/* Only whole minutes match. */
	calendar_split(from_s + CALENDAR_MINUTE_S - 1, &at);
	at.second = 0;
	for (; at.year <= CRON_YEAR_MAX; at.year++) {
		if (has_year(cron, at.year) && next_in_year(cron, &at)) {
			*ret_s = calendar_seconds(&at);
			return 0;
		}
		at.month = 1;
		begin_day(&at, 1);
	}
	return -ENOENT;
}
