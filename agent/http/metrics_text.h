/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Metrics as text (Prometheus, "Exposition formats", text format 0.0.4). Loop thread. */

#include "agent/account/account.h"
#include "agent/deploy/directory.h"
#include "agent/events/event_queue.h"
#include "agent/invoke/invocation.h"
#include "agent/pool/pool.h"
#include "agent/schedules/schedules.h"
#include "mayfly/buf.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct metrics_sources {
	const struct invoker *invoker;
	const struct event_queue *events;
	const struct schedules *schedules;
	const struct pool *pool;
	const struct directory *directory;
	const struct account *account;
};

/* Appends all of it. 0 or -ENOMEM. */
int metrics_text_write(const struct metrics_sources *sources, struct buf *ret) _must_use_;
