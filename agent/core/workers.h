/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The threads behind loop_submit(). Private to this room. */

#include "agent/core/loop.h"

struct workers;

int workers_new(struct loop *loop, unsigned count, struct workers **ret) _must_use_;

/* Waits for the jobs under way; those not started are dropped. */
struct workers *workers_free(struct workers *workers);
DEFINE_CLEANUP(struct workers, workers_free)

void workers_submit(struct workers *workers, struct job *job);

/* loop.c: the `done` of one of its jobs was called. */
void loop_job_ended(struct loop *loop);
