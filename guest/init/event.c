/* SPDX-License-Identifier: Apache-2.0 */

#include "event.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "mayfly/clock.h"

int event_loop_open(struct event_loop *loop)
{
	*loop = (struct event_loop){ .epoll_fd = epoll_create1(EPOLL_CLOEXEC) };
	LIST_INIT(&loop->timers);
	return loop->epoll_fd < 0 ? -errno : 0;
}

void event_loop_close(struct event_loop *loop)
{
	if (loop->epoll_fd >= 0)
		(void)close(loop->epoll_fd);
	loop->epoll_fd = -1;
}

static int64_t timers_next_us(const struct event_loop *loop)
{
	const struct event_timer *timer;
	int64_t next = INT64_MAX;

	LIST_FOREACH (timer, &loop->timers, link)
		if (timer->at_us > 0 && timer->at_us < next)
			next = timer->at_us;
	return next;
}

static int wait_ms(const struct event_loop *loop, int64_t max_wait_us)
{
	int64_t next = timers_next_us(loop);

	if (next == INT64_MAX && max_wait_us < 0)
		return -1;
	int64_t wait = next == INT64_MAX ? max_wait_us : next - clock_monotonic_us();
	if (max_wait_us >= 0 && wait > max_wait_us)
		wait = max_wait_us;
	if (wait <= 0)
		return 0;
	/* Rounded up, so that a timer is due when the wait ends. */
	wait = (wait + USEC_PER_MSEC - 1) / USEC_PER_MSEC;
	return wait > INT_MAX ? INT_MAX : (int)wait;
}

static void timers_run(struct event_loop *loop)
{
	struct event_timer *timer;
	int64_t now = 0;

	LIST_FOREACH (timer, &loop->timers, link) {
		if (timer->at_us == 0)
			continue;
		if (now == 0)
			now = clock_monotonic_us();
		if (timer->at_us > now)
			continue;
		timer->at_us = 0;
		timer->fn(timer->user);
	}
}

int event_loop_step(struct event_loop *loop, int64_t max_wait_us)
{
	if (loop->before_sleep)
		loop->before_sleep(loop->before_sleep_user);
	int n = epoll_wait(loop->epoll_fd, loop->batch, EVENT_BATCH, wait_ms(loop, max_wait_us));
	if (n < 0 && errno != EINTR)
		return -errno;

	loop->batch_len = n < 0 ? 0 : n;
	for (loop->batch_next = 0; loop->batch_next < loop->batch_len;) {
		struct epoll_event *event = &loop->batch[loop->batch_next++];
		struct event_source *source = event->data.ptr;
		if (source)
			source->fn(source, event->events, source->user);
	}
	loop->batch_len = 0;
	timers_run(loop);
	return 0;
}

int event_loop_run(struct event_loop *loop)
{
	while (!loop->stop) {
		int r = event_loop_step(loop, -1);
		if (r < 0)
			return r;
	}
	return 0;
}

int event_add(struct event_loop *loop, struct event_source *source, int fd, uint32_t events,
	      event_fn *fn, void *user)
{
	*source = (struct event_source){ .fd = fd, .events = events, .fn = fn, .user = user };
	struct epoll_event event = { .events = events, .data.ptr = source };

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		int r = -errno;
		source->fd = -1;
		return r;
	}
	return 0;
}

int event_set(struct event_loop *loop, struct event_source *source, uint32_t events)
{
	if (source->fd < 0 || source->events == events)
		return 0;
	struct epoll_event event = { .events = events, .data.ptr = source };
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event) < 0)
		return -errno;
	source->events = events;
	return 0;
}

void event_remove(struct event_loop *loop, struct event_source *source)
{
	if (source->fd < 0)
		return;
	(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	source->fd = -1;
	for (int i = loop->batch_next; i < loop->batch_len; i++)
		if (loop->batch[i].data.ptr == source)
			loop->batch[i].data.ptr = NULL;
}

void event_close(struct event_loop *loop, struct event_source *source)
{
	int fd = source->fd;

	event_remove(loop, source);
	if (fd >= 0)
		(void)close(fd);
}

void timer_add(struct event_loop *loop, struct event_timer *timer, timer_fn *fn, void *user)
{
	*timer = (struct event_timer){ .fn = fn, .user = user };
	LIST_INSERT_HEAD(&loop->timers, timer, link);
}

void timer_arm(struct event_timer *timer, int64_t at_us)
{
	timer->at_us = at_us;
}

void timer_disarm(struct event_timer *timer)
{
	timer->at_us = 0;
}
