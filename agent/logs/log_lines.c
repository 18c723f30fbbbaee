/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/logs/log_lines.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "agent/logs/log_lines_json.h"
#include "mayfly/clock.h"

#define BYTES_PER_MB (1ULL << 20)

enum line_level line_level_parse(const char *system_log_level)
{
	if (system_log_level && strcasecmp(system_log_level, "DEBUG") == 0)
		return LINE_LEVEL_DEBUG;
	if (system_log_level && strcasecmp(system_log_level, "WARN") == 0)
		return LINE_LEVEL_WARN;
	return LINE_LEVEL_INFO;
}

void line_runtime_set(struct line_runtime *runtime, const char *name, const char *digest,
		      const char *region)
{
	/* python3.13 → python:3.13, nodejs20.x → nodejs:20, provided.al2023 → provided:al2023 */
	size_t letters = strcspn(name, "0123456789.");
	const char *rest = name + letters + (name[letters] == '.');
	size_t rest_len = strlen(rest);
	unsigned number = 0;

	if (rest_len > 2 && strcmp(rest + rest_len - 2, ".x") == 0)
		rest_len -= 2;
	if (digest)
		(void)sscanf(digest, "%2x", &number);
	(void)snprintf(runtime->version, sizeof(runtime->version), "%.*s:%.*s.v%u", (int)letters,
		       name, (int)rest_len, rest, number);
	(void)snprintf(runtime->arn, sizeof(runtime->arn), "arn:aws:lambda:%s::runtime:%s", region,
		       digest ? digest : "");
}

struct decimal {
	char text[32];
};

/* Two decimals, half up. */
static struct decimal milliseconds(int64_t us)
{
	struct decimal out;
	int64_t hundredths = us > 0 ? (us + 5) / 10 : 0;

	(void)snprintf(out.text, sizeof(out.text), "%" PRId64 ".%02" PRId64, hundredths / 100,
		       hundredths % 100);
	return out;
}

uint64_t log_line_megabytes(uint64_t bytes)
{
	return bytes / BYTES_PER_MB + (bytes % BYTES_PER_MB > 0);
}

static int append_status(struct buf *to, enum line_status status, const char *error_type,
			 const char *end)
{
	if (status == LINE_SUCCESS)
		return buf_append_string(to, end);
	if (status == LINE_TIMEOUT)
		return buf_append_format(to, "Status: timeout%s", end);
	return buf_append_format(to, "Status: error\tError Type: %s%s",
				 error_type && error_type[0] ? error_type : "Unknown", end);
}

int log_line_init_start(struct buf *to, struct line_style style, int64_t time_us,
			const struct line_source *source)
{
	if (style.format == LOG_JSON)
		return log_json_init_start(to, style, time_us, source);
	return buf_append_format(to, "INIT_START Runtime Version: %s\tRuntime Version ARN: %s\n",
				 source->runtime->version, source->runtime->arn);
}

int log_line_init_report(struct buf *to, struct line_style style, int64_t time_us,
			 const struct line_source *source, bool invoke_phase, int64_t duration_us,
			 enum line_status status, const char *error_type)
{
	int r;

	if (style.format == LOG_JSON)
		return log_json_init_report(to, style, time_us, source, invoke_phase, duration_us,
					    status, error_type);
	if (status == LINE_SUCCESS && !source->snap_start)
		return 0;
	r = buf_append_format(to, "INIT_REPORT Init Duration: %s ms\tPhase: %s\t",
			      milliseconds(duration_us).text, invoke_phase ? "invoke" : "init");
	return r < 0 ? r : append_status(to, status, error_type, "\n");
}

int log_line_restore_start(struct buf *to, struct line_style style, int64_t time_us,
			   const struct line_source *source)
{
	if (style.format == LOG_JSON)
		return log_json_restore_start(to, style, time_us, source);
	return buf_append_format(to, "RESTORE_START Runtime Version: %s\tRuntime Version ARN: %s\n",
				 source->runtime->version, source->runtime->arn);
}

int log_line_restore_report(struct buf *to, struct line_style style, int64_t time_us,
			    int64_t duration_us, enum line_status status)
{
	int r;

	if (style.format == LOG_JSON)
		return log_json_restore_report(to, style, time_us, duration_us, status);
	r = buf_append_format(to, "RESTORE_REPORT Restore Duration: %s ms%s",
			      milliseconds(duration_us).text, status == LINE_SUCCESS ? "" : "\t");
	return r < 0 ? r : append_status(to, status, NULL, "\n");
}

int log_line_start(struct buf *to, struct line_style style, int64_t time_us, const char *request_id,
		   const char *version, const char *end_tenant)
{
	if (style.format == LOG_JSON)
		return log_json_start(to, style, time_us, request_id, version, end_tenant);
	return buf_append_format(to, "START RequestId: %s Version: %s\n", request_id, version);
}

int log_line_end(struct buf *to, struct line_style style, const char *request_id)
{
	if (style.format == LOG_JSON)
		return 0;
	return buf_append_format(to, "END RequestId: %s\n", request_id);
}

int log_line_report(struct buf *to, struct line_style style, int64_t time_us,
		    const struct line_report *report)
{
	int r;

	if (style.format == LOG_JSON)
		return log_json_report(to, style, time_us, report);
	r = buf_append_format(to,
			      "REPORT RequestId: %s\tDuration: %s ms\tBilled Duration: %" PRIu64
			      " ms\tMemory Size: %u MB\tMax Memory Used: %" PRIu64 " MB\t",
			      report->request_id, milliseconds(report->duration_us).text,
			      report->billed_ms, report->memory_mb,
			      log_line_megabytes(report->max_memory_bytes));
	if (r >= 0 && report->init_us >= 0)
		r = buf_append_format(to, "Init Duration: %s ms\t",
				      milliseconds(report->init_us).text);
	if (r >= 0 && report->restore_us >= 0)
		r = buf_append_format(to, "Restore Duration: %s ms\t",
				      milliseconds(report->restore_us).text);
	if (r >= 0 && report->billed_restore_ms >= 0)
		r = buf_append_format(to, "Billed Restore Duration: %" PRId64 " ms\t",
				      report->billed_restore_ms);
	if (r < 0)
		return r;
	return append_status(to, report->status, report->error_type, "\n");
}

int log_line_timeout(struct buf *to, struct line_style style, int64_t time_us,
		     const char *request_id, int64_t timeout_us)
{
	char time[CLOCK_ISO8601_BYTES];

	if (style.format == LOG_JSON)
		return 0;
	clock_format_iso8601(time_us, time);
	return buf_append_format(to, "%s %s Task timed out after %lld.%02lld seconds\n\n", time,
				 request_id, timeout_us / USEC_PER_SEC,
				 timeout_us % USEC_PER_SEC / 10000);
}

int log_line_crash(struct buf *to, struct line_style style, const char *message,
		   const char *error_type)
{
	if (style.format == LOG_JSON)
		return 0;
	return buf_append_format(to, "%s\n%s\n", message, error_type);
}

int log_line_dropped(struct buf *to, struct line_style style, int64_t time_us, uint64_t records,
		     uint64_t bytes)
{
	if (style.format == LOG_JSON)
		return log_json_dropped(to, style, time_us, records, bytes);
	return buf_append_format(to,
				 "LOGS_DROPPED Records: %" PRIu64 "\tBytes: %" PRIu64
				 "\tReason: the log could not take them\n",
				 records, bytes);
}
