/* SPDX-License-Identifier: Apache-2.0 */

/* The wall clock. Timers at a time of it follow it by themselves; that it was set matters to what
 * is computed from it. */

#include <errno.h>
#include <stdint.h>
#include <sys/timerfd.h>

#include "agent/schedules/internal.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

int64_t schedules_now(const struct schedules *schedules)
{
	return schedules->config.now_us ? schedules->config.now_us() : clock_realtime_us();
}

/* Never comes; but it is cancelled when the clock is set. */
static int arm(int fd)
{
	const struct itimerspec never = { .it_value = { .tv_sec = INT32_MAX } };

	return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) < 0
		       ? -errno
		       : 0;
}

static int on_set(sd_event_source *source _unused_, int fd, uint32_t revents _unused_, void *arg)
{
	struct schedules *schedules = arg;
	uint64_t count;

	(void)!read(fd, &count, sizeof(count)); /* ECANCELED, which makes it quiet again */
	if (arm(fd) < 0)
		log_warning("Cannot hear of the wall clock being set any more: %m");
	schedules_clock_was_set(schedules);
	return 0;
}

int clock_open(struct schedules *schedules)
{
	int r;

	schedules->clock_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (schedules->clock_fd < 0)
		return -errno;
	r = arm(schedules->clock_fd);
	if (r < 0)
		return r;
	r = sd_event_add_io(loop_event(schedules->config.loop), &schedules->clock,
			    schedules->clock_fd, EPOLLIN, on_set, schedules);
	return r < 0 ? r : 0;
}

void clock_close(struct schedules *schedules)
{
	schedules->clock = sd_event_source_disable_unref(schedules->clock);
	if (schedules->clock_fd >= 0)
		(void)close(schedules->clock_fd);
	schedules->clock_fd = -1;
}
