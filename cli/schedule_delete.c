/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/schedule_options.h"
#include "cli/verbs.h"

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__DeleteScheduleResponse *response = NULL;
	Mayfly__V1__DeleteScheduleRequest request = MAYFLY__V1__DELETE_SCHEDULE_REQUEST__INIT;

	request.name = (char *)operand(arguments, 0);
	return client_schedule_delete(context->client, &request, &response, &context->error);
}

static const struct verb_option options[] = {
	SCHEDULE_NAME_OPTIONS,
	{ 0 },
};

const struct verb verb_schedule_delete = {
	.name = "schedule delete",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "name",
	.summary = "Delete a schedule",
	.help = "Prints nothing when it worked. What has fired runs.\n\n"
		"Example:\n"
		"  mayfly schedule delete nightly\n",
	.options = options,
	.run = run,
};
