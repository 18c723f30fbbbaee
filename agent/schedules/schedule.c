/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/schedules/schedule.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/functions/text.h"

#define NAME_PATTERN "^[0-9a-zA-Z-_.]+$"

struct schedule *schedule_free(struct schedule *schedule)
{
	if (!schedule)
		return NULL;
	free(schedule->description);
	free(schedule->expression);
	free(schedule->input);
	free(schedule);
	return NULL;
}

/* -- rules -- */

int schedule_validate_name(const char *name, struct error *error)
{
	bool good = name[0] != 0;

	if (strlen(name) > SCHEDULE_NAME_MAX)
		return text_refuse_length(error, "name", "name", name, SCHEDULE_NAME_MAX);
	for (const char *c = name; *c; c++)
		good = good && (is_name_character(*c) || *c == '.');
	return good ? 0 : text_refuse_pattern(error, "name", "name", name, NAME_PATTERN);
}

/* What UTF-8 begins anew. */
static size_t count_characters(const char *text)
{
	size_t count = 0;

	for (; *text; text++)
		count += ((unsigned char)*text & 0xc0) != 0x80;
	return count;
}

static int check_texts(const struct schedule_request *request, struct error *error)
{
	int r = schedule_validate_name(request->name, error);

	if (r < 0)
		return r;
	if (count_characters(request->description) > SCHEDULE_DESCRIPTION_MAX)
		return text_refuse_length(error, "description", "description", request->description,
					  SCHEDULE_DESCRIPTION_MAX);
	if (strlen(request->timezone) > ZONE_NAME_MAX)
		return text_refuse_length(error, "schedule_expression_timezone",
					  "scheduleExpressionTimezone", request->timezone,
					  ZONE_NAME_MAX);
	if (strlen(request->client_token) > SCHEDULE_CLIENT_TOKEN_MAX)
		return text_refuse_length(error, "client_token", "clientToken",
					  request->client_token, SCHEDULE_CLIENT_TOKEN_MAX);
	if (strlen(request->input) > SCHEDULE_INPUT_MAX_BYTES)
		return text_refuse_length(error, "target.input", "target.input", request->input,
					  SCHEDULE_INPUT_MAX_BYTES);
	return 0;
}

static int check_range(int64_t value, int64_t min, int64_t max, const char *field, const char *path,
		       struct error *error)
{
	if (value >= min && value <= max)
		return 0;
	return error_set(error, ERROR_INVALID_PARAMETER, field,
			 "1 validation error detected: Value '%lld' at '%s' failed to satisfy "
			 "constraint: Member must have value %s than or equal to %lld",
			 (long long)value, path, value < min ? "greater" : "less",
			 (long long)(value < min ? min : max));
}

static int check_window(const struct schedule_request *request, struct error *error)
{
	static const char *const field = "flexible_time_window.maximum_window_in_minutes";

	if (request->is_flexible)
		return check_range(request->window_minutes, 1, SCHEDULE_WINDOW_MAX_MINUTES, field,
				   "flexibleTimeWindow.maximumWindowInMinutes", error);
	if (request->window_minutes == 0)
		return 0;
	return error_set(error, ERROR_INVALID_PARAMETER, field,
			 "MaximumWindowInMinutes must not be given when FlexibleTimeWindow's mode "
			 "is OFF.");
}

/* The last microsecond of a year that expressions know. */
#define TIME_MAX_US 7258118399999999LL

static int check_numbers(const struct schedule_request *request, struct error *error)
{
	int r = check_range(request->start_us, 0, TIME_MAX_US, "start_date_us", "startDate", error);

	if (r == 0)
		r = check_range(request->end_us, 0, TIME_MAX_US, "end_date_us", "endDate", error);
	if (r == 0 && request->end_us > 0 && request->end_us <= request->start_us)
		r = error_set(error, ERROR_INVALID_PARAMETER, "end_date_us",
			      "The EndDate must be after the StartDate.");
	if (r == 0)
		r = check_window(request, error);
	if (r == 0 && request->max_age_s)
		r = check_range(*request->max_age_s, SCHEDULE_AGE_MIN_S, SCHEDULE_AGE_MAX_S,
				"target.retry_policy.maximum_event_age_in_seconds",
				"target.retryPolicy.maximumEventAgeInSeconds", error);
	if (r == 0 && request->max_retries)
		r = check_range(*request->max_retries, 0, SCHEDULE_RETRIES_MAX,
				"target.retry_policy.maximum_retry_attempts",
				"target.retryPolicy.maximumRetryAttempts", error);
	return r;
}

/* A function's own words name its field otherwise. */
static int parse_target(const struct schedule_request *request, const char *region,
			struct function_reference *ret, struct error *error)
{
	_cleanup_error_ struct error refused = ERROR_INIT;

	if (!request->target[0])
		return error_set(
			error, ERROR_INVALID_PARAMETER, "target.arn",
			"1 validation error detected: Value null at 'target.arn' failed to "
			"satisfy constraint: Member must not be null");
	if (function_parse_reference(request->target, NULL, region, request->tenant, ret,
				     &refused) == 0)
		return 0;
	return error_set(error, refused.code, "target.arn", "%s", error_text(&refused));
}

/* -- from a request -- */

static int fill(struct schedule *schedule, const struct schedule_request *request)
{
	const char *timezone = request->timezone[0] ? request->timezone : "UTC";

	(void)snprintf(schedule->tenant, sizeof(schedule->tenant), "%s", request->tenant);
	(void)snprintf(schedule->name, sizeof(schedule->name), "%s", request->name);
	(void)snprintf(schedule->timezone, sizeof(schedule->timezone), "%s", timezone);
	(void)snprintf(schedule->client_token, sizeof(schedule->client_token), "%s",
		       request->client_token);
	schedule->description = strdup(request->description);
	schedule->expression = strdup(request->expression);
	schedule->input = strdup(request->input);
	schedule->input_bytes = strlen(request->input);
	schedule->start_us = request->start_us;
	schedule->end_us = request->end_us;
	schedule->disabled = request->disabled;
	schedule->window_minutes = request->is_flexible ? request->window_minutes : 0;
	schedule->delete_after_completion = request->delete_after_completion;
	schedule->max_age_s = request->max_age_s ? *request->max_age_s : SCHEDULE_AGE_MAX_S;
	schedule->max_retries = request->max_retries ? *request->max_retries : SCHEDULE_RETRIES_MAX;
	return schedule->description && schedule->expression && schedule->input ? 0 : -ENOMEM;
}

int schedule_new(const struct schedule_request *request, const char *region, struct schedule **ret,
		 struct error *error)
{
	_cleanup_(schedule_free_p) struct schedule *schedule = calloc(1, sizeof(*schedule));
	struct expression unused;
	int r;

	if (!schedule)
		return error_set_errno(error, ENOMEM, "Cannot take the schedule");
	r = check_texts(request, error);
	if (r == 0)
		r = expression_parse(request->expression, &unused, error);
	if (r == 0)
		r = check_numbers(request, error);
	if (r == 0)
		r = parse_target(request, region, &schedule->target, error);
	if (r < 0)
		return r;
	r = fill(schedule, request);
	if (r < 0)
		return error_set_errno(error, r, "Cannot take the schedule");
	*ret = TAKE_PTR(schedule);
	return 0;
}

bool schedule_is_equal(const struct schedule *a, const struct schedule *b)
{
	return strcmp(a->tenant, b->tenant) == 0 && strcmp(a->name, b->name) == 0 &&
	       strcmp(a->description, b->description) == 0 &&
	       strcmp(a->expression, b->expression) == 0 && strcmp(a->timezone, b->timezone) == 0 &&
	       a->start_us == b->start_us && a->end_us == b->end_us && a->disabled == b->disabled &&
	       a->window_minutes == b->window_minutes &&
	       a->delete_after_completion == b->delete_after_completion &&
	       strcmp(a->target.name, b->target.name) == 0 &&
	       strcmp(a->target.qualifier, b->target.qualifier) == 0 &&
	       strcmp(a->input, b->input) == 0 && a->max_age_s == b->max_age_s &&
	       a->max_retries == b->max_retries;
}

int schedule_set_not_found(const char *name, struct error *error)
{
	return error_set(error, ERROR_NOT_FOUND, "name", "Schedule %s does not exist.", name);
}

int schedule_set_exists(const char *name, struct error *error)
{
	return error_set(error, ERROR_CONFLICT, "name", "Schedule %s already exists.", name);
}

char *schedule_arn(const struct schedule *schedule, const char *region)
{
	char *arn;

	if (asprintf(&arn, "arn:aws:scheduler:%s:%s:schedule/default/%s", region, schedule->tenant,
		     schedule->name) < 0)
		return NULL;
	return arn;
}
