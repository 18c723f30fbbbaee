/* SPDX-License-Identifier: Apache-2.0 */

/* How long the first invocation takes, by the way in which its sandbox comes to be. */

#include "cli/bench.h"
#include "cli/bench_raw.h"
#include "cli/output.h"
#include "cli/verbs.h"

/* Attempts for each wanted sample, before a mode is given up. */
#define MAX_ATTEMPTS 3

static const struct mode {
	const char *name;
	Mayfly__V1__StartPolicy policy;
	unsigned spares;
	bool snap_start, warm;
	Mayfly__V1__StartKind wanted;
	uint64_t default_n;
} modes[] = {
	{ "boot", MAYFLY__V1__START_POLICY__START_POLICY_BOOT, 0, false, false,
	  MAYFLY__V1__START_KIND__START_KIND_BOOT, 5 },
	{ "restore", MAYFLY__V1__START_POLICY__START_POLICY_RESTORE, 0, false, false,
	  MAYFLY__V1__START_KIND__START_KIND_RESTORE, 20 },
	{ "spare", MAYFLY__V1__START_POLICY__START_POLICY_SPARE, 1, false, false,
	  MAYFLY__V1__START_KIND__START_KIND_SPARE, 20 },
	{ "snapstart", MAYFLY__V1__START_POLICY__START_POLICY_RESTORE, 0, true, false,
	  MAYFLY__V1__START_KIND__START_KIND_SNAP_START, 20 },
	{ "warm", MAYFLY__V1__START_POLICY__START_POLICY_UNSPECIFIED, 0, false, true,
	  MAYFLY__V1__START_KIND__START_KIND_WARM, 200 },
};
#define MODES ARRAY_SIZE(modes)

static bool is_listed(const char *list, const char *name)
{
	size_t n = strlen(name);
	for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
		if (strncmp(p, name, n) == 0 && (p[n] == ',' || p[n] == '\0'))
			return true;
	return false;
}

static int check_list(const char *list, struct error *e)
{
	for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
		size_t n = strcspn(p, ",");
		bool known = n == 3 && strncmp(p, "raw", 3) == 0;
		for (size_t i = 0; i < MODES; i++)
			known |= strlen(modes[i].name) == n && strncmp(modes[i].name, p, n) == 0;
		if (!known)
			return error_set(e, ERROR_INVALID_PARAMETER, "mode",
					 "there is no mode '%.*s': take boot, restore, spare, "
					 "snapstart, warm, raw",
					 (int)n, p);
	}
	return 0;
}

static int take_sample(struct bench *bench, const struct mode *mode, struct series *series)
{
	struct sample sample;
	int r = mode->warm ? 0 : bench_set_policy(bench, mode->policy, mode->spares);
	if (r == 0)
		r = bench_invoke(bench->context->client, bench->function, 0, &sample,
				 &bench->context->error);
	if (r < 0)
		return r;
	bool right = sample.start_kind == mode->wanted;
	bench_keep(bench, series, &sample, !right);
	if (right)
		series_add(series, &sample);
	else
		series->discarded++;
	return 0;
}

static int run_mode(struct bench *bench, const struct mode *mode, uint64_t n, struct series *series)
{
	struct sample first;
	int r = bench_deploy(bench, mode->snap_start);
	if (r == 0 && mode->warm) {
		r = bench_set_policy(bench, mode->policy, 0);
		if (r == 0)
			r = bench_invoke(bench->context->client, bench->function, 0, &first,
					 &bench->context->error);
	}
	for (uint64_t i = 0; r == 0 && series->n < n && i < n * MAX_ATTEMPTS && !interrupted; i++) {
		if (!isatty(STDERR_FILENO))
			progress("%s: %llu samples", mode->name, (unsigned long long)n);
		else if (!mode->warm || i % 100 == 0)
			progress("%s: %zu of %llu", mode->name, series->n, (unsigned long long)n);
		r = take_sample(bench, mode, series);
	}
	progress_end();
	if (r == 0 && interrupted)
		return error_set(&bench->context->error, ERROR_CANCELLED, NULL, "interrupted");
	return r;
}

static json_t *make_ratios(const struct series *all, const json_t *raw)
{
	enum { BOOT, RESTORE, SPARE, SNAP_START, WARM };
	double p50[MODES], raw_ms = raw ? json_number_value(json_object_get(raw, "p50_ms")) : -1;
	json_t *ratios = json_object();

	for (size_t i = 0; i < MODES; i++)
		p50[i] = series_percentile_ms(&all[i], 50);
	ratio_add(ratios, "spare/boot", p50[SPARE], p50[BOOT]);
	ratio_add(ratios, "spare/warm", p50[SPARE], p50[WARM]);
	ratio_add(ratios, "restore/boot", p50[RESTORE], p50[BOOT]);
	ratio_add(ratios, "restore/raw", p50[RESTORE], raw_ms);
	ratio_add(ratios, "snapstart/warm", p50[SNAP_START], p50[WARM]);
	return ratios;
}

static void print_ratios(const json_t *ratios)
{
	const char *name;
	json_t *value;

	if (json_object_size(ratios) == 0)
		return;
	(void)puts("\nratios of the p50");
	json_object_foreach((json_t *)ratios, name, value)
	{
		double ratio = json_real_value(value);
		if (ratio < 0.1)
			(void)printf("  %-15s 1/%.1f\n", name, 1 / ratio);
		else
			(void)printf("  %-15s %.2f\n", name, ratio);
	}
}

static void print_platform(const struct series *series)
{
	if (series->n > 0)
		(void)printf("\n%s: without the guest p50 %.3f ms in the agent, %.3f ms with the "
			     "way to it and back\n",
			     series->mode, series_platform_ms(series),
			     series_outside_guest_ms(series));
}

static void print_tables(const struct series *all, const json_t *host, const json_t *raw,
			 const json_t *ratios, const char *runtime)
{
	_cleanup_table_ struct table table = { .headers = series_headers };

	bench_print_host(host);
	(void)printf("%s, from the request handed to gRPC to the last byte of the reply\n",
		     runtime);
	for (size_t i = 0; i < MODES; i++)
		if (all[i].mode)
			series_to_row(&all[i], &table);
	table_print(&table);
	if (raw)
		(void)printf("\nraw QEMU (spawn, load, resume, first reply): p50 %.1f ms\n",
			     json_number_value(json_object_get(raw, "p50_ms")));
	print_platform(&all[MODES - 1]);
	print_ratios(ratios);
}

static int print(struct context *context, const struct series *all, json_t *raw,
		 const char *runtime)
{
	_cleanup_json_ json_t *host = bench_host(context);
	_cleanup_json_ json_t *ratios = make_ratios(all, raw);
	if (!host)
		return -error_kind(context->error.code)->errno_value;
	if (!context->json) {
		print_tables(all, host, raw, ratios, runtime);
		return 0;
	}
	json_t *by_mode = json_object();
	for (size_t i = 0; i < MODES; i++)
		if (all[i].mode)
			(void)json_object_set_new(by_mode, all[i].mode, series_to_json(&all[i]));
	json_t *answer = json_pack("{s:O,s:s,s:o,s:O}", "host", host, "runtime", runtime, "modes",
				   by_mode, "ratios", ratios);
	if (raw)
		(void)json_object_set(answer, "raw_qemu", raw);
	return output_json(answer);
}

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_bench_ struct bench bench = { 0 };
	_cleanup_json_ json_t *raw = NULL;
	struct series all[MODES] = { 0 };
	const char *list = argument(arguments, "mode");
	uint64_t n = 0;

	int r = bench_begin(&bench, context, arguments);
	if (r == 0)
		r = argument_number(arguments, "n", 1000000, &n, &context->error);
	if (r == 0 && list)
		r = check_list(list, &context->error);
	for (size_t i = 0; r == 0 && i < MODES; i++) {
		if (list && !is_listed(list, modes[i].name))
			continue;
		all[i].mode = modes[i].name;
		r = run_mode(&bench, &modes[i], n ? n : modes[i].default_n, &all[i]);
	}
	if (r == 0 && (!list || is_listed(list, "raw")))
		bench_raw(&bench, &(struct raw_run){ .n = n && n < 1000 ? n : 20, .parallel = 1 },
			  &raw);
	if (r == 0)
		r = print(context, all, raw, bench.runtime);
	for (size_t i = 0; i < MODES; i++)
		series_free(&all[i]);
	return r;
}

static const struct verb_option options[] = {
	BENCH_OPTIONS,
	{ "mode", 'm', OPTION_TEXT, "MODE,...", "boot, restore, spare, snapstart, warm, raw; all" },
	{ "n", 'n', OPTION_TEXT, "N", "samples of each mode; else 5 to 200" },
	{ 0 },
};

const struct verb verb_bench_cold_start = {
	.name = "bench cold-start",
	.operands = "",
	.summary = "Measure first invocations by the way their sandbox starts, and warm ones",
	.help = "boot: without a snapshot; restore: nothing prepared; spare: restored ahead;\n"
		"snapstart: from the function's own snapshot; warm: a sandbox used before;\n"
		"raw: QEMU alone, with the same template, function and dialog; as root on the "
		"node.\n"
		"A sample that was started in another way than asked for is discarded and counted\n"
		"(OUT). The function is made for the benchmark and deleted at the end.\n"
		"A sample begins when the request is handed to gRPC, so writing it counts too.\n\n"
		"Examples:\n"
		"  mayfly bench cold-start\n"
		"  mayfly bench cold-start --mode spare,warm -n 200 --samples raw.jsonl\n"
		"  mayfly bench cold-start --runtime nodejs20.x --output json\n"
		"  mayfly bench cold-start --runtime provided.al2023\n",
	.options = options,
	.run = run,
};
