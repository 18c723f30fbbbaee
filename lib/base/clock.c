/* SPDX-License-Identifier: Apache-2.0 */

#include "mayfly/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_clock_us(clockid_t id)
{
	struct timespec now;
	(void)clock_gettime(id, &now);
	return (int64_t)now.tv_sec * USEC_PER_SEC + now.tv_nsec / 1000;
}

int64_t clock_monotonic_us(void)
{
	return read_clock_us(CLOCK_MONOTONIC);
}

int64_t clock_realtime_us(void)
{
	return read_clock_us(CLOCK_REALTIME);
}

void clock_format_iso8601(int64_t realtime_us, char out[CLOCK_ISO8601_BYTES])
{
	int64_t in_second_us = realtime_us % USEC_PER_SEC;
	if (in_second_us < 0)
		in_second_us += USEC_PER_SEC;
	time_t seconds = (time_t)((realtime_us - in_second_us) / USEC_PER_SEC);
	int milliseconds = (int)(in_second_us / USEC_PER_MSEC);
	struct tm utc;
	char date[24];
	/* A year of more than four digits is nobody's log line; show the epoch. */
	if (!gmtime_r(&seconds, &utc) || utc.tm_year > 8099 || utc.tm_year < -1900)
		(void)gmtime_r(&(time_t){ 0 }, &utc);
	(void)strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc);
	(void)snprintf(out, CLOCK_ISO8601_BYTES, "%s.%03dZ", date, milliseconds);
}
