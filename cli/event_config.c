/* SPDX-License-Identifier: Apache-2.0 */

/* How asynchronous invocations of a function are tried, and who is told how they ended. */

#include "cli/output.h"
#include "cli/shorthand.h"
#include "cli/verbs.h"

#define RETRIES       "maximum-retry-attempts"
#define AGE           "maximum-event-age-in-seconds"
#define ON_SUCCESS    "on-success"
#define ON_FAILURE    "on-failure"
#define DESTINATIONS  "destination-config"

/* An optional field is there when its case is its number; protobuf-c's own names for that are
 * longer than a line. */
#define GIVEN_RETRIES 4 /* of PutEventInvokeConfigRequest */
#define GIVEN_AGE     5

static const char *on_success_of(const Mayfly__V1__EventInvokeConfig *config)
{
	return config->destination_config && config->destination_config->on_success
		       ? config->destination_config->on_success->destination
		       : "";
}

static const char *on_failure_of(const Mayfly__V1__EventInvokeConfig *config)
{
	return config->destination_config && config->destination_config->on_failure
		       ? config->destination_config->on_failure->destination
		       : "";
}

static json_t *json_from_destination(const char *destination)
{
	return *destination ? json_pack("{s:s}", "Destination", destination) : json_object();
}

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
	(void)json_object_set_new(
		object, "DestinationConfig",
		json_pack("{s:o,s:o}", "OnSuccess", json_from_destination(on_success_of(config)),
			  "OnFailure", json_from_destination(on_failure_of(config))));
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
	if (*on_success_of(config))
		output_field("On success", "%s", on_success_of(config));
	if (*on_failure_of(config))
		output_field("On failure", "%s", on_failure_of(config));
	return 0;
}

/* A request's destinations: memory of its own beside the arguments. */
struct destinations {
	Mayfly__V1__DestinationConfig config;
	Mayfly__V1__OnSuccess on_success;
	Mayfly__V1__OnFailure on_failure;
	json_t *json; /* owned */
};

static void destinations_clear(struct destinations *destinations)
{
	json_decref(destinations->json);
}

/* {"OnFailure": {"Destination": "..."}}; *to stays as it is when the member is not there. */
static int take_member(const json_t *json, const char *name, const char **to, struct error *e)
{
	const json_t *member = json_object_get(json, name);
	const json_t *value = json_object_get(member, "Destination");

	if (member && !(json_is_object(member) && (!value || json_is_string(value))))
		return error_set(e, ERROR_INVALID_PARAMETER, DESTINATIONS,
				 "--" DESTINATIONS " takes OnFailure={Destination=WHERE}, and "
				 "OnSuccess likewise");
	if (member)
		*to = value ? json_string_value(value) : "";
	return 0;
}

static int fill_destinations(const struct arguments *arguments,
			     Mayfly__V1__PutEventInvokeConfigRequest *request,
			     struct destinations *to, struct error *e)
{
	const char *text = argument(arguments, DESTINATIONS);
	const char *success = NULL, *failure = NULL;
	int r = text ? shorthand_parse(DESTINATIONS, text, &to->json, e) : 0;

	if (r == 0)
		r = take_member(to->json, "OnSuccess", &success, e);
	if (r == 0)
		r = take_member(to->json, "OnFailure", &failure, e);
	if (r < 0)
		return r;
	success = argument(arguments, ON_SUCCESS) ? argument(arguments, ON_SUCCESS) : success;
	failure = argument(arguments, ON_FAILURE) ? argument(arguments, ON_FAILURE) : failure;
	mayfly__v1__destination_config__init(&to->config);
	mayfly__v1__on_success__init(&to->on_success);
	mayfly__v1__on_failure__init(&to->on_failure);
	to->on_success.destination = (char *)success;
	to->on_failure.destination = (char *)failure;
	to->config.on_success = success ? &to->on_success : NULL;
	to->config.on_failure = failure ? &to->on_failure : NULL;
	if (success || failure)
		request->destination_config = &to->config;
	return 0;
}

static int fill(struct context *context, const struct arguments *arguments,
		Mayfly__V1__PutEventInvokeConfigRequest *request, struct destinations *to)
{
	const char *qualifier = argument(arguments, "qualifier");
	uint64_t retries = 0, age = 0;
	int r = argument_number(arguments, RETRIES, UINT32_MAX, &retries, &context->error);

	if (r == 0)
		r = argument_number(arguments, AGE, UINT32_MAX, &age, &context->error);
	if (r == 0)
		r = fill_destinations(arguments, request, to, &context->error);
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
	_cleanup_(destinations_clear) struct destinations destinations = { 0 };
	int r = fill(context, arguments, &request, &destinations);

	if (r == 0)
		r = client_event_config_put(context->client, &request, &config, &context->error);
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

/* To the node both are one setting; an option of one of them leaves the other. */
static int keep_other(struct context *context, const struct arguments *arguments,
		      const Mayfly__V1__PutEventInvokeConfigRequest *update,
		      struct destinations *to, Mayfly__V1__EventInvokeConfig **ret_now)
{
	Mayfly__V1__GetEventInvokeConfigRequest request = named(arguments);
	int r;

	if (!update->destination_config || argument(arguments, DESTINATIONS) ||
	    (to->config.on_success && to->config.on_failure))
		return 0;
	r = client_event_config_get(context->client, &request, ret_now, &context->error);
	if (r < 0)
		return r;
	if (!to->config.on_success)
		to->on_success.destination = (char *)(uintptr_t)on_success_of(*ret_now);
	else
		to->on_failure.destination = (char *)(uintptr_t)on_failure_of(*ret_now);
	to->config.on_success = &to->on_success;
	to->config.on_failure = &to->on_failure;
	return 0;
}

static int run_update(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__EventInvokeConfig *config = NULL;
	Mayfly__V1__PutEventInvokeConfigRequest request =
		MAYFLY__V1__PUT_EVENT_INVOKE_CONFIG_REQUEST__INIT;
	_cleanup_(destinations_clear) struct destinations destinations = { 0 };
	_cleanup_message_ Mayfly__V1__EventInvokeConfig *now = NULL;
	int r = fill(context, arguments, &request, &destinations);

	if (r == 0)
		r = keep_other(context, arguments, &request, &destinations, &now);
	if (r == 0)
		r = client_event_config_update(context->client, &request, &config, &context->error);
	return r < 0 ? r : print_config(context, config);
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
	{ ON_SUCCESS, 0, OPTION_TEXT, "WHERE",
	  "who is told of success: the ARN of a function or a queue, https://..., or empty" },
	{ ON_FAILURE, 0, OPTION_TEXT, "WHERE", "likewise, of events that fail for good" },
	{ DESTINATIONS, 0, OPTION_TEXT, "OnFailure={Destination=WHERE},...",
	  "the same as the aws command has it" },
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
		"Examples:\n"
		"  mayfly events put-config area --maximum-retry-attempts 0\n"
		"  mayfly events put-config area \\\n"
		"      --on-failure arn:aws:sqs:us-east-1:123456789012:failed\n",
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
	.help = "What is not given stays as it is. --destination-config is one setting: with it "
		"the\n"
		"destination that it does not name is none.\n\n"
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
