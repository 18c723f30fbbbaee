/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/output.h"
#include "cli/verbs.h"

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__GetLayerVersionPolicyResponse *response = NULL;
	Mayfly__V1__GetLayerVersionPolicyRequest request =
		MAYFLY__V1__GET_LAYER_VERSION_POLICY_REQUEST__INIT;
	uint64_t number = 0;

	if (!argument(arguments, "version-number"))
		return error_set(&context->error, ERROR_INVALID_PARAMETER, "version-number",
				 "--version-number is missing");
	int r = argument_number(arguments, "version-number", INT64_MAX, &number, &context->error);
	if (r < 0)
		return r;
	request.layer_name = (char *)operand(arguments, 0);
	request.version_number = (int64_t)number;
	r = client_layer_get_policy(context->client, &request, &response, &context->error);
	if (r < 0)
		return r;
	if (context->json)
		return output_json(json_pack("{s:s,s:s}", "Policy", response->policy, "RevisionId",
					     response->revision_id));
	output_field("Policy", "%s", response->policy);
	output_field("Revision", "%s", response->revision_id);
	return 0;
}

static const struct verb_option options[] = {
	{ "layer-name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME" },
	{ "version-number", 0, OPTION_TEXT, "N", "which version" },
	{ 0 },
};

const struct verb verb_layer_get_policy = {
	.name = "layer get-policy",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "layer-name",
	.summary = "Show who else may have a version of a layer",
	.help = "Example:\n"
		"  mayfly layer get-policy tools --version-number 3\n",
	.options = options,
	.run = run,
};
