/* SPDX-License-Identifier: Apache-2.0 */

/* How asynchronous invocations of a function are tried. */

#include "cli/output.h"
#include "cli/verbs.h"

#define RETRIES       "maximum-retry-attempts"
#define AGE           "maximum-event-age-in-seconds"

/* An optional field is there when its case is its number; protobuf-c's own names for that are
 * longer than a line. */
#define GIVEN_RETRIES 4 /* of PutEventInvokeConfigRequest */
#define GIVEN_AGE     5

static json_t *json_from_config(const Mayfly__V1__EventInvokeConfig *config)
{
	json_t *object = json_pack("{s:s,s:f}", "FunctionArn", config->function_arn, "LastModified",
				   (double)config->last_modified_us / 1e6);

	if (config->_maximum_retry_attempts_case)
		(void)json_object_set_new(object, "MaximumRetryAttempts",
					  json_integer(config->maximum_retry_attempts));
	if (config->_maximum_event_age_in_seconds_case)
		(void)json_object_set_new(object, "MaximumEventAgeInSeconds",
					  json_integer(config->maximum_event_age_in_seconds));
	return object;
}

static int print_config(const struct context *context, const Mayfly__V1__EventInvokeConfig *config)
{
	if (context->json)
		return output_json(json_from_config(config));
	output_field("Function", "%s", config->function_arn);
	if (config->_maximum_retry_attempts_case)
		output_field("Retries", "%u", config->maximum_retry_attempts);
	else
		output_field("Retries", "as on the node");
	if (config->_maximum_event_age_in_seconds_case)
		output_field("Greatest age", "%u s", config->maximum_event_age_in_seconds);
	else
		output_field("Greatest age", "as on the node");
	return 0;
}

static int fill(struct context *context, const struct arguments *arguments,
		Mayfly__V1__PutEventInvokeConfigRequest *request)
{
	const char *qualifier = argument(arguments, "qualifier");
	uint64_t retries = 0, age = 0;
	int r = argument_number(arguments, RETRIES, UINT32_MAX, &retries, &context->error);

	if (r == 0)
		r = argument_number(arguments, AGE, UINT32_MAX, &age, &context->error);
	if (r < 0)
		return r;
	request->function_name = (char *)operand(arguments, 0);
	if (qualifier)
		request->qualifier = (char *)qualifier;
	if (argument(arguments, RETRIES))
		request->_maximum_retry_attempts_case = GIVEN_RETRIES;
	request->maximum_retry_attempts = (uint32_t)retries;
	if (argument(arguments, AGE))
		request->_maximum_event_age_in_seconds_case = GIVEN_AGE;
	request->maximum_event_age_in_seconds = (uint32_t)age;
	return 0;
}

static int run_put(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__EventInvokeConfig *config = NULL;
	Mayfly__V1__PutEventInvokeConfigRequest request =
		MAYFLY__V1__PUT_EVENT_INVOKE_CONFIG_REQUEST__INIT;
	int r = fill(context, arguments, &request);

	if (r == 0)
		r = client_event_config_put(context->client, &request, &config, &context->error);
	return r < 0 ? r : print_config(context, config);
}

static int run_update(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__EventInvokeConfig *config = NULL;
	Mayfly__V1__PutEventInvokeConfigRequest request =
		MAYFLY__V1__PUT_EVENT_INVOKE_CONFIG_REQUEST__INIT;
	int r = fill(context, arguments, &request);

	if (r == 0)
		r = client_event_config_update(context->client, &request, &config, &context->error);
	return r < 0 ? r : print_config(context, config);
}

static Mayfly__V1__GetEventInvokeConfigRequest named(const struct arguments *arguments)
{
	Mayfly__V1__GetEventInvokeConfigRequest request =
		MAYFLY__V1__GET_EVENT_INVOKE_CONFIG_REQUEST__INIT;
	const char *qualifier = argument(arguments, "qualifier");

	request.function_name = (char *)operand(arguments, 0);
	if (qualifier)
		request.qualifier = (char *)qualifier;
	return request;
}

static int run_get(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__EventInvokeConfig *config = NULL;
	Mayfly__V1__GetEventInvokeConfigRequest request = named(arguments);
	int r = client_event_config_get(context->client, &request, &config, &context->error);

	return r < 0 ? r : print_config(context, config);
}

static int run_delete(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__DeleteEventInvokeConfigResponse *response = NULL;
	Mayfly__V1__GetEventInvokeConfigRequest request = named(arguments);

	return client_event_config_delete(context->client, &request, &response, &context->error);
}

static void add(struct table *table, json_t *configs, const Mayfly__V1__EventInvokeConfig *config)
{
	(void)json_array_append_new(configs, json_from_config(config));
	table_cell(table, "%s", config->function_arn);
	if (config->_maximum_retry_attempts_case)
		table_cell(table, "%u", config->maximum_retry_attempts);
	else
		table_cell(table, "-");
	if (config->_maximum_event_age_in_seconds_case)
		table_cell(table, "%u s", config->maximum_event_age_in_seconds);
	else
		table_cell(table, "-");
}

static int run_list(struct context *context, const struct arguments *arguments)
{
	static const char *const headers[] = { "FUNCTION", "RETRIES", "GREATEST AGE", NULL };
	_cleanup_json_ json_t *configs = json_array();
	struct table table = { .headers = headers };
	char marker[256] = "";
	int r;

	do {
		Mayfly__V1__ListEventInvokeConfigsRequest request =
			MAYFLY__V1__LIST_EVENT_INVOKE_CONFIGS_REQUEST__INIT;
		_cleanup_message_ Mayfly__V1__ListEventInvokeConfigsResponse *page = NULL;

		request.function_name = (char *)operand(arguments, 0);
		request.marker = marker;
		r = client_event_config_list(context->client, &request, &page, &context->error);
		for (size_t i = 0; r == 0 && i < page->n_configs; i++)
			add(&table, configs, page->configs[i]);
		if (r == 0)
			(void)snprintf(marker, sizeof(marker), "%s", page->next_marker);
	} while (r == 0 && marker[0]);
	if (r == 0 && context->json)
		r = output_json(json_pack("{s:O}", "FunctionEventInvokeConfigs", configs));
	else if (r == 0)
		table_print(&table);
	table_free(&table);
	return r;
}

static const struct verb_option change_options[] = {
	{ "function-name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME" },
	{ "qualifier", 0, OPTION_TEXT, "QUALIFIER", "a version or an alias; $LATEST by default" },
	{ RETRIES, 0, OPTION_TEXT, "N", "0 to 2, after function errors" },
	{ AGE, 0, OPTION_TEXT, "SECONDS", "60 to 21600" },
	{ 0 },
};

static const struct verb_option name_options[] = {
	{ "function-name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME" },
	{ "qualifier", 0, OPTION_TEXT, "QUALIFIER", "a version or an alias; $LATEST by default" },
	{ 0 },
};

static const struct verb_option list_options[] = {
	{ "function-name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME" },
	{ 0 },
};

const struct verb verb_events_put_config = {
	.name = "events put-config",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "function-name",
	.summary = "Say how events of a function are tried",
	.help = "What is not given is as on the node.\n\n"
		"Example:\n"
		"  mayfly events put-config area --maximum-retry-attempts 0\n",
	.options = change_options,
	.run = run_put,
};

const struct verb verb_events_update_config = {
	.name = "events update-config",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "function-name",
	.summary = "Change how events of a function are tried",
	.help = "What is not given stays as it is.\n\n"
		"Example:\n"
		"  mayfly events update-config area --maximum-event-age-in-seconds 3600\n",
	.options = change_options,
	.run = run_update,
};

const struct verb verb_events_get_config = {
	.name = "events get-config",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "function-name",
	.summary = "Show how events of a function are tried",
	.help = "Example:\n"
		"  mayfly events get-config area --qualifier live\n",
	.options = name_options,
	.run = run_get,
};

const struct verb verb_events_delete_config = {
	.name = "events delete-config",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "function-name",
	.summary = "Try events of a function as the node does by default",
	.help = "Prints nothing when it worked.\n\n"
		"Example:\n"
		"  mayfly events delete-config area\n",
	.options = name_options,
	.run = run_delete,
};

const struct verb verb_events_list_configs = {
	.name = "events list-configs",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "function-name",
	.summary = "List how events of a function, its versions and aliases are tried",
	.help = "Example:\n"
		"  mayfly events list-configs area\n",
	.options = list_options,
	.run = run_list,
};
