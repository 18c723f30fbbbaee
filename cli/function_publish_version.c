/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/function_options.h"
#include "cli/verbs.h"

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__Function *version = NULL;
	Mayfly__V1__PublishVersionRequest request = MAYFLY__V1__PUBLISH_VERSION_REQUEST__INIT;
	const char *sha256 = argument(arguments, "code-sha256");
	const char *description = argument(arguments, "description");
	const char *revision = argument(arguments, "revision-id");

	request.function_name = (char *)operand(arguments, 0);
	if (sha256)
		request.code_sha256 = (char *)sha256;
	if (description)
		request.description = (char *)description;
	if (revision)
		request.revision_id = (char *)revision;
	int r = client_function_publish_version(context->client, &request, &version,
						&context->error);
	if (r == 0 && !argument_flag(arguments, "no-wait"))
		r = function_wait(context, &version);
	return r < 0 ? r : function_print(context, version);
}

static const struct verb_option options[] = {
	{ "function-name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME" },
	{ "description", 0, OPTION_TEXT, "TEXT", "for people; the function's by default" },
	{ "code-sha256", 0, OPTION_TEXT, "HASH", "only if this is the code's" },
	{ "revision-id", 0, OPTION_TEXT, "ID", "only if this is the current revision" },
	FUNCTION_WAIT_OPTIONS,
	{ 0 },
};

const struct verb verb_function_publish_version = {
	.name = "function publish-version",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "function-name",
	.summary = "Publish a version of a function",
	.help = "The version is a copy of $LATEST that never changes. Without a change since the\n"
		"last version that one is shown.\n\n"
		"Examples:\n"
		"  mayfly function publish-version area --description 'with squares'\n"
		"  mayfly invoke area:1\n",
	.options = options,
	.run = run,
};
