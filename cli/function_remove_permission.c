/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/output.h"
#include "cli/verbs.h"

static int run(struct context *context, const struct arguments *arguments)
{
	Mayfly__V1__RemovePermissionRequest request = MAYFLY__V1__REMOVE_PERMISSION_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__RemovePermissionResponse *response = NULL;
	const char *qualifier = argument(arguments, "qualifier");
	const char *statement = argument(arguments, "statement-id");
	const char *revision = argument(arguments, "revision-id");

	if (!statement)
		return error_set(&context->error, ERROR_INVALID_PARAMETER, "statement-id",
				 "--statement-id is missing");
	request.function_name = (char *)operand(arguments, 0);
	request.statement_id = (char *)statement;
	if (qualifier)
		request.qualifier = (char *)qualifier;
	if (revision)
		request.revision_id = (char *)revision;
	return client_policy_remove(context->client, &request, &response, &context->error);
}

static const struct verb_option options[] = {
	{ "function-name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME" },
	{ "qualifier", 0, OPTION_TEXT, "QUALIFIER", "a version or an alias, else the function" },
	{ "statement-id", 0, OPTION_TEXT, "ID", "of add-permission" },
	{ "revision-id", 0, OPTION_TEXT, "ID", "refuse if this is not the current revision" },
	{ 0 },
};

const struct verb verb_function_remove_permission = {
	.name = "function remove-permission",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "function-name",
	.summary = "Take back what add-permission gave",
	.help = "Prints nothing when it worked.\n\n"
		"Example:\n"
		"  mayfly function remove-permission area --statement-id blue\n",
	.options = options,
	.run = run,
};
