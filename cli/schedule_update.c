/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/schedule_options.h"
#include "cli/verbs.h"

/* By gRPC all is replaced; here what is not named stays, so it is read first. */
static void take_present(const Mayfly__V1__Schedule *schedule,
			 Mayfly__V1__UpdateScheduleRequest *request)
{
	request->description = schedule->description;
	request->schedule_expression = schedule->schedule_expression;
	request->schedule_expression_timezone = schedule->schedule_expression_timezone;
	request->start_date_us = schedule->start_date_us;
	request->end_date_us = schedule->end_date_us;
	request->state = schedule->state;
	request->flexible_time_window = schedule->flexible_time_window;
	request->action_after_completion = schedule->action_after_completion;
	request->target = schedule->target;
}

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_schedule_settings_ struct schedule_settings settings = { 0 };
	_cleanup_message_ Mayfly__V1__Schedule *present = NULL;
	_cleanup_message_ Mayfly__V1__Schedule *schedule = NULL;
	Mayfly__V1__GetScheduleRequest get = MAYFLY__V1__GET_SCHEDULE_REQUEST__INIT;
	Mayfly__V1__UpdateScheduleRequest request = MAYFLY__V1__UPDATE_SCHEDULE_REQUEST__INIT;
	int r;

	get.name = request.name = (char *)operand(arguments, 0);
	r = client_schedule_get(context->client, &get, &present, &context->error);
	if (r < 0)
		return r;
	take_present(present, &request);
	r = schedule_settings_apply(arguments, &settings, &request, &context->error);
	if (r == 0)
		r = client_schedule_update(context->client, &request, &schedule, &context->error);
	return r < 0 ? r : schedule_print(context, schedule);
}

static const struct verb_option options[] = {
	SCHEDULE_NAME_OPTIONS,
	SCHEDULE_SETTING_OPTIONS,
	{ 0 },
};

const struct verb verb_schedule_update = {
	.name = "schedule update",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "name",
	.summary = "Change a schedule",
	.help = "What is not named stays as it is.\n\n"
		"Examples:\n"
		"  mayfly schedule update nightly --state DISABLED\n"
		"  mayfly schedule update tick --schedule-expression 'rate(1 minute)'\n",
	.options = options,
	.run = run,
};
