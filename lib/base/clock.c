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
	/* The time may be a guest's word: beyond the years 1 to 9999 show the epoch. */
	if (realtime_us < -62135596800000000LL || realtime_us > 253402300799999999LL)
		realtime_us = 0;
	int64_t in_second_us = realtime_us % USEC_PER_SEC;
	if (in_second_us < 0)
		in_second_us += USEC_PER_SEC;
	time_t seconds = (time_t)((realtime_us - in_second_us) / USEC_PER_SEC);
	int milliseconds = (int)(in_second_us / USEC_PER_MSEC);
	struct tm utc;
	char date[24];
	(void)gmtime_r(&seconds, &utc);
	(void)strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc);
	(void)snprintf(out, CLOCK_ISO8601_BYTES, "%s.%03dZ", date, milliseconds);
}
