/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/verbs.h"

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__DeleteFunctionResponse *response = NULL;
	Mayfly__V1__DeleteFunctionRequest request = MAYFLY__V1__DELETE_FUNCTION_REQUEST__INIT;
	const char *qualifier = argument(arguments, "qualifier");

	request.function_name = (char *)operand(arguments, 0);
	if (qualifier)
		request.qualifier = (char *)qualifier;
	return client_function_delete(context->client, &request, &response, &context->error);
}

static const struct verb_option options[] = {
	{ "function-name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME" },
	{ "qualifier", 0, OPTION_TEXT, "VERSION", "only this version" },
	{ 0 },
};

const struct verb verb_function_delete = {
	.name = "function delete",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "function-name",
	.summary = "Delete a function, or a version of it",
	.help = "Prints nothing when it worked. Without --qualifier all versions and aliases "
		"go.\n\n"
		"Examples:\n"
		"  mayfly function delete area\n"
		"  mayfly function delete area --qualifier 1\n",
	.options = options,
	.run = run,
};
