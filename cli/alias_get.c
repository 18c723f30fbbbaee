/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/alias_options.h"
#include "cli/verbs.h"

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__Alias *alias = NULL;
	Mayfly__V1__GetAliasRequest request = MAYFLY__V1__GET_ALIAS_REQUEST__INIT;

	int r = alias_name(arguments, &request.name, &context->error);
	if (r < 0)
		return r;
	request.function_name = (char *)operand(arguments, 0);
	r = client_alias_get(context->client, &request, &alias, &context->error);
	return r < 0 ? r : alias_print(context, alias);
}

static const struct verb_option options[] = {
	ALIAS_NAME_OPTIONS,
	{ 0 },
};

const struct verb verb_alias_get = {
	.name = "alias get",
	.operands = "FUNCTION NAME",
	.min = 1,
	.max = 2,
	.name_option = "function-name",
	.summary = "Show an alias",
	.help = "Example:\n"
		"  mayfly alias get area live\n",
	.options = options,
	.run = run,
};
