/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/schedule_options.h"
#include "cli/verbs.h"

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_schedule_settings_ struct schedule_settings settings = { 0 };
	_cleanup_message_ Mayfly__V1__Schedule *schedule = NULL;
	Mayfly__V1__UpdateScheduleRequest common = MAYFLY__V1__UPDATE_SCHEDULE_REQUEST__INIT;
	Mayfly__V1__CreateScheduleRequest request = MAYFLY__V1__CREATE_SCHEDULE_REQUEST__INIT;
	const char *token = argument(arguments, "client-token");
	int r = schedule_settings_apply(arguments, &settings, &common, &context->error);

	if (r < 0)
		return r;
	request.name = (char *)operand(arguments, 0);
	request.description = common.description;
	request.schedule_expression = common.schedule_expression;
	request.schedule_expression_timezone = common.schedule_expression_timezone;
	request.start_date_us = common.start_date_us;
	request.end_date_us = common.end_date_us;
	request.state = common.state;
	request.flexible_time_window = common.flexible_time_window;
	request.action_after_completion = common.action_after_completion;
	request.target = common.target;
	if (token)
		request.client_token = (char *)token;
	r = client_schedule_create(context->client, &request, &schedule, &context->error);
	return r < 0 ? r : schedule_print(context, schedule);
}

static const struct verb_option options[] = {
	SCHEDULE_NAME_OPTIONS,
	SCHEDULE_SETTING_OPTIONS,
	{ "client-token", 0, OPTION_TEXT, "TOKEN", "the same again is answered as the first" },
	{ 0 },
};

const struct verb verb_schedule_create = {
	.name = "schedule create",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "name",
	.summary = "Invoke a function at set times",
	.help = "Examples:\n"
		"  mayfly schedule create tick --schedule-expression 'rate(5 minutes)' --function "
		"area\n"
		"  mayfly schedule create nightly --schedule-expression 'cron(30 2 * * ? *)' \\\n"
		"      --schedule-expression-timezone Europe/Berlin --function area:live \\\n"
		"      --input '{\"kind\": \"nightly\"}'\n"
		"  mayfly schedule create once --schedule-expression 'at(2027-01-01T00:00:00)' \\\n"
		"      --function area --action-after-completion DELETE\n",
	.options = options,
	.run = run,
};
