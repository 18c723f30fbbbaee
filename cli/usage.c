/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/usage.h"

#include <string.h>
#include <time.h>

#include "cli/json_fields.h"
#include "cli/messages.h"
#include "mayfly/clock.h"

/* -- which records -- */

static int parse_time(const struct arguments *arguments, const char *option, int64_t *ret_us,
		      struct error *e)
{
	static const char *const formats[] = { "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ",
					       "%Y-%m-%d" };
	const char *text = argument(arguments, option);

	for (size_t i = 0; text && i < ARRAY_SIZE(formats); i++) {
		struct tm utc = { 0 };
		const char *end = strptime(text, formats[i], &utc);

		if (end && !*end) {
			*ret_us = timegm(&utc) * USEC_PER_SEC;
			return 0;
		}
	}
	if (!text)
		return 0;
	return error_set(e, ERROR_INVALID_PARAMETER, option,
			 "--%s takes a time such as 2026-11-25 or 2026-11-25T13:00Z, not '%s'",
			 option, text);
}

static int parse_month(const char *text, Mayfly__V1__UsageFilter *ret, struct error *e)
{
	struct tm utc = { .tm_mday = 1 };
	const char *end = strptime(text, "%Y-%m", &utc);

	if (!end || *end)
		return error_set(e, ERROR_INVALID_PARAMETER, "month",
				 "--month takes a month such as 2026-11, not '%s'", text);
	ret->from_us = timegm(&utc) * USEC_PER_SEC;
	utc.tm_mon++;
	ret->to_us = timegm(&utc) * USEC_PER_SEC;
	return 0;
}

static int parse_times(const struct arguments *arguments, Mayfly__V1__UsageFilter *ret,
		       struct error *e)
{
	const char *month = argument(arguments, "month");
	int64_t since_us = -1;
	int r = argument_duration(arguments, "since", &since_us, e);

	if (r < 0)
		return r;
	if (!!month + !!argument(arguments, "from") + (since_us >= 0) > 1 ||
	    (month && argument(arguments, "to")))
		return error_set(e, ERROR_INVALID_PARAMETER, "from",
				 "One of --month, --since and --from may be given, and --to not "
				 "with --month");
	if (month)
		return parse_month(month, ret, e);
	if (since_us >= 0)
		ret->from_us = clock_realtime_us() - since_us;
	r = parse_time(arguments, "from", &ret->from_us, e);
	return r < 0 ? r : parse_time(arguments, "to", &ret->to_us, e);
}

int usage_filter(const struct arguments *arguments, Mayfly__V1__UsageFilter *ret, struct error *e)
{
	const char *version = argument(arguments, "version");

	mayfly__v1__usage_filter__init(ret);
	ret->function_name = (char *)operand(arguments, 0);
	if (version)
		ret->version = (char *)version;
	return parse_times(arguments, ret, e);
}

/* -- text -- */

const char *usage_money(const Mayfly__V1__Money *money, char out[USAGE_MONEY_BYTES])
{
	int len = snprintf(out, USAGE_MONEY_BYTES, "%llu.%012llu",
			   money ? (unsigned long long)money->units : 0ULL,
			   money ? (unsigned long long)money->picos : 0ULL);

	while (out[len - 1] == '0' && out[len - 3] != '.')
		out[--len] = '\0';
	return out;
}

const char *usage_result_name(int value)
{
	static const char *const names[] = { "", "Ok", "FunctionError", "Timeout",
					     "SandboxFailure" };

	return value >= 0 && (size_t)value < ARRAY_SIZE(names) ? names[value] : "";
}

/* -- JSON -- */

static void put_milliseconds(json_t *object, const char *name, int64_t us)
{
	(void)json_object_set_new(object, name, json_real((double)us / 1e3));
}

static void put_figures(json_t *object, const Mayfly__V1__UsageFigures *figures)
{
	json_put_number(object, "Invocations", figures->invocations);
	json_put_number(object, "Errors", figures->errors);
	json_put_number(object, "Timeouts", figures->timeouts);
	json_put_number(object, "SandboxFailures", figures->sandbox_failures);
	json_put_number(object, "ColdStarts", figures->cold_starts);
	json_put_number(object, "Withheld", figures->withheld);
	put_milliseconds(object, "DurationMs", (int64_t)figures->duration_us);
	put_milliseconds(object, "InitDurationMs", (int64_t)figures->init_us);
	json_put_number(object, "BilledMs", figures->billed_ms);
	json_put_number(object, "BilledMbMs", figures->billed_mb_ms);
	json_put_number(object, "EventBytes", figures->event_bytes);
	json_put_number(object, "AnswerBytes", figures->answer_bytes);
	json_put_number(object, "StreamedBytes", figures->streamed_bytes);
	json_put_number(object, "MaxMemoryUsedMb", figures->max_memory_used_mb);
	json_put_number(object, "ProvisionedInvocations", figures->provisioned_invocations);
	json_put_number(object, "ProvisionedMbMs", figures->provisioned_mb_ms);
	json_put_number(object, "AllocatedMbMs", figures->allocated_mb_ms);
	json_put_number(object, "StorageMbMs", figures->storage_mb_ms);
	json_put_number(object, "BilledStreamBytes", figures->billed_stream_bytes);
	json_put_number(object, "CachedMbMs", figures->cached_mb_ms);
	json_put_number(object, "RestoredMb", figures->restored_mb);
}

json_t *usage_prices_json(const Mayfly__V1__UsagePrices *prices)
{
	json_t *object = json_object();

	json_put_number(object, "RequestPico", prices->request_pico);
	json_put_number(object, "GbSecondPico", prices->gb_second_pico);
	json_put_number(object, "ProvisionedRunGbSecondPico",
			prices->provisioned_run_gb_second_pico);
	json_put_number(object, "ProvisionedGbSecondPico", prices->provisioned_gb_second_pico);
	json_put_number(object, "StorageGbSecondPico", prices->storage_gb_second_pico);
	json_put_number(object, "StreamGbPico", prices->stream_gb_pico);
	json_put_number(object, "CacheGbSecondPico", prices->cache_gb_second_pico);
	json_put_number(object, "RestoreGbPico", prices->restore_gb_pico);
	return object;
}

json_t *usage_row_json(const Mayfly__V1__UsageRow *row)
{
	json_t *object = json_object();
	char money[USAGE_MONEY_BYTES];

	json_put_text(object, "Tenant", row->tenant);
	json_put_text(object, "FunctionName", row->function_name);
	json_put_text(object, "Version", row->version);
	if (row->begins_us > 0)
		json_put_time(object, "Begins", row->begins_us);
	if (row->figures)
		put_figures(object, row->figures);
	if (row->cost)
		json_put_text(object, "Cost", usage_money(row->cost, money));
	return object;
}

json_t *usage_record_json(const Mayfly__V1__UsageRecord *record)
{
	json_t *object = json_object();

	json_put_text(object, "RequestId", record->request_id);
	json_put_text(object, "Tenant", record->tenant);
	json_put_text(object, "FunctionName", record->function_name);
	json_put_text(object, "Version", record->version);
	json_put_time(object, "StartedAt", record->started_at_us);
	put_milliseconds(object, "DurationMs", record->duration_us);
	if (record->_init_us_case)
		put_milliseconds(object, "InitDurationMs", record->init_us);
	if (record->_restore_us_case)
		put_milliseconds(object, "RestoreDurationMs", record->restore_us);
	if (record->_billed_restore_ms_case)
		json_put_number(object, "BilledRestoreMs", record->billed_restore_ms);
	json_put_number(object, "BilledMs", record->billed_ms);
	json_put_number(object, "MemorySize", record->memory_size_mb);
	json_put_number(object, "MaxMemoryUsedMb", record->max_memory_used_mb);
	json_put_number(object, "EventBytes", record->event_bytes);
	json_put_number(object, "AnswerBytes", record->answer_bytes);
	json_put_number(object, "StreamedBytes", record->streamed_bytes);
	json_put_text(object, "StartKind", name_of_start_kind((int)record->start_kind));
	json_put_text(object, "Result", usage_result_name((int)record->result));
	(void)json_object_set_new(object, "Withheld", json_boolean(record->withheld));
	(void)json_object_set_new(object, "Provisioned", json_boolean(record->provisioned));
	json_put_number(object, "EphemeralStorage", record->storage_mb);
	json_put_number(object, "BilledStreamBytes", record->billed_stream_bytes);
	json_put_number(object, "RestoredMb", record->restored_mb);
	return object;
}
