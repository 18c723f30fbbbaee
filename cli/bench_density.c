/* SPDX-License-Identifier: Apache-2.0 */

/* Many sandboxes at once, each answering, and the memory that each has for itself. */

#include "cli/bench.h"

#include <errno.h>
#include <time.h>

#include "cli/output.h"
#include "cli/verbs.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"

/* Invocations are held ever longer, until none is served by a sandbox that another left. */
#define FIRST_HOLD_MS 2000
#define MAX_ROUNDS    8
#define MAX_SANDBOXES 1000
/* Between the two readings of what stopped sandboxes have used. */
#define IDLE_US       (2 * USEC_PER_SEC)
/* A sandbox is stopped a moment after its reply. */
#define STOP_TRIES    20
#define STOP_PAUSE_NS 100000000L

/* Sandboxes that serve nobody, and the processor time of their QEMU. */
struct idle {
	size_t n; /* 0: not read, because the node's processes are not ours to see */
	uint64_t ticks, max_ticks;
	int64_t us;
};

struct density {
	unsigned wanted, rounds;
	unsigned distinct; /* sandboxes that answered in the last round */
	size_t live;
	int64_t wall_us;
	int64_t *anonymous; /* owned, sorted; [live] */
	struct idle idle;
};

static void invoke_once(struct swarm *swarm, unsigned index _unused_, struct client *client)
{
	swarm_invoke(swarm, client, *(unsigned *)swarm->user, 0);
}

static int by_sandbox(const void *a, const void *b)
{
	return strcmp(((const struct sample *)a)->sandbox_id,
		      ((const struct sample *)b)->sandbox_id);
}

static unsigned count_distinct(struct series *series)
{
	unsigned n = 0;
	if (series->n > 0)
		qsort(series->samples, series->n, sizeof(*series->samples), by_sandbox);
	for (size_t i = 0; i < series->n; i++)
		n += i == 0 || by_sandbox(&series->samples[i - 1], &series->samples[i]) != 0;
	return n;
}

static int run_round(struct bench *bench, unsigned hold_ms, struct density *density)
{
	struct swarm swarm = { .bench = bench,
			       .clients = density->wanted,
			       .run = invoke_once,
			       .user = &hold_ms,
			       .series.mode = "density" };

	progress("round %u: %u invocations at once", density->rounds + 1, density->wanted);
	int r = swarm_run(&swarm);
	progress_end();
	density->rounds++;
	density->wall_us += swarm.end_us - swarm.begin_us;
	density->distinct = count_distinct(&swarm.series);
	if (r == 0 && swarm.series.failed > 0)
		r = error_set(&bench->context->error, ERROR_TOO_MANY_REQUESTS, NULL,
			      "%u of %u invocations were not answered", swarm.series.failed,
			      density->wanted);
	series_free(&swarm.series);
	return r;
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

/* utime + stime of this very sandbox's QEMU; -ESRCH when the process is another one or is not
 * here, because the node is another machine. */
static int read_ticks(const Mayfly__V1__Sandbox *sandbox, uint64_t *ret)
{
	_cleanup_buf_ struct buf command = BUF_INIT, stat = BUF_INIT;
	unsigned long long user, system;
	char path[48];

	(void)snprintf(path, sizeof(path), "/proc/%u/cmdline", sandbox->pid);
	int r = fs_read_file(path, 1U << 20, &command);
	if (r < 0 || !*sandbox->sandbox_id ||
	    !memmem(command.data, command.len, sandbox->sandbox_id, strlen(sandbox->sandbox_id)))
		return -ESRCH;
	(void)snprintf(path, sizeof(path), "/proc/%u/stat", sandbox->pid);
	r = fs_read_file(path, 4096, &stat);
	const char *end = r < 0 ? NULL : strrchr(buf_string(&stat), ')');
	if (!end || sscanf(end, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
			   &system) != 2)
		return -ESRCH;
	*ret = user + system;
	return 0;
}

/* What is stopped now is read, waited for and read again. */
static int measure_idle(const Mayfly__V1__ListSandboxesResponse *list, struct idle *idle)
{
	_cleanup_free_ uint64_t *before = calloc(list->n_sandboxes + 1, sizeof(*before));
	_cleanup_free_ bool *read = calloc(list->n_sandboxes + 1, sizeof(*read));
	const struct timespec pause = { .tv_sec = IDLE_US / USEC_PER_SEC };
	uint64_t after;

	if (!before || !read)
		abort();
	int64_t from_us = clock_monotonic_us();
	for (size_t i = 0; i < list->n_sandboxes; i++)
		read[i] = list->sandboxes[i]->state ==
				  MAYFLY__V1__SANDBOX_STATE__SANDBOX_STATE_FROZEN &&
			  read_ticks(list->sandboxes[i], &before[i]) == 0;
	(void)nanosleep(&pause, NULL);
	idle->us = clock_monotonic_us() - from_us;
	for (size_t i = 0; i < list->n_sandboxes; i++) {
		if (!read[i] || read_ticks(list->sandboxes[i], &after) < 0)
			continue;
		idle->n++;
		idle->ticks += after - before[i];
		if (after - before[i] > idle->max_ticks)
			idle->max_ticks = after - before[i];
	}
	return interrupted ? -ECANCELED : 0;
}

static unsigned count_stopped(const Mayfly__V1__ListSandboxesResponse *list)
{
	unsigned n = 0;
	for (size_t i = 0; i < list->n_sandboxes; i++)
		n += list->sandboxes[i]->state == MAYFLY__V1__SANDBOX_STATE__SANDBOX_STATE_FROZEN;
	return n;
}

/* When as many are stopped as answered, or after a while. */
static int list_stopped(struct bench *bench, unsigned wanted,
			Mayfly__V1__ListSandboxesResponse **ret)
{
	Mayfly__V1__ListSandboxesRequest request = MAYFLY__V1__LIST_SANDBOXES_REQUEST__INIT;
	const struct timespec pause = { .tv_nsec = STOP_PAUSE_NS };

	request.function_name = bench->function;
	for (unsigned i = 0;; i++) {
		_cleanup_message_ Mayfly__V1__ListSandboxesResponse *list = NULL;
		int r = client_node_list_sandboxes(bench->context->client, &request, &list,
						   &bench->context->error);
		if (r < 0)
			return r;
		if (count_stopped(list) >= wanted || i >= STOP_TRIES) {
			*ret = TAKE_PTR(list);
			return 0;
		}
		(void)nanosleep(&pause, NULL);
	}
}

static int measure(struct bench *bench, struct density *density)
{
	_cleanup_message_ Mayfly__V1__ListSandboxesResponse *list = NULL;

	int r = list_stopped(bench, density->distinct, &list);
	if (r < 0)
		return r;
	density->anonymous = calloc(list->n_sandboxes + 1, sizeof(*density->anonymous));
	if (!density->anonymous)
		abort();
	for (size_t i = 0; i < list->n_sandboxes; i++)
		if (list->sandboxes[i]->anonymous_bytes > 0)
			density->anonymous[density->live++] =
				(int64_t)list->sandboxes[i]->anonymous_bytes;
	qsort(density->anonymous, density->live, sizeof(*density->anonymous), by_value);
	progress("what stopped sandboxes use");
	r = measure_idle(list, &density->idle);
	progress_end();
	return r < 0 ? error_set(&bench->context->error, ERROR_CANCELLED, NULL, "interrupted") : 0;
}

static double ticks_to_ms(uint64_t ticks)
{
	return (double)ticks * 1000 / (double)sysconf(_SC_CLK_TCK);
}

static json_t *idle_to_json(const struct idle *idle)
{
	return json_pack("{s:i,s:f,s:f,s:f}", "sandboxes", (int)idle->n, "seconds",
			 (double)idle->us / 1e6, "cpu_ms", ticks_to_ms(idle->ticks), "cpu_max_ms",
			 ticks_to_ms(idle->max_ticks));
}

static int print(struct context *context, const struct bench *bench, const struct density *d)
{
	_cleanup_json_ json_t *host = bench_host(context);
	int64_t p50 = d->live ? nearest_rank(d->anonymous, d->live, 50) : 0;
	int64_t max = d->live ? d->anonymous[d->live - 1] : 0;
	char a[TEXT_BYTES], b[TEXT_BYTES], c[TEXT_BYTES];

	if (!host)
		return -error_kind(context->error.code)->errno_value;
	if (context->json)
		return output_json(json_pack(
			"{s:O,s:s,s:{s:i,s:i,s:i,s:i,s:f,s:I,s:I,s:o}}", "host", host, "runtime",
			bench->runtime, "density", "wanted", (int)d->wanted, "answering",
			(int)d->distinct, "live", (int)d->live, "rounds", (int)d->rounds, "wall_ms",
			(double)d->wall_us / 1e3, "anonymous_p50_bytes", (json_int_t)p50,
			"anonymous_max_bytes", (json_int_t)max, "stopped", idle_to_json(&d->idle)));
	bench_print_host(host);
	(void)printf("%u sandboxes answered at once (%u wanted, %zu live), after %u rounds, %s\n"
		     "unshared memory of each: p50 %s, max %s\n",
		     d->distinct, d->wanted, d->live, d->rounds, text_duration(d->wall_us, a),
		     text_bytes((uint64_t)p50, b), text_bytes((uint64_t)max, c));
	if (d->idle.n > 0)
		(void)printf("%zu stopped ones used %.0f ms of processor time in %.1f s\n",
			     d->idle.n, ticks_to_ms(d->idle.ticks), (double)d->idle.us / 1e6);
	else
		(void)puts("the processor time of stopped ones is read only on the node itself");
	return 0;
}

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_bench_ struct bench bench = { 0 };
	struct density density = { 0 };
	uint64_t n = 50;

	int r = bench_begin(&bench, context, arguments);
	if (r == 0)
		r = argument_number(arguments, "n", MAX_SANDBOXES, &n, &context->error);
	if (r == 0 && n == 0)
		r = error_set(&context->error, ERROR_INVALID_PARAMETER, "n", "-n is at least 1");
	density.wanted = (unsigned)n;
	if (r == 0)
		r = bench_deploy(&bench, false);
	unsigned hold_ms = FIRST_HOLD_MS;
	while (r == 0 && density.distinct < n && density.rounds < MAX_ROUNDS) {
		r = run_round(&bench, hold_ms, &density);
		hold_ms = hold_ms < 60000 ? hold_ms * 2 : hold_ms;
	}
	if (r == 0)
		r = measure(&bench, &density);
	if (r == 0)
		r = print(context, &bench, &density);
	free(density.anonymous);
	if (r == 0 && density.distinct < n)
		return error_set(&context->error, ERROR_TOO_MANY_REQUESTS, NULL,
				 "only %u of %llu sandboxes answered at once", density.distinct,
				 (unsigned long long)n);
	return r;
}

static const struct verb_option options[] = {
	BENCH_OPTIONS,
	{ "n", 'n', OPTION_TEXT, "N", "sandboxes; 50 by default" },
	{ 0 },
};

const struct verb verb_bench_density = {
	.name = "bench density",
	.operands = "",
	.summary = "Start many sandboxes at once and measure their unshared memory",
	.help = "Example:\n"
		"  mayfly bench density -n 200\n",
	.options = options,
	.run = run,
};
