/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Out of memory, where the kernel does not see it. At its limit a cgroup loses its file pages
 * first; are they code that runs (the package's libraries, a custom runtime), they are read again
 * at once, and as long as something can be reclaimed the kernel calls no out-of-memory killer. The
 * watch sleeps until the limit is hit, and then looks a few times a second. */

#include <stdbool.h>
#include <stdint.h>

#include "event.h"

/* What the cgroup says at one moment; counters only grow. */
struct memory_sample {
	uint64_t limit_hits;
	uint64_t cache_bytes;  /* file pages that could be reclaimed */
	uint64_t refaults;     /* file pages read again soon after they were reclaimed */
	uint64_t major_faults; /* page faults that had to read: of code, and of mapped data */
};

struct memory_watch {
	struct event_loop *loop;
	int events_fd;              /* memory.events, -1: not open */
	struct event_source source; /* the same, while nothing is suspected */
	struct event_timer timer;
	timer_fn *on_starved;
	void *user;
	uint64_t limit_bytes;
	struct memory_sample last;
	struct memory_sample first; /* of the crawl */
	int64_t crawls_since_us;    /* 0: does not */
};

void memory_watch_init(struct memory_watch *watch, struct event_loop *loop, timer_fn *on_starved,
		       void *user);

/* The function's limit is set: watches from now on. Without a cgroup nothing is watched. */
void memory_watch_limit(struct memory_watch *watch, uint64_t limit_bytes);

/* The runtime is another from here on: what the one before it did, which may have ended at the
 * limit, is not held against it. */
void memory_watch_renew(struct memory_watch *watch);
