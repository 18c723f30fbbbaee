/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The owner loop: one thread that owns all live state of the agent. Other threads reach
 * it by loop_post() only; it reaches them by jobs, which carry their inputs in and their result
 * back. A callback always runs later, from the loop, never inside the call that asked for
 * it. */

#include <stdint.h>
#include <systemd/sd-event.h>

#include "mayfly/cleanup.h"

struct loop;

/* `workers` threads run jobs (0: as many as processors, at least eight). Returns 0 or a negative
 * errno. */
int loop_new(unsigned workers, struct loop **ret) _must_use_;

/* Ends the workers (after the jobs under way), drops posted calls. Loop thread; copes with NULL. */
struct loop *loop_free(struct loop *loop);
DEFINE_CLEANUP(struct loop, loop_free)

/* The sd-event loop below, for I/O and child sources. Borrowed; loop thread. */
sd_event *loop_event(struct loop *loop);

/* Runs until loop_exit(). Returns its code or a negative errno. */
int loop_run(struct loop *loop);
void loop_exit(struct loop *loop, int code);
/* The same once the `done` of every job was called: none is lost, and none outlives what it refers
 * to. Loop thread. */
void loop_exit_when_idle(struct loop *loop, int code);

/* Calls fn(arg) on the loop thread, in order of posting. Any thread. The only failure is lack
 * of memory, which aborts: what is posted must not be lost. */
typedef void loop_fn(void *arg);
void loop_post(struct loop *loop, loop_fn *fn, void *arg);

/* A job is embedded in the caller's own struct, which lives until `done` ran. `work` runs on a
 * worker and touches nothing but that struct; `done` runs on the loop. Jobs start in order of
 * submission. Loop thread. */
struct job {
	void (*work)(struct job *job);
	void (*done)(struct job *job);
	struct job *next; /* of the loop, as what follows */
	struct loop *loop;
};
void loop_submit(struct loop *loop, struct job *job);
/* The same on a worker that has only such jobs: for short ones that answers wait for, which must
 * not stand behind the starts of microVMs. */
void loop_submit_urgent(struct loop *loop, struct job *job);

/* Before what jobs refer to is freed, however loop_run() ended: waits for those under way, drops
 * those not started and any submitted later, without their `done`. Loop thread. */
void loop_end_jobs(struct loop *loop);

/* A one-shot timer, embedded; zero-initialised is disarmed. Arming an armed timer moves it.
 * Loop thread. timer_disarm() copes with a disarmed one; call it before the memory goes. */
struct timer {
	sd_event_source *source;
	loop_fn *fn;
	void *arg;
};
int timer_arm(struct timer *timer, struct loop *loop, int64_t at_monotonic_us, loop_fn *fn,
	      void *arg) _must_use_;
void timer_disarm(struct timer *timer);

/* Dirty queue: `fn(arg)` runs once before the loop sleeps again, however often it was asked for.
 * Embedded; zero-initialised is idle. Loop thread. */
struct dirty {
	sd_event_source *source;
	loop_fn *fn;
	void *arg;
};
int dirty_init(struct dirty *dirty, struct loop *loop, loop_fn *fn, void *arg) _must_use_;
void dirty_mark(struct dirty *dirty);
void dirty_free(struct dirty *dirty);
