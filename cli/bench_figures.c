/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/bench.h"

#include <math.h>

#include "cli/output.h"

/* A 99th percentile of fewer samples is only their maximum by another name. */
#define P99_MIN_SAMPLES 100

void series_add(struct series *series, const struct sample *sample)
{
	if (series->n == series->capacity) {
		size_t capacity = series->capacity ? 2 * series->capacity : 256;
		struct sample *grown = realloc(series->samples, capacity * sizeof(*grown));
		if (!grown)
			abort(); /* a command line program without memory */
		series->samples = grown;
		series->capacity = capacity;
	}
	series->samples[series->n++] = *sample;
}

void series_free(struct series *series)
{
	free(series->samples);
	series->samples = NULL;
	series->n = series->capacity = 0;
}

int64_t nearest_rank(const int64_t *sorted, size_t n, double p)
{
	size_t rank = (size_t)ceil(p / 100 * (double)n);
	if (rank < 1)
		rank = 1;
	return sorted[(rank > n ? n : rank) - 1];
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static int64_t value_client(const struct sample *s, size_t i _unused_)
{
	return s->client_us;
}

static int64_t value_platform(const struct sample *s, size_t i _unused_)
{
	return (int64_t)(s->total_us - s->guest_us);
}

static int64_t value_outside_guest(const struct sample *s, size_t i _unused_)
{
	return s->client_us - (int64_t)s->guest_us;
}

static int64_t value_phase(const struct sample *s, size_t i)
{
	return (int64_t)s->phases_us[i];
}

static double percentile(const struct series *series, double p,
			 int64_t (*value)(const struct sample *, size_t), size_t which)
{
	_cleanup_free_ int64_t *values = calloc(series->n + 1, sizeof(*values));
	if (series->n == 0 || !values)
		return -1;
	for (size_t i = 0; i < series->n; i++)
		values[i] = value(&series->samples[i], which);
	qsort(values, series->n, sizeof(*values), by_value);
	return (double)nearest_rank(values, series->n, p) / 1e3;
}

double series_percentile_ms(const struct series *series, double p)
{
	return percentile(series, p, value_client, 0);
}

double series_platform_ms(const struct series *series)
{
	return percentile(series, 50, value_platform, 0);
}

double series_outside_guest_ms(const struct series *series)
{
	return percentile(series, 50, value_outside_guest, 0);
}

void ratio_add(json_t *ratios, const char *name, double over, double under)
{
	if (over > 0 && under > 0)
		(void)json_object_set_new(ratios, name, json_real(over / under));
}

static void put(json_t *object, const char *name, double value)
{
	(void)json_object_set_new(object, name, json_real(round(value * 1000) / 1000));
}

/* {"Warm": {"n":, "p50_ms":, "max_ms":}}, of what really happened. */
static json_t *starts_to_json(const struct series *series)
{
	json_t *starts = json_object();

	for (int kind = MAYFLY__V1__START_KIND__START_KIND_WARM;
	     kind <= MAYFLY__V1__START_KIND__START_KIND_BOOT; kind++) {
		_cleanup_series_ struct series of_kind = { 0 };
		for (size_t i = 0; i < series->n; i++)
			if ((int)series->samples[i].start_kind == kind)
				series_add(&of_kind, &series->samples[i]);
		if (of_kind.n == 0)
			continue;
		json_t *figures = json_pack("{s:I}", "n", (json_int_t)of_kind.n);
		put(figures, "p50_ms", series_percentile_ms(&of_kind, 50));
		put(figures, "max_ms", series_percentile_ms(&of_kind, 100));
		(void)json_object_set_new(starts, name_of_start_kind(kind), figures);
	}
	return starts;
}

json_t *series_to_json(const struct series *series)
{
	static const Mayfly__V1__Phases none = MAYFLY__V1__PHASES__INIT;
	struct phase names[PHASES];
	json_t *object = json_pack("{s:I}", "n", (json_int_t)series->n);

	if (series->n > 0) {
		put(object, "p50_ms", series_percentile_ms(series, 50));
		put(object, "p90_ms", series_percentile_ms(series, 90));
		if (series->n >= P99_MIN_SAMPLES)
			put(object, "p99_ms", series_percentile_ms(series, 99));
		put(object, "max_ms", series_percentile_ms(series, 100));
		put(object, "platform_p50_ms", series_platform_ms(series));
		put(object, "outside_guest_p50_ms", series_outside_guest_ms(series));
	}
	(void)json_object_set_new(object, "discarded", json_integer(series->discarded));
	(void)json_object_set_new(object, "failed", json_integer(series->failed));
	json_t *phases = json_object();
	phases_list(&none, names);
	for (size_t i = 0; i < PHASES && series->n > 0; i++)
		put(phases, names[i].name, percentile(series, 50, value_phase, i));
	(void)json_object_set_new(object, "phases_ms", phases);
	(void)json_object_set_new(object, "starts", starts_to_json(series));
	return object;
}

const char *const series_headers[] = { "MODE",   "N",   "P50 ms",         "P90 ms", "P99 ms",
				       "MAX ms", "OUT", "PHASES, p50 ms", NULL };

/* Those that took any time, in order. */
static void phases_text(const struct series *series, char *out, size_t size)
{
	static const Mayfly__V1__Phases none = MAYFLY__V1__PHASES__INIT;
	struct phase names[PHASES];
	size_t used = 0;

	out[0] = '\0';
	phases_list(&none, names);
	for (size_t i = 0; i < PHASES && series->n > 0; i++) {
		double ms = percentile(series, 50, value_phase, i);
		if (ms < 0.0005)
			continue;
		int n = snprintf(out + used, size - used, "%s%s %.3g", used ? ", " : "",
				 names[i].name, ms);
		if (n < 0 || (size_t)n >= size - used)
			return;
		used += (size_t)n;
	}
}

static void cell_ms(struct table *table, const struct series *series, double p)
{
	if (series->n == 0 || (p > 98 && p < 100 && series->n < P99_MIN_SAMPLES))
		table_cell(table, "-");
	else
		table_cell(table, "%.3f", series_percentile_ms(series, p));
}

void series_to_row(const struct series *series, struct table *table)
{
	char phases[256];

	phases_text(series, phases, sizeof(phases));
	table_cell(table, "%s", series->mode);
	table_cell(table, "%zu", series->n);
	cell_ms(table, series, 50);
	cell_ms(table, series, 90);
	cell_ms(table, series, 99);
	cell_ms(table, series, 100);
	table_cell(table, "%u", series->discarded + series->failed);
	table_cell(table, "%s", phases);
}
