/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/function_options.h"
#include "cli/verbs.h"

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__Function *function = NULL;
	Mayfly__V1__GetFunctionRequest request = MAYFLY__V1__GET_FUNCTION_REQUEST__INIT;
	const char *qualifier = argument(arguments, "qualifier");

	request.function_name = (char *)operand(arguments, 0);
	if (qualifier)
		request.qualifier = (char *)qualifier;
	int r = client_function_get(context->client, &request, &function, &context->error);
	return r < 0 ? r : function_print(context, function);
}

static const struct verb_option options[] = {
	{ "function-name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME" },
	{ "qualifier", 0, OPTION_TEXT, "QUALIFIER", "a version or an alias; $LATEST by default" },
	{ 0 },
};

const struct verb verb_function_get = {
	.name = "function get",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "function-name",
	.summary = "Show a function",
	.help = "NAME may be a name, NAME:QUALIFIER, a partial ARN or a full ARN.\n\n"
		"Examples:\n"
		"  mayfly function get area\n"
		"  mayfly function get area --output json\n",
	.options = options,
	.run = run,
};
