/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Every schedule of the node in memory, with the truth beneath it in the registry, and what fires
 * them: each occurrence becomes one event (agent/events), or is counted as one that did not. A
 * change is durable before its answer. All calls and callbacks: loop thread; callbacks never run
 * inside a call. */

#include "agent/core/loop.h"
#include "agent/deploy/directory.h"
#include "agent/events/event_queue.h"
#include "agent/schedules/schedule.h"

struct registry; /* agent/store/registry.h */
struct schedules;

struct schedules_config {
	const char *region;        /* copied */
	struct loop *loop;         /* borrowed, as what follows */
	struct registry *registry; /* used by the schedules alone, from one job at a time */
	struct directory *directory;
	struct event_queue *events;
	unsigned max_per_tenant;
	uint64_t max_input_bytes; /* of all schedules of a tenant */
	/* Whether a tenant's schedules may fire now. NULL: always. */
	bool (*may_run)(const char *tenant, void *arg);
	void *may_run_arg;
	int64_t (*now_us)(void); /* realtime; NULL: the clock's */
};

/* Takes up what the last agent left: an occurrence that became an event just then is known again.
 * Blocks: after the event queue was made, before the loop runs. */
int schedules_open(const struct schedules_config *config, struct schedules **ret,
		   struct error *error) _must_use_;
/* Nothing fires from now on; what is under way is written down by jobs. */
void schedules_stop(struct schedules *schedules);
/* After jobs have ended, before the event queue is freed. Copes with NULL. */
struct schedules *schedules_close(struct schedules *schedules);
DEFINE_CLEANUP(struct schedules, schedules_close)

/* The wall clock was set: when each fires is computed again. They hear of it by themselves. */
void schedules_clock_was_set(struct schedules *schedules);

/* A schedule as it is now. Borrowed until the loop turns. */
struct schedule_view {
	const struct schedule *schedule;
	int64_t next_us;  /* the occurrence; 0: none, or it is disabled */
	int64_t fired_us; /* the last occurrence that became an event; 0: none */
};

/* Once, later; `view` NULL after a deletion and on failure. Borrowed during the call. */
typedef void schedules_answer_fn(const struct schedule_view *view, const struct error *error,
				 void *arg);

/* Refused at once, or answered later. A request is copied. */
int schedules_create(struct schedules *schedules, const struct schedule_request *request,
		     schedules_answer_fn *answer, void *arg, struct error *error) _must_use_;
int schedules_update(struct schedules *schedules, const struct schedule_request *request,
		     schedules_answer_fn *answer, void *arg, struct error *error) _must_use_;
int schedules_delete(struct schedules *schedules, const char *tenant, const char *name,
		     schedules_answer_fn *answer, void *arg, struct error *error) _must_use_;

int schedules_get(const struct schedules *schedules, const char *tenant, const char *name,
		  struct schedule_view *ret, struct error *error) _must_use_;

/* Schedules of a tenant, those being created included. */
unsigned schedules_count(const struct schedules *schedules, const char *tenant);

/* In order of name. */
#define SCHEDULES_PAGE_ITEMS 100
struct schedules_filter {
	const char *tenant;
	const char *name_prefix; /* "": all */
	bool has_state;
	bool disabled;        /* the state */
	unsigned max_results; /* 0: a page */
	const char *after;    /* the last name of the page before, or "" */
};
struct schedules_page {
	struct schedule_view views[SCHEDULES_PAGE_ITEMS];
	size_t count;
	char next[SCHEDULE_NAME_MAX + 1]; /* "" on the last page */
};
int schedules_list(const struct schedules *schedules, const struct schedules_filter *filter,
		   struct schedules_page *ret, struct error *error) _must_use_;

struct schedules_gauges {
	unsigned count;
	uint64_t fired;     /* since the start, as what follows: occurrences that became events */
	uint64_t retried;   /* further tries to make them so */
	uint64_t failed;    /* those that were given up */
	uint64_t missed;    /* those that passed while nothing could fire */
	int64_t lag_us;     /* the sum of how much later than due those fired */
	int64_t overdue_us; /* how late the one is that is most so; 0: none is */
};
void schedules_gauges(const struct schedules *schedules, struct schedules_gauges *ret);
