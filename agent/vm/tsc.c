/* SPDX-License-Identifier: Apache-2.0 */
#include <time.h>
#include <x86intrin.h>

#include "agent/vm/domain_xml.h"

#define MEASURE_NS 20000000LL

static int64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Reads both clocks together; of several tries the one that took least, so that being scheduled
 * away in between does no harm. */
static void read_pair(int64_t *ret_ns, uint64_t *ret_ticks)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 8; i++) {
		uint64_t before = __rdtsc();
		int64_t ns = now_ns();
		uint64_t after = __rdtsc();

		if (after - before >= best)
			continue;
		best = after - before;
		*ret_ns = ns;
		*ret_ticks = before + best / 2;
	}
}

uint64_t tsc_measure_khz(void)
{
	const struct timespec pause = { .tv_nsec = MEASURE_NS };
	uint64_t ticks_from = 0;
	uint64_t ticks_to = 0;
	int64_t ns_from = 0;
	int64_t ns_to = 0;

	read_pair(&ns_from, &ticks_from);
	(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
	read_pair(&ns_to, &ticks_to);
	return (uint64_t)((__uint128_t)(ticks_to - ticks_from) * 1000000U /
			  (uint64_t)(ns_to - ns_from));
}
