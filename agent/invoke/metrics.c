/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/invoke/metrics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HASH_FUNCTION HASH_FNV
#include <uthash.h>

#include "agent/functions/function.h"
#include "mayfly/clock.h"

#define KEY_BYTES (TENANT_ID_DIGITS + 1 + FUNCTION_NAME_MAX + 1)

const int64_t metrics_bounds_us[METRICS_BUCKETS] = {
	1000,    2500,    5000,    10000,    25000,    50000,    100000,    250000,    500000,
	1000000, 2500000, 5000000, 10000000, 30000000, 60000000, 300000000, 900000000, INT64_MAX,
};

const char *const metrics_start_names[_METRICS_START_MAX] = {
	[METRICS_WARM] = "warm",
	[METRICS_SPARE] = "spare",
	[METRICS_RESTORE] = "restore",
	[METRICS_BOOT] = "boot",
};

const char *const metrics_phase_names[_METRICS_PHASE_MAX] = {
	[METRICS_PLACE] = "place",   [METRICS_SPAWN] = "spawn", [METRICS_LOAD] = "load",
	[METRICS_RESUME] = "resume", [METRICS_INIT] = "init",
};

struct row {
	char key[KEY_BYTES]; /* TENANT/NAME */
	char tenant[TENANT_ID_DIGITS + 1];
	struct function_metrics counts;
	UT_hash_handle hh;
};

struct metrics {
	struct row *rows;
	unsigned functions; /* rows but those of the others */
	unsigned max_functions;
	struct histogram phases[_METRICS_PHASE_MAX];
	uint64_t serial, forgot;
};

int metrics_new(unsigned max_functions, struct metrics **ret)
{
	struct metrics *metrics = calloc(1, sizeof(*metrics));

	if (!metrics)
		return -ENOMEM;
	metrics->max_functions = max_functions;
	*ret = metrics;
	return 0;
}

struct metrics *metrics_free(struct metrics *metrics)
{
	struct row *row, *next;

	if (!metrics)
		return NULL;
	HASH_ITER (hh, metrics->rows, row, next) {
		HASH_DEL(metrics->rows, row);
		free(row);
	}
	free(metrics);
	return NULL;
}

/* -- rows -- */

static bool is_others(const struct row *row)
{
	return strcmp(row->counts.function_name, METRICS_OTHERS) == 0;
}

static struct row *find(const struct metrics *metrics, const char *tenant, const char *name,
			char key[KEY_BYTES])
{
	struct row *row;
	int len = snprintf(key, KEY_BYTES, "%s/%s", tenant, name);

	if (len < 0 || len >= KEY_BYTES)
		return NULL;
	HASH_FIND_STR(metrics->rows, key, row);
	return row;
}

static struct row *get(struct metrics *metrics, const char *tenant, const char *name)
{
	char key[KEY_BYTES];
	struct row *row = find(metrics, tenant, name, key);

	if (row || strlen(tenant) > TENANT_ID_DIGITS || strlen(name) > FUNCTION_NAME_MAX)
		return row;
	if (strcmp(name, METRICS_OTHERS) != 0 && metrics->functions >= metrics->max_functions)
		return get(metrics, tenant, METRICS_OTHERS);
	row = calloc(1, sizeof(*row));
	if (!row)
		return NULL;
	memcpy(row->key, key, KEY_BYTES);
	memcpy(row->tenant, tenant, strlen(tenant) + 1);
	row->counts.tenant = row->tenant;
	row->counts.function_name = strchr(row->key, '/') + 1;
	metrics->functions += !is_others(row);
	HASH_ADD_STR(metrics->rows, key, row);
	return row;
}

void metrics_forget(struct metrics *metrics, const char *tenant, const char *function_name)
{
	char key[KEY_BYTES];
	struct row *row = find(metrics, tenant, function_name, key);

	if (!row)
		return;
	metrics->functions--;
	metrics->forgot = ++metrics->serial;
	HASH_DEL(metrics->rows, row);
	free(row);
}

/* -- counting -- */

static void add(struct histogram *histogram, int64_t us)
{
	unsigned i = 0;

	while (us > metrics_bounds_us[i])
		i++;
	histogram->counts[i]++;
	histogram->count++;
	histogram->sum_us += us > 0 ? (uint64_t)us : 0;
}

void metrics_count_invocation(struct metrics *metrics, const struct metrics_sample *sample)
{
	struct row *row = get(metrics, sample->tenant, sample->function_name);

	for (unsigned i = 0; i < _METRICS_PHASE_MAX; i++)
		if (sample->phases_us[i] > 0)
			add(&metrics->phases[i], sample->phases_us[i]);
	if (!row)
		return;
	row->counts.serial = ++metrics->serial;
	row->counts.invocations++;
	row->counts.errors += sample->function_error;
	row->counts.provisioned += sample->provisioned;
	row->counts.spilled_over += sample->spilled_over;
	row->counts.starts[sample->start]++;
	add(&row->counts.duration, sample->duration_us);
}

void metrics_count_throttle(struct metrics *metrics, const char *tenant, const char *function_name)
{
	struct row *row = get(metrics, tenant, function_name);

	if (!row)
		return;
	row->counts.serial = ++metrics->serial;
	row->counts.throttles++;
}

void metrics_touch(struct metrics *metrics, const char *tenant, const char *function_name)
{
	char key[KEY_BYTES];
	struct row *row = find(metrics, tenant, function_name, key);

	if (row)
		row->counts.serial = ++metrics->serial;
}

void metrics_count_event(struct metrics *metrics, const char *tenant, const char *function_name,
			 enum metrics_event event)
{
	struct row *row = get(metrics, tenant, function_name);

	if (row)
		row->counts.events[event]++;
}

/* -- reading -- */

void metrics_each(const struct metrics *metrics,
		  void (*fn)(const struct function_metrics *row, void *arg), void *arg)
{
	for (const struct row *row = metrics->rows; row; row = row->hh.next)
		fn(&row->counts, arg);
}

uint64_t metrics_serial(const struct metrics *metrics)
{
	return metrics->serial;
}

uint64_t metrics_forgot(const struct metrics *metrics)
{
	return metrics->forgot;
}

const struct histogram *metrics_phase(const struct metrics *metrics, enum metrics_phase phase)
{
	return &metrics->phases[phase];
}
