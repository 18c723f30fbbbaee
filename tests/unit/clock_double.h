/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Clocks that the test turns, which the linker takes before the real ones. The monotonic one is far
 * ahead of the kernel's, so that no timer of a loop ends by itself. */

#include <stdio.h>
#include <time.h>

#include "mayfly/clock.h"

static int64_t clock_double_passed_us;   /* of both, since */
static int64_t clock_double_realtime_us; /* this */

int64_t clock_monotonic_us(void)
{
	return 1000000000LL * USEC_PER_SEC + clock_double_passed_us;
}

int64_t clock_realtime_us(void)
{
	return clock_double_realtime_us + clock_double_passed_us;
}

void clock_format_iso8601(int64_t realtime_us, char out[CLOCK_ISO8601_BYTES])
{
	time_t seconds = realtime_us / USEC_PER_SEC;
	struct tm utc;

	(void)gmtime_r(&seconds, &utc);
	(void)strftime(out, CLOCK_ISO8601_BYTES, "%Y-%m-%dT%H:%M:%S.000Z", &utc);
}
