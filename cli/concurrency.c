/* SPDX-License-Identifier: Apache-2.0 */

/* Reserved concurrency of functions, and what the tenant may use in all. */

#include "cli/output.h"
#include "cli/verbs.h"

#define RESERVED        "ReservedConcurrentExecutions"

/* An optional field is there when its case is its number; protobuf-c's own name for that is longer
 * than a line. */
#define RESERVED_IS_SET 3 /* of PutFunctionConcurrencyRequest */

static int print_concurrency(const struct context *context,
			     const Mayfly__V1__FunctionConcurrency *concurrency)
{
	bool reserved = concurrency->_reserved_concurrent_executions_case != 0;

	if (context->json) {
		json_t *object = json_pack("{s:i}", "ConcurrentExecutions",
					   (int)concurrency->concurrent_executions);
		if (reserved)
			(void)json_object_set_new(
				object, RESERVED,
				json_integer(concurrency->reserved_concurrent_executions));
		return output_json(object);
	}
	if (reserved)
		output_field("Reserved", "%u", concurrency->reserved_concurrent_executions);
	else
		output_field("Reserved", "none: it shares with the tenant's other functions");
	output_field("Running now", "%u", concurrency->concurrent_executions);
	return 0;
}

static int run_put(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__FunctionConcurrency *concurrency = NULL;
	Mayfly__V1__PutFunctionConcurrencyRequest request =
		MAYFLY__V1__PUT_FUNCTION_CONCURRENCY_REQUEST__INIT;
	uint64_t reserved = 0;
	int r = argument_number(arguments, "reserved-concurrent-executions", UINT32_MAX, &reserved,
				&context->error);

	if (r < 0)
		return r;
	request.function_name = (char *)operand(arguments, 0);
	if (argument(arguments, "reserved-concurrent-executions"))
		request._reserved_concurrent_executions_case = RESERVED_IS_SET;
	request.reserved_concurrent_executions = (uint32_t)reserved;
	r = client_concurrency_put(context->client, &request, &concurrency, &context->error);
	return r < 0 ? r : print_concurrency(context, concurrency);
}

static int run_get(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__FunctionConcurrency *concurrency = NULL;
	Mayfly__V1__GetFunctionConcurrencyRequest request =
		MAYFLY__V1__GET_FUNCTION_CONCURRENCY_REQUEST__INIT;

	request.function_name = (char *)operand(arguments, 0);
	int r = client_concurrency_get(context->client, &request, &concurrency, &context->error);
	return r < 0 ? r : print_concurrency(context, concurrency);
}

static int run_delete(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__DeleteFunctionConcurrencyResponse *response = NULL;
	Mayfly__V1__DeleteFunctionConcurrencyRequest request =
		MAYFLY__V1__DELETE_FUNCTION_CONCURRENCY_REQUEST__INIT;

	request.function_name = (char *)operand(arguments, 0);
	return client_concurrency_delete(context->client, &request, &response, &context->error);
}

static int run_account(struct context *context, const struct arguments *arguments _unused_)
{
	_cleanup_message_ Mayfly__V1__AccountSettings *settings = NULL;
	Mayfly__V1__GetAccountSettingsRequest request =
		MAYFLY__V1__GET_ACCOUNT_SETTINGS_REQUEST__INIT;
	char size[TEXT_BYTES], most[TEXT_BYTES];

	int r = client_account_settings(context->client, &request, &settings, &context->error);
	if (r < 0)
		return r;
	const Mayfly__V1__AccountLimit *limit = settings->limit;
	const Mayfly__V1__AccountUsage *usage = settings->usage;
	if (context->json)
		return output_json(json_pack(
			"{s:{s:I,s:I,s:I,s:i,s:i},s:{s:I,s:I,s:i,s:i,s:I}}", "AccountLimit",
			"TotalCodeSize", (json_int_t)limit->total_code_size, "CodeSizeUnzipped",
			(json_int_t)limit->code_size_unzipped, "CodeSizeZipped",
			(json_int_t)limit->code_size_zipped, "ConcurrentExecutions",
			(int)limit->concurrent_executions, "UnreservedConcurrentExecutions",
			(int)limit->unreserved_concurrent_executions, "AccountUsage",
			"TotalCodeSize", (json_int_t)usage->total_code_size, "FunctionCount",
			(json_int_t)usage->function_count, "ConcurrentExecutions",
			(int)usage->concurrent_executions, "UnreservedConcurrentExecutions",
			(int)usage->unreserved_concurrent_executions, "Throttles",
			(json_int_t)usage->throttles));
	output_field("Concurrency", "%u of %u run now", usage->concurrent_executions,
		     limit->concurrent_executions);
	output_field("Unreserved", "%u of %u run now", usage->unreserved_concurrent_executions,
		     limit->unreserved_concurrent_executions);
	output_field("Throttles", "%llu since the node's start",
		     (unsigned long long)usage->throttles);
	output_field("Functions", "%llu, ZIPs of %s, at most %s",
		     (unsigned long long)usage->function_count,
		     text_bytes(usage->total_code_size, size),
		     text_bytes(limit->total_code_size, most));
	return 0;
}

static const struct verb_option put_options[] = {
	{ "function-name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME" },
	{ "reserved-concurrent-executions", 'n', OPTION_TEXT, "N",
	  "invocations at once; 0 stops the function" },
	{ 0 },
};

static const struct verb_option name_options[] = {
	{ "function-name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME" },
	{ 0 },
};

const struct verb verb_concurrency_put = {
	.name = "concurrency put",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "function-name",
	.summary = "Reserve concurrency for a function",
	.help = "The function has so much for itself, and gets no more: its other invocations are\n"
		"throttled. What it has, the tenant's other functions have less.\n\n"
		"Examples:\n"
		"  mayfly concurrency put area -n 20\n"
		"  mayfly concurrency put area --reserved-concurrent-executions 0\n",
	.options = put_options,
	.run = run_put,
};

const struct verb verb_concurrency_get = {
	.name = "concurrency get",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "function-name",
	.summary = "Show a function's reserved concurrency, and what it uses",
	.help = "Example:\n"
		"  mayfly concurrency get area\n",
	.options = name_options,
	.run = run_get,
};

const struct verb verb_concurrency_delete = {
	.name = "concurrency delete",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "function-name",
	.summary = "Take a function's reserved concurrency back",
	.help = "Prints nothing when it worked.\n\n"
		"Example:\n"
		"  mayfly concurrency delete area\n",
	.options = name_options,
	.run = run_delete,
};

const struct verb verb_account = {
	.name = "account",
	.operands = "",
	.summary = "Show the tenant's limits, and what is used of them",
	.help = "Example:\n"
		"  mayfly account\n",
	.run = run_account,
};
