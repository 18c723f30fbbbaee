/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/layer_output.h"
#include "cli/verbs.h"

static int get_by_arn(struct context *context, const char *arn, Mayfly__V1__LayerVersion **ret)
{
	Mayfly__V1__GetLayerVersionByArnRequest request =
		MAYFLY__V1__GET_LAYER_VERSION_BY_ARN_REQUEST__INIT;

	request.arn = (char *)arn;
	return client_layer_get_by_arn(context->client, &request, ret, &context->error);
}

static int get_by_name(struct context *context, const struct arguments *arguments,
		       Mayfly__V1__LayerVersion **ret)
{
	Mayfly__V1__GetLayerVersionRequest request = MAYFLY__V1__GET_LAYER_VERSION_REQUEST__INIT;
	uint64_t number = 0;

	int r = argument_number(arguments, "version-number", INT64_MAX, &number, &context->error);
	if (r < 0)
		return r;
	request.layer_name = (char *)operand(arguments, 0);
	request.version_number = (int64_t)number;
	return client_layer_get(context->client, &request, ret, &context->error);
}

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__LayerVersion *version = NULL;
	const char *arn = argument(arguments, "arn");
	bool named = *operand(arguments, 0) != '\0';

	if (named == (arn != NULL))
		return error_set(&context->error, ERROR_INVALID_PARAMETER, "arn",
				 "give the layer's NAME with --version-number, or --arn");
	if (named && !argument(arguments, "version-number"))
		return error_set(&context->error, ERROR_INVALID_PARAMETER, "version-number",
				 "--version-number is missing");
	int r = arn ? get_by_arn(context, arn, &version)
		    : get_by_name(context, arguments, &version);
	return r < 0 ? r : layer_print(context, version);
}

static const struct verb_option options[] = {
	{ "layer-name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME" },
	{ "version-number", 0, OPTION_TEXT, "N", "which version" },
	{ "arn", 0, OPTION_TEXT, "ARN", "instead of both: a version's ARN" },
	{ 0 },
};

const struct verb verb_layer_get = {
	.name = "layer get",
	.operands = "[NAME]",
	.max = 1,
	.name_option = "layer-name",
	.summary = "Show a version of a layer",
	.help = "Examples:\n"
		"  mayfly layer get tools --version-number 3\n"
		"  mayfly layer get --arn arn:aws:lambda:eu-central-1:123456789012:layer:tools:3\n",
	.options = options,
	.run = run,
};
