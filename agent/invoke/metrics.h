/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is counted of invocations, per function and of the node, since the start (Lambda's metrics:
 * developer guide, "Types of metrics for Lambda functions"). How many functions have rows of their
 * own is bounded; the others of a tenant are counted in one. Loop thread. */

#include <stdbool.h>
#include <stdint.h>

#include "mayfly/cleanup.h"

#define METRICS_FUNCTIONS_DEFAULT 1000
#define METRICS_BUCKETS           18
/* Stands for all functions that have no row of their own; no function is called so. */
#define METRICS_OTHERS            "(other)"

/* Upper bounds in microseconds; the last one has none. */
extern const int64_t metrics_bounds_us[METRICS_BUCKETS];

struct histogram {
	uint64_t counts[METRICS_BUCKETS]; /* of each bucket alone */
	uint64_t count;
	uint64_t sum_us;
};

enum metrics_start {
	METRICS_WARM,
	METRICS_SPARE,
	METRICS_RESTORE,
	METRICS_BOOT,
	_METRICS_START_MAX
};

/* Of waiting for a sandbox, and of a restore with nothing prepared. */
enum metrics_phase {
	METRICS_PLACE,
	METRICS_SPAWN,
	METRICS_LOAD,
	METRICS_RESUME,
	METRICS_INIT,
	_METRICS_PHASE_MAX,
};

extern const char *const metrics_start_names[_METRICS_START_MAX];
extern const char *const metrics_phase_names[_METRICS_PHASE_MAX];

/* What may happen to an asynchronous invocation that never answers anybody. */
enum metrics_event {
	METRICS_EVENT_DROPPED,      /* ended without success */
	METRICS_DESTINATION_FAILED, /* its record could not be delivered */
	METRICS_DEAD_LETTER_FAILED, /* nor could it be put into the dead letter queue */
	METRICS_RECURSION_DROPPED,  /* destinations that lead in a circle: not made */
	_METRICS_EVENT_MAX,
};

/* One invocation whose code ran. */
struct metrics_sample {
	const char *tenant;
	const char *function_name;
	bool function_error;
	bool provisioned;    /* in a provisioned place */
	bool spilled_over;   /* its version has such, none was free */
	int64_t duration_us; /* as REPORT has it */
	enum metrics_start start;
	int64_t phases_us[_METRICS_PHASE_MAX]; /* 0: there was none */
};

struct function_metrics {
	const char *tenant;
	const char *function_name; /* or METRICS_OTHERS */
	uint64_t invocations;
	uint64_t errors;
	uint64_t throttles;
	uint64_t provisioned;
	uint64_t spilled_over;
	uint64_t starts[_METRICS_START_MAX];
	uint64_t events[_METRICS_EVENT_MAX];
	struct histogram duration;
	uint64_t serial; /* of its last change */
};

struct metrics;

int metrics_new(unsigned max_functions, struct metrics **ret) _must_use_;
struct metrics *metrics_free(struct metrics *metrics);
DEFINE_CLEANUP(struct metrics, metrics_free)

/* Without memory for a new row nothing is counted. */
void metrics_count_invocation(struct metrics *metrics, const struct metrics_sample *sample);
void metrics_count_throttle(struct metrics *metrics, const char *tenant, const char *function_name);
void metrics_count_event(struct metrics *metrics, const char *tenant, const char *function_name,
			 enum metrics_event event);
/* The function is deleted: its row goes. */
void metrics_forget(struct metrics *metrics, const char *tenant, const char *function_name);

/* Borrowed during fn. */
void metrics_each(const struct metrics *metrics,
		  void (*fn)(const struct function_metrics *row, void *arg), void *arg);
/* Grows with each change of a row. */
uint64_t metrics_serial(const struct metrics *metrics);
/* What it was when a row went last; 0: none did. */
uint64_t metrics_forgot(const struct metrics *metrics);
/* Something that is not counted here has changed for the function, if it has a row. */
void metrics_touch(struct metrics *metrics, const char *tenant, const char *function_name);
/* Over all functions. */
const struct histogram *metrics_phase(const struct metrics *metrics, enum metrics_phase phase);
