/* SPDX-License-Identifier: Apache-2.0 */

/* Many first invocations at the same moment. */

#include "cli/bench.h"
#include "cli/bench_raw.h"
#include "cli/output.h"
#include "cli/verbs.h"

#define MAX_CLIENTS        1000

/* Invocations last until about all sandboxes of the burst are there: one that is free serves a
 * second one, and the start it replaces would not be counted. */
#define HOLD_MS            1000
#define HOLD_MS_PER_CLIENT 600
#define MAX_HOLD_MS        60000

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

static double raw_rate(const json_t *raw)
{
	return raw ? json_number_value(json_object_get(raw, "restores_per_second")) : 0;
}

static json_t *burst_to_json(const struct swarm *swarm, const json_t *raw)
{
	json_t *object = series_to_json(&swarm->series);

	(void)json_object_set_new(object, "clients", json_integer(swarm->clients));
	(void)json_object_set_new(object, "wall_ms",
				  json_real((double)(swarm->end_us - swarm->begin_us) / 1e3));
	(void)json_object_set_new(object, "sandboxes_started",
				  json_integer(count_started(&swarm->series)));
	(void)json_object_set_new(object, "restores_per_second", json_real(start_rate(swarm)));
	if (raw)
		(void)json_object_set_new(object, "raw_restores_per_second",
					  json_real(raw_rate(raw)));
	ratio_add(object, "burst/raw", start_rate(swarm), raw_rate(raw));
	return object;
}

static void burst_to_row(const struct swarm *swarm, const json_t *raw, struct table *table)
{
	double rate = start_rate(swarm), of_raw = raw_rate(raw);

	table_cell(table, "%u", swarm->clients);
	table_cell(table, "%zu", swarm->series.n);
	table_cell(table, "%u", swarm->series.failed);
	table_cell(table, "%u", count_started(&swarm->series));
	table_cell(table, "%.1f", rate);
	if (of_raw > 0) {
		table_cell(table, "%.1f", of_raw);
		table_cell(table, "%.2f", rate / of_raw);
	} else {
		table_cell(table, "-");
		table_cell(table, "-");
	}
	table_cell(table, "%.0f", (double)(swarm->end_us - swarm->begin_us) / 1e3);
	table_cell(table, "%.1f", series_percentile_ms(&swarm->series, 50));
	table_cell(table, "%.1f", series_percentile_ms(&swarm->series, 90));
	table_cell(table, "%.1f", series_percentile_ms(&swarm->series, 100));
}

static int run_burst(struct bench *bench, unsigned clients, const char *hold, struct table *table,
		     json_t *list)
{
	uint64_t hold_ms = HOLD_MS + (uint64_t)clients * HOLD_MS_PER_CLIENT;
	if (hold_ms > MAX_HOLD_MS)
		hold_ms = MAX_HOLD_MS;
	if (hold) /* checked before */
		hold_ms = strtoul(hold, NULL, 10);
	struct swarm swarm = { .bench = bench,
			       .clients = clients,
			       .run = invoke_once,
			       .user = &hold_ms,
			       .series.mode = "burst" };
	struct raw_run raw_run = { .n = clients,
				   .parallel = clients,
				   .hold_ms = (unsigned)hold_ms };
	_cleanup_json_ json_t *raw = NULL;

	int r = bench_set_policy(bench, MAYFLY__V1__START_POLICY__START_POLICY_RESTORE, 0);
	if (r < 0)
		return r;
	progress("burst of %u", clients);
	r = swarm_run(&swarm);
	progress_end();
	if (r == 0) {
		bench_raw(bench, &raw_run, &raw);
		burst_to_row(&swarm, raw, table);
		(void)json_array_append_new(list, burst_to_json(&swarm, raw));
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
static int run_list(struct bench *bench, const char *text, const char *hold, struct table *table,
		    json_t *list)
{
	for (const char *p = text; p && *p;) {
		char *end = NULL;
		unsigned long clients = strtoul(p, &end, 10);
		if (end == p || (*end && *end != ',') || clients < 1 || clients > MAX_CLIENTS)
			return error_set(&bench->context->error, ERROR_INVALID_PARAMETER, "clients",
					 "--clients takes numbers from 1 to %u, as 1,10,50",
					 MAX_CLIENTS);
		int r = run_burst(bench, (unsigned)clients, hold, table, list);
		if (r < 0)
			return r;
		p = *end ? end + 1 : end;
	}
	return 0;
}

static int run(struct context *context, const struct arguments *arguments)
{
	static const char *const headers[] = { "CLIENTS",  "ANSWERED", "FAILED", "STARTED",
					       "STARTS/s", "RAW/s",    "RATIO",  "WALL ms",
					       "P50 ms",   "P90 ms",   "MAX ms", NULL };
	_cleanup_bench_ struct bench bench = { 0 };
	_cleanup_table_ struct table table = { .headers = headers };
	_cleanup_json_ json_t *list = json_array();
	const char *clients = argument(arguments, "clients");
	uint64_t hold_ms = 0;

	int r = bench_begin(&bench, context, arguments);
	if (r == 0)
		r = argument_number(arguments, "hold-ms", MAX_HOLD_MS, &hold_ms, &context->error);
	if (r == 0)
		r = bench_deploy(&bench, false);
	if (r == 0)
		r = run_list(&bench, clients ? clients : "1,10,50", argument(arguments, "hold-ms"),
			     &table, list);
	return r < 0 ? r : print(context, bench.runtime, &table, list);
}

static const struct verb_option options[] = {
	BENCH_OPTIONS,
	{ "clients", 'c', OPTION_TEXT, "N,...", "sizes of the bursts; 1,10,50 by default" },
	{ "hold-ms", 0, OPTION_TEXT, "MS", "each invocation; 1000 + 600 a client, at most 60000" },
	{ 0 },
};

const struct verb verb_bench_burst = {
	.name = "bench burst",
	.operands = "",
	.summary = "Measure many first invocations at the same moment",
	.help = "Before each burst all idle sandboxes of the function are ended. An invocation may "
		"be\n"
		"served by a sandbox that another one of the burst has left; --hold-ms keeps "
		"them.\n"
		"RAW/s is what QEMU alone reaches with the same function and as many at once, as\n"
		"root on the node itself; RATIO is STARTS/s by RAW/s. With --output json 'starts'\n"
		"splits the samples by what really happened; --samples tags each.\n\n"
		"Examples:\n"
		"  mayfly bench burst\n"
		"  mayfly bench burst -c 50 --hold-ms 1000 --output json\n",
	.options = options,
	.run = run,
};
