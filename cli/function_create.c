/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>

#include "cli/function_options.h"
#include "cli/tag_options.h"
#include "cli/verbs.h"

#define HAS_MEMORY  MAYFLY__V1__CREATE_FUNCTION_REQUEST___MEMORY_SIZE_MB_MEMORY_SIZE_MB
#define HAS_TIMEOUT MAYFLY__V1__CREATE_FUNCTION_REQUEST___TIMEOUT_SECONDS_TIMEOUT_SECONDS
#define HAS_STORAGE MAYFLY__V1__CREATE_FUNCTION_REQUEST___EPHEMERAL_STORAGE_MB_EPHEMERAL_STORAGE_MB

typedef Mayfly__V1__CreateFunctionRequest__TagsEntry tag_entry;

static void put_text(char **field, const struct arguments *arguments, const char *option)
{
	const char *text = argument(arguments, option);
	if (text)
		*field = (char *)text;
}

static void put_options(Mayfly__V1__CreateFunctionRequest *request,
			struct function_options *options)
{
	if (options->has_memory) {
		request->_memory_size_mb_case = HAS_MEMORY;
		request->memory_size_mb = (uint32_t)options->memory_mb;
	}
	if (options->has_timeout) {
		request->_timeout_seconds_case = HAS_TIMEOUT;
		request->timeout_seconds = (uint32_t)options->timeout_s;
	}
	if (options->has_storage) {
		request->_ephemeral_storage_mb_case = HAS_STORAGE;
		request->ephemeral_storage_mb = (uint32_t)options->storage_mb;
	}
	request->environment = options->pointers;
	request->n_environment = options->n_variables;
	request->layers = options->layers;
	request->n_layers = options->n_layers;
	if (options->has_snap_start)
		request->snap_start = &options->snap_start;
	if (options->has_tenancy)
		request->tenancy_config = &options->tenancy;
	if (options->has_logging)
		request->logging_config = &options->logging;
	if (options->has_dead_letters)
		request->dead_letter_config = &options->dead_letters;
	request->zip_file = (ProtobufCBinaryData){ options->zip.len, options->zip.data };
}

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_function_options_ struct function_options options = { 0 };
	_cleanup_message_ Mayfly__V1__Function *function = NULL;
	_cleanup_tag_options_ struct tag_options tags = { 0 };
	_cleanup_free_ tag_entry **entries = NULL;
	Mayfly__V1__CreateFunctionRequest request = MAYFLY__V1__CREATE_FUNCTION_REQUEST__INIT;

	int r = function_options_parse(arguments, &options, &context->error);
	if (r == 0)
		r = function_options_parse_tenancy(arguments, &options, &context->error);
	if (r == 0)
		r = function_options_read_code(arguments, &options, &context->error);
	if (r == 0)
		r = tag_options_parse(arguments, &tags, &context->error);
	if (r < 0)
		return r;
	entries = TAG_ENTRIES(&tags, tag_entry,
			      mayfly__v1__create_function_request__tags_entry__init);
	if (!entries)
		return error_set_errno(&context->error, ENOMEM, "cannot read --tags");
	request.tags = entries;
	request.n_tags = tags.count;
	request.function_name = (char *)operand(arguments, 0);
	put_text(&request.runtime, arguments, "runtime");
	put_text(&request.handler, arguments, "handler");
	put_text(&request.description, arguments, "description");
	put_options(&request, &options);
	request.publish = argument_flag(arguments, "publish");

	r = client_function_create(context->client, &request, &function, &context->error);
	if (r == 0 && !argument_flag(arguments, "no-wait"))
		r = function_wait(context, &function);
	return r < 0 ? r : function_print(context, function);
}

static const struct verb_option options[] = {
	FUNCTION_CODE_OPTIONS,
	FUNCTION_CONFIGURATION_OPTIONS,
	{ "tenancy-config", 0, OPTION_TEXT, "TenantIsolationMode=PER_TENANT",
	  "a sandbox serves one --tenant-id alone; for good" },
	TAGS_OPTION,
	FUNCTION_PUBLISH_OPTION,
	FUNCTION_WAIT_OPTIONS,
	{ 0 },
};

const struct verb verb_function_create = {
	.name = "function create",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "function-name",
	.summary = "Create a function from a package",
	.help = "Waits until the function is Active (exit code 6 when it became Failed), showing\n"
		"what happens meanwhile; --no-wait answers while it is still Pending.\n\n"
		"Examples:\n"
		"  mayfly function create area --dir examples/area-python \\\n"
		"      --runtime python3.13 --handler lambda_function.lambda_handler\n"
		"  mayfly function create area --zip-file fileb://area.zip --runtime nodejs20.x "
		"\\\n"
		"      --handler index.handler --memory-size 256 --timeout 10 \\\n"
		"      --environment 'Variables={STAGE=test}' --snap-start ApplyOn=Latest\n",
	.options = options,
	.run = run,
};
