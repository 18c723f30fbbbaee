/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/metrics_message.h"

#include <errno.h>
#include <string.h>

#include "agent/account/budget.h"
#include "mayfly/clock.h"

/* -- functions -- */

struct filling {
	const struct metrics_service_config *config;
	const struct metrics_scope *scope;
	Mayfly__V1__MetricsSnapshot *message;
	size_t room; /* for functions */
	int result;
};

static char *text(const char *borrowed)
{
	return (char *)(uintptr_t)borrowed;
}

/* Counts are borrowed from the metrics, as texts are. */
static Mayfly__V1__DurationHistogram *new_histogram(const struct histogram *histogram)
{
	Mayfly__V1__DurationHistogram *message = malloc(sizeof(*message));

	if (!message)
		return NULL;
	mayfly__v1__duration_histogram__init(message);
	message->n_counts = METRICS_BUCKETS;
	message->counts = (uint64_t *)(uintptr_t)histogram->counts;
	message->count = histogram->count;
	message->sum_us = histogram->sum_us;
	return message;
}

static Mayfly__V1__FunctionMetrics *new_function(const struct function_metrics *row,
						 unsigned in_use, unsigned provisioned,
						 unsigned available)
{
	Mayfly__V1__FunctionMetrics *message = malloc(sizeof(*message));

	if (!message)
		return NULL;
	mayfly__v1__function_metrics__init(message);
	message->tenant = text(row->tenant);
	message->function_name = text(row->function_name);
	message->invocations = row->invocations;
	message->errors = row->errors;
	message->throttles = row->throttles;
	message->provisioned_invocations = row->provisioned;
	message->provisioned_spillovers = row->spilled_over;
	message->warm_starts = row->starts[METRICS_WARM];
	message->spare_starts = row->starts[METRICS_SPARE];
	message->restore_starts = row->starts[METRICS_RESTORE];
	message->boot_starts = row->starts[METRICS_BOOT];
	message->concurrent_executions = in_use;
	message->provisioned_concurrent_executions = provisioned;
	message->provisioned_available = available;
	message->duration = new_histogram(&row->duration);
	if (message->duration)
		return message;
	free(message);
	return NULL;
}

static int make_room(struct filling *filling)
{
	Mayfly__V1__MetricsSnapshot *message = filling->message;
	size_t room = filling->room ? 2 * filling->room : 64;
	Mayfly__V1__FunctionMetrics **more;

	if (message->n_functions < filling->room)
		return 0;
	more = (Mayfly__V1__FunctionMetrics **)reallocarray(message->functions, room,
							    sizeof(*more));
	if (!more)
		return -ENOMEM;
	message->functions = more;
	filling->room = room;
	return 0;
}

/* What runs now is told each time, for how much does changes without a count. */
static void add_function(const struct function_metrics *row, void *arg)
{
	struct filling *filling = arg;
	const struct metrics_scope *scope = filling->scope;
	const struct invoker *invoker = filling->config->invoker;
	Mayfly__V1__FunctionMetrics *message;
	unsigned in_use;

	if (filling->result < 0 || (scope->tenant[0] && strcmp(scope->tenant, row->tenant) != 0) ||
	    (scope->function[0] && strcmp(scope->function, row->function_name) != 0))
		return;
	in_use = invoker_function_concurrency(invoker, row->tenant, row->function_name);
	if (row->serial <= scope->since && in_use == 0)
		return;
	filling->result = make_room(filling);
	if (filling->result < 0)
		return;
	message = new_function(
		row, in_use,
		invoker_provisioned_concurrency(invoker, row->tenant, row->function_name),
		invoker_provisioned_available(invoker, row->tenant, row->function_name));
	if (message)
		filling->message->functions[filling->message->n_functions++] = message;
	else
		filling->result = -ENOMEM;
}

/* -- tenants -- */

static int compare_tenants(const void *a, const void *b)
{
	return strcmp((*(const Mayfly__V1__FunctionMetrics *const *)a)->tenant,
		      (*(const Mayfly__V1__FunctionMetrics *const *)b)->tenant);
}

static Mayfly__V1__TenantMetrics *new_tenant(const struct invoker *invoker, const char *tenant)
{
	Mayfly__V1__TenantMetrics *message = malloc(sizeof(*message));
	struct concurrency_usage usage;

	if (!message)
		return NULL;
	mayfly__v1__tenant_metrics__init(message);
	invoker_tenant_concurrency(invoker, tenant, &usage);
	message->tenant = text(tenant);
	message->concurrent_executions = usage.in_use;
	message->unreserved_concurrent_executions = usage.unreserved_in_use;
	message->claimed_account_concurrency = usage.unreserved_in_use + usage.reserved;
	message->concurrency_limit = usage.limit;
	return message;
}

static int add_tenants(struct filling *filling)
{
	Mayfly__V1__MetricsSnapshot *message = filling->message;

	if (message->n_functions == 0)
		return 0;
	qsort((void *)message->functions, message->n_functions, sizeof(*message->functions),
	      compare_tenants);
	message->tenants = (Mayfly__V1__TenantMetrics **)calloc(message->n_functions,
								sizeof(*message->tenants));
	if (!message->tenants)
		return -ENOMEM;
	for (size_t i = 0; i < message->n_functions; i++) {
		const char *tenant = message->functions[i]->tenant;
		Mayfly__V1__TenantMetrics *row;

		if (i > 0 && strcmp(message->functions[i - 1]->tenant, tenant) == 0)
			continue;
		row = new_tenant(filling->config->invoker, tenant);
		if (!row)
			return -ENOMEM;
		message->tenants[message->n_tenants++] = row;
	}
	return 0;
}

/* -- the node -- */

static int add_phases(const struct metrics *metrics, Mayfly__V1__NodeMetrics *message)
{
	message->phases =
		(Mayfly__V1__PhaseMetrics **)calloc(_METRICS_PHASE_MAX, sizeof(*message->phases));
	if (!message->phases)
		return -ENOMEM;
	for (unsigned i = 0; i < _METRICS_PHASE_MAX; i++) {
		Mayfly__V1__PhaseMetrics *phase = malloc(sizeof(*phase));

		if (!phase)
			return -ENOMEM;
		mayfly__v1__phase_metrics__init(phase);
		message->phases[message->n_phases++] = phase;
		phase->phase = text(metrics_phase_names[i]);
		phase->duration = new_histogram(metrics_phase(metrics, (enum metrics_phase)i));
		if (!phase->duration)
			return -ENOMEM;
	}
	return 0;
}

static void fill_pool(const struct pool *pool, Mayfly__V1__NodeMetrics *message)
{
	struct pool_gauges gauges;

	pool_gauges(pool, &gauges);
	message->sandboxes_busy = gauges.busy;
	message->sandboxes_frozen = gauges.frozen;
	message->sandboxes_spare = gauges.spare;
	message->sandboxes_starting = gauges.starting;
	message->sandbox_starts = gauges.starts;
	message->sandbox_start_failures = gauges.start_failures;
	message->evictions = gauges.evictions;
	message->memory_bytes = gauges.memory_committed_bytes;
	message->memory_budget_bytes = gauges.memory_budget_bytes;
	message->invocations_waiting = gauges.waiting;
}

static void fill_events(const struct event_queue *events, Mayfly__V1__NodeMetrics *message)
{
	struct event_gauges gauges;

	event_queue_gauges(events, &gauges);
	message->events_waiting = gauges.waiting;
	message->events_running = gauges.running;
	message->events_received = gauges.received;
	message->events_dropped = gauges.dropped;
	message->events_delayed = gauges.delayed;
	message->events_oldest_age_us = gauges.oldest_age_us;
}

static int add_node(const struct metrics_service_config *config,
		    Mayfly__V1__MetricsSnapshot *snapshot)
{
	Mayfly__V1__NodeMetrics *message = malloc(sizeof(*message));
	struct account_budget_counts budgets;
	struct invoker_gauges invoker;

	if (!message)
		return -ENOMEM;
	mayfly__v1__node_metrics__init(message);
	snapshot->node = message;
	fill_pool(config->pool, message);
	if (config->events)
		fill_events(config->events, message);
	invoker_gauges(config->invoker, &invoker);
	account_budget_counts(config->account, &budgets);
	message->invocations_running = invoker.running;
	message->ledger_waiting_records = account_waiting(config->account);
	message->budget_soft_reached = budgets.soft_reached;
	message->budget_hard_reached = budgets.hard_reached;
	message->budget_refusals = budgets.refused;
	return add_phases(invoker_metrics(config->invoker), message);
}

/* -- all of it -- */

int metrics_message_fill(const struct metrics_service_config *config,
			 const struct metrics_scope *scope, Mayfly__V1__MetricsSnapshot *ret)
{
	struct filling filling = { .config = config, .scope = scope, .message = ret };
	int r;

	mayfly__v1__metrics_snapshot__init(ret);
	ret->time_us = clock_realtime_us();
	ret->whole = scope->since == 0;
	if (ret->whole) {
		ret->n_duration_bounds_us = METRICS_BUCKETS;
		ret->duration_bounds_us = (int64_t *)(uintptr_t)metrics_bounds_us;
	}
	metrics_each(invoker_metrics(config->invoker), add_function, &filling);
	r = filling.result;
	if (r == 0)
		r = add_tenants(&filling);
	return r < 0 || scope->tenant[0] ? r : add_node(config, ret);
}

void metrics_message_clear(Mayfly__V1__MetricsSnapshot *message)
{
	for (size_t i = 0; i < message->n_functions; i++) {
		free(message->functions[i]->duration);
		free(message->functions[i]);
	}
	free((void *)message->functions);
	for (size_t i = 0; i < message->n_tenants; i++)
		free(message->tenants[i]);
	free((void *)message->tenants);
	for (size_t i = 0; message->node && i < message->node->n_phases; i++) {
		free(message->node->phases[i]->duration);
		free(message->node->phases[i]);
	}
	if (message->node)
		free((void *)message->node->phases);
	free(message->node);
	mayfly__v1__metrics_snapshot__init(message);
}
