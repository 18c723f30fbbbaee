/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pool/arrivals.h"

#include <string.h>

#include "mayfly/clock.h"

#define KNOWN_MIN   4                 /* idle times, for a plan of their own */
#define DECAY_SHIFT 5                 /* an idle time takes 1/32 off the older ones' weight */
#define GAP_WEIGHT  (UINT16_MAX >> 5) /* of a new one: 32 of them just fit */
#define GAIN_PARTS  4                 /* a plan of its own must gain one of so many parts */
#define SPREAD      16                /* bins: two octaves */
#define MARGIN(us)  ((us) / 32)       /* a quarter of a bin, on both sides of a plan */

/* -- bins -- */

/* 1,024 times 2^(i/8). */
static const uint16_t eighths[] = { 1024, 1117, 1218, 1328, 1448, 1579, 1722, 1878 };

static int64_t bin_begin_us(unsigned bin)
{
	return ((USEC_PER_SEC << (bin / 8)) * eighths[bin % 8]) >> 10;
}

/* ARRIVALS_BINS for what is beyond all. */
static unsigned bin_of(int64_t gap_us)
{
	unsigned bin = 0;

	while (bin + 8 <= ARRIVALS_BINS && gap_us >= bin_begin_us(bin + 8))
		bin += 8;
	while (bin < ARRIVALS_BINS && gap_us >= bin_begin_us(bin + 1))
		bin++;
	return bin;
}

static int64_t bin_middle_us(unsigned bin)
{
	return (bin_begin_us(bin) + bin_begin_us(bin + 1)) / 2;
}

/* -- the plan -- */

/* Of all idle times up to a bin. */
struct sums {
	int64_t weight[ARRIVALS_BINS + 2];
	int64_t time_ms[ARRIVALS_BINS + 2]; /* weighted */
};

static void spread_one(uint16_t *gaps, unsigned first, unsigned end)
{
	for (unsigned i = first; i < end; i++)
		gaps[i] += (uint16_t)(GAP_WEIGHT / (end - first));
}

/* The known idle times are not all there are: of n known ones the next exceeds all in one of n + 1
 * cases, and is the shortest in as many. So one more is thought of on each side, within two
 * octaves. To wait for the longer one costs next to nothing, because who has waited so long is
 * seldom there. */
static void expect_more(uint16_t gaps[ARRIVALS_BINS + 1], unsigned least)
{
	unsigned shortest = least, longest = ARRIVALS_BINS;

	while (longest > 0 && gaps[longest] == 0)
		longest--;
	while (shortest < longest && gaps[shortest] == 0)
		shortest++;
	spread_one(gaps, shortest > least + SPREAD ? shortest - SPREAD : least, shortest);
	spread_one(gaps, longest + 1,
		   longest + 1 + SPREAD < ARRIVALS_BINS + 1 ? longest + 1 + SPREAD
							    : ARRIVALS_BINS + 1);
}

static void sum_up(const uint16_t gaps[ARRIVALS_BINS + 1], struct sums *sums)
{
	sums->weight[0] = sums->time_ms[0] = 0;
	for (unsigned i = 0; i <= ARRIVALS_BINS; i++) {
		int64_t middle_ms = i < ARRIVALS_BINS ? bin_middle_us(i) / USEC_PER_MSEC : 0;

		sums->weight[i + 1] = sums->weight[i] + gaps[i];
		sums->time_ms[i + 1] = sums->time_ms[i] + gaps[i] * middle_ms;
	}
}

struct search {
	const struct sums *sums;
	const struct arrivals_bounds *bounds;
	int64_t best; /* price, weight times milliseconds */
	int64_t keep_us, warm_us, until_us;
};

/* Unused from `warm_us` (0: from the beginning) to the end of bin `last`: what that costs. */
static int64_t price(const struct search *search, int64_t warm_us, unsigned first, unsigned last)
{
	const struct sums *sums = search->sums;
	int64_t worth_ms = search->bounds->worth_us / USEC_PER_MSEC;
	int64_t warm_ms = warm_us / USEC_PER_MSEC;
	int64_t until_ms = bin_begin_us(last + 1) / USEC_PER_MSEC;
	int64_t all = sums->weight[ARRIVALS_BINS + 1];
	int64_t hit = sums->weight[last + 1] - sums->weight[first];
	int64_t missed_late = all - sums->weight[last + 1];
	int64_t cost = sums->weight[first] * worth_ms; /* those that come before it is ready */

	cost += sums->time_ms[last + 1] - sums->time_ms[first] - hit * warm_ms;
	cost += missed_late * (until_ms - warm_ms + worth_ms);
	if (warm_us > 0) /* what came before, and the start of another sandbox */
		cost += all * (search->bounds->keep_min_us / USEC_PER_MSEC) +
			(hit + missed_late) * (search->bounds->start_us / USEC_PER_MSEC);
	return cost;
}

static void consider(struct search *search, int64_t cost, int64_t keep_us, int64_t warm_us,
		     int64_t until_us)
{
	if (cost >= search->best)
		return;
	search->best = cost;
	search->keep_us = keep_us;
	search->warm_us = warm_us;
	search->until_us = until_us;
}

/* Ready again from bin `first` on, until the end of each bin that it may be. */
static void try_windows(const uint16_t *gaps, struct search *search, unsigned first)
{
	const struct arrivals_bounds *bounds = search->bounds;
	int64_t begin_us = bin_begin_us(first);
	int64_t warm_us = begin_us - MARGIN(begin_us) - bounds->start_us;

	if (warm_us <= bounds->keep_min_us)
		return;
	for (unsigned last = first; last < ARRIVALS_BINS; last++) {
		int64_t end_us = bin_begin_us(last + 1);
		int64_t until_us = end_us + MARGIN(end_us);

		if (until_us - warm_us > bounds->keep_max_us)
			return;
		if (gaps[last] > 0)
			consider(search, price(search, warm_us, first, last), bounds->keep_min_us,
				 warm_us, until_us);
	}
}

/* Ready for as long as may be, which is what is done when nothing is known. */
static int64_t price_of_longest(const struct search *search)
{
	const struct arrivals_bounds *bounds = search->bounds;
	const struct sums *sums = search->sums;
	unsigned end = bin_of(bounds->keep_max_us); /* those before are hits */

	return sums->time_ms[end] +
	       (sums->weight[ARRIVALS_BINS + 1] - sums->weight[end]) *
		       ((bounds->keep_max_us + bounds->worth_us) / USEC_PER_MSEC);
}

static void make_plan(struct arrivals *arrivals, const struct arrivals_bounds *bounds)
{
	uint16_t gaps[ARRIVALS_BINS + 1];
	struct sums sums;
	struct search search = { .sums = &sums, .bounds = bounds };

	memcpy(gaps, arrivals->gaps, sizeof(gaps));
	expect_more(gaps, bin_of(bounds->keep_min_us));
	sum_up(gaps, &sums);
	search.keep_us = bounds->keep_min_us;
	search.best = sums.weight[ARRIVALS_BINS + 1] *
		      ((bounds->keep_min_us + bounds->worth_us) / USEC_PER_MSEC);
	for (unsigned i = 0; i < ARRIVALS_BINS; i++) {
		int64_t end_us = bin_begin_us(i + 1);
		int64_t keep_us = end_us + MARGIN(end_us);

		if (gaps[i] == 0)
			continue;
		try_windows(gaps, &search, i);
		if (bin_middle_us(i) < bounds->keep_max_us)
			consider(&search, price(&search, 0, 0, i),
				 keep_us < bounds->keep_max_us ? keep_us : bounds->keep_max_us, 0,
				 0);
	}
	/* A few dozen idle times are no more than a hint: a small gain is not worth the risk. */
	if (search.best > price_of_longest(&search) / GAIN_PARTS * (GAIN_PARTS - 1))
		search = (struct search){ .keep_us = bounds->keep_max_us };
	arrivals->keep_us = search.keep_us;
	arrivals->warm_us = search.warm_us;
	arrivals->until_us = search.until_us;
}

/* -- events -- */

static void note_gap(struct arrivals *arrivals, const struct arrivals_bounds *bounds,
		     int64_t gap_us)
{
	for (unsigned i = 0; i <= ARRIVALS_BINS; i++) {
		uint16_t weight = arrivals->gaps[i];

		/* Rounded up, so that what is old goes some day. */
		arrivals->gaps[i] =
			(uint16_t)(weight - ((weight + (1 << DECAY_SHIFT) - 1) >> DECAY_SHIFT));
	}
	arrivals->gaps[bin_of(gap_us)] += GAP_WEIGHT;
	if (arrivals->known < KNOWN_MIN)
		arrivals->known++;
	if (arrivals->known == KNOWN_MIN)
		make_plan(arrivals, bounds);
}

/* What was in use at once counts for half of keep_max_us to all of it: a sandbox beyond those that
 * are needed now is worth waiting for about as long. Nothing happens while nothing is asked for, so
 * a burst at every hour finds what the last one needed. */
static void close_window(struct arrivals *arrivals, const struct arrivals_bounds *bounds,
			 int64_t now_us)
{
	if (now_us - arrivals->window_us < bounds->keep_max_us / 2)
		return;
	arrivals->level = arrivals->peak;
	arrivals->peak = 0;
	arrivals->window_us = now_us;
}

void arrivals_begin(struct arrivals *arrivals, const struct arrivals_bounds *bounds, int64_t now_us,
		    unsigned in_use)
{
	int64_t gap_us = now_us - arrivals->last_us;

	if (arrivals->last_us == 0)
		arrivals->window_us = now_us;
	else if (gap_us >= bounds->keep_min_us)
		note_gap(arrivals, bounds, gap_us);
	close_window(arrivals, bounds, now_us);
	if (in_use > arrivals->peak)
		arrivals->peak = in_use < UINT16_MAX ? (uint16_t)in_use : UINT16_MAX;
	arrivals->last_us = now_us;
}

void arrivals_end(struct arrivals *arrivals, int64_t now_us)
{
	arrivals->last_us = now_us;
}

/* -- answers -- */

static unsigned wanted(const struct arrivals *arrivals, unsigned in_use)
{
	unsigned level = arrivals->peak > arrivals->level ? arrivals->peak : arrivals->level;

	if (level == 0)
		level = 1;
	return level > in_use ? level - in_use : 0;
}

void arrivals_plan(const struct arrivals *arrivals, const struct arrivals_bounds *bounds,
		   int64_t now_us, unsigned in_use, struct arrivals_plan *ret)
{
	int64_t idle_us = now_us - arrivals->last_us;
	bool knows = arrivals->known >= KNOWN_MIN;
	int64_t keep_us = knows ? arrivals->keep_us : bounds->keep_max_us;

	*ret = (struct arrivals_plan){ .again_us = INT64_MAX };
	if (arrivals->last_us == 0)
		return;
	if (idle_us < keep_us) {
		ret->ready = wanted(arrivals, in_use);
		ret->recent = true;
		ret->again_us = arrivals->last_us + keep_us;
		return;
	}
	if (!knows || arrivals->until_us == 0 || idle_us >= arrivals->until_us)
		return;
	if (idle_us < arrivals->warm_us) {
		ret->again_us = arrivals->last_us + arrivals->warm_us;
		return;
	}
	ret->ready = wanted(arrivals, in_use);
	ret->again_us = arrivals->last_us + arrivals->until_us;
}

unsigned arrivals_spares(const struct arrivals_plan *plan, unsigned idle_used, unsigned least,
			 unsigned most)
{
	unsigned spares = plan->ready > idle_used ? plan->ready - idle_used : 0;

	if (spares > most)
		spares = most;
	return plan->recent && spares < least ? least : spares;
}

bool arrivals_keeps_used(const struct arrivals_plan *plan, const struct arrivals_bounds *bounds,
			 unsigned idle_used, int64_t idle_since_us, int64_t now_us,
			 int64_t *ret_until_us)
{
	int64_t until_us = idle_since_us + bounds->keep_max_us;
	bool is_over = idle_used > plan->ready && !plan->recent;

	if (idle_used <= plan->ready && until_us <= now_us)
		until_us = now_us + bounds->keep_min_us; /* peaks fall as time goes by */
	if (is_over || until_us <= now_us)
		return false;
	*ret_until_us =
		plan->again_us > now_us && plan->again_us < until_us ? plan->again_us : until_us;
	return true;
}

int64_t arrivals_expected_wait_us(const struct arrivals *arrivals, int64_t now_us)
{
	int64_t idle_us = now_us - arrivals->last_us;
	int64_t weight = 0, time_ms = 0;

	if (arrivals->known < KNOWN_MIN)
		return idle_us;
	for (unsigned i = bin_of(idle_us); i <= ARRIVALS_BINS; i++) {
		int64_t middle_us = i < ARRIVALS_BINS ? bin_middle_us(i) : 2 * bin_begin_us(i);

		if (middle_us > idle_us)
			time_ms += arrivals->gaps[i] * ((middle_us - idle_us) / USEC_PER_MSEC);
		weight += arrivals->gaps[i];
	}
	return weight > 0 ? time_ms / weight * USEC_PER_MSEC : idle_us;
}
