/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/alias_options.h"
#include "cli/verbs.h"

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_alias_routing_ struct alias_routing routing = { 0 };
	_cleanup_message_ Mayfly__V1__Alias *alias = NULL;
	Mayfly__V1__UpdateAliasRequest request = MAYFLY__V1__UPDATE_ALIAS_REQUEST__INIT;
	const char *version = argument(arguments, "function-version");
	const char *description = argument(arguments, "description");
	const char *revision = argument(arguments, "revision-id");

	int r = alias_name(arguments, &request.name, &context->error);
	if (r == 0)
		r = alias_routing_parse(arguments, &routing, &request.routing_config,
					&context->error);
	if (r < 0)
		return r;
	request.function_name = (char *)operand(arguments, 0);
	if (version)
		request.function_version = (char *)version;
	if (description) {
		request._description_case =
			MAYFLY__V1__UPDATE_ALIAS_REQUEST___DESCRIPTION_DESCRIPTION;
		request.description = (char *)description;
	}
	if (revision)
		request.revision_id = (char *)revision;
	r = client_alias_update(context->client, &request, &alias, &context->error);
	return r < 0 ? r : alias_print(context, alias);
}

static const struct verb_option options[] = {
	ALIAS_NAME_OPTIONS,
	ALIAS_SETTING_OPTIONS,
	{ "revision-id", 0, OPTION_TEXT, "ID", "only if this is the current revision" },
	{ 0 },
};

const struct verb verb_alias_update = {
	.name = "alias update",
	.operands = "FUNCTION NAME",
	.min = 1,
	.max = 2,
	.name_option = "function-name",
	.summary = "Lead an alias elsewhere",
	.help = "What is not named stays as it is.\n\n"
		"Examples:\n"
		"  mayfly alias update area live --function-version 2 --routing-config '{}'\n"
		"  mayfly alias update area live \\\n"
		"      --routing-config 'AdditionalVersionWeights={2=0.5}'\n",
	.options = options,
	.run = run,
};
