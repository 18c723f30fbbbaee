/* SPDX-License-Identifier: Apache-2.0 */

/* Steady load: closed (each client sends the next request after the answer) or open (requests
 * are due at fixed times, and latency counts from then, whoever was late). */

#include "cli/bench.h"

#include <errno.h>

#include "cli/output.h"
#include "cli/verbs.h"
#include "mayfly/clock.h"

struct load {
	double rate; /* requests a second; 0: closed */
	int64_t duration_us;
	int64_t begin_us;
	uint64_t next; /* request of an open load, taken with an atomic */
};

static void run_closed(struct swarm *swarm, unsigned index _unused_, struct client *client)
{
	const struct load *load = swarm->user;
	int64_t until_us = clock_monotonic_us() + load->duration_us;

	while (clock_monotonic_us() < until_us && !interrupted)
		swarm_invoke(swarm, client, 0, 0);
}

static void run_open(struct swarm *swarm, unsigned index _unused_, struct client *client)
{
	struct load *load = swarm->user;

	while (!interrupted) {
		uint64_t i = __atomic_fetch_add(&load->next, 1, __ATOMIC_RELAXED);
		int64_t due_us = (int64_t)((double)i / load->rate * 1e6);
		if (due_us >= load->duration_us)
			return;
		bench_sleep_until(load->begin_us + due_us);
		swarm_invoke(swarm, client, 0, load->begin_us + due_us);
	}
}

static int print(struct context *context, struct swarm *swarm, const struct load *load)
{
	_cleanup_table_ struct table table = { .headers = series_headers };
	_cleanup_json_ json_t *host = bench_host(context);
	double seconds = (double)(swarm->end_us - swarm->begin_us) / 1e6;
	double rate = (double)swarm->series.n / seconds;

	if (!host)
		return -error_kind(context->error.code)->errno_value;
	if (context->json) {
		json_t *figures = series_to_json(&swarm->series);
		(void)json_object_set_new(figures, "clients", json_integer(swarm->clients));
		if (load->rate > 0)
			(void)json_object_set_new(figures, "wanted_per_second",
						  json_real(load->rate));
		(void)json_object_set_new(figures, "per_second", json_real(rate));
		(void)json_object_set_new(figures, "seconds", json_real(seconds));
		return output_json(json_pack("{s:O,s:s,s:s,s:o}", "host", host, "runtime",
					     swarm->bench->runtime, "load", swarm->series.mode,
					     "throughput", figures));
	}
	bench_print_host(host);
	series_to_row(&swarm->series, &table);
	table_print(&table);
	(void)printf("\n%.1f invocations a second over %.1f s with %u clients, %u failed\n", rate,
		     seconds, swarm->clients, swarm->series.failed);
	return 0;
}

static int run_load(struct context *context, struct bench *bench, uint64_t clients,
		    struct load *load)
{
	struct swarm swarm = { .bench = bench,
			       .clients = (unsigned)clients,
			       .run = load->rate > 0 ? run_open : run_closed,
			       .user = load,
			       .series.mode = load->rate > 0 ? "open" : "closed" };
	struct sample first;

	int r = bench_deploy(bench, false);
	if (r == 0) /* the load is steady: one sandbox is there when it begins */
		r = bench_invoke(context->client, bench->function, 0, &first, &context->error);
	if (r < 0)
		return r;
	progress("%s load for %lld s", swarm.series.mode,
		 (long long)(load->duration_us / USEC_PER_SEC));
	/* Connecting comes first; an open load is due from a moment behind it on. */
	load->begin_us = clock_monotonic_us() + USEC_PER_SEC;
	r = swarm_run(&swarm);
	progress_end();
	if (r == 0 && load->rate > 0)
		swarm.begin_us = load->begin_us;
	if (r == 0)
		r = print(context, &swarm, load);
	series_free(&swarm.series);
	return r;
}

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_bench_ struct bench bench = { 0 };
	struct load load = { .duration_us = 10 * USEC_PER_SEC };
	bool open = argument_flag(arguments, "open");
	uint64_t clients = open ? 64 : 1, rate = 50;

	int r = bench_begin(&bench, context, arguments);
	if (r == 0)
		r = argument_number(arguments, "clients", 1000, &clients, &context->error);
	if (r == 0)
		r = argument_number(arguments, "rate", 1000000, &rate, &context->error);
	if (r == 0)
		r = argument_duration(arguments, "duration", &load.duration_us, &context->error);
	if (r < 0)
		return r;
	if (clients == 0 || rate == 0 || (open && argument_flag(arguments, "closed")))
		return error_set(&context->error, ERROR_INVALID_PARAMETER, NULL,
				 "--clients and --rate are at least 1, and a load is --open or "
				 "--closed");
	load.rate = open ? (double)rate : 0;
	return run_load(context, &bench, clients, &load);
}

static const struct verb_option options[] = {
	BENCH_OPTIONS,
	{ "closed", 0, OPTION_FLAG, NULL, "each client waits for its answer (the default)" },
	{ "open", 0, OPTION_FLAG, NULL, "requests are due at a fixed rate" },
	{ "clients", 'c', OPTION_TEXT, "N", "at once; 1, or at most 64 with --open" },
	{ "rate", 'r', OPTION_TEXT, "R", "requests a second with --open; 50" },
	{ "duration", 'd', OPTION_TEXT, "DURATION", "10s by default" },
	{ 0 },
};

const struct verb verb_bench_throughput = {
	.name = "bench throughput",
	.operands = "",
	.summary = "Measure a steady load, closed or open",
	.help = "With --open latency counts from the moment at which a request was due, so "
		"waiting\n"
		"for a free client counts too. With --output json 'starts' splits the samples by "
		"what\n"
		"really happened (Warm, Spare, Restore); --samples tags each.\n\n"
		"Examples:\n"
		"  mayfly bench throughput -c 4 --duration 30s\n"
		"  mayfly bench throughput --open --rate 200 --duration 30s --output json\n",
	.options = options,
	.run = run,
};
