/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A lane lets at most `width` of its jobs run at once, in order of submission: for a connection
 * that takes one user at a time, and so that one kind of work cannot fill all workers. Loop
 * thread; no memory of its own to free. */

#include <stdbool.h>

#include "agent/core/loop.h"

struct lane_job {
	struct job job; /* set job.work; it gets &lane_job.job */
	void (*done)(struct lane_job *job);
	struct lane *lane; /* of the lane, as next */
	struct lane_job *next;
};

struct lane {
	struct loop *loop;
	unsigned width;
	bool urgent; /* loop_submit_urgent() */
	unsigned running;
	struct lane_job *head;
	struct lane_job *tail;
};

void lane_init(struct lane *lane, struct loop *loop, unsigned width);
/* Of width 1, for urgent jobs. */
void lane_init_urgent(struct lane *lane, struct loop *loop);
void lane_submit(struct lane *lane, struct lane_job *job);
