/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* When a version is asked for, in a few hundred bytes, and what follows from it: how many sandboxes
 * shall be ready for it, and when. Pure: time comes in, in microseconds of whatever clock, and
 * nothing else is looked at, so that the same code can be replayed over a trace
 * (tests/bench/trace_replay.c). Constant time for each arrival; whose thread, that calls.
 *
 * Remembered are idle times: how long it was that nothing had happened when an invocation came, in
 * bins an eighth of an octave wide, the latest 32 of them weighing most. For each way to wait for
 * the next one there is a price: a second that a sandbox is ready and unused costs one second, a
 * cold start costs `worth_us`. The plan is the way that would have been the cheapest for the idle
 * times that are known: to stay ready for so long, or to end soon and be ready again from then
 * until then. As long as too few are known, it is to stay ready for keep_max_us: with worth_us the
 * same, that is never more than twice the price of who knows the future. How many are ready follows
 * the most that were in use at once of late. */

#include <stdbool.h>
#include <stdint.h>

#define ARRIVALS_OCTAVES 14 /* from 1 s: to four and a half hours */
#define ARRIVALS_BINS    (8 * ARRIVALS_OCTAVES)

struct arrivals_bounds {
	int64_t keep_min_us; /* ready for at least so long after a use */
	int64_t keep_max_us; /* ready and unused for at most so long at a stretch */
	int64_t worth_us;    /* so long of a ready sandbox is worth a cold start */
	int64_t start_us;    /* a sandbox that is to be ready is started so long before */
};

/* All zero: nothing is known. May be copied. */
struct arrivals {
	int64_t last_us;   /* the last begin or end of an invocation; 0: there was none */
	int64_t window_us; /* when the window of `peak` began */
	uint16_t peak;     /* the most in use at once in it */
	uint16_t level;    /* in the one before */
	uint16_t known;    /* idle times seen, up to a few */
	/* The plan, behind the time of last_us: ready until keep_us, then from warm_us to until_us
	 * again (both 0: not). Valid with enough known. */
	int64_t keep_us, warm_us, until_us;
	uint16_t gaps[ARRIVALS_BINS + 1]; /* weights; the last: all that are longer */
};

/* An invocation begins; `in_use` are there with it, waiting ones included. */
void arrivals_begin(struct arrivals *arrivals, const struct arrivals_bounds *bounds, int64_t now_us,
		    unsigned in_use);
/* One ends. */
void arrivals_end(struct arrivals *arrivals, int64_t now_us);

struct arrivals_plan {
	unsigned ready;   /* shall be there beside those in use */
	bool recent;      /* it was in use of late, rather than expected again */
	int64_t again_us; /* when the answer may be another one; INT64_MAX: not without an event */
};
void arrivals_plan(const struct arrivals *arrivals, const struct arrivals_bounds *bounds,
		   int64_t now_us, unsigned in_use, struct arrivals_plan *ret);

/* Of those that shall be ready, how many are to be started or kept beside `idle_used` that were
 * used before and are there; bounded by `least` (while the use is recent) and `most`. */
unsigned arrivals_spares(const struct arrivals_plan *plan, unsigned idle_used, unsigned least,
			 unsigned most);

/* Whether one that was used and is idle since then shall live on, as one of `idle_used`, and until
 * when it need not be asked again. Beyond as many as shall be ready it lives for keep_max_us, while
 * the version is in use. */
bool arrivals_keeps_used(const struct arrivals_plan *plan, const struct arrivals_bounds *bounds,
			 unsigned idle_used, int64_t idle_since_us, int64_t now_us,
			 int64_t *ret_until_us);

/* How long it will be until an invocation comes, by what is known. With nothing known, as long
 * again as it has been. */
int64_t arrivals_expected_wait_us(const struct arrivals *arrivals, int64_t now_us);
