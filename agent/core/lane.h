/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A lane lets at most `width` of its jobs run at once: for a connection that takes one user at a
 * time, and so that one kind of work cannot fill all workers. Jobs without a key go first, in order
 * of submission. Those with one take turns: each key that has jobs waiting has one in turn, its
 * oldest, so that nobody stands behind all that somebody else asked for. Loop thread; no memory of
 * its own to free. */

#include <stdbool.h>

#include "agent/core/loop.h"

struct lane_job {
	struct job job; /* set job.work; it gets &lane_job.job */
	void (*done)(struct lane_job *job);
	const char *key; /* whose it is, borrowed until it starts; NULL: before all that have one */
	struct lane *lane;          /* of the lane, as what follows */
	struct lane_job *next;      /* of the same key, or of those without */
	struct lane_job *last;      /* of the first of its key: the last one */
	struct lane_job *next_turn; /* likewise: the first of the next key */
};

struct lane {
	struct loop *loop;
	unsigned width;
	bool urgent; /* loop_submit_urgent() */
	unsigned running;
	struct lane_job *head; /* without a key */
	struct lane_job *tail;
	struct lane_job *turn_head; /* the first of each key */
	struct lane_job *turn_tail;
};

void lane_init(struct lane *lane, struct loop *loop, unsigned width);
/* Of width 1, for urgent jobs. */
void lane_init_urgent(struct lane *lane, struct loop *loop);
void lane_submit(struct lane *lane, struct lane_job *job);
