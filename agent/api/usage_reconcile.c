/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/usage_reconcile.h"

#include <errno.h>
#include <string.h>

#include "agent/api/usage_message.h"

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

static int fill(const struct account_reconciled *result,
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
	response->difference_count = result->total;
	response->records = result->sums.records;
	response->rollups = result->sums.rollups;
	response->rollups_left_out = result->sums.trimmed;
	response->invocations_since_start = result->counted_since_start;
	response->counters_compared = result->counters_compared;
	response->waiting = result->waiting;
	response->days = result->sums.days;
	return 0;
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
	free(response.differences);
}

void usage_reconcile(struct account *account, struct rpc_call *call)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	int r = account_reconcile(account, on_reconciled, call);

	if (r < 0) {
		(void)error_set_errno(&error, r, "Cannot read the ledger");
		rpc_call_fail(call, &error);
	}
}
