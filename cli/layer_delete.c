/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/verbs.h"

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__DeleteLayerVersionResponse *response = NULL;
	Mayfly__V1__DeleteLayerVersionRequest request =
		MAYFLY__V1__DELETE_LAYER_VERSION_REQUEST__INIT;
	uint64_t number = 0;

	if (!argument(arguments, "version-number"))
		return error_set(&context->error, ERROR_INVALID_PARAMETER, "version-number",
				 "--version-number is missing");
	int r = argument_number(arguments, "version-number", INT64_MAX, &number, &context->error);
	if (r < 0)
		return r;
	request.layer_name = (char *)operand(arguments, 0);
	request.version_number = (int64_t)number;
	return client_layer_delete(context->client, &request, &response, &context->error);
}

static const struct verb_option options[] = {
	{ "layer-name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME" },
	{ "version-number", 0, OPTION_TEXT, "N", "which version" },
	{ 0 },
};

const struct verb verb_layer_delete = {
	.name = "layer delete",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "layer-name",
	.summary = "Delete a version of a layer",
	.help = "Functions that have it keep it. Prints nothing when it worked.\n\n"
		"Example:\n"
		"  mayfly layer delete tools --version-number 3\n",
	.options = options,
	.run = run,
};
