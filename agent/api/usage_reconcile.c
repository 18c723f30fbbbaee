/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/usage_reconcile.h"

#include <errno.h>
#include <string.h>

#include "agent/api/usage_message.h"
#include "agent/pool/cpu_use.h"

#define CPU_ROWS_MAX 1000

struct reconcile_call {
	struct account *account;
	struct rpc_call *call;
};

static void fail(struct rpc_call *call, int code)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	(void)error_set_errno(&error, code, "Cannot read the ledger");
	rpc_call_fail(call, &error);
}

static bool is_compared(const struct account_difference *difference, size_t figure)
{
	return !difference->of_counters || figure == LEDGER_INVOCATIONS ||
	       figure == LEDGER_ERRORS || figure == LEDGER_BILLED_MS || figure == LEDGER_MB_MS;
}

static int name_figures(const struct account_difference *difference,
			Mayfly__V1__UsageDifference *message)
{
	message->figures = calloc(_LEDGER_FIGURES, sizeof(*message->figures));
	if (!message->figures)
		return -ENOMEM;
	for (size_t i = 0; i < _LEDGER_FIGURES; i++) {
		if (!is_compared(difference, i) ||
		    difference->counted.figures[i] == difference->claimed.figures[i])
			continue;
		message->figures[message->n_figures] =
			strdup(ledger_figure_name((enum ledger_figure)i));
		if (!message->figures[message->n_figures])
			return -ENOMEM;
		message->n_figures++;
	}
	return 0;
}

static Mayfly__V1__UsageDifference *difference_message(const struct account_difference *difference)
{
	Mayfly__V1__UsageDifference *message = malloc(sizeof(*message));

	if (!message)
		return NULL;
	mayfly__v1__usage_difference__init(message);
	message->counted = usage_row_message(&difference->counted, NULL);
	message->claimed = usage_row_message(&difference->claimed, NULL);
	message->claimed_by = strdup(difference->of_counters      ? "counters"
				     : difference->claimed.is_day ? "day"
								  : "rollup");
	if (message->counted && message->claimed && message->claimed_by &&
	    name_figures(difference, message) == 0)
		return message;
	mayfly__v1__usage_difference__free_unpacked(message, NULL);
	return NULL;
}

static int add_differences(const struct account_reconciled *result,
			   Mayfly__V1__ReconcileUsageResponse *response)
{
	response->differences = calloc(result->count + 1, sizeof(*response->differences));
	if (!response->differences)
		return -ENOMEM;
	while (response->n_differences < result->count) {
		Mayfly__V1__UsageDifference *difference =
			difference_message(&result->differences[response->n_differences]);

		if (!difference)
			return -ENOMEM;
		response->differences[response->n_differences++] = difference;
	}
	return 0;
}

static Mayfly__V1__UsageCpu *cpu_message(const struct account_host_check *check)
{
	Mayfly__V1__UsageCpu *message = malloc(sizeof(*message));

	if (!message)
		return NULL;
	mayfly__v1__usage_cpu__init(message);
	message->sandboxes = check->use.sandboxes;
	message->uncounted = check->use.uncounted;
	message->start_us = check->use.start_us;
	message->serve_us = check->use.serve_us;
	message->invocations = (uint64_t)check->invocations;
	message->billed_ms = (uint64_t)check->billed_ms;
	message->allowed_us = check->allowed_us;
	message->tenant = strdup(check->use.tenant);
	message->function_name = strdup(check->use.function);
	message->version = strdup(check->use.version);
	message->difference = strdup(check->difference ? check->difference : "");
	if (message->tenant && message->function_name && message->version && message->difference)
		return message;
	mayfly__v1__usage_cpu__free_unpacked(message, NULL);
	return NULL;
}

static int add_cpu(const struct account_reconciled *result,
		   Mayfly__V1__ReconcileUsageResponse *response)
{
	size_t count = result->host_count < CPU_ROWS_MAX ? result->host_count : CPU_ROWS_MAX;

	response->cpu = calloc(count + 1, sizeof(*response->cpu));
	if (!response->cpu)
		return -ENOMEM;
	while (response->n_cpu < count) {
		Mayfly__V1__UsageCpu *cpu = cpu_message(&result->hosts[response->n_cpu]);

		if (!cpu)
			return -ENOMEM;
		response->cpu[response->n_cpu++] = cpu;
	}
	response->cpu_versions = result->host_count;
	response->cpu_differences = result->host_differences;
	for (size_t i = 0; i < result->host_count; i++) {
		const struct account_host_use *use = &result->hosts[i].use;

		response->sandboxes_counted += use->sandboxes - use->uncounted;
		response->sandboxes_uncounted += use->uncounted;
	}
	return 0;
}

static int fill(const struct account_reconciled *result,
		Mayfly__V1__ReconcileUsageResponse *response)
{
	int r = add_differences(result, response);

	if (r == 0)
		r = add_cpu(result, response);
	response->difference_count = result->total;
	response->records = result->sums.records;
	response->rollups = result->sums.rollups;
	response->rollups_left_out = result->sums.trimmed;
	response->invocations_since_start = result->counted_since_start;
	response->counters_compared = result->counters_compared;
	response->waiting = result->waiting;
	response->days = result->sums.days;
	return r;
}

static void on_reconciled(const struct account_reconciled *result, void *arg)
{
	struct rpc_call *call = arg;
	Mayfly__V1__ReconcileUsageResponse response = MAYFLY__V1__RECONCILE_USAGE_RESPONSE__INIT;
	_cleanup_error_ struct error error = ERROR_INIT;

	if (result->error) {
		rpc_call_fail(call, result->error);
		return;
	}
	if (fill(result, &response) < 0) {
		(void)error_set_errno(&error, ENOMEM, "Cannot answer with differences");
		rpc_call_fail(call, &error);
	} else {
		rpc_call_reply(call, &response.base);
	}
	for (size_t i = 0; i < response.n_differences; i++)
		mayfly__v1__usage_difference__free_unpacked(response.differences[i], NULL);
	for (size_t i = 0; i < response.n_cpu; i++)
		mayfly__v1__usage_cpu__free_unpacked(response.cpu[i], NULL);
	free(response.differences);
	free(response.cpu);
}

static struct account_host_use host_use(const struct cpu_use *use)
{
	struct account_host_use host = {
		.sandboxes = use->sandboxes,
		.uncounted = use->uncounted,
		.start_us = use->start_us,
		.serve_us = use->serve_us,
		.beside_us = use->beside_us,
		.cpus = use->cpus,
	};

	(void)snprintf(host.tenant, sizeof(host.tenant), "%s", use->tenant);
	(void)snprintf(host.function, sizeof(host.function), "%s", use->function_name);
	(void)snprintf(host.version, sizeof(host.version), "%s", use->version);
	return host;
}

/* Before the records: what runs meanwhile is billed and not yet used, never the other way round. */
static void on_cpu_use(const struct cpu_use *uses, size_t count, int error, void *arg)
{
	_cleanup_free_ struct reconcile_call *reconcile = arg;
	_cleanup_free_ struct account_host_use *hosts = calloc(count + 1, sizeof(*hosts));
	int r = error < 0 ? error : 0;

	if (r == 0 && !hosts)
		r = -ENOMEM;
	for (size_t i = 0; r == 0 && i < count; i++)
		hosts[i] = host_use(&uses[i]);
	if (r == 0)
		r = account_reconcile(reconcile->account, hosts, count, on_reconciled,
				      reconcile->call);
	if (r < 0)
		fail(reconcile->call, r);
}

void usage_reconcile(struct account *account, struct pool *pool, struct rpc_call *call)
{
	struct reconcile_call *reconcile = malloc(sizeof(*reconcile));
	int r = -ENOMEM;

	if (reconcile) {
		*reconcile = (struct reconcile_call){ .account = account, .call = call };
		r = pool_read_cpu_use(pool, on_cpu_use, reconcile);
	}
	if (r < 0) {
		free(reconcile);
		fail(call, r);
	}
}
