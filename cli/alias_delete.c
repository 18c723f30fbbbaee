/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/alias_options.h"
#include "cli/verbs.h"

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__DeleteAliasResponse *response = NULL;
	Mayfly__V1__DeleteAliasRequest request = MAYFLY__V1__DELETE_ALIAS_REQUEST__INIT;

	int r = alias_name(arguments, &request.name, &context->error);
	if (r < 0)
		return r;
	request.function_name = (char *)operand(arguments, 0);
	return client_alias_delete(context->client, &request, &response, &context->error);
}

static const struct verb_option options[] = {
	ALIAS_NAME_OPTIONS,
	{ 0 },
};

const struct verb verb_alias_delete = {
	.name = "alias delete",
	.operands = "FUNCTION NAME",
	.min = 1,
	.max = 2,
	.name_option = "function-name",
	.summary = "Delete an alias",
	.help = "Prints nothing when it worked. The versions stay.\n\n"
		"Example:\n"
		"  mayfly alias delete area live\n",
	.options = options,
	.run = run,
};
