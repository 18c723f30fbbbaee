/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/events/event_policy.h"

const char *event_end_name(enum event_end end)
{
	static const char *const names[] = {
		[EVENT_GOES_ON] = "",
		[EVENT_SUCCESS] = "Success",
		[EVENT_RETRIES_EXHAUSTED] = "RetriesExhausted",
		[EVENT_AGE_EXCEEDED] = "EventAgeExceeded",
		[EVENT_ZERO_RESERVED_CONCURRENCY] = "ZeroReservedConcurrency",
		[EVENT_FUNCTION_GONE] = "FunctionDeleted",
		[EVENT_RECURSION] = "RecursiveInvocation",
	};

	return names[end];
}

bool event_is_too_old(const struct event_policy *policy, const struct event_record *record,
		      int64_t now_us)
{
	return now_us - record->received_us >= policy->max_age_us;
}

/* `times` earlier ones in a row. */
static int64_t delay_us(const struct event_policy *policy, unsigned times)
{
	int64_t delay = policy->delay_first_us;

	while (times-- > 0 && delay < policy->delay_max_us)
		delay *= 2;
	return delay < policy->delay_max_us ? delay : policy->delay_max_us;
}

static enum event_end try_again(const struct event_policy *policy, struct event_record *record,
				int64_t wait_us, int64_t now_us)
{
	int64_t end_us = record->received_us + policy->max_age_us;

	if (now_us >= end_us)
		return EVENT_AGE_EXCEEDED;
	record->due_us = now_us + wait_us < end_us ? now_us + wait_us : end_us;
	return EVENT_GOES_ON;
}

int64_t event_wait_us(const struct event_policy *policy, const struct event_record *record)
{
	return record->delays > 0 ? delay_us(policy, record->delays - 1)
				  : policy->retry_first_us * record->errors;
}

enum event_end event_decide(const struct event_policy *policy, struct event_record *record,
			    enum event_outcome outcome, int64_t now_us)
{
	switch (outcome) {
	case EVENT_SUCCEEDED:
		return EVENT_SUCCESS;
	case EVENT_NO_RIGHT:
		return EVENT_ZERO_RESERVED_CONCURRENCY;
	case EVENT_NO_FUNCTION:
		return EVENT_FUNCTION_GONE;
	case EVENT_FAILED:
		record->delays = 0;
		if (record->errors++ >= policy->max_retries)
			return EVENT_RETRIES_EXHAUSTED;
		return try_again(policy, record, policy->retry_first_us * record->errors, now_us);
	default:
		return try_again(policy, record, delay_us(policy, record->delays++), now_us);
	}
}
