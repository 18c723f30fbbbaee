/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/alias_options.h"
#include "cli/verbs.h"

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_alias_routing_ struct alias_routing routing = { 0 };
	_cleanup_message_ Mayfly__V1__Alias *alias = NULL;
	Mayfly__V1__CreateAliasRequest request = MAYFLY__V1__CREATE_ALIAS_REQUEST__INIT;
	const char *version = argument(arguments, "function-version");
	const char *description = argument(arguments, "description");

	if (!version)
		return error_set(&context->error, ERROR_INVALID_PARAMETER, "function-version",
				 "--function-version is missing");
	int r = alias_name(arguments, &request.name, &context->error);
	if (r == 0)
		r = alias_routing_parse(arguments, &routing, &request.routing_config,
					&context->error);
	if (r < 0)
		return r;
	request.function_name = (char *)operand(arguments, 0);
	request.function_version = (char *)version;
	if (description)
		request.description = (char *)description;
	r = client_alias_create(context->client, &request, &alias, &context->error);
	return r < 0 ? r : alias_print(context, alias);
}

static const struct verb_option options[] = {
	ALIAS_NAME_OPTIONS,
	ALIAS_SETTING_OPTIONS,
	{ 0 },
};

const struct verb verb_alias_create = {
	.name = "alias create",
	.operands = "FUNCTION NAME",
	.min = 1,
	.max = 2,
	.name_option = "function-name",
	.summary = "Give a version a name",
	.help = "Examples:\n"
		"  mayfly alias create area live --function-version 1\n"
		"  mayfly alias create area live --function-version 1 \\\n"
		"      --routing-config 'AdditionalVersionWeights={2=0.1}'\n",
	.options = options,
	.run = run,
};
