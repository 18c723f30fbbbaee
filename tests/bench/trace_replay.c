/* SPDX-License-Identifier: Apache-2.0 */

/* mayfly-bench-trace: a trace of minute counts, replayed in virtual time against policies of
 * scaling. Not a measurement: how long starts and handlers take is an input, and there is no limit
 * of memory or processors. `mayfly bench trace --simulate` runs it. */

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/trace_file.h"
#include "mayfly/clock.h"
#include "tests/bench/trace_model.h"

#define MINUTE_US    (60 * USEC_PER_SEC)
#define MINUTE_COUNT 1440
#define FUNCTIONS    1000
#define MATCH_STEPS  14 /* of halving, to find a fixed keep-alive like the adaptive policy */
#define KEEP_MOST_US (24 * 60 * MINUTE_US)

struct options {
	const char *path;
	size_t max_functions;
	unsigned memory_mb;
	struct model_costs costs;
	struct arrivals_bounds bounds;
	unsigned spares, spares_max;
	bool json;
};

static void usage(void)
{
	(void)puts("mayfly-bench-trace [options] FILE: a trace against policies of scaling, in "
		   "virtual "
		   "time\n"
		   "  --functions N          the first so many of the trace; 1000\n"
		   "  --memory-size MB       of each, for the idle memory; 128\n"
		   "  --cold-ms MS           from demand to ready sandbox; 170\n"
		   "  --spare-ms MS          what the first invocation of a ready one takes beside "
		   "the "
		   "handler; 6\n"
		   "  --warm-ms MS           what any other takes; 1\n"
		   "  --duration-ms MS       of the handler; 100\n"
		   "  --keep-alive-min-s S   as pool.keep_alive_min_s; 60\n"
		   "  --keep-alive-s S       as pool.keep_alive_s; 600\n"
		   "  --cold-start-worth-s S as pool.cold_start_worth_s; 0 is --keep-alive-s\n"
		   "  --spares N             as pool.spares; 0\n"
		   "  --json");
}

/* -- one policy over all functions -- */

/* The moments of one function's invocations; the caller frees. */
static int64_t *moments_of(const struct trace *trace, size_t which)
{
	const struct trace_function *function = &trace->functions[which];
	int64_t *moments = malloc((function->total + 1) * sizeof(*moments));
	size_t n = 0;

	if (!moments)
		abort(); /* a command line program without memory */
	for (unsigned minute = 0; minute < trace->minutes; minute++) {
		uint32_t count = function->counts[minute];

		trace_spread(count, which * MINUTE_COUNT + minute, moments + n);
		for (uint32_t i = 0; i < count; i++) /* no moment is 0 */
			moments[n + i] += (int64_t)(minute + 1) * MINUTE_US;
		n += count;
	}
	return moments;
}

static struct model_result run(const struct trace *trace, const struct options *options,
			       const struct model_policy *policy)
{
	struct model_result all = { 0 };

	for (size_t i = 0; i < trace->n; i++) {
		int64_t *moments = moments_of(trace, i);

		model_run(policy, &options->costs, moments, trace->functions[i].total,
			  (int64_t)(trace->minutes + 1) * MINUTE_US, &all);
		free(moments);
	}
	return all;
}

static struct model_policy fixed_policy(const struct options *options, const char *name,
					int64_t keep_us)
{
	struct model_policy policy = { .name = name,
				       .kind = MODEL_FIXED,
				       .bounds = options->bounds,
				       .spares = options->spares,
				       .spares_max = options->spares_max };

	policy.bounds.keep_max_us = keep_us;
	return policy;
}

/* -- figures -- */

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Nearest rank. */
static double percentile(const struct model_result *result, double p)
{
	size_t rank = (size_t)ceil(p / 100 * (double)result->invocations);

	return result->slowdowns[(rank > 0 ? rank : 1) - 1] / 1000.0;
}

static double idle_gb_s(const struct model_result *result, const struct options *options)
{
	return (double)result->idle_us / 1e6 * options->memory_mb / 1024;
}

static json_t *result_to_json(const struct model_policy *policy, struct model_result *result,
			      const struct options *options)
{
	double n = (double)result->invocations;

	qsort(result->slowdowns, result->invocations, sizeof(*result->slowdowns), by_value);
	return json_pack("{s:s,s:f,s:I,s:I,s:f,s:I,s:I,s:f,s:f,s:f,s:f}", "policy", policy->name,
			 "keep_alive_s", (double)policy->bounds.keep_max_us / 1e6, "invocations",
			 (json_int_t)result->invocations, "cold", (json_int_t)result->cold,
			 "cold_rate", (double)result->cold / n, "spare", (json_int_t)result->spare,
			 "starts", (json_int_t)result->starts, "slowdown_p50",
			 percentile(result, 50), "slowdown_p99", percentile(result, 99),
			 "slowdown_p99.9", percentile(result, 99.9), "idle_memory_gb_s",
			 idle_gb_s(result, options));
}

/* The fixed keep-alive whose `idle memory` (or else: cold starts) is the next not better than that
 * of the adaptive policy. */
static int64_t match(const struct trace *trace, const struct options *options,
		     const struct model_result *like, bool by_memory)
{
	int64_t low_us = 0, high_us = KEEP_MOST_US;

	for (unsigned i = 0; i < MATCH_STEPS; i++) {
		int64_t middle_us = (low_us + high_us) / 2;
		struct model_policy policy = fixed_policy(options, "", middle_us);
		struct model_result result = run(trace, options, &policy);
		bool is_longer =
			by_memory ? result.idle_us > like->idle_us : result.cold <= like->cold;

		if (is_longer)
			high_us = middle_us;
		else
			low_us = middle_us;
		model_result_free(&result);
	}
	return by_memory ? low_us : high_us;
}

static void print_row(const json_t *row)
{
	(void)printf("%-34s %9.2f %10.1f %9.3f %9.3f %12.0f\n",
		     json_string_value(json_object_get(row, "policy")),
		     100 * json_real_value(json_object_get(row, "cold_rate")),
		     json_real_value(json_object_get(row, "keep_alive_s")),
		     json_real_value(json_object_get(row, "slowdown_p50")),
		     json_real_value(json_object_get(row, "slowdown_p99")),
		     json_real_value(json_object_get(row, "idle_memory_gb_s")));
}

static int print(const struct trace *trace, const struct options *options, json_t *rows)
{
	size_t i;
	const json_t *row;
	uint64_t total = 0;
	json_t *report;
	int r;

	for (i = 0; i < trace->n; i++)
		total += trace->functions[i].total;
	if (options->json) {
		report = json_pack("{s:s,s:I,s:I,s:I,s:f,s:f,s:f,s:f,s:O}", "kind",
				   "replay of the policy in virtual time, not a measurement",
				   "functions", (json_int_t)trace->n, "minutes",
				   (json_int_t)trace->minutes, "invocations", (json_int_t)total,
				   "cold_ms", (double)options->costs.cold_us / 1e3, "spare_ms",
				   (double)options->costs.spare_us / 1e3, "warm_ms",
				   (double)options->costs.warm_us / 1e3, "duration_ms",
				   (double)options->costs.duration_us / 1e3, "policies", rows);
		r = report ? json_dumpf(report, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9))
			   : -1;
		json_decref(report);
		return r < 0 ? r : puts("");
	}
	(void)printf("A replay of the policy's code in virtual time, not a measurement.\n"
		     "%zu functions, %u minutes, %llu invocations; a cold start takes %.0f ms, a "
		     "handler %.0f ms\n\n%-34s %9s %10s %9s %9s %12s\n",
		     trace->n, trace->minutes, (unsigned long long)total,
		     (double)options->costs.cold_us / 1e3, (double)options->costs.duration_us / 1e3,
		     "POLICY", "COLD %", "KEEP s", "SLOW p50", "SLOW p99", "IDLE GB s");
	json_array_foreach(rows, i, row) print_row(row);
	return 0;
}

/* -- the program -- */

static void add(json_t *rows, const struct trace *trace, const struct options *options,
		const struct model_policy *policy)
{
	struct model_result result = run(trace, options, policy);

	(void)json_array_append_new(rows, result_to_json(policy, &result, options));
	model_result_free(&result);
}

static json_t *compare(const struct trace *trace, const struct options *options)
{
	static const struct {
		const char *name;
		int64_t minutes;
	} fixed[] = { { "fixed, 1 minute", 1 },
		      { "fixed, 5 minutes", 5 },
		      { "fixed, 10 minutes", 10 },
		      { "fixed, 20 minutes", 20 } };
	struct model_policy adaptive = { .name = "adaptive",
					 .kind = MODEL_ADAPTIVE,
					 .bounds = options->bounds,
					 .spares = options->spares,
					 .spares_max = options->spares_max };
	struct model_policy none = { .name = "none", .kind = MODEL_NONE };
	struct model_policy like;
	struct model_result result;
	json_t *rows = json_array();

	add(rows, trace, options, &none);
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		like = fixed_policy(options, fixed[i].name, fixed[i].minutes * MINUTE_US);
		add(rows, trace, options, &like);
	}
	result = run(trace, options, &adaptive);
	like = fixed_policy(options, "fixed, as much idle memory",
			    match(trace, options, &result, true));
	add(rows, trace, options, &like);
	like = fixed_policy(options, "fixed, as few cold starts",
			    match(trace, options, &result, false));
	add(rows, trace, options, &like);
	(void)json_array_append_new(rows, result_to_json(&adaptive, &result, options));
	model_result_free(&result);
	return rows;
}

/* A number from 0 on. */
static int number(const char *text, double most, double *ret)
{
	char *end = NULL;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= 0) || value > most) {
		(void)fprintf(stderr, "mayfly-bench-trace: %s is not a number from 0 to %.0f\n",
			      text, most);
		return -EINVAL;
	}
	*ret = value;
	return 0;
}

static const struct option long_options[] = {
	{ "functions", required_argument, NULL, 'f' },
	{ "memory-size", required_argument, NULL, 'm' },
	{ "cold-ms", required_argument, NULL, 'c' },
	{ "spare-ms", required_argument, NULL, 's' },
	{ "warm-ms", required_argument, NULL, 'w' },
	{ "duration-ms", required_argument, NULL, 'd' },
	{ "keep-alive-min-s", required_argument, NULL, 'i' },
	{ "keep-alive-s", required_argument, NULL, 'k' },
	{ "cold-start-worth-s", required_argument, NULL, 'o' },
	{ "spares", required_argument, NULL, 'n' },
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static int set_option(struct options *options, int which, double value)
{
	switch (which) {
	case 'f':
		options->max_functions = (size_t)value;
		return 0;
	case 'm':
		options->memory_mb = (unsigned)value;
		return 0;
	case 'c':
		options->costs.cold_us = (int64_t)(value * 1e3);
		return 0;
	case 's':
		options->costs.spare_us = (int64_t)(value * 1e3);
		return 0;
	case 'w':
		options->costs.warm_us = (int64_t)(value * 1e3);
		return 0;
	case 'd':
		options->costs.duration_us = (int64_t)(value * 1e3);
		return options->costs.duration_us > 0 ? 0 : -EINVAL;
	case 'i':
		options->bounds.keep_min_us = (int64_t)(value * 1e6);
		return 0;
	case 'k':
		options->bounds.keep_max_us = (int64_t)(value * 1e6);
		return options->bounds.keep_max_us > 0 ? 0 : -EINVAL;
	case 'o':
		options->bounds.worth_us = (int64_t)(value * 1e6);
		return 0;
	case 'n':
		options->spares = (unsigned)value;
		return 0;
	default:
		return -EINVAL;
	}
}

static int parse(struct options *options, int argc, char **argv)
{
	int which;

	while ((which = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		double value = 0;
		int r;

		if (which == 'h') {
			usage();
			exit(EXIT_SUCCESS);
		}
		if (which == 'j') {
			options->json = true;
			continue;
		}
		r = which == '?' ? -EINVAL : number(optarg, 1e7, &value);
		if (r == 0)
			r = set_option(options, which, value);
		if (r < 0)
			return r;
	}
	if (optind != argc - 1)
		return -EINVAL;
	options->path = argv[optind];
	if (options->bounds.worth_us == 0)
		options->bounds.worth_us = options->bounds.keep_max_us;
	if (options->bounds.keep_min_us > options->bounds.keep_max_us)
		options->bounds.keep_min_us = options->bounds.keep_max_us;
	if (options->spares_max < options->spares)
		options->spares_max = options->spares;
	return 0;
}

int main(int argc, char **argv)
{
	struct options options = {
		.max_functions = FUNCTIONS,
		.memory_mb = 128,
		.costs = { .cold_us = 170000,
			   .spare_us = 6000,
			   .warm_us = 1000,
			   .duration_us = 100000 },
		.bounds = { .keep_min_us = MINUTE_US,
			    .keep_max_us = 10 * MINUTE_US,
			    .start_us = 2 * USEC_PER_SEC },
		.spares_max = 16,
	};
	_cleanup_error_ struct error error = ERROR_INIT;
	struct trace trace = { 0 };
	json_t *rows;
	int r;

	if (parse(&options, argc, argv) < 0) {
		usage();
		return 2;
	}
	r = trace_read(options.path, options.max_functions, &trace, &error);
	if (r < 0) {
		(void)fprintf(stderr, "mayfly-bench-trace: %s\n", error_text(&error));
		return EXIT_FAILURE;
	}
	rows = compare(&trace, &options);
	r = print(&trace, &options, rows);
	json_decref(rows);
	trace_free(&trace);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
