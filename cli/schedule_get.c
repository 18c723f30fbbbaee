/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/schedule_options.h"
#include "cli/verbs.h"

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__Schedule *schedule = NULL;
	Mayfly__V1__GetScheduleRequest request = MAYFLY__V1__GET_SCHEDULE_REQUEST__INIT;
	int r;

	request.name = (char *)operand(arguments, 0);
	r = client_schedule_get(context->client, &request, &schedule, &context->error);
	return r < 0 ? r : schedule_print(context, schedule);
}

static const struct verb_option options[] = {
	SCHEDULE_NAME_OPTIONS,
	{ 0 },
};

const struct verb verb_schedule_get = {
	.name = "schedule get",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "name",
	.summary = "Show a schedule, and when it fires next",
	.help = "Example:\n"
		"  mayfly schedule get nightly\n",
	.options = options,
	.run = run,
};
