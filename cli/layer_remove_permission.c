/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/verbs.h"

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__RemoveLayerVersionPermissionResponse *response = NULL;
	Mayfly__V1__RemoveLayerVersionPermissionRequest request =
		MAYFLY__V1__REMOVE_LAYER_VERSION_PERMISSION_REQUEST__INIT;
	const char *id = argument(arguments, "statement-id");
	const char *revision = argument(arguments, "revision-id");
	uint64_t number = 0;

	if (!argument(arguments, "version-number"))
		return error_set(&context->error, ERROR_INVALID_PARAMETER, "version-number",
				 "--version-number is missing");
	int r = argument_number(arguments, "version-number", INT64_MAX, &number, &context->error);
	if (r < 0)
		return r;
	request.layer_name = (char *)operand(arguments, 0);
	request.version_number = (int64_t)number;
	if (id)
		request.statement_id = (char *)id;
	if (revision)
		request.revision_id = (char *)revision;
	return client_layer_unpermit(context->client, &request, &response, &context->error);
}

static const struct verb_option options[] = {
	{ "layer-name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME" },
	{ "version-number", 0, OPTION_TEXT, "N", "which version" },
	{ "statement-id", 0, OPTION_TEXT, "ID", "the one that goes" },
	{ "revision-id", 0, OPTION_TEXT, "ID", "refuse if this is not the current revision" },
	{ 0 },
};

const struct verb verb_layer_remove_permission = {
	.name = "layer remove-permission",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "layer-name",
	.summary = "Take such a permission back",
	.help = "Functions that have the layer keep it. Prints nothing when it worked.\n\n"
		"Example:\n"
		"  mayfly layer remove-permission tools --version-number 3 --statement-id blue\n",
	.options = options,
	.run = run,
};
