/* SPDX-License-Identifier: Apache-2.0 */

/* What a node counts of functions, once or as it changes. */

#include <inttypes.h>
#include <string.h>

#include "cli/json_fields.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "mayfly/clock.h"

/* -- JSON -- */

static json_t *histogram_json(const Mayfly__V1__DurationHistogram *histogram)
{
	json_t *counts = json_array();

	for (size_t i = 0; i < histogram->n_counts; i++)
		(void)json_array_append_new(counts, json_integer((json_int_t)histogram->counts[i]));
	return json_pack("{s:o,s:I,s:I}", "Counts", counts, "Count", (json_int_t)histogram->count,
			 "SumUs", (json_int_t)histogram->sum_us);
}

static json_t *function_json(const Mayfly__V1__FunctionMetrics *row)
{
	json_t *object = json_object();

	json_put_text(object, "Tenant", row->tenant);
	json_put_text(object, "FunctionName", row->function_name);
	json_put_number(object, "Invocations", row->invocations);
	json_put_number(object, "Errors", row->errors);
	json_put_number(object, "Throttles", row->throttles);
	json_put_number(object, "ConcurrentExecutions", row->concurrent_executions);
	json_put_number(object, "ProvisionedConcurrentExecutions",
			row->provisioned_concurrent_executions);
	json_put_number(object, "ProvisionedAvailable", row->provisioned_available);
	json_put_number(object, "ProvisionedConcurrencyInvocations", row->provisioned_invocations);
	json_put_number(object, "ProvisionedConcurrencySpilloverInvocations",
			row->provisioned_spillovers);
	json_put_number(object, "WarmStarts", row->warm_starts);
	json_put_number(object, "SpareStarts", row->spare_starts);
	json_put_number(object, "RestoreStarts", row->restore_starts);
	json_put_number(object, "BootStarts", row->boot_starts);
	if (row->duration)
		(void)json_object_set_new(object, "Duration", histogram_json(row->duration));
	return object;
}

static json_t *tenant_json(const Mayfly__V1__TenantMetrics *row)
{
	return json_pack("{s:s,s:i,s:i,s:i,s:i}", "Tenant", row->tenant, "ConcurrentExecutions",
			 (int)row->concurrent_executions, "UnreservedConcurrentExecutions",
			 (int)row->unreserved_concurrent_executions, "ClaimedAccountConcurrency",
			 (int)row->claimed_account_concurrency, "ConcurrencyLimit",
			 (int)row->concurrency_limit);
}

static json_t *node_json(const Mayfly__V1__NodeMetrics *node)
{
	json_t *object = json_object(), *phases = json_object();

	json_put_number(object, "SandboxesBusy", node->sandboxes_busy);
	json_put_number(object, "SandboxesFrozen", node->sandboxes_frozen);
	json_put_number(object, "SandboxesSpare", node->sandboxes_spare);
	json_put_number(object, "SandboxesStarting", node->sandboxes_starting);
	json_put_number(object, "SandboxStarts", node->sandbox_starts);
	json_put_number(object, "SandboxStartFailures", node->sandbox_start_failures);
	json_put_number(object, "Evictions", node->evictions);
	json_put_number(object, "MemoryBytes", node->memory_bytes);
	json_put_number(object, "MemoryBudgetBytes", node->memory_budget_bytes);
	json_put_number(object, "InvocationsRunning", node->invocations_running);
	json_put_number(object, "InvocationsWaiting", node->invocations_waiting);
	json_put_number(object, "EventsWaiting", node->events_waiting);
	json_put_number(object, "EventsRunning", node->events_running);
	json_put_number(object, "EventsReceived", node->events_received);
	json_put_number(object, "EventsDropped", node->events_dropped);
	json_put_number(object, "EventsDelayed", node->events_delayed);
	json_put_number(object, "EventsOldestAgeUs", (uint64_t)node->events_oldest_age_us);
	json_put_number(object, "LedgerWaitingRecords", node->ledger_waiting_records);
	json_put_number(object, "BudgetSoftReached", node->budget_soft_reached);
	json_put_number(object, "BudgetHardReached", node->budget_hard_reached);
	json_put_number(object, "BudgetRefusals", node->budget_refusals);
	for (size_t i = 0; i < node->n_phases; i++)
		if (node->phases[i]->duration)
			(void)json_object_set_new(phases, node->phases[i]->phase,
						  histogram_json(node->phases[i]->duration));
	(void)json_object_set_new(object, "Phases", phases);
	return object;
}

static json_t *snapshot_json(const Mayfly__V1__MetricsSnapshot *snapshot)
{
	json_t *object = json_object(), *functions = json_array(), *tenants = json_array();
	json_t *bounds = json_array();

	for (size_t i = 0; i < snapshot->n_functions; i++)
		(void)json_array_append_new(functions, function_json(snapshot->functions[i]));
	for (size_t i = 0; i < snapshot->n_tenants; i++)
		(void)json_array_append_new(tenants, tenant_json(snapshot->tenants[i]));
	for (size_t i = 0; i < snapshot->n_duration_bounds_us; i++)
		(void)json_array_append_new(bounds, json_integer(snapshot->duration_bounds_us[i]));
	json_put_time(object, "Time", snapshot->time_us);
	(void)json_object_set_new(object, "Whole", json_boolean(snapshot->whole));
	json_put_number(object, "Skipped", snapshot->skipped);
	(void)json_object_set_new(object, "Functions", functions);
	(void)json_object_set_new(object, "Tenants", tenants);
	(void)json_object_set_new(object, "DurationBoundsUs", bounds);
	if (snapshot->node)
		(void)json_object_set_new(object, "Node", node_json(snapshot->node));
	return object;
}

/* -- tables -- */

static double mean_ms(const Mayfly__V1__DurationHistogram *histogram)
{
	return histogram && histogram->count
		       ? (double)histogram->sum_us / (double)histogram->count / 1000
		       : 0;
}

static void print_node(const Mayfly__V1__NodeMetrics *node)
{
	char memory[TEXT_BYTES];

	output_field("Sandboxes", "%u busy, %u frozen, %u spare, %u starting", node->sandboxes_busy,
		     node->sandboxes_frozen, node->sandboxes_spare, node->sandboxes_starting);
	output_field("Invocations", "%u running, %u of them waiting", node->invocations_running,
		     node->invocations_waiting);
	output_field("Events", "%u waiting, %u running", node->events_waiting,
		     node->events_running);
	output_field("Memory", "%s", text_bytes(node->memory_bytes, memory));
	output_field("Ledger", "%" PRIu64 " records on their way", node->ledger_waiting_records);
}

static void print_snapshot(const Mayfly__V1__MetricsSnapshot *snapshot)
{
	static const char *const headers[] = { "TENANT", "FUNCTION",  "INVOCATIONS",
					       "ERRORS", "THROTTLES", "RUNNING",
					       "COLD",   "MEAN MS",   NULL };
	_cleanup_table_ struct table table = { .headers = headers };
	char time[CLOCK_ISO8601_BYTES];

	clock_format_iso8601(snapshot->time_us, time);
	(void)printf("%.19sZ\n", time);
	if (snapshot->node)
		print_node(snapshot->node);
	for (size_t i = 0; i < snapshot->n_functions; i++) {
		const Mayfly__V1__FunctionMetrics *row = snapshot->functions[i];

		table_cell(&table, "%s", row->tenant);
		table_cell(&table, "%s", row->function_name);
		table_cell(&table, "%" PRIu64, row->invocations);
		table_cell(&table, "%" PRIu64, row->errors);
		table_cell(&table, "%" PRIu64, row->throttles);
		table_cell(&table, "%u", row->concurrent_executions);
		table_cell(&table, "%" PRIu64, row->restore_starts + row->boot_starts);
		table_cell(&table, "%.2f", mean_ms(row->duration));
	}
	if (snapshot->n_functions > 0)
		table_print(&table);
	(void)fflush(stdout);
}

static int follow(struct context *context, struct client_stream *stream, bool watch)
{
	int r = 0;

	do {
		_cleanup_message_ Mayfly__V1__MetricsSnapshot *snapshot = NULL;

		r = client_metrics_watch_next(stream, &snapshot, &context->error);
		if (r <= 0)
			return r;
		if (!context->json)
			print_snapshot(snapshot);
		else
			r = watch ? output_json_line(snapshot_json(snapshot))
				  : output_json(snapshot_json(snapshot));
	} while (watch && r >= 0 && !interrupted);
	return r < 0 ? r : 0;
}

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_(client_stream_close_p) struct client_stream *stream = NULL;
	Mayfly__V1__WatchMetricsRequest request = MAYFLY__V1__WATCH_METRICS_REQUEST__INIT;
	uint64_t interval_s = 0;
	int r = argument_number(arguments, "interval", 60, &interval_s, &context->error);

	if (r < 0)
		return r;
	request.interval_s = (uint32_t)interval_s;
	request.function_name = (char *)operand(arguments, 0);
	request.all_tenants = argument_flag(arguments, "all-tenants");
	r = client_metrics_watch(context->client, &request, &stream, &context->error);
	return r < 0 ? r : follow(context, stream, argument_flag(arguments, "watch"));
}

static const struct verb_option options[] = {
	{ "watch", 'w', OPTION_FLAG, NULL, "go on with what changes" },
	{ "interval", 0, OPTION_TEXT, "SECONDS", "how often, 1 to 60 (default: 5)" },
	{ "all-tenants", 0, OPTION_FLAG, NULL, "of every tenant and the node, for the operator" },
	{ 0 },
};

const struct verb verb_metrics = {
	.name = "metrics",
	.operands = "[NAME]",
	.max = 1,
	.summary = "Show what the node counts of functions",
	.help = "Counts since the node's start. With --watch, after the first time, only functions "
		"that\n"
		"changed or run; in JSON a line each time.\n\n"
		"Examples:\n"
		"  mayfly metrics\n"
		"  mayfly metrics area --watch --interval 1\n"
		"  mayfly metrics --all-tenants --watch --output json\n",
	.options = options,
	.run = run,
};
