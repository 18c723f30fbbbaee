/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/usage_message.h"

#include <errno.h>
#include <string.h>

#include "agent/functions/function.h"

/* -- filters -- */

static int decode_names(const struct api_context *context, const Mayfly__V1__UsageFilter *message,
			const char *tenant, struct ledger_filter *ret, struct error *error)
{
	struct function_reference reference = { 0 };
	const char *version = message->version;
	int r;

	if (message->function_name[0]) {
		r = function_parse_reference(message->function_name, version, context->region,
					     tenant, &reference, error);
		if (r < 0)
			return r;
		version = reference.qualifier;
	}
	if (strlen(version) >= sizeof(ret->version))
		return error_set(error, ERROR_INVALID_PARAMETER, "version",
				 "The version must have at most %zu characters.",
				 sizeof(ret->version) - 1);
	(void)snprintf(ret->function, sizeof(ret->function), "%s", reference.name);
	memcpy(ret->version, version, strlen(version) + 1);
	return 0;
}

static int decode_times(const Mayfly__V1__UsageFilter *message, struct ledger_filter *ret,
			struct error *error)
{
	if (message->from_us < 0 || message->to_us < 0)
		return error_set(error, ERROR_INVALID_PARAMETER,
				 message->from_us < 0 ? "from_us" : "to_us",
				 "A time must not be negative.");
	if (message->to_us > 0 && message->to_us < message->from_us)
		return error_set(error, ERROR_INVALID_PARAMETER, "to_us",
				 "The end must not be before the beginning.");
	ret->from_us = message->from_us;
	ret->to_us = message->to_us > 0 ? message->to_us : INT64_MAX;
	return 0;
}

int usage_decode_filter(const struct api_context *context, const char *named, bool all_tenants,
			const Mayfly__V1__UsageFilter *message, struct ledger_filter *ret,
			struct error *error)
{
	static const Mayfly__V1__UsageFilter none = MAYFLY__V1__USAGE_FILTER__INIT;
	struct ledger_filter filter = { 0 };
	const char *tenant;
	int r;

	if (!message)
		message = &none;
	r = api_resolve_tenant(context, named, &tenant, error);
	if (r == 0)
		r = decode_names(context, message, tenant, &filter, error);
	if (r == 0)
		r = decode_times(message, &filter, error);
	if (r < 0)
		return r;
	if (!all_tenants)
		(void)snprintf(filter.tenant, sizeof(filter.tenant), "%s", tenant);
	*ret = filter;
	return 0;
}

static bool allows(const char *wanted, const char *text)
{
	return !wanted[0] || strcmp(wanted, text) == 0;
}

bool usage_filter_has(const struct ledger_filter *filter, const struct ledger_record *record)
{
	return allows(filter->tenant, record->tenant) &&
	       allows(filter->function, record->function) &&
	       allows(filter->version, record->version);
}

/* -- records -- */

static Mayfly__V1__StartKind start_kind(enum ledger_start start)
{
	static const Mayfly__V1__StartKind kinds[] = {
		[LEDGER_START_WARM] = MAYFLY__V1__START_KIND__START_KIND_WARM,
		[LEDGER_START_SPARE] = MAYFLY__V1__START_KIND__START_KIND_SPARE,
		[LEDGER_START_RESTORE] = MAYFLY__V1__START_KIND__START_KIND_RESTORE,
		[LEDGER_START_SNAP_START] = MAYFLY__V1__START_KIND__START_KIND_SNAP_START,
		[LEDGER_START_BOOT] = MAYFLY__V1__START_KIND__START_KIND_BOOT,
	};

	return (size_t)start < ARRAY_SIZE(kinds) ? kinds[start]
						 : MAYFLY__V1__START_KIND__START_KIND_UNSPECIFIED;
}

static Mayfly__V1__UsageResult result_of(enum ledger_result result)
{
	static const Mayfly__V1__UsageResult results[] = {
		[LEDGER_OK] = MAYFLY__V1__USAGE_RESULT__USAGE_RESULT_OK,
		[LEDGER_FUNCTION_ERROR] = MAYFLY__V1__USAGE_RESULT__USAGE_RESULT_FUNCTION_ERROR,
		[LEDGER_TIMEOUT] = MAYFLY__V1__USAGE_RESULT__USAGE_RESULT_TIMEOUT,
		[LEDGER_SANDBOX_FAILURE] = MAYFLY__V1__USAGE_RESULT__USAGE_RESULT_SANDBOX_FAILURE,
	};

	return (size_t)result < ARRAY_SIZE(results)
		       ? results[result]
		       : MAYFLY__V1__USAGE_RESULT__USAGE_RESULT_UNSPECIFIED;
}

static void set_optional(Mayfly__V1__UsageRecord *message, const struct ledger_record *record)
{
	if (record->init_us >= 0) {
		message->_init_us_case = MAYFLY__V1__USAGE_RECORD___INIT_US_INIT_US;
		message->init_us = record->init_us;
	}
	if (record->restore_us >= 0) {
		message->_restore_us_case = MAYFLY__V1__USAGE_RECORD___RESTORE_US_RESTORE_US;
		message->restore_us = record->restore_us;
	}
	if (record->billed_restore_ms >= 0) {
		message->_billed_restore_ms_case =
			MAYFLY__V1__USAGE_RECORD___BILLED_RESTORE_MS_BILLED_RESTORE_MS;
		message->billed_restore_ms = (uint64_t)record->billed_restore_ms;
	}
}

Mayfly__V1__UsageRecord *usage_record_message(const struct ledger_record *record)
{
	Mayfly__V1__UsageRecord *message = malloc(sizeof(*message));

	if (!message)
		return NULL;
	mayfly__v1__usage_record__init(message);
	message->request_id = strdup(record->request_id);
	message->tenant = strdup(record->tenant);
	message->function_name = strdup(record->function);
	message->version = strdup(record->version);
	message->started_at_us = record->started_us;
	message->duration_us = record->duration_us;
	set_optional(message, record);
	message->billed_ms = (uint64_t)record->billed_ms;
	message->memory_size_mb = (uint32_t)record->memory_mb;
	message->max_memory_used_mb = (uint64_t)record->max_memory_mb;
	message->event_bytes = (uint64_t)record->event_bytes;
	message->answer_bytes = (uint64_t)record->answer_bytes;
	message->streamed_bytes = (uint64_t)record->streamed_bytes;
	message->start_kind = start_kind(record->start);
	message->result = result_of(record->result);
	message->withheld = record->withheld;
	message->provisioned = record->provisioned;
	message->storage_mb = (uint32_t)record->storage_mb;
	message->billed_stream_bytes = (uint64_t)record->over_bytes;
	message->restored_mb = (uint64_t)record->restored_mb;
	if (message->request_id && message->tenant && message->function_name && message->version)
		return message;
	mayfly__v1__usage_record__free_unpacked(message, NULL);
	return NULL;
}

/* -- rows -- */

static Mayfly__V1__UsageFigures *figures_message(const int64_t *figures)
{
	Mayfly__V1__UsageFigures *message = malloc(sizeof(*message));

	if (!message)
		return NULL;
	mayfly__v1__usage_figures__init(message);
	message->invocations = (uint64_t)figures[LEDGER_INVOCATIONS];
	message->errors = (uint64_t)figures[LEDGER_ERRORS];
	message->timeouts = (uint64_t)figures[LEDGER_TIMEOUTS];
	message->sandbox_failures = (uint64_t)figures[LEDGER_FAILURES];
	message->cold_starts = (uint64_t)figures[LEDGER_COLD_STARTS];
	message->withheld = (uint64_t)figures[LEDGER_WITHHELD];
	message->duration_us = (uint64_t)figures[LEDGER_DURATION_US];
	message->init_us = (uint64_t)figures[LEDGER_INIT_US];
	message->billed_ms = (uint64_t)figures[LEDGER_BILLED_MS];
	message->billed_mb_ms = (uint64_t)figures[LEDGER_MB_MS];
	message->event_bytes = (uint64_t)figures[LEDGER_EVENT_BYTES];
	message->answer_bytes = (uint64_t)figures[LEDGER_ANSWER_BYTES];
	message->streamed_bytes = (uint64_t)figures[LEDGER_STREAMED_BYTES];
	message->max_memory_used_mb = (uint64_t)figures[LEDGER_MAX_MEMORY_MB];
	message->provisioned_invocations = (uint64_t)figures[LEDGER_PROVISIONED_INVOCATIONS];
	message->provisioned_mb_ms = (uint64_t)figures[LEDGER_PROVISIONED_MB_MS];
	message->storage_mb_ms = (uint64_t)figures[LEDGER_STORAGE_MB_MS];
	message->billed_stream_bytes = (uint64_t)figures[LEDGER_OVER_BYTES];
	message->restored_mb = (uint64_t)figures[LEDGER_RESTORED_MB];
	message->allocated_mb_ms = (uint64_t)figures[LEDGER_ALLOCATED_MB_MS];
	message->cached_mb_ms = (uint64_t)figures[LEDGER_CACHED_MB_MS];
	return message;
}

static Mayfly__V1__Money *cost_message(const struct account_prices *prices, const int64_t *figures)
{
	struct account_money cost = account_cost(prices, figures);
	Mayfly__V1__Money *message = malloc(sizeof(*message));

	if (!message)
		return NULL;
	mayfly__v1__money__init(message);
	message->units = cost.units;
	message->picos = cost.picos;
	return message;
}

Mayfly__V1__UsageRow *usage_row_message(const struct ledger_row *row,
					const struct account_prices *prices)
{
	Mayfly__V1__UsageRow *message = malloc(sizeof(*message));

	if (!message)
		return NULL;
	mayfly__v1__usage_row__init(message);
	message->tenant = strdup(row->tenant);
	message->function_name = strdup(row->function);
	message->version = strdup(row->version);
	message->begins_us = row->begins_us;
	message->figures = figures_message(row->figures);
	message->cost = prices ? cost_message(prices, row->figures) : NULL;
	if (message->tenant && message->function_name && message->version && message->figures &&
	    (message->cost || !prices))
		return message;
	mayfly__v1__usage_row__free_unpacked(message, NULL);
	return NULL;
}

void usage_fill_prices(const struct account_prices *prices, Mayfly__V1__UsagePrices *ret)
{
	mayfly__v1__usage_prices__init(ret);
	ret->request_pico = prices->request_pico;
	ret->gb_second_pico = prices->gb_second_pico;
	ret->provisioned_run_gb_second_pico = prices->provisioned_run_gb_second_pico;
	ret->provisioned_gb_second_pico = prices->provisioned_gb_second_pico;
	ret->storage_gb_second_pico = prices->storage_gb_second_pico;
	ret->stream_gb_pico = prices->stream_gb_pico;
	ret->cache_gb_second_pico = prices->cache_gb_second_pico;
	ret->restore_gb_pico = prices->restore_gb_pico;
}
