/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What becomes of an event after a try (Lambda developer guide, "How Lambda handles errors and
 * retries with asynchronous invocation"). Pure; any thread. */

#include "agent/store/event_store.h"

#define EVENT_RETRIES_DEFAULT     2
#define EVENT_RETRY_FIRST_DEFAULT (60LL * 1000000)
#define EVENT_DELAY_FIRST_DEFAULT (1LL * 1000000)
#define EVENT_DELAY_MAX_DEFAULT   (300LL * 1000000)
#define EVENT_MAX_AGE_DEFAULT     (21600LL * 1000000)

struct event_policy {
	unsigned max_retries;   /* after function errors */
	int64_t retry_first_us; /* the wait after the first error; after the second twice that */
	int64_t delay_first_us; /* the wait after a try that no function ran for; it doubles … */
	int64_t delay_max_us;   /* … up to here */
	int64_t max_age_us;
};

enum event_outcome {
	EVENT_SUCCEEDED,
	EVENT_FAILED,   /* a function error */
	EVENT_HELD_UP,  /* throttled, or the node could not */
	EVENT_NO_RIGHT, /* nothing may run: reserved concurrency is 0 */
	EVENT_NO_FUNCTION,
};

enum event_end {
	EVENT_GOES_ON,
	EVENT_SUCCESS,
	EVENT_RETRIES_EXHAUSTED,
	EVENT_AGE_EXCEEDED,
	EVENT_ZERO_RESERVED_CONCURRENCY,
	EVENT_FUNCTION_GONE,
	EVENT_RECURSION, /* it was not invoked: destinations lead in a circle */
};

/* Lambda's word for it; it has none for the last two, and the last is that of its exception. */
const char *event_end_name(enum event_end end);

bool event_is_too_old(const struct event_policy *policy, const struct event_record *record,
		      int64_t now_us);

/* How long one waits whose outcomes were counted so, at most: of these, the wait after the last. */
int64_t event_wait_us(const struct event_policy *policy, const struct event_record *record);

/* Counts the outcome in `record`, and sets due_us when the event goes on: never later than its
 * greatest age, at which it ends. `now_us` is Unix time. */
enum event_end event_decide(const struct event_policy *policy, struct event_record *record,
			    enum event_outcome outcome, int64_t now_us);
