/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/schedule_message.h"

#include <errno.h>

#define ENABLED      MAYFLY__V1__SCHEDULE_STATE__SCHEDULE_STATE_ENABLED
#define DISABLED     MAYFLY__V1__SCHEDULE_STATE__SCHEDULE_STATE_DISABLED
#define OFF          MAYFLY__V1__FLEXIBLE_TIME_WINDOW_MODE__FLEXIBLE_TIME_WINDOW_MODE_OFF
#define FLEXIBLE     MAYFLY__V1__FLEXIBLE_TIME_WINDOW_MODE__FLEXIBLE_TIME_WINDOW_MODE_FLEXIBLE
#define NONE         MAYFLY__V1__ACTION_AFTER_COMPLETION__ACTION_AFTER_COMPLETION_NONE
#define DELETE       MAYFLY__V1__ACTION_AFTER_COMPLETION__ACTION_AFTER_COMPLETION_DELETE

/* An optional field is there when its case is its number; protobuf-c's own names for that are
 * longer than a line. */
#define HAS_AGE      1 /* of ScheduleRetryPolicy */
#define HAS_ATTEMPTS 2

/* -- to a message -- */

static int fill_target(struct schedule_message *to, const struct schedule *schedule,
		       const char *region, bool with_input)
{
	const struct function_reference *target = &schedule->target;

	mayfly__v1__schedule_retry_policy__init(&to->retry_policy);
	to->retry_policy._maximum_event_age_in_seconds_case = HAS_AGE;
	to->retry_policy.maximum_event_age_in_seconds = schedule->max_age_s;
	to->retry_policy._maximum_retry_attempts_case = HAS_ATTEMPTS;
	to->retry_policy.maximum_retry_attempts = schedule->max_retries;
	mayfly__v1__schedule_target__init(&to->target);
	to->target.retry_policy = &to->retry_policy;
	if (with_input)
		to->target.input = schedule->input;
	to->message.target = &to->target;
	to->target.arn = function_arn(region, schedule->tenant, target->name,
				      target->has_qualifier ? target->qualifier : NULL);
	to->message.arn = schedule_arn(schedule, region);
	return to->target.arn && to->message.arn ? 0 : -ENOMEM;
}

int schedule_message_fill(struct schedule_message *to, const struct schedule_view *view,
			  const char *region, bool with_input)
{
	const struct schedule *schedule = view->schedule;
	Mayfly__V1__Schedule *message = &to->message;

	mayfly__v1__schedule__init(message);
	mayfly__v1__flexible_time_window__init(&to->window);
	to->window.mode = schedule->window_minutes > 0 ? FLEXIBLE : OFF;
	to->window.maximum_window_in_minutes = schedule->window_minutes;
	message->name = (char *)(uintptr_t)schedule->name;
	message->tenant = (char *)(uintptr_t)schedule->tenant;
	message->description = schedule->description;
	message->schedule_expression = schedule->expression;
	message->schedule_expression_timezone = (char *)(uintptr_t)schedule->timezone;
	message->start_date_us = schedule->start_us;
	message->end_date_us = schedule->end_us;
	message->state = schedule->disabled ? DISABLED : ENABLED;
	message->flexible_time_window = &to->window;
	message->action_after_completion = schedule->delete_after_completion ? DELETE : NONE;
	message->creation_date_us = schedule->created_us;
	message->last_modification_date_us = schedule->modified_us;
	message->next_occurrence_us = view->next_us;
	message->last_fired_us = view->fired_us;
	return fill_target(to, schedule, region, with_input);
}

void schedule_message_clear(struct schedule_message *message)
{
	if (message->message.target)
		free(message->target.arn);
	if (message->message.arn != (char *)(uintptr_t)protobuf_c_empty_string)
		free(message->message.arn);
}

/* -- from messages -- */

static int refuse_value(int value, const char *field, const char *path, const char *values,
			struct error *error)
{
	return error_set(error, ERROR_INVALID_PARAMETER, field,
			 "1 validation error detected: Value '%d' at '%s' failed to satisfy "
			 "constraint: Member must satisfy enum value set: %s",
			 value, path, values);
}

int schedule_state_decode(Mayfly__V1__ScheduleState state, bool *ret_disabled, struct error *error)
{
	if ((unsigned)state > DISABLED)
		return refuse_value((int)state, "state", "state", "[ENABLED, DISABLED]", error);
	*ret_disabled = state == DISABLED;
	return 0;
}

static void decode_target(const Mayfly__V1__ScheduleTarget *target, struct schedule_request *ret)
{
	const Mayfly__V1__ScheduleRetryPolicy *policy = target ? target->retry_policy : NULL;

	ret->target = target ? target->arn : "";
	ret->input = target ? target->input : "";
	if (policy && policy->_maximum_event_age_in_seconds_case == HAS_AGE)
		ret->max_age_s = &policy->maximum_event_age_in_seconds;
	if (policy && policy->_maximum_retry_attempts_case == HAS_ATTEMPTS)
		ret->max_retries = &policy->maximum_retry_attempts;
}

int schedule_request_decode(const struct schedule_fields *fields, struct schedule_request *ret,
			    struct error *error)
{
	int r;

	*ret = (struct schedule_request){
		.tenant = fields->tenant,
		.name = fields->name,
		.description = fields->description,
		.expression = fields->expression,
		.timezone = fields->timezone,
		.start_us = fields->start_us,
		.end_us = fields->end_us,
		.is_flexible = fields->window && fields->window->mode == FLEXIBLE,
		.window_minutes = fields->window ? fields->window->maximum_window_in_minutes : 0,
		.delete_after_completion = fields->action == DELETE,
		.client_token = fields->client_token,
	};
	r = schedule_state_decode(fields->state, &ret->disabled, error);
	if (r == 0 && (unsigned)fields->action > DELETE)
		r = refuse_value((int)fields->action, "action_after_completion",
				 "actionAfterCompletion", "[NONE, DELETE]", error);
	if (r == 0 && fields->window && (unsigned)fields->window->mode > FLEXIBLE)
		r = refuse_value((int)fields->window->mode, "flexible_time_window.mode",
				 "flexibleTimeWindow.mode", "[OFF, FLEXIBLE]", error);
	decode_target(fields->target, ret);
	return r;
}
