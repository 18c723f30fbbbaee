/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/core/lane.h"

#include <stddef.h>
#include <string.h>

void lane_init(struct lane *lane, struct loop *loop, unsigned width)
{
	*lane = (struct lane){ .loop = loop, .width = width ? width : 1 };
}

void lane_init_urgent(struct lane *lane, struct loop *loop)
{
	*lane = (struct lane){ .loop = loop, .width = 1, .urgent = true };
}

/* -- without a key -- */

static void append(struct lane *lane, struct lane_job *job)
{
	if (lane->tail)
		lane->tail->next = job;
	else
		lane->head = job;
	lane->tail = job;
}

static struct lane_job *take_first(struct lane *lane)
{
	struct lane_job *job = lane->head;

	lane->head = job->next;
	if (!lane->head)
		lane->tail = NULL;
	return job;
}

/* -- in turn -- */

static void append_turn(struct lane *lane, struct lane_job *first)
{
	first->next_turn = NULL;
	if (lane->turn_tail)
		lane->turn_tail->next_turn = first;
	else
		lane->turn_head = first;
	lane->turn_tail = first;
}

static void append_to_key(struct lane *lane, struct lane_job *job)
{
	struct lane_job *first = lane->turn_head;

	while (first && strcmp(first->key, job->key) != 0)
		first = first->next_turn;
	if (first) {
		first->last->next = job;
		first->last = job;
		return;
	}
	job->last = job;
	append_turn(lane, job);
}

static struct lane_job *take_turn(struct lane *lane)
{
	struct lane_job *job = lane->turn_head;

	lane->turn_head = job->next_turn;
	if (!lane->turn_head)
		lane->turn_tail = NULL;
	if (job->next) {
		job->next->last = job->last;
		append_turn(lane, job->next);
	}
	return job;
}

static void start_next(struct lane *lane)
{
	struct lane_job *job;

	while ((lane->head || lane->turn_head) && lane->running < lane->width) {
		job = lane->head ? take_first(lane) : take_turn(lane);
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
	job->next = job->last = job->next_turn = NULL;
	job->job.done = on_done;
	if (job->key)
		append_to_key(lane, job);
	else
		append(lane, job);
	start_next(lane);
}
