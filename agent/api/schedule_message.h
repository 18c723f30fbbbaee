/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Schedules as messages and back. */

#include "agent/schedules/schedules.h"
#include "mayfly/v1/schedule.pb-c.h"

/* In place, must not move; texts are the schedule's, but for the ARNs. */
struct schedule_message {
	Mayfly__V1__Schedule message;
	Mayfly__V1__FlexibleTimeWindow window;
	Mayfly__V1__ScheduleTarget target;
	Mayfly__V1__ScheduleRetryPolicy retry_policy;
};

/* Without the target's input unless `with_input`. 0 or -ENOMEM; clear in any case. */
int schedule_message_fill(struct schedule_message *to, const struct schedule_view *view,
			  const char *region, bool with_input) _must_use_;
void schedule_message_clear(struct schedule_message *message);

/* What Create and Update have in common; all borrowed. `error` names what has no such value. */
struct schedule_fields {
	const char *tenant;
	const char *name;
	const char *description;
	const char *expression;
	const char *timezone;
	int64_t start_us;
	int64_t end_us;
	Mayfly__V1__ScheduleState state;
	const Mayfly__V1__FlexibleTimeWindow *window; /* NULL: not given, as the target */
	Mayfly__V1__ActionAfterCompletion action;
	const Mayfly__V1__ScheduleTarget *target;
	const char *client_token;
};
int schedule_request_decode(const struct schedule_fields *fields, struct schedule_request *ret,
			    struct error *error) _must_use_;

/* Whether it is one of the enum's; `ret_disabled` is false for UNSPECIFIED. */
int schedule_state_decode(Mayfly__V1__ScheduleState state, bool *ret_disabled,
			  struct error *error) _must_use_;
