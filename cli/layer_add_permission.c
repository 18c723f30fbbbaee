/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/output.h"
#include "cli/verbs.h"

static void take(const struct arguments *arguments, const char *option, char **to)
{
	const char *text = argument(arguments, option);

	if (text)
		*to = (char *)text;
}

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__AddLayerVersionPermissionResponse *response = NULL;
	Mayfly__V1__AddLayerVersionPermissionRequest request =
		MAYFLY__V1__ADD_LAYER_VERSION_PERMISSION_REQUEST__INIT;
	uint64_t number = 0;

	if (!argument(arguments, "version-number"))
		return error_set(&context->error, ERROR_INVALID_PARAMETER, "version-number",
				 "--version-number is missing");
	int r = argument_number(arguments, "version-number", INT64_MAX, &number, &context->error);
	if (r < 0)
		return r;
	request.layer_name = (char *)operand(arguments, 0);
	request.version_number = (int64_t)number;
	request.action = (char *)"lambda:GetLayerVersion";
	take(arguments, "statement-id", &request.statement_id);
	take(arguments, "action", &request.action);
	take(arguments, "principal", &request.principal);
	take(arguments, "organization-id", &request.organization_id);
	take(arguments, "revision-id", &request.revision_id);
	r = client_layer_permit(context->client, &request, &response, &context->error);
	if (r < 0)
		return r;
	if (context->json)
		return output_json(json_pack("{s:s,s:s}", "Statement", response->statement,
					     "RevisionId", response->revision_id));
	output_field("Statement", "%s", response->statement);
	output_field("Revision", "%s", response->revision_id);
	return 0;
}

static const struct verb_option options[] = {
	{ "layer-name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME" },
	{ "version-number", 0, OPTION_TEXT, "N", "which version" },
	{ "statement-id", 0, OPTION_TEXT, "ID", "by which it is found again" },
	{ "action", 0, OPTION_TEXT, "ACTION", "lambda:GetLayerVersion, the only one there is" },
	{ "principal", 0, OPTION_TEXT, "WHO", "an account, or * for all" },
	{ "organization-id", 0, OPTION_TEXT, "ID", "a condition, which nobody here meets" },
	{ "revision-id", 0, OPTION_TEXT, "ID", "refuse if this is not the current revision" },
	{ 0 },
};

const struct verb verb_layer_add_permission = {
	.name = "layer add-permission",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "layer-name",
	.summary = "Let other tenants have a version of a layer",
	.help = "Example:\n"
		"  mayfly layer add-permission tools --version-number 3 --statement-id blue \\\n"
		"      --principal 210987654321\n",
	.options = options,
	.run = run,
};
