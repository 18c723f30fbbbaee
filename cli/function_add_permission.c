/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/output.h"
#include "cli/verbs.h"

/* Where an option of that name goes, if it was given. */
static void take(const struct arguments *arguments, const char *option, char **to)
{
	const char *text = argument(arguments, option);

	if (text)
		*to = (char *)text;
}

static int run(struct context *context, const struct arguments *arguments)
{
	static const char *const needed[] = { "statement-id", "action", "principal" };
	Mayfly__V1__AddPermissionRequest request = MAYFLY__V1__ADD_PERMISSION_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__AddPermissionResponse *response = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (!argument(arguments, needed[i]))
			return error_set(&context->error, ERROR_INVALID_PARAMETER, needed[i],
					 "--%s is missing", needed[i]);
	request.function_name = (char *)operand(arguments, 0);
	take(arguments, "qualifier", &request.qualifier);
	take(arguments, "statement-id", &request.statement_id);
	take(arguments, "action", &request.action);
	take(arguments, "principal", &request.principal);
	take(arguments, "source-arn", &request.source_arn);
	take(arguments, "source-account", &request.source_account);
	take(arguments, "event-source-token", &request.event_source_token);
	take(arguments, "principal-org-id", &request.principal_org_id);
	take(arguments, "function-url-auth-type", &request.function_url_auth_type);
	take(arguments, "revision-id", &request.revision_id);
	request.invoked_via_function_url = argument_flag(arguments, "invoked-via-function-url");
	int r = client_policy_add(context->client, &request, &response, &context->error);
	if (r < 0)
		return r;
	if (context->json)
		return output_json(json_pack("{s:s}", "Statement", response->statement));
	output_field("Statement", "%s", response->statement);
	return 0;
}

static const struct verb_option options[] = {
	{ "function-name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME" },
	{ "qualifier", 0, OPTION_TEXT, "QUALIFIER", "a version or an alias, else the function" },
	{ "statement-id", 0, OPTION_TEXT, "ID", "by which it is found again" },
	{ "action", 0, OPTION_TEXT, "ACTION", "lambda:InvokeFunction, lambda:GetFunction, ..." },
	{ "principal", 0, OPTION_TEXT, "WHO",
	  "an account, arn:aws:iam::ACCOUNT:user/NAME, a service or *" },
	{ "source-arn", 0, OPTION_TEXT, "ARN", "a condition" },
	{ "source-account", 0, OPTION_TEXT, "ID", "a condition" },
	{ "event-source-token", 0, OPTION_TEXT, "TOKEN", "a condition" },
	{ "principal-org-id", 0, OPTION_TEXT, "ID", "a condition" },
	{ "function-url-auth-type", 0, OPTION_CHOICE, "NONE|AWS_IAM", "a condition" },
	{ "invoked-via-function-url", 0, OPTION_FLAG, NULL, "a condition" },
	{ "revision-id", 0, OPTION_TEXT, "ID", "refuse if this is not the current revision" },
	{ 0 },
};

const struct verb verb_function_add_permission = {
	.name = "function add-permission",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "function-name",
	.summary = "Let somebody else use a function",
	.help = "Examples:\n"
		"  mayfly function add-permission area --statement-id blue \\\n"
		"      --action lambda:InvokeFunction --principal 210987654321\n"
		"  mayfly function add-permission area --qualifier live --statement-id ann \\\n"
		"      --action 'lambda:*' --principal arn:aws:iam::210987654321:user/ann\n"
		"\n"
		"A statement with a condition lets nobody in here: docs/permissions.md.\n",
	.options = options,
	.run = run,
};
