/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/logs/log_lines_json.h"

#include <errno.h>
#include <jansson.h>

#include "mayfly/clock.h"

static const char *const status_names[] = {
	[LINE_SUCCESS] = "success",
	[LINE_ERROR] = "error",
	[LINE_TIMEOUT] = "timeout",
	[LINE_FAILURE] = "failure",
};

static void json_decref_p(json_t **json)
{
	json_decref(*json);
}

/* {"time":…,"type":…,"record":…} and a newline. Takes the record, which may be NULL for lack of
 * memory. An event below the function's level is left out. */
static int append_event(struct buf *to, struct line_style style, enum line_level level,
			int64_t time_us, const char *type, json_t *record)
{
	_cleanup_(json_decref_p) json_t *event = NULL;
	_cleanup_free_ char *text = NULL;
	char time[CLOCK_ISO8601_BYTES];

	if (level < style.level) {
		json_decref(record);
		return 0;
	}
	clock_format_iso8601(time_us, time);
	event = json_pack("{s:s,s:s,s:o}", "time", time, "type", type, "record", record);
	text = event ? json_dumps(event, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
	if (!text)
		return -ENOMEM;
	return buf_append_format(to, "%s\n", text);
}

/* Milliseconds with three decimals, as a number. */
static double milliseconds(int64_t us)
{
	return (double)us / 1000.0;
}

static const char *initialization_type(const struct line_source *source)
{
	return source->snap_start ? "snap-start" : "on-demand";
}

int log_json_init_start(struct buf *to, struct line_style style, int64_t time_us,
			const struct line_source *source)
{
	json_t *record = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "initializationType",
				   initialization_type(source), "phase", "init", "runtimeVersion",
				   source->runtime->version, "runtimeVersionArn",
				   source->runtime->arn, "functionName", source->function_name,
				   "functionVersion", source->function_version);

	return append_event(to, style, LINE_LEVEL_INFO, time_us, "platform.initStart", record);
}

int log_json_init_report(struct buf *to, struct line_style style, int64_t time_us,
			 const struct line_source *source, bool invoke_phase, int64_t duration_us,
			 enum line_status status, const char *error_type)
{
	enum line_level level = source->snap_start ? LINE_LEVEL_INFO : LINE_LEVEL_DEBUG;
	const char *type = status == LINE_ERROR || status == LINE_FAILURE ? error_type : NULL;
	json_t *record = json_pack(
		"{s:s,s:s,s:s,s:s*,s:{s:f}}", "initializationType", initialization_type(source),
		"phase", invoke_phase ? "invoke" : "init", "status", status_names[status],
		"errorType", type, "metrics", "durationMs", milliseconds(duration_us));

	return append_event(to, style, status == LINE_SUCCESS ? level : LINE_LEVEL_WARN, time_us,
			    "platform.initReport", record);
}

int log_json_restore_start(struct buf *to, struct line_style style, int64_t time_us,
			   const struct line_source *source)
{
	json_t *record =
		json_pack("{s:s,s:s,s:s,s:s}", "functionName", source->function_name,
			  "functionVersion", source->function_version, "runtimeVersion",
			  source->runtime->version, "runtimeVersionArn", source->runtime->arn);

	return append_event(to, style, LINE_LEVEL_INFO, time_us, "platform.restoreStart", record);
}

int log_json_restore_report(struct buf *to, struct line_style style, int64_t time_us,
			    int64_t duration_us, enum line_status status)
{
	json_t *record = json_pack("{s:s,s:{s:f}}", "status", status_names[status], "metrics",
				   "durationMs", milliseconds(duration_us));

	return append_event(to, style, status == LINE_SUCCESS ? LINE_LEVEL_INFO : LINE_LEVEL_WARN,
			    time_us, "platform.restoreReport", record);
}

/* NULL is left out. */
static const char *given(const char *end_tenant)
{
	return end_tenant && end_tenant[0] ? end_tenant : NULL;
}

int log_json_start(struct buf *to, struct line_style style, int64_t time_us, const char *request_id,
		   const char *version, const char *end_tenant)
{
	json_t *record = json_pack("{s:s,s:s,s:s*}", "requestId", request_id, "version", version,
				   "tenantId", given(end_tenant));

	return append_event(to, style, LINE_LEVEL_INFO, time_us, "platform.start", record);
}

static json_t *report_metrics(const struct line_report *report)
{
	uint64_t used_mb = log_line_megabytes(report->max_memory_bytes);
	json_t *metrics =
		json_pack("{s:f,s:I,s:i,s:I}", "durationMs", milliseconds(report->duration_us),
			  "billedDurationMs", (json_int_t)report->billed_ms, "memorySizeMB",
			  (int)report->memory_mb, "maxMemoryUsedMB", (json_int_t)used_mb);
	int r = metrics ? 0 : -1;

	if (r == 0 && report->init_us >= 0)
		r = json_object_set_new(metrics, "initDurationMs",
					json_real(milliseconds(report->init_us)));
	if (r == 0 && report->restore_us >= 0)
		r = json_object_set_new(metrics, "restoreDurationMs",
					json_real(milliseconds(report->restore_us)));
	if (r == 0 && report->billed_restore_ms >= 0)
		r = json_object_set_new(metrics, "billedRestoreDurationMs",
					json_integer(report->billed_restore_ms));
	if (r == 0)
		return metrics;
	json_decref(metrics);
	return NULL;
}

int log_json_report(struct buf *to, struct line_style style, int64_t time_us,
		    const struct line_report *report)
{
	const char *type = report->status == LINE_ERROR || report->status == LINE_FAILURE
				   ? report->error_type
				   : NULL;
	json_t *record =
		json_pack("{s:s,s:s,s:s*,s:s*,s:o}", "requestId", report->request_id, "status",
			  status_names[report->status], "errorType", type, "tenantId",
			  given(report->end_tenant), "metrics", report_metrics(report));

	return append_event(to, style,
			    report->status == LINE_SUCCESS ? LINE_LEVEL_INFO : LINE_LEVEL_WARN,
			    time_us, "platform.report", record);
}

int log_json_dropped(struct buf *to, struct line_style style, int64_t time_us, uint64_t records,
		     uint64_t bytes)
{
	json_t *record =
		json_pack("{s:s,s:I,s:I}", "reason", "The log could not take them",
			  "droppedRecords", (json_int_t)records, "droppedBytes", (json_int_t)bytes);

	return append_event(to, style, LINE_LEVEL_WARN, time_us, "platform.logsDropped", record);
}
