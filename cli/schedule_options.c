/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/schedule_options.h"

#include <errno.h>
#include <time.h>

#include "cli/json_fields.h"
#include "cli/output.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"

#define INPUT_MAX_BYTES 262144

#define ENABLED         MAYFLY__V1__SCHEDULE_STATE__SCHEDULE_STATE_ENABLED
#define DISABLED        MAYFLY__V1__SCHEDULE_STATE__SCHEDULE_STATE_DISABLED
#define OFF             MAYFLY__V1__FLEXIBLE_TIME_WINDOW_MODE__FLEXIBLE_TIME_WINDOW_MODE_OFF
#define FLEXIBLE        MAYFLY__V1__FLEXIBLE_TIME_WINDOW_MODE__FLEXIBLE_TIME_WINDOW_MODE_FLEXIBLE
#define NONE            MAYFLY__V1__ACTION_AFTER_COMPLETION__ACTION_AFTER_COMPLETION_NONE
#define DELETE          MAYFLY__V1__ACTION_AFTER_COMPLETION__ACTION_AFTER_COMPLETION_DELETE

/* An optional field is there when its case is its number; protobuf-c's own names for that are
 * longer than a line. */
#define HAS_AGE         1 /* of ScheduleRetryPolicy */
#define HAS_ATTEMPTS    2

#define AGE             "maximum-event-age-in-seconds"
#define ATTEMPTS        "maximum-retry-attempts"
#define WINDOW          "flexible-time-window"

/* -- from the command line -- */

static void take_text(const struct arguments *arguments, const char *option, char **ret)
{
	const char *text = argument(arguments, option);

	if (text)
		*ret = (char *)text;
}

/* A day or a minute, UTC, or "none". */
static int take_time(const struct arguments *arguments, const char *option, int64_t *ret_us,
		     struct error *e)
{
	static const char *const formats[] = { "%Y-%m-%d", "%Y-%m-%dT%H:%MZ",
					       "%Y-%m-%dT%H:%M:%SZ" };
	const char *text = argument(arguments, option);

	if (!text)
		return 0;
	if (strcmp(text, "none") == 0) {
		*ret_us = 0;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		struct tm utc = { 0 };
		const char *end = strptime(text, formats[i], &utc);

		if (end && !*end) {
			*ret_us = timegm(&utc) * USEC_PER_SEC;
			return 0;
		}
	}
	return error_set(e, ERROR_INVALID_PARAMETER, option,
			 "--%s takes 2026-11-25, 2026-11-25T13:00Z, 2026-11-25T13:00:00Z or none, "
			 "not '%s'",
			 option, text);
}

static int take_input(const struct arguments *arguments, struct schedule_settings *settings,
		      struct error *e)
{
	const char *text = argument(arguments, "input"), *path = NULL;
	int r;

	if (!text)
		return 0;
	if (text[0] == '@')
		path = text + 1;
	else if (strncmp(text, "file://", 7) == 0)
		path = text + 7;
	r = path ? fs_read_file(path, INPUT_MAX_BYTES, &settings->input)
		 : buf_append_string(&settings->input, text);
	if (r < 0)
		return error_set(e, ERROR_INVALID_PARAMETER, "input", "cannot read %s: %s",
				 path ? path : "the input", strerror(-r));
	if (memchr(settings->input.data, 0, settings->input.len))
		return error_set(e, ERROR_INVALID_PARAMETER, "input", "%s is no text", path);
	settings->target.input = (char *)(uintptr_t)buf_string(&settings->input);
	return 0;
}

static int take_policy(const struct arguments *arguments, Mayfly__V1__ScheduleRetryPolicy *policy,
		       struct error *e)
{
	uint64_t age = policy->maximum_event_age_in_seconds;
	uint64_t attempts = policy->maximum_retry_attempts;
	int r = argument_number(arguments, AGE, UINT32_MAX, &age, e);

	if (r == 0)
		r = argument_number(arguments, ATTEMPTS, UINT32_MAX, &attempts, e);
	if (argument(arguments, AGE))
		policy->_maximum_event_age_in_seconds_case = HAS_AGE;
	if (argument(arguments, ATTEMPTS))
		policy->_maximum_retry_attempts_case = HAS_ATTEMPTS;
	policy->maximum_event_age_in_seconds = (uint32_t)age;
	policy->maximum_retry_attempts = (uint32_t)attempts;
	return r;
}

static int take_window(const struct arguments *arguments, Mayfly__V1__FlexibleTimeWindow *window,
		       struct error *e)
{
	uint64_t minutes = window->maximum_window_in_minutes;
	int r = argument_number(arguments, WINDOW, UINT32_MAX, &minutes, e);

	window->maximum_window_in_minutes = (uint32_t)minutes;
	window->mode = minutes > 0 ? FLEXIBLE : OFF;
	return r;
}

static void take_choices(const struct arguments *arguments,
			 Mayfly__V1__UpdateScheduleRequest *request)
{
	const char *state = argument(arguments, "state");
	const char *action = argument(arguments, "action-after-completion");

	if (state)
		request->state = strcmp(state, "DISABLED") == 0 ? DISABLED : ENABLED;
	if (action)
		request->action_after_completion = strcmp(action, "DELETE") == 0 ? DELETE : NONE;
}

/* Copies of what others own, to be changed. */
static void take_nested(struct schedule_settings *settings,
			Mayfly__V1__UpdateScheduleRequest *request)
{
	mayfly__v1__flexible_time_window__init(&settings->window);
	mayfly__v1__schedule_target__init(&settings->target);
	mayfly__v1__schedule_retry_policy__init(&settings->retry_policy);
	if (request->flexible_time_window)
		settings->window = *request->flexible_time_window;
	if (request->target)
		settings->target = *request->target;
	if (settings->target.retry_policy)
		settings->retry_policy = *settings->target.retry_policy;
	settings->target.retry_policy = &settings->retry_policy;
	request->flexible_time_window = &settings->window;
	request->target = &settings->target;
}

int schedule_settings_apply(const struct arguments *arguments, struct schedule_settings *settings,
			    Mayfly__V1__UpdateScheduleRequest *request, struct error *e)
{
	int r;

	take_nested(settings, request);
	take_choices(arguments, request);
	take_text(arguments, "schedule-expression", &request->schedule_expression);
	take_text(arguments, "schedule-expression-timezone",
		  &request->schedule_expression_timezone);
	take_text(arguments, "description", &request->description);
	take_text(arguments, "function", &settings->target.arn);
	r = take_time(arguments, "start-date", &request->start_date_us, e);
	if (r == 0)
		r = take_time(arguments, "end-date", &request->end_date_us, e);
	if (r == 0)
		r = take_input(arguments, settings, e);
	if (r == 0)
		r = take_policy(arguments, &settings->retry_policy, e);
	return r < 0 ? r : take_window(arguments, &settings->window, e);
}

void schedule_settings_clear(struct schedule_settings *settings)
{
	buf_free(&settings->input);
}

/* -- printed -- */

const char *name_of_schedule_state(int value)
{
	return value == DISABLED ? "DISABLED" : "ENABLED";
}

static const char *name_of_action(int value)
{
	return value == DELETE ? "DELETE" : "NONE";
}

static json_t *window_json(const Mayfly__V1__FlexibleTimeWindow *window)
{
	json_t *object = json_object();

	json_put_text(object, "Mode", window && window->mode == FLEXIBLE ? "FLEXIBLE" : "OFF");
	if (window && window->mode == FLEXIBLE)
		json_put_number(object, "MaximumWindowInMinutes",
				window->maximum_window_in_minutes);
	return object;
}

static json_t *target_json(const Mayfly__V1__ScheduleTarget *target)
{
	const Mayfly__V1__ScheduleRetryPolicy *policy = target->retry_policy;
	json_t *object = json_object(), *retries = json_object();

	json_put_text(object, "Arn", target->arn);
	json_put_text(object, "Input", target->input);
	if (policy) {
		json_put_number(retries, "MaximumEventAgeInSeconds",
				policy->maximum_event_age_in_seconds);
		json_put_number(retries, "MaximumRetryAttempts", policy->maximum_retry_attempts);
	}
	(void)json_object_set_new(object, "RetryPolicy", retries);
	return object;
}

json_t *schedule_json(const Mayfly__V1__Schedule *schedule)
{
	json_t *object = json_object();

	json_put_text(object, "Arn", schedule->arn);
	json_put_text(object, "Name", schedule->name);
	json_put_text(object, "GroupName", "default");
	json_put_text(object, "Description", schedule->description);
	json_put_text(object, "ScheduleExpression", schedule->schedule_expression);
	json_put_text(object, "ScheduleExpressionTimezone", schedule->schedule_expression_timezone);
	json_put_text(object, "State", name_of_schedule_state((int)schedule->state));
	json_put_time(object, "StartDate", schedule->start_date_us);
	json_put_time(object, "EndDate", schedule->end_date_us);
	json_put_text(object, "ActionAfterCompletion",
		      name_of_action((int)schedule->action_after_completion));
	(void)json_object_set_new(object, "FlexibleTimeWindow",
				  window_json(schedule->flexible_time_window));
	if (schedule->target)
		(void)json_object_set_new(object, "Target", target_json(schedule->target));
	json_put_time(object, "CreationDate", schedule->creation_date_us);
	json_put_time(object, "LastModificationDate", schedule->last_modification_date_us);
	json_put_time(object, "NextOccurrence", schedule->next_occurrence_us);
	json_put_time(object, "LastFired", schedule->last_fired_us);
	return object;
}

static void print_time(const char *name, int64_t realtime_us, const char *none)
{
	char text[CLOCK_ISO8601_BYTES];

	clock_format_iso8601(realtime_us, text);
	if (realtime_us > 0)
		output_field(name, "%s", text);
	else if (none)
		output_field(name, "%s", none);
}

int schedule_print(const struct context *context, const Mayfly__V1__Schedule *schedule)
{
	const Mayfly__V1__FlexibleTimeWindow *window = schedule->flexible_time_window;

	if (context->json)
		return output_json(schedule_json(schedule));
	output_field("Name", "%s", schedule->name);
	output_field("ARN", "%s", schedule->arn);
	if (*schedule->description)
		output_field("Description", "%s", schedule->description);
	output_field("Expression", "%s", schedule->schedule_expression);
	output_field("Time zone", "%s", schedule->schedule_expression_timezone);
	output_field("State", "%s", name_of_schedule_state((int)schedule->state));
	print_time("Not before", schedule->start_date_us, NULL);
	print_time("Not after", schedule->end_date_us, NULL);
	if (window && window->mode == FLEXIBLE)
		output_field("Window", "%u minutes", window->maximum_window_in_minutes);
	output_field("Afterwards", "%s", name_of_action((int)schedule->action_after_completion));
	if (schedule->target)
		output_field("Function", "%s", schedule->target->arn);
	if (schedule->target && *schedule->target->input)
		output_field("Input", "%s", schedule->target->input);
	print_time("Next", schedule->next_occurrence_us, "none");
	print_time("Last fired", schedule->last_fired_us, "never");
	return 0;
}
