/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/core/lane.h"

#include <stddef.h>

void lane_init(struct lane *lane, struct loop *loop, unsigned width)
{
	*lane = (struct lane){ .loop = loop, .width = width ? width : 1 };
}

void lane_init_urgent(struct lane *lane, struct loop *loop)
{
	*lane = (struct lane){ .loop = loop, .width = 1, .urgent = true };
}

static void start_next(struct lane *lane)
{
	struct lane_job *job;

	while (lane->head && lane->running < lane->width) {
		job = lane->head;
		lane->head = job->next;
		if (!lane->head)
			lane->tail = NULL;
		lane->running++;
		if (lane->urgent)
			loop_submit_urgent(lane->loop, &job->job);
		else
			loop_submit(lane->loop, &job->job);
	}
}

static void on_done(struct job *inner)
{
	struct lane_job *job = container_of(inner, struct lane_job, job);
	struct lane *lane = job->lane;

	lane->running--;
	start_next(lane);
	job->done(job);
}

void lane_submit(struct lane *lane, struct lane_job *job)
{
	job->lane = lane;
	job->next = NULL;
	job->job.done = on_done;
	if (lane->tail)
		lane->tail->next = job;
	else
		lane->head = job;
	lane->tail = job;
	start_next(lane);
}
