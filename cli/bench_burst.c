/* SPDX-License-Identifier: Apache-2.0 */

/* Many first invocations at the same moment. */

#include "cli/bench.h"
#include "cli/output.h"
#include "cli/verbs.h"

#define MAX_CLIENTS 1000

static void invoke_once(struct swarm *swarm, unsigned index _unused_, struct client *client)
{
	swarm_invoke(swarm, client, (unsigned)*(uint64_t *)swarm->user, 0);
}

/* How many sandboxes were started for the burst, whatever the way. */
static unsigned count_started(const struct series *series)
{
	unsigned n = 0;
	for (size_t i = 0; i < series->n; i++)
		n += series->samples[i].start_kind != MAYFLY__V1__START_KIND__START_KIND_WARM;
	return n;
}

/* Starts a second, until the last sandbox that was started had its invocation; how long the
 * invocations then run does not count. */
static double start_rate(const struct swarm *swarm)
{
	const unsigned handler = 6, reply = 7; /* of phases_list() */
	int64_t last_us = 0;

	for (size_t i = 0; i < swarm->series.n; i++) {
		const struct sample *s = &swarm->series.samples[i];
		int64_t us = s->client_us - (int64_t)(s->phases_us[handler] + s->phases_us[reply]);
		if (s->start_kind != MAYFLY__V1__START_KIND__START_KIND_WARM && us > last_us)
			last_us = us;
	}
	return last_us > 0 ? count_started(&swarm->series) * 1e6 / (double)last_us : 0;
}

static json_t *burst_to_json(const struct swarm *swarm)
{
	json_t *object = series_to_json(&swarm->series);

	(void)json_object_set_new(object, "clients", json_integer(swarm->clients));
	(void)json_object_set_new(object, "wall_ms",
				  json_real((double)(swarm->end_us - swarm->begin_us) / 1e3));
	(void)json_object_set_new(object, "sandboxes_started",
				  json_integer(count_started(&swarm->series)));
	(void)json_object_set_new(object, "restores_per_second", json_real(start_rate(swarm)));
	return object;
}

static void burst_to_row(const struct swarm *swarm, struct table *table)
{
	table_cell(table, "%u", swarm->clients);
	table_cell(table, "%zu", swarm->series.n);
	table_cell(table, "%u", swarm->series.failed);
	table_cell(table, "%u", count_started(&swarm->series));
	table_cell(table, "%.1f", start_rate(swarm));
	table_cell(table, "%.0f", (double)(swarm->end_us - swarm->begin_us) / 1e3);
	table_cell(table, "%.1f", series_percentile_ms(&swarm->series, 50));
	table_cell(table, "%.1f", series_percentile_ms(&swarm->series, 90));
	table_cell(table, "%.1f", series_percentile_ms(&swarm->series, 100));
}

static int run_burst(struct bench *bench, unsigned clients, uint64_t *hold_ms, struct table *table,
		     json_t *list)
{
	struct swarm swarm = { .bench = bench,
			       .clients = clients,
			       .run = invoke_once,
			       .user = hold_ms,
			       .series.mode = "burst" };

	int r = bench_set_policy(bench, MAYFLY__V1__START_POLICY__START_POLICY_RESTORE, 0);
	if (r < 0)
		return r;
	progress("burst of %u", clients);
	r = swarm_run(&swarm);
	progress_end();
	if (r == 0) {
		burst_to_row(&swarm, table);
		(void)json_array_append_new(list, burst_to_json(&swarm));
	}
	series_free(&swarm.series);
	return r;
}

static int print(struct context *context, const char *runtime, const struct table *table,
		 json_t *list)
{
	_cleanup_json_ json_t *host = bench_host(context);
	if (!host)
		return -error_kind(context->error.code)->errno_value;
	if (context->json)
		return output_json(json_pack("{s:O,s:s,s:O}", "host", host, "runtime", runtime,
					     "bursts", list));
	bench_print_host(host);
	table_print(table);
	return 0;
}

/* "1,10,50"; calls run_burst() for each. */
static int run_list(struct bench *bench, const char *text, uint64_t *hold_ms, struct table *table,
		    json_t *list)
{
	for (const char *p = text; p && *p;) {
		char *end = NULL;
		unsigned long clients = strtoul(p, &end, 10);
		if (end == p || (*end && *end != ',') || clients < 1 || clients > MAX_CLIENTS)
			return error_set(&bench->context->error, ERROR_INVALID_PARAMETER, "clients",
					 "--clients takes numbers from 1 to %u, as 1,10,50",
					 MAX_CLIENTS);
		int r = run_burst(bench, (unsigned)clients, hold_ms, table, list);
		if (r < 0)
			return r;
		p = *end ? end + 1 : end;
	}
	return 0;
}

static int run(struct context *context, const struct arguments *arguments)
{
	static const char *const headers[] = { "CLIENTS",  "ANSWERED", "FAILED", "STARTED",
					       "STARTS/s", "WALL ms",  "P50 ms", "P90 ms",
					       "MAX ms",   NULL };
	_cleanup_bench_ struct bench bench = { 0 };
	_cleanup_table_ struct table table = { .headers = headers };
	_cleanup_json_ json_t *list = json_array();
	const char *clients = argument(arguments, "clients");
	uint64_t hold_ms = 1000;

	int r = bench_begin(&bench, context, arguments);
	if (r == 0)
		r = argument_number(arguments, "hold-ms", 60000, &hold_ms, &context->error);
	if (r == 0)
		r = bench_deploy(&bench, false);
	if (r == 0)
		r = run_list(&bench, clients ? clients : "1,10,50", &hold_ms, &table, list);
	return r < 0 ? r : print(context, bench.runtime, &table, list);
}

static const struct verb_option options[] = {
	BENCH_OPTIONS,
	{ "clients", 'c', OPTION_TEXT, "N,...", "sizes of the bursts; 1,10,50 by default" },
	{ "hold-ms", 0, OPTION_TEXT, "MS", "how long each invocation runs; 1000 by default" },
	{ 0 },
};

const struct verb verb_bench_burst = {
	.name = "bench burst",
	.operands = "",
	.summary = "Measure many first invocations at the same moment",
	.help = "Before each burst all idle sandboxes of the function are ended. An invocation may "
		"be\n"
		"served by a sandbox that another one of the burst has left; --hold-ms keeps "
		"them.\n\n"
		"Examples:\n"
		"  mayfly bench burst\n"
		"  mayfly bench burst -c 50 --hold-ms 1000 --output json\n",
	.options = options,
	.run = run,
};
