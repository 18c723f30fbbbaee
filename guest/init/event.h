/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The one loop of mayfly-init: descriptors by epoll, timers by the monotonic clock, and a hook
 * that runs before each sleep. Single-threaded. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/queue.h>

#include "mayfly/cleanup.h"

#define EVENT_BATCH 16

struct event_source;
typedef void event_fn(struct event_source *source, uint32_t events, void *user);
typedef void timer_fn(void *user);

/* Embedded in its owner; `fd` is the owner's, -1 when not registered. */
struct event_source {
	int fd;
	uint32_t events;
	event_fn *fn;
	void *user; /* weak: outlives the registration */
};

#define EVENT_SOURCE_INIT ((struct event_source){ .fd = -1 })

/* Embedded in its owner; due when `at_us` (CLOCK_MONOTONIC) is reached, 0: not armed. */
struct event_timer {
	int64_t at_us;
	timer_fn *fn;
	void *user;
	LIST_ENTRY(event_timer) link;
};

struct event_loop {
	int epoll_fd;
	LIST_HEAD(, event_timer) timers;
	timer_fn *before_sleep;
	void *before_sleep_user;
	struct epoll_event batch[EVENT_BATCH];
	int batch_len;
	int batch_next;
	bool stop;
};

int event_loop_open(struct event_loop *loop) _must_use_;
void event_loop_close(struct event_loop *loop);

/* Waits once and dispatches what came; `max_wait_us` < 0 waits for ever. */
int event_loop_step(struct event_loop *loop, int64_t max_wait_us) _must_use_;

/* Steps until loop->stop. */
int event_loop_run(struct event_loop *loop) _must_use_;

/* `events` as for epoll; with EPOLLET the source must read until EAGAIN. */
int event_add(struct event_loop *loop, struct event_source *source, int fd, uint32_t events,
	      event_fn *fn, void *user) _must_use_;
int event_set(struct event_loop *loop, struct event_source *source, uint32_t events);

/* Forgets the descriptor without closing it. A pending event of it is not delivered. */
void event_remove(struct event_loop *loop, struct event_source *source);

/* event_remove() and close(). */
void event_close(struct event_loop *loop, struct event_source *source);

void timer_add(struct event_loop *loop, struct event_timer *timer, timer_fn *fn, void *user);
void timer_arm(struct event_timer *timer, int64_t at_us);
void timer_disarm(struct event_timer *timer);
