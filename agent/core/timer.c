/* SPDX-License-Identifier: Apache-2.0 */
#include <time.h>

#include "agent/core/loop.h"

/* Zero would ask sd-event for its default, a quarter of a second. */
#define ACCURACY_US 1

static int on_time(sd_event_source *source _unused_, uint64_t at_us _unused_, void *arg)
{
	struct timer *timer = arg;

	/* Disarmed before the call, which may arm it again or free its memory. */
	timer_disarm(timer);
	timer->fn(timer->arg);
	return 0;
}

int timer_arm(struct timer *timer, struct loop *loop, int64_t at_monotonic_us, loop_fn *fn,
	      void *arg)
{
	uint64_t at_us = at_monotonic_us > 0 ? (uint64_t)at_monotonic_us : 0;
	int r;

	timer->fn = fn;
	timer->arg = arg;
	if (timer->source)
		return sd_event_source_set_time(timer->source, at_us);
	r = sd_event_add_time(loop_event(loop), &timer->source, CLOCK_MONOTONIC, at_us, ACCURACY_US,
			      on_time, timer);
	return r < 0 ? r : 0;
}

void timer_disarm(struct timer *timer)
{
	timer->source = sd_event_source_disable_unref(timer->source);
}
