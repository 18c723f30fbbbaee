/* SPDX-License-Identifier: Apache-2.0 */

/* A trace of minute counts, replayed against the node with real microVMs, faster than it was; or,
 * in virtual time, against the policy's code alone, by another program. */

#include "cli/bench.h"

#include <errno.h>

#include "cli/bench_raw.h"
#include "cli/output.h"
#include "cli/trace_file.h"
#include "cli/verbs.h"
#include "mayfly/clock.h"

#define SIMULATOR     "mayfly-bench-trace"
#define SIMULATOR_ENV "MAYFLY_BENCH_TRACE"
#define MINUTE_US     (60 * USEC_PER_SEC)
#define EVENTS_MAX    1000000U
#define FUNCTIONS_MAX 200U
#define SAMPLE_US     (250 * USEC_PER_MSEC)

struct event {
	int64_t due_us; /* from the beginning on */
	unsigned function;
};

struct replay {
	struct context *context;
	struct trace trace;    /* owned */
	struct bench *benches; /* owned; one function each */
	struct event *events;  /* owned, in order */
	size_t n_events;
	uint64_t n_functions, speed, from, minutes, clients, duration_ms;
	int64_t begin_us;
	/* Of threads: */
	uint64_t next;   /* event, taken with an atomic */
	uint64_t active; /* threads that still invoke */
	/* Of the one that looks at sandboxes: */
	double idle_gb_s;
	unsigned most_sandboxes;
};

static void replay_end(struct replay *replay)
{
	progress_end();
	for (size_t i = 0; replay->benches && i < replay->trace.n; i++)
		bench_end(&replay->benches[i]);
	free(replay->benches);
	free(replay->events);
	trace_free(&replay->trace);
}

/* -- what is invoked when -- */

static int by_due(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	return (x->due_us > y->due_us) - (x->due_us < y->due_us);
}

static int add_minute(struct replay *replay, unsigned function, unsigned minute, size_t *capacity)
{
	uint32_t count = replay->trace.functions[function].counts[minute];
	int64_t begin_us = (int64_t)(minute - replay->from) * MINUTE_US;
	_cleanup_free_ int64_t *moments = calloc(count + 1, sizeof(*moments));

	if (!moments)
		return -ENOMEM;
	if (replay->n_events + count > EVENTS_MAX)
		return error_set(&replay->context->error, ERROR_INVALID_PARAMETER, "minutes",
				 "more than %u invocations: take fewer --minutes or --functions",
				 EVENTS_MAX);
	while (replay->n_events + count > *capacity) {
		size_t more = *capacity ? 2 * *capacity : 1024;
		struct event *grown = realloc(replay->events, more * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		replay->events = grown;
		*capacity = more;
	}
	trace_spread(count, (uint64_t)function * TRACE_MINUTES_MAX + minute, moments);
	for (uint32_t i = 0; i < count; i++)
		replay->events[replay->n_events++] =
			(struct event){ .due_us = (begin_us + moments[i]) / (int64_t)replay->speed,
					.function = function };
	return 0;
}

static int make_events(struct replay *replay)
{
	size_t capacity = 0;
	uint64_t end = replay->from + replay->minutes;

	if (end > replay->trace.minutes)
		end = replay->trace.minutes;
	for (unsigned f = 0; f < replay->trace.n; f++)
		for (unsigned minute = (unsigned)replay->from; minute < end; minute++) {
			int r = add_minute(replay, f, minute, &capacity);
			if (r < 0)
				return r;
		}
	if (replay->n_events == 0)
		return error_set(&replay->context->error, ERROR_INVALID_PARAMETER, "from",
				 "the trace has no invocation in these minutes");
	qsort(replay->events, replay->n_events, sizeof(*replay->events), by_due);
	return 0;
}

/* -- the replay -- */

static void invoke(struct swarm *swarm, struct replay *replay, const struct event *event,
		   struct client *client)
{
	_cleanup_error_ struct error e = ERROR_INIT;
	struct sample sample = { 0 };
	int64_t due_us = replay->begin_us + event->due_us;

	int r = bench_invoke(client, replay->benches[event->function].function,
			     (unsigned)replay->duration_ms, &sample, &e);
	sample.client_us = clock_monotonic_us() - due_us;
	(void)pthread_mutex_lock(&swarm->lock);
	if (r == 0) {
		series_add(&swarm->series, &sample);
		bench_keep(swarm->bench, &swarm->series, &sample, false);
	} else {
		swarm->series.failed++;
		if (swarm->error.code == ERROR_NONE)
			error_move(&swarm->error, &e);
	}
	(void)pthread_mutex_unlock(&swarm->lock);
}

static bool is_ours(const struct replay *replay, const char *function)
{
	for (size_t i = 0; i < replay->trace.n; i++)
		if (strcmp(replay->benches[i].function, function) == 0)
			return true;
	return false;
}

/* Sandboxes that are ready and unused, and their MemorySize, over time. */
static void watch_idle(struct replay *replay, struct client *client)
{
	int64_t last_us = clock_monotonic_us();

	while (!interrupted && __atomic_load_n(&replay->active, __ATOMIC_ACQUIRE) > 0) {
		_cleanup_message_ Mayfly__V1__ListSandboxesResponse *list = NULL;
		_cleanup_error_ struct error e = ERROR_INIT;
		Mayfly__V1__ListSandboxesRequest request = MAYFLY__V1__LIST_SANDBOXES_REQUEST__INIT;
		double idle_mb = 0;
		unsigned all = 0;

		bench_sleep_until(last_us + SAMPLE_US);
		int64_t now_us = clock_monotonic_us();
		if (client_node_list_sandboxes(client, &request, &list, &e) < 0)
			continue;
		for (size_t i = 0; i < list->n_sandboxes; i++) {
			const Mayfly__V1__Sandbox *s = list->sandboxes[i];
			if (!is_ours(replay, s->function_name))
				continue;
			all++;
			if (s->state == MAYFLY__V1__SANDBOX_STATE__SANDBOX_STATE_READY ||
			    s->state == MAYFLY__V1__SANDBOX_STATE__SANDBOX_STATE_FROZEN)
				idle_mb += s->memory_size_mb;
		}
		replay->idle_gb_s += idle_mb / 1024 * (double)(now_us - last_us) / 1e6;
		if (all > replay->most_sandboxes)
			replay->most_sandboxes = all;
		last_us = now_us;
	}
}

static void run_member(struct swarm *swarm, unsigned index, struct client *client)
{
	struct replay *replay = swarm->user;
	uint64_t i;

	if (index == 0) {
		watch_idle(replay, client);
		return;
	}
	while (!interrupted &&
	       (i = __atomic_fetch_add(&replay->next, 1, __ATOMIC_RELAXED)) < replay->n_events) {
		bench_sleep_until(replay->begin_us + replay->events[i].due_us);
		if (!interrupted)
			invoke(swarm, replay, &replay->events[i], client);
	}
	(void)__atomic_sub_fetch(&replay->active, 1, __ATOMIC_RELEASE);
}

static int deploy(struct replay *replay, const struct arguments *arguments)
{
	replay->benches = calloc(replay->trace.n, sizeof(*replay->benches));
	if (!replay->benches)
		return -ENOMEM;
	for (size_t i = 0; i < replay->trace.n; i++) {
		int r = bench_begin(&replay->benches[i], replay->context, arguments);
		if (r == 0)
			r = bench_deploy(&replay->benches[i], false);
		if (r < 0)
			return r;
	}
	return 0;
}

/* -- figures -- */

static unsigned count_kind(const struct series *series, Mayfly__V1__StartKind kind)
{
	unsigned n = 0;

	for (size_t i = 0; i < series->n; i++)
		n += series->samples[i].start_kind == kind;
	return n;
}

static double slowdown(const struct replay *replay, const struct series *series, double p)
{
	return series_percentile_ms(series, p) / (double)replay->duration_ms;
}

static int print(const struct replay *replay, const struct swarm *swarm)
{
	const struct series *series = &swarm->series;
	unsigned warm = count_kind(series, MAYFLY__V1__START_KIND__START_KIND_WARM);
	unsigned spare = count_kind(series, MAYFLY__V1__START_KIND__START_KIND_SPARE);
	unsigned cold = (unsigned)series->n - warm - spare;
	double seconds = (double)(swarm->end_us - replay->begin_us) / 1e6;
	double rate = series->n > 0 ? (double)cold / (double)series->n : 0;
	_cleanup_json_ json_t *host = bench_host(replay->context);

	if (!host)
		return -error_kind(replay->context->error.code)->errno_value;
	if (replay->context->json)
		return output_json(json_pack(
			"{s:O,s:I,s:I,s:f,s:I,s:I,s:I,s:I,s:f,s:f,s:f,s:f,s:I,s:o}", "host", host,
			"functions", (json_int_t)replay->trace.n, "speed",
			(json_int_t)replay->speed, "seconds", seconds, "invocations",
			(json_int_t)series->n, "warm", (json_int_t)warm, "spare", (json_int_t)spare,
			"cold", (json_int_t)cold, "cold_rate", rate, "slowdown_p50",
			slowdown(replay, series, 50), "slowdown_p99", slowdown(replay, series, 99),
			"idle_memory_gb_s", replay->idle_gb_s, "most_sandboxes",
			(json_int_t)replay->most_sandboxes, "samples", series_to_json(series)));
	bench_print_host(host);
	(void)printf("%zu functions at %llu times the trace's speed, %.0f s, %zu invocations (%u "
		     "failed)\n\n",
		     replay->trace.n, (unsigned long long)replay->speed, seconds, series->n,
		     series->failed);
	output_field("Warm", "%u", warm);
	output_field("From a spare", "%u", spare);
	output_field("Cold", "%u (%.2f %%)", cold, 100 * rate);
	output_field("Slowdown", "p50 %.3f, p99 %.3f", slowdown(replay, series, 50),
		     slowdown(replay, series, 99));
	output_field("Idle memory", "%.1f GB s", replay->idle_gb_s);
	output_field("Sandboxes", "at most %u", replay->most_sandboxes);
	return 0;
}

static int run_live(struct replay *replay, const struct arguments *arguments)
{
	struct swarm swarm = { .clients = (unsigned)replay->clients + 1,
			       .run = run_member,
			       .user = replay,
			       .series.mode = "trace" };
	int r = make_events(replay);

	if (r == 0)
		r = deploy(replay, arguments);
	if (r < 0)
		return r;
	swarm.bench = &replay->benches[0];
	replay->active = replay->clients;
	progress("%zu invocations of %zu functions", replay->n_events, replay->trace.n);
	/* Connecting comes first. */
	replay->begin_us = clock_monotonic_us() + USEC_PER_SEC;
	r = swarm_run(&swarm);
	progress_end();
	if (r == 0)
		r = print(replay, &swarm);
	series_free(&swarm.series);
	return r;
}

/* -- in virtual time -- */

/* Options that the other program has by the same name. */
static const char *const passed[] = {
	"functions",        "memory-size",  "duration-ms",        "cold-ms", "spare-ms", "warm-ms",
	"keep-alive-min-s", "keep-alive-s", "cold-start-worth-s", "spares"
};

/* Does not return when it could be started: it takes our place. */
static int simulate(struct context *context, const struct arguments *arguments)
{
	const char *argv[4 + 2 * ARRAY_SIZE(passed)];
	char names[ARRAY_SIZE(passed)][32], path[4608];
	size_t n = 0;

	if (bench_find_program(SIMULATOR, SIMULATOR_ENV, path, sizeof(path)) < 0)
		return error_set(&context->error, ERROR_NOT_FOUND, NULL,
				 SIMULATOR " is not installed");
	argv[n++] = path;
	for (size_t i = 0; i < ARRAY_SIZE(passed); i++) {
		if (!argument(arguments, passed[i]))
			continue;
		(void)snprintf(names[i], sizeof(names[i]), "--%s", passed[i]);
		argv[n++] = names[i];
		argv[n++] = argument(arguments, passed[i]);
	}
	if (context->json)
		argv[n++] = "--json";
	argv[n++] = operand(arguments, 0);
	argv[n] = NULL;
	(void)execv(path, (char *const *)(uintptr_t)argv);
	return error_set_errno(&context->error, errno, "cannot run %s", path);
}

/* -- the verb -- */

static int take_numbers(struct replay *replay, const struct arguments *arguments)
{
	const struct {
		const char *name;
		uint64_t most;
		uint64_t *value;
	} numbers[] = {
		{ "functions", FUNCTIONS_MAX, &replay->n_functions },
		{ "speed", 100000, &replay->speed },
		{ "from", TRACE_MINUTES_MAX - 1, &replay->from },
		{ "minutes", TRACE_MINUTES_MAX, &replay->minutes },
		{ "clients", 999, &replay->clients },
		{ "duration-ms", 60000, &replay->duration_ms },
	};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		int r = argument_number(arguments, numbers[i].name, numbers[i].most,
					numbers[i].value, &replay->context->error);
		if (r < 0)
			return r;
		if (*numbers[i].value == 0 && numbers[i].value != &replay->from)
			return error_set(&replay->context->error, ERROR_INVALID_PARAMETER,
					 numbers[i].name, "--%s is at least 1", numbers[i].name);
	}
	return 0;
}

static int run(struct context *context, const struct arguments *arguments)
{
	struct replay replay = { .context = context,
				 .n_functions = 20,
				 .speed = 60,
				 .minutes = 60,
				 .clients = 64,
				 .duration_ms = 100 };
	int r;

	if (argument_flag(arguments, "simulate"))
		return simulate(context, arguments);
	r = take_numbers(&replay, arguments);
	if (r == 0)
		r = trace_read(operand(arguments, 0), replay.n_functions, &replay.trace,
			       &context->error);
	if (r == 0)
		r = run_live(&replay, arguments);
	if (r < 0 && context->error.code == ERROR_NONE)
		(void)error_set_errno(&context->error, r, "cannot replay the trace");
	replay_end(&replay);
	return r;
}

static const struct verb_option options[] = {
	BENCH_OPTIONS,
	{ "functions", 0, OPTION_TEXT, "N", "the first so many; 20, with --simulate 1000" },
	{ "speed", 0, OPTION_TEXT, "N", "times as fast as the trace; 60" },
	{ "from", 0, OPTION_TEXT, "MINUTE", "of the trace; 0" },
	{ "minutes", 0, OPTION_TEXT, "N", "of the trace; 60" },
	{ "clients", 'c', OPTION_TEXT, "N", "invocations under way at once; 64" },
	{ "duration-ms", 0, OPTION_TEXT, "MS", "of each invocation's handler; 100" },
	{ "simulate", 0, OPTION_FLAG, NULL, "the policy alone, in virtual time, without the node" },
	{ "cold-ms", 0, OPTION_TEXT, "MS", "simulated: a start that is waited for; 170" },
	{ "spare-ms", 0, OPTION_TEXT, "MS", "simulated: the first invocation of a spare; 6" },
	{ "warm-ms", 0, OPTION_TEXT, "MS", "simulated: any other; 1" },
	{ "keep-alive-min-s", 0, OPTION_TEXT, "S", "simulated: pool.keep_alive_min_s" },
	{ "keep-alive-s", 0, OPTION_TEXT, "S", "simulated: pool.keep_alive_s" },
	{ "cold-start-worth-s", 0, OPTION_TEXT, "S", "simulated: pool.cold_start_worth_s" },
	{ "spares", 0, OPTION_TEXT, "N", "simulated: pool.spares, but 0 by default" },
	{ 0 },
};

const struct verb verb_bench_trace = {
	.name = "bench trace",
	.operands = "FILE",
	.min = 1,
	.max = 1,
	.summary = "Replay a trace of minute counts against the node, or against policies",
	.help = "FILE is as the Azure Functions data set has it (HashOwner,HashApp,HashFunction,"
		"Trigger,\n"
		"1,...,1440), or has rows NAME,COUNT,COUNT,... A minute's invocations are spread "
		"over it\n"
		"at random, the same way each time. Replayed against the node, time goes --speed "
		"times as\n"
		"fast, but the node's own times (pool.keep_alive_s and so on) do not: configure "
		"them "
		"by as\n"
		"much shorter. Slowdown is the time from when an invocation was due to its answer, "
		"by the\n"
		"handler's. With --simulate nothing is measured: the code of the policy runs over "
		"the\n"
		"whole trace in virtual time, with the durations that are given.\n\n"
		"Examples:\n"
		"  mayfly bench trace day.csv --functions 20 --speed 60 --minutes 120\n"
		"  mayfly bench trace day.csv --simulate --cold-ms 170\n",
	.options = options,
	.run = run,
};
