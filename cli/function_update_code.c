/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/function_options.h"
#include "cli/verbs.h"

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_function_options_ struct function_options options = { 0 };
	_cleanup_message_ Mayfly__V1__Function *function = NULL;
	Mayfly__V1__UpdateFunctionCodeRequest request =
		MAYFLY__V1__UPDATE_FUNCTION_CODE_REQUEST__INIT;
	const char *revision = argument(arguments, "revision-id");

	int r = function_options_read_code(arguments, &options, &context->error);
	if (r < 0)
		return r;
	request.function_name = (char *)operand(arguments, 0);
	request.zip_file = (ProtobufCBinaryData){ options.zip.len, options.zip.data };
	request.dry_run = argument_flag(arguments, "dry-run");
	request.publish = argument_flag(arguments, "publish");
	if (revision)
		request.revision_id = (char *)revision;

	r = client_function_update_code(context->client, &request, &function, &context->error);
	if (r == 0 && !request.dry_run && !argument_flag(arguments, "no-wait"))
		r = function_wait(context, &function);
	return r < 0 ? r : function_print(context, function);
}

static const struct verb_option options[] = {
	FUNCTION_CODE_OPTIONS,
	{ "function-name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME" },
	{ "dry-run", 0, OPTION_FLAG, NULL, "check the package, change nothing" },
	{ "revision-id", 0, OPTION_TEXT, "ID", "only if this is the current revision" },
	FUNCTION_PUBLISH_OPTION,
	FUNCTION_WAIT_OPTIONS,
	{ 0 },
};

const struct verb verb_function_update_code = {
	.name = "function update-code",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "function-name",
	.summary = "Give a function new code",
	.help = "The old code serves until the new one is ready.\n\n"
		"Examples:\n"
		"  mayfly function update-code area --dir examples/area-python\n"
		"  mayfly function update-code area --zip area.zip --dry-run\n",
	.options = options,
	.run = run,
};
