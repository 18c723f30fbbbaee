/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/output.h"
#include "cli/verbs.h"

/* "*", or what is in {"AWS": ...} and the like. */
static const char *principal_of(const json_t *statement)
{
	json_t *principal = json_object_get(statement, "Principal");
	const char *text = json_string_value(principal);

	return text ? text : json_string_value(json_object_iter_value(json_object_iter(principal)));
}

static void add(struct table *table, const json_t *statement)
{
	const json_t *condition = json_object_get(statement, "Condition");
	const char *principal = principal_of(statement);
	char *text = condition ? json_dumps(condition, JSON_COMPACT) : NULL;

	table_cell(table, "%s", json_string_value(json_object_get(statement, "Sid")));
	table_cell(table, "%s", json_string_value(json_object_get(statement, "Action")));
	table_cell(table, "%s", principal ? principal : "?");
	table_cell(table, "%s", text ? text : "-");
	free(text);
}

static int print(struct context *context, const Mayfly__V1__GetPolicyResponse *response)
{
	static const char *const headers[] = { "STATEMENT", "ACTION", "PRINCIPAL", "CONDITION",
					       NULL };
	_cleanup_json_ json_t *policy = json_loads(response->policy, 0, NULL);
	_cleanup_table_ struct table table = { .headers = headers };
	const json_t *statement;
	size_t i;

	if (!policy)
		return error_set(&context->error, ERROR_INTERNAL, NULL, "the policy is no JSON");
	json_array_foreach(json_object_get(policy, "Statement"), i, statement)
	{
		add(&table, statement);
	}
	table_print(&table);
	return 0;
}

static int run(struct context *context, const struct arguments *arguments)
{
	Mayfly__V1__GetPolicyRequest request = MAYFLY__V1__GET_POLICY_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__GetPolicyResponse *response = NULL;
	const char *qualifier = argument(arguments, "qualifier");

	request.function_name = (char *)operand(arguments, 0);
	if (qualifier)
		request.qualifier = (char *)qualifier;
	int r = client_policy_get(context->client, &request, &response, &context->error);
	if (r < 0)
		return r;
	if (!context->json)
		return print(context, response);
	return output_json(json_pack("{s:s,s:s}", "Policy", response->policy, "RevisionId",
				     response->revision_id));
}

static const struct verb_option options[] = {
	{ "function-name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME" },
	{ "qualifier", 0, OPTION_TEXT, "QUALIFIER", "a version or an alias, else the function" },
	{ 0 },
};

const struct verb verb_function_get_policy = {
	.name = "function get-policy",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "function-name",
	.summary = "Show who else may use a function",
	.help = "Example:\n"
		"  mayfly function get-policy area --qualifier live --output json\n",
	.options = options,
	.run = run,
};
