/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/function_options.h"
#include "cli/verbs.h"

#define REQUEST(field) MAYFLY__V1__UPDATE_FUNCTION_CONFIGURATION_REQUEST___##field

static void put_texts(Mayfly__V1__UpdateFunctionConfigurationRequest *request,
		      const struct arguments *arguments)
{
	const char *runtime = argument(arguments, "runtime");
	const char *handler = argument(arguments, "handler");
	const char *description = argument(arguments, "description");

	if (runtime) {
		request->_runtime_case = REQUEST(RUNTIME_RUNTIME);
		request->runtime = (char *)runtime;
	}
	if (handler) {
		request->_handler_case = REQUEST(HANDLER_HANDLER);
		request->handler = (char *)handler;
	}
	if (description) {
		request->_description_case = REQUEST(DESCRIPTION_DESCRIPTION);
		request->description = (char *)description;
	}
}

static void put_options(Mayfly__V1__UpdateFunctionConfigurationRequest *request,
			struct function_options *options, Mayfly__V1__Environment *environment,
			Mayfly__V1__FunctionLayerList *layers)
{
	if (options->has_layers) {
		layers->arns = options->layers;
		layers->n_arns = options->n_layers;
		request->layers = layers;
	}
	if (options->has_memory) {
		request->_memory_size_mb_case = REQUEST(MEMORY_SIZE_MB_MEMORY_SIZE_MB);
		request->memory_size_mb = (uint32_t)options->memory_mb;
	}
	if (options->has_timeout) {
		request->_timeout_seconds_case = REQUEST(TIMEOUT_SECONDS_TIMEOUT_SECONDS);
		request->timeout_seconds = (uint32_t)options->timeout_s;
	}
	if (options->has_storage) {
		request->_ephemeral_storage_mb_case =
			REQUEST(EPHEMERAL_STORAGE_MB_EPHEMERAL_STORAGE_MB);
		request->ephemeral_storage_mb = (uint32_t)options->storage_mb;
	}
	if (options->has_environment) {
		environment->variables = options->pointers;
		environment->n_variables = options->n_variables;
		request->environment = environment;
	}
	if (options->has_snap_start)
		request->snap_start = &options->snap_start;
	if (options->has_logging)
		request->logging_config = &options->logging;
	if (options->has_dead_letters)
		request->dead_letter_config = &options->dead_letters;
}

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_function_options_ struct function_options options = { 0 };
	_cleanup_message_ Mayfly__V1__Function *function = NULL;
	Mayfly__V1__UpdateFunctionConfigurationRequest request =
		MAYFLY__V1__UPDATE_FUNCTION_CONFIGURATION_REQUEST__INIT;
	Mayfly__V1__Environment environment = MAYFLY__V1__ENVIRONMENT__INIT;
	Mayfly__V1__FunctionLayerList layers = MAYFLY__V1__FUNCTION_LAYER_LIST__INIT;
	const char *revision = argument(arguments, "revision-id");

	int r = function_options_parse(arguments, &options, &context->error);
	if (r < 0)
		return r;
	request.function_name = (char *)operand(arguments, 0);
	put_texts(&request, arguments);
	put_options(&request, &options, &environment, &layers);
	if (revision)
		request.revision_id = (char *)revision;

	r = client_function_update_configuration(context->client, &request, &function,
						 &context->error);
	if (r == 0 && !argument_flag(arguments, "no-wait"))
		r = function_wait(context, &function);
	return r < 0 ? r : function_print(context, function);
}

static const struct verb_option options[] = {
	FUNCTION_CONFIGURATION_OPTIONS,
	{ "revision-id", 0, OPTION_TEXT, "ID", "only if this is the current revision" },
	FUNCTION_WAIT_OPTIONS,
	{ 0 },
};

const struct verb verb_function_update_configuration = {
	.name = "function update-configuration",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "function-name",
	.summary = "Change a function's settings",
	.help = "What is not named stays; --environment replaces all variables, --layers all "
		"layers.\n\n"
		"Examples:\n"
		"  mayfly function update-configuration area --memory-size 512 --timeout 30\n"
		"  mayfly function update-configuration area --snap-start ApplyOn=Latest\n",
	.options = options,
	.run = run,
};
