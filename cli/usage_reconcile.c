/* SPDX-License-Identifier: Apache-2.0 */

#include <inttypes.h>
#include <string.h>

#include "cli/usage.h"
#include "cli/verbs.h"
#include "mayfly/clock.h"

static json_t *difference_json(const Mayfly__V1__UsageDifference *difference)
{
	json_t *figures = json_array();

	for (size_t i = 0; i < difference->n_figures; i++)
		(void)json_array_append_new(figures, json_string(difference->figures[i]));
	return json_pack("{s:s,s:o,s:o,s:o}", "ClaimedBy", difference->claimed_by, "Figures",
			 figures, "Counted", usage_row_json(difference->counted), "Claimed",
			 usage_row_json(difference->claimed));
}

static json_t *cpu_json(const Mayfly__V1__UsageCpu *cpu)
{
	return json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:s}", "Tenant", cpu->tenant,
			 "FunctionName", cpu->function_name, "Version", cpu->version, "Sandboxes",
			 (json_int_t)cpu->sandboxes, "Uncounted", (json_int_t)cpu->uncounted,
			 "StartUs", (json_int_t)cpu->start_us, "ServeUs", (json_int_t)cpu->serve_us,
			 "Invocations", (json_int_t)cpu->invocations, "BilledMs",
			 (json_int_t)cpu->billed_ms, "AllowedUs", (json_int_t)cpu->allowed_us,
			 "Difference", cpu->difference);
}

static json_t *all_cpu_json(const Mayfly__V1__ReconcileUsageResponse *sums)
{
	json_t *versions = json_array();

	for (size_t i = 0; i < sums->n_cpu; i++)
		(void)json_array_append_new(versions, cpu_json(sums->cpu[i]));
	return json_pack("{s:I,s:I,s:I,s:I,s:o}", "Versions", (json_int_t)sums->cpu_versions,
			 "CpuDifferences", (json_int_t)sums->cpu_differences, "SandboxesCounted",
			 (json_int_t)sums->sandboxes_counted, "SandboxesUncounted",
			 (json_int_t)sums->sandboxes_uncounted, "Rows", versions);
}

static int print_json(const Mayfly__V1__ReconcileUsageResponse *sums)
{
	json_t *differences = json_array();

	for (size_t i = 0; i < sums->n_differences; i++)
		(void)json_array_append_new(differences, difference_json(sums->differences[i]));
	return output_json(json_pack(
		"{s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:I,s:o,s:o}", "Records", (json_int_t)sums->records,
		"Rollups", (json_int_t)sums->rollups, "RollupsLeftOut",
		(json_int_t)sums->rollups_left_out, "Days", (json_int_t)sums->days,
		"InvocationsSinceStart", (json_int_t)sums->invocations_since_start, "Waiting",
		(json_int_t)sums->waiting, "CountersCompared", (int)sums->counters_compared,
		"DifferenceCount", (json_int_t)sums->difference_count, "Differences", differences,
		"Cpu", all_cpu_json(sums)));
}

static void add_difference(struct table *table, const Mayfly__V1__UsageDifference *difference)
{
	const Mayfly__V1__UsageRow *counted = difference->counted;
	char hour[CLOCK_ISO8601_BYTES] = "since start", figures[256] = "";

	if (counted->begins_us > 0)
		clock_format_iso8601(counted->begins_us, hour);
	for (size_t i = 0; i < difference->n_figures; i++) {
		size_t len = strlen(figures);

		(void)snprintf(figures + len, sizeof(figures) - len, "%s%s", i ? "," : "",
			       difference->figures[i]);
	}
	table_cell(table, "%s", counted->tenant);
	table_cell(table, "%s", counted->function_name);
	table_cell(table, "%s", counted->version);
	table_cell(table, "%.16s", hour);
	table_cell(table, "%s", difference->claimed_by);
	table_cell(table, "%" PRIu64, counted->figures->invocations);
	table_cell(table, "%" PRIu64, difference->claimed->figures->invocations);
	table_cell(table, "%s", figures);
}

/* `all`, or those that differ. */
static void print_cpu(const Mayfly__V1__ReconcileUsageResponse *sums, bool all)
{
	static const char *const headers[] = { "TENANT",      "FUNCTION", "VERSION",   "SANDBOXES",
					       "START s",     "SERVE s",  "ALLOWED s", "BILLED ms",
					       "INVOCATIONS", "CPU TIME", NULL };
	_cleanup_table_ struct table table = { .headers = headers };
	bool any = false;

	for (size_t i = 0; i < sums->n_cpu; i++) {
		const Mayfly__V1__UsageCpu *cpu = sums->cpu[i];

		if (!all && !cpu->difference[0])
			continue;
		any = true;
		table_cell(&table, "%s", cpu->tenant);
		table_cell(&table, "%s", cpu->function_name);
		table_cell(&table, "%s", cpu->version);
		table_cell(&table, "%" PRIu64, cpu->sandboxes);
		table_cell(&table, "%.3f", (double)cpu->start_us / 1e6);
		table_cell(&table, "%.3f", (double)cpu->serve_us / 1e6);
		table_cell(&table, "%.3f", (double)cpu->allowed_us / 1e6);
		table_cell(&table, "%" PRIu64, cpu->billed_ms);
		table_cell(&table, "%" PRIu64, cpu->invocations);
		table_cell(&table, "%s", cpu->difference[0] ? cpu->difference : "within");
	}
	if (any)
		table_print(&table);
}

static void print_table(const Mayfly__V1__ReconcileUsageResponse *sums)
{
	static const char *const headers[] = { "TENANT",  "FUNCTION", "VERSION", "HOUR", "BY",
					       "COUNTED", "CLAIMED",  "FIGURES", NULL };
	_cleanup_table_ struct table table = { .headers = headers };

	(void)printf("%" PRIu64 " records counted anew, %" PRIu64 " hourly sums compared, %" PRIu64
		     " left out (records deleted); %" PRIu64 " daily ones compared\n",
		     sums->records, sums->rollups, sums->rollups_left_out, sums->days);
	(void)printf("%" PRIu64 " invocations since the start, %s; %" PRIu64 " not yet durable\n",
		     sums->invocations_since_start,
		     sums->counters_compared ? "compared" : "not compared (records deleted)",
		     sums->waiting);
	(void)printf("CPU time of %" PRIu64 " versions%s; %" PRIu64
		     " sandboxes counted by the host's cgroups, %" PRIu64 " not\n",
		     sums->cpu_versions, sums->counters_compared ? " compared" : " not compared",
		     sums->sandboxes_counted, sums->sandboxes_uncounted);
	(void)printf("%" PRIu64 " differences\n", sums->difference_count);
	for (size_t i = 0; i < sums->n_differences; i++)
		if (sums->differences[i]->counted && sums->differences[i]->counted->figures &&
		    sums->differences[i]->claimed && sums->differences[i]->claimed->figures)
			add_difference(&table, sums->differences[i]);
	if (sums->n_differences > 0)
		table_print(&table);
}

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__ReconcileUsageResponse *sums = NULL;
	int r = client_usage_reconcile(context->client, &sums, &context->error);

	if (r < 0)
		return r;
	if (context->json) {
		r = print_json(sums);
	} else {
		print_table(sums);
		print_cpu(sums, argument(arguments, "cpu") != NULL);
	}
	if (r == 0 && sums->difference_count > 0)
		r = error_set(&context->error, ERROR_INTERNAL, NULL,
			      "the ledger does not agree with itself");
	return r;
}

static const struct verb_option options[] = {
	{ "cpu", 0, OPTION_FLAG, NULL,
	  "show CPU time and bill of each version, not only differences" },
	{ 0 },
};

const struct verb verb_usage_reconcile = {
	.name = "usage reconcile",
	.operands = "",
	.summary = "Check the ledger against itself and the node's counters",
	.help = "Counts all records anew, and compares with the hourly sums and with what the "
		"node\n"
		"counted since its start; and what was billed since with the CPU time that the\n"
		"host's cgroups count. Exit code 1 if anything differs.\n\n"
		"Examples:\n"
		"  mayfly usage reconcile\n"
		"  mayfly usage reconcile --cpu\n"
		"  mayfly usage reconcile --output json\n",
	.options = options,
	.run = run,
};
