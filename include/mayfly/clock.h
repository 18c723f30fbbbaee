/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define USEC_PER_MINUTE (60 * USEC_PER_SEC)
#define USEC_PER_SEC    1000000LL
#define USEC_PER_MSEC   1000LL
#define MSEC_PER_SEC    1000LL

/* Microseconds of CLOCK_MONOTONIC and CLOCK_REALTIME. Any thread. */
int64_t clock_monotonic_us(void);
int64_t clock_realtime_us(void);

/* "2025-11-24T23:12:27.123Z" (ISO 8601, UTC, milliseconds). */
#define CLOCK_ISO8601_BYTES 32
void clock_format_iso8601(int64_t realtime_us, char out[CLOCK_ISO8601_BYTES]);
