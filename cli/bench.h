/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the benchmarks share: a throw-away function, samples and their figures, clients in
 * parallel. Times are the client's: from just before the request is handed to gRPC, so that framing
 * and writing it count too, to the whole answer there (docs/performance.md). */

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>

#include "cli/messages.h"
#include "cli/verb.h"
#include "mayfly/buf.h"

/* -- figures -- */

struct sample {
	int64_t client_us;
	uint64_t guest_us, total_us; /* of the agent's phases */
	uint64_t phases_us[PHASES];
	Mayfly__V1__StartKind start_kind;
	char sandbox_id[40];
};

/* Samples of one mode. Start zeroed with a name, end with series_free(). */
struct series {
	const char *mode;
	const char *runtime;
	struct sample *samples; /* owned */
	size_t n, capacity;
	unsigned discarded; /* something else than wanted had happened */
	unsigned failed;    /* answered with an error */
};

void series_add(struct series *series, const struct sample *sample);
void series_free(struct series *series);
#define _cleanup_series_ _cleanup_(series_free)

/* The smallest value that p percent of the samples do not exceed (nearest rank); -1 without
 * samples. Milliseconds. */
double series_percentile_ms(const struct series *series, double p);

/* Nearest rank on a sorted array; `n` > 0. */
int64_t nearest_rank(const int64_t *sorted, size_t n, double p);

/* The agent's time less the guest's, p50: what Mayfly itself takes of an invocation. The second
 * counts the way between client and agent too. -1 without samples. */
double series_platform_ms(const struct series *series);
double series_outside_guest_ms(const struct series *series);

/* over/under as member `name`, when both are there. Ratios travel between machines better than
 * times. */
void ratio_add(json_t *ratios, const char *name, double over, double under);

/* {"n":, "p50_ms":, ..., "discarded":, "phases_ms": {}, "starts": {}}; no p99 below 100 samples. */
json_t *series_to_json(const struct series *series);

/* A row for people. */
extern const char *const series_headers[];
struct table;
void series_to_row(const struct series *series, struct table *table);

/* -- the benchmark's function -- */

struct bench {
	struct context *context;
	const char *runtime;
	const char *handler;
	struct buf zip; /* owned */
	char function[64];
	FILE *samples; /* owned; raw samples as JSON lines, or NULL */
	uint64_t memory_mb;
	bool no_raw; /* the baseline failed: not again */
};

#define BENCH_OPTIONS                                                                              \
	{ "runtime", 0, OPTION_TEXT, "RUNTIME",                                                    \
	  "python3.13 (default), nodejs20.x or provided.al2023" },                                 \
		{ "memory-size", 0, OPTION_TEXT, "MB", "of the function; 128 by default" },        \
		{ "zip", 0, OPTION_FILE, "FILE", "a function of your own; any runtime then" },     \
		{ "dir", 0, OPTION_FILE, "FOLDER", "the same, from a folder" },                    \
		{ "handler", 0, OPTION_TEXT, "FILE.FUNCTION", "of your own function" },            \
	{                                                                                          \
		"samples", 0, OPTION_FILE, "FILE", "write every sample as a line of JSON"          \
	}

/* Reads BENCH_OPTIONS. End with bench_end(), which deletes the function too. */
int bench_begin(struct bench *bench, struct context *context, const struct arguments *arguments);
void bench_end(struct bench *bench);
#define _cleanup_bench_ _cleanup_(bench_end)

/* Our own functions sleep so long and answer. */
#define BENCH_EVENT     "{\"sleep_ms\": %u}"

/* Sleeps until then, or until we are interrupted. */
void bench_sleep_until(int64_t monotonic_us);

/* Deploys the function under a fresh name and waits until it is Active; with `snap_start` until
 * its template is there. The one of before is deleted. */
int bench_deploy(struct bench *bench, bool snap_start) _must_use_;

/* NodeService.SetStartPolicy; ends idle sandboxes. */
int bench_set_policy(struct bench *bench, Mayfly__V1__StartPolicy policy,
		     unsigned spares) _must_use_;
/* Those there are stay, and none is started ahead any more. */
int bench_start_no_more(struct bench *bench) _must_use_;

/* Invokes once with {"sleep_ms": hold_ms}. A function error is an error here. */
int bench_invoke(struct client *client, const char *function, unsigned hold_ms, struct sample *ret,
		 struct error *e) _must_use_;

/* Writes a raw sample, if asked for. */
void bench_keep(struct bench *bench, const struct series *series, const struct sample *sample,
		bool discarded);

/* {"host": {...}} with what to compare by. NULL and an error when the node does not say. */
json_t *bench_host(struct context *context);
void bench_print_host(const json_t *host);

/* -- clients in parallel -- */

/* Runs `clients` threads, released together, each calling run(). */
struct swarm {
	struct bench *bench;
	unsigned clients;
	/* Called on each thread; `client` is connected already. */
	void (*run)(struct swarm *swarm, unsigned index, struct client *client);
	void *user;

	pthread_mutex_t lock; /* guards series and error */
	struct series series;
	struct error error; /* the first */
	int64_t begin_us, end_us;
	pthread_barrier_t barrier;
	unsigned next_index;
};

int swarm_run(struct swarm *swarm) _must_use_;

/* For run(): invokes, then notes the sample or the failure. `from_us` is when the request was
 * due, 0 for when it was sent. */
void swarm_invoke(struct swarm *swarm, struct client *client, unsigned hold_ms, int64_t from_us);
