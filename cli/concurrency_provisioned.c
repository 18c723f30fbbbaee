/* SPDX-License-Identifier: Apache-2.0 */

/* Provisioned concurrency of versions and aliases. */

#include <string.h>

#include "cli/messages.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "mayfly/clock.h"

typedef Mayfly__V1__ProvisionedConcurrencyConfig config_message;

static const char *const statuses[] = { "", "IN_PROGRESS", "READY", "FAILED" };

static const char *status_text(const config_message *config)
{
	return (unsigned)config->status < ARRAY_SIZE(statuses) ? statuses[config->status] : "";
}

/* Without the ARN, as Lambda has it. */
static json_t *json_from_config(const config_message *config)
{
	char modified[CLOCK_ISO8601_BYTES];

	clock_format_iso8601(config->last_modified_us, modified);
	json_t *json =
		json_pack("{s:i,s:i,s:i,s:s,s:s}", "RequestedProvisionedConcurrentExecutions",
			  (int)config->requested_provisioned_concurrent_executions,
			  "AllocatedProvisionedConcurrentExecutions",
			  (int)config->allocated_provisioned_concurrent_executions,
			  "AvailableProvisionedConcurrentExecutions",
			  (int)config->available_provisioned_concurrent_executions, "Status",
			  status_text(config), "LastModified", modified);

	if (config->status_reason[0])
		(void)json_object_set_new(json, "StatusReason", json_string(config->status_reason));
	return json;
}

static int print_config(const struct context *context, const config_message *config)
{
	if (context->json)
		return output_json(json_from_config(config));
	output_field("Requested", "%u", config->requested_provisioned_concurrent_executions);
	output_field("Allocated", "%u", config->allocated_provisioned_concurrent_executions);
	output_field("Available", "%u", config->available_provisioned_concurrent_executions);
	output_field("Status", "%s", status_text(config));
	if (config->status_reason[0])
		output_field("Reason", "%s", config->status_reason);
	return 0;
}

static char *qualifier(const struct arguments *arguments)
{
	const char *given = argument(arguments, "qualifier");

	return (char *)(uintptr_t)(given ? given : "");
}

static int run_put(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ config_message *config = NULL;
	Mayfly__V1__PutProvisionedConcurrencyConfigRequest request =
		MAYFLY__V1__PUT_PROVISIONED_CONCURRENCY_CONFIG_REQUEST__INIT;
	uint64_t provisioned = 0;
	int r = argument_number(arguments, "provisioned-concurrent-executions", UINT32_MAX,
				&provisioned, &context->error);

	if (r < 0)
		return r;
	request.function_name = (char *)operand(arguments, 0);
	request.qualifier = qualifier(arguments);
	request.provisioned_concurrent_executions = (uint32_t)provisioned;
	r = client_provisioned_put(context->client, &request, &config, &context->error);
	return r < 0 ? r : print_config(context, config);
}

static int run_get(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ config_message *config = NULL;
	Mayfly__V1__GetProvisionedConcurrencyConfigRequest request =
		MAYFLY__V1__GET_PROVISIONED_CONCURRENCY_CONFIG_REQUEST__INIT;

	request.function_name = (char *)operand(arguments, 0);
	request.qualifier = qualifier(arguments);
	int r = client_provisioned_get(context->client, &request, &config, &context->error);
	return r < 0 ? r : print_config(context, config);
}

static int run_delete(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__DeleteProvisionedConcurrencyConfigResponse *response = NULL;
	Mayfly__V1__DeleteProvisionedConcurrencyConfigRequest request =
		MAYFLY__V1__DELETE_PROVISIONED_CONCURRENCY_CONFIG_REQUEST__INIT;

	request.function_name = (char *)operand(arguments, 0);
	request.qualifier = qualifier(arguments);
	return client_provisioned_delete(context->client, &request, &response, &context->error);
}

/* -- list -- */

struct listing {
	struct table table;
	json_t *configs;
	char marker[512];
};

static void add(struct listing *listing, const config_message *config)
{
	const char *colon = strrchr(config->function_arn, ':');
	json_t *json = json_from_config(config);

	(void)json_object_set_new(json, "FunctionArn", json_string(config->function_arn));
	(void)json_array_append_new(listing->configs, json);
	table_cell(&listing->table, "%s", colon ? colon + 1 : config->function_arn);
	table_cell(&listing->table, "%u", config->requested_provisioned_concurrent_executions);
	table_cell(&listing->table, "%u", config->available_provisioned_concurrent_executions);
	table_cell(&listing->table, "%s", status_text(config));
	table_cell(&listing->table, "%s", config->status_reason);
}

/* One page; sets the marker of the next. */
static int add_page(struct context *context, const struct arguments *arguments,
		    struct listing *listing)
{
	Mayfly__V1__ListProvisionedConcurrencyConfigsRequest request =
		MAYFLY__V1__LIST_PROVISIONED_CONCURRENCY_CONFIGS_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__ListProvisionedConcurrencyConfigsResponse *page = NULL;

	request.function_name = (char *)operand(arguments, 0);
	request.marker = listing->marker;
	int r = client_provisioned_list(context->client, &request, &page, &context->error);
	if (r < 0)
		return r;
	for (size_t i = 0; i < page->n_provisioned_concurrency_configs; i++)
		add(listing, page->provisioned_concurrency_configs[i]);
	if (strlen(page->next_marker) >= sizeof(listing->marker))
		return error_set(&context->error, ERROR_INTERNAL, NULL, "the marker is too long");
	(void)snprintf(listing->marker, sizeof(listing->marker), "%s", page->next_marker);
	return 0;
}

static int run_list(struct context *context, const struct arguments *arguments)
{
	static const char *const headers[] = { "QUALIFIER", "REQUESTED", "AVAILABLE",
					       "STATUS",    "REASON",    NULL };
	_cleanup_json_ json_t *configs = json_array();
	struct listing listing = { .table.headers = headers, .configs = configs };
	int r;

	do
		r = add_page(context, arguments, &listing);
	while (r == 0 && listing.marker[0]);
	if (r == 0 && context->json)
		r = output_json(json_pack("{s:O}", "ProvisionedConcurrencyConfigs", configs));
	else if (r == 0)
		table_print(&listing.table);
	table_free(&listing.table);
	return r;
}

/* -- verbs -- */

static const struct verb_option put_options[] = {
	{ "function-name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME" },
	{ "qualifier", 0, OPTION_TEXT, "QUALIFIER", "a version or an alias" },
	{ "provisioned-concurrent-executions", 'n', OPTION_TEXT, "N",
	  "sandboxes that are kept initialised" },
	{ 0 },
};

static const struct verb_option qualified_options[] = {
	{ "function-name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME" },
	{ "qualifier", 0, OPTION_TEXT, "QUALIFIER", "a version or an alias" },
	{ 0 },
};

static const struct verb_option name_options[] = {
	{ "function-name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME" },
	{ 0 },
};

const struct verb verb_concurrency_provision = {
	.name = "concurrency provision",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "function-name",
	.summary = "Keep sandboxes of a version or an alias initialised",
	.help = "They are started ahead, INIT included, and stay. Watch the status with\n"
		"get-provisioned.\n\n"
		"Example:\n"
		"  mayfly concurrency provision area --qualifier live -n 5\n",
	.options = put_options,
	.run = run_put,
};

const struct verb verb_concurrency_get_provisioned = {
	.name = "concurrency get-provisioned",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "function-name",
	.summary = "Show provisioned concurrency, and how much of it is there",
	.help = "Example:\n"
		"  mayfly concurrency get-provisioned area --qualifier live\n",
	.options = qualified_options,
	.run = run_get,
};

const struct verb verb_concurrency_delete_provisioned = {
	.name = "concurrency delete-provisioned",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "function-name",
	.summary = "Take provisioned concurrency back",
	.help = "Prints nothing when it worked.\n\n"
		"Example:\n"
		"  mayfly concurrency delete-provisioned area --qualifier live\n",
	.options = qualified_options,
	.run = run_delete,
};

const struct verb verb_concurrency_list_provisioned = {
	.name = "concurrency list-provisioned",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "function-name",
	.summary = "List the provisioned versions and aliases of a function",
	.help = "Example:\n"
		"  mayfly concurrency list-provisioned area\n",
	.options = name_options,
	.run = run_list,
};
