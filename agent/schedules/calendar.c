/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/schedules/calendar.h"

#include <stdio.h>

#define DAYS_PER_ERA  146097 /* of 400 years */
#define YEARS_PER_ERA 400
/* Days from 0000-03-01, with which an era begins, to 1970-01-01. */
#define EPOCH_DAYS    719468

bool calendar_is_leap_year(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

unsigned calendar_days_in_month(int64_t year, unsigned month)
{
	static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[month - 1] + (month == 2 && calendar_is_leap_year(year));
}

static int64_t floor_divide(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* Years are counted from March, so that the leap day is their last. */
int64_t calendar_days(int64_t year, unsigned month, unsigned day)
{
	int64_t shifted = year - (month <= 2);
	int64_t era = floor_divide(shifted, YEARS_PER_ERA);
	int64_t of_era = shifted - era * YEARS_PER_ERA;
	int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return era * DAYS_PER_ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH_DAYS;
}

unsigned calendar_weekday(int64_t days)
{
	/* 1970-01-01 was a Thursday. */
	int64_t weekday = (days + 4) % 7;

	return (unsigned)(weekday < 0 ? weekday + 7 : weekday);
}

int64_t calendar_seconds(const struct calendar *calendar)
{
	return calendar_days(calendar->year, calendar->month, calendar->day) * CALENDAR_DAY_S +
	       calendar->hour * CALENDAR_HOUR_S + calendar->minute * CALENDAR_MINUTE_S +
	       calendar->second;
}

void calendar_split(int64_t seconds, struct calendar *ret)
{
	int64_t days = floor_divide(seconds, CALENDAR_DAY_S);
	int64_t of_day = seconds - days * CALENDAR_DAY_S;
	int64_t shifted = days + EPOCH_DAYS;
	int64_t era = floor_divide(shifted, DAYS_PER_ERA);
	int64_t day = shifted - era * DAYS_PER_ERA; /* of the era */
	int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	int64_t of_year = day - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * of_year + 2) / 153; /* 0: March */

	ret->day = (unsigned)(of_year - (153 * month + 2) / 5 + 1);
	ret->month = (unsigned)(month < 10 ? month + 3 : month - 9);
	ret->year = year + era * YEARS_PER_ERA + (ret->month <= 2);
	ret->hour = (unsigned)(of_day / CALENDAR_HOUR_S);
	ret->minute = (unsigned)(of_day % CALENDAR_HOUR_S / CALENDAR_MINUTE_S);
	ret->second = (unsigned)(of_day % CALENDAR_MINUTE_S);
}

void calendar_format(int64_t seconds, char out[CALENDAR_TEXT_BYTES])
{
	struct calendar calendar;

	calendar_split(seconds, &calendar);
	(void)snprintf(out, CALENDAR_TEXT_BYTES, "%04d-%02u-%02uT%02u:%02u:%02uZ",
		       (int)calendar.year, calendar.month, calendar.day, calendar.hour,
		       calendar.minute, calendar.second);
}
