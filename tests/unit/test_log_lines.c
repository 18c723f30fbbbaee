/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_logs mayfly_functions mayfly_base

/* The platform's lines, byte for byte. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/logs/log_lines.h"

#define ID   "6f747fb9-1e1c-4d8f-9f3c-0d5b8f5a0c11"
#define TIME 1764025947123000LL /* 2025-11-24T23:12:27.123Z */

static const struct line_style text = { .format = LOG_TEXT, .level = LINE_LEVEL_INFO };
static const struct line_style json = { .format = LOG_JSON, .level = LINE_LEVEL_INFO };
static const struct line_style json_debug = { .format = LOG_JSON, .level = LINE_LEVEL_DEBUG };
static const struct line_style json_warn = { .format = LOG_JSON, .level = LINE_LEVEL_WARN };

static const char digest[] = "cc00000000000000000000000000000000000000000000000000000000000001";

static void check(struct buf *line, int r, const char *expected)
{
	assert_int_equal(r, 0);
	assert_string_equal(buf_string(line), expected);
	buf_reset(line);
}

static struct line_runtime runtime(const char *name)
{
	struct line_runtime r;

	line_runtime_set(&r, name, digest, "us-east-1");
	return r;
}

static void runtime_versions(void **state)
{
	struct line_runtime r = runtime("python3.13");

	(void)state;
	assert_string_equal(r.version, "python:3.13.v204");
	assert_string_equal(r.arn,
			    "arn:aws:lambda:us-east-1::runtime:cc0000000000000000000000000000"
			    "0000000000000000000000000000000001");
	r = runtime("nodejs20.x");
	assert_string_equal(r.version, "nodejs:20.v204");
	r = runtime("provided.al2023");
	assert_string_equal(r.version, "provided:al2023.v204");
	line_runtime_set(&r, "python3.13", NULL, "eu-west-1");
	assert_string_equal(r.version, "python:3.13.v0");
	assert_string_equal(r.arn, "arn:aws:lambda:eu-west-1::runtime:");
}

static void text_start_end(void **state)
{
	_cleanup_buf_ struct buf line = BUF_INIT;
	struct line_runtime r = { .version = "python:3.13.v9", .arn = "arn:x" };
	struct line_source source = { .function_name = "f",
				      .function_version = "$LATEST",
				      .runtime = &r };

	(void)state;
	check(&line, log_line_init_start(&line, text, TIME, &source),
	      "INIT_START Runtime Version: python:3.13.v9\tRuntime Version ARN: arn:x\n");
	check(&line, log_line_start(&line, text, TIME, ID, "$LATEST", NULL),
	      "START RequestId: " ID " Version: $LATEST\n");
	check(&line, log_line_end(&line, text, ID), "END RequestId: " ID "\n");
	check(&line,
	      log_line_init_report(&line, text, TIME, &source, false, 100000, LINE_SUCCESS, NULL),
	      "");
	check(&line,
	      log_line_init_report(&line, text, TIME, &source, false, 9999510, LINE_TIMEOUT, NULL),
	      "INIT_REPORT Init Duration: 9999.51 ms\tPhase: init\tStatus: timeout\n");
	check(&line,
	      log_line_init_report(&line, text, TIME, &source, true, 12345, LINE_ERROR,
				   "Runtime.ExitError"),
	      "INIT_REPORT Init Duration: 12.35 ms\tPhase: invoke\tStatus: error\tError Type: "
	      "Runtime.ExitError\n");
	check(&line, log_line_restore_start(&line, text, TIME, &source),
	      "RESTORE_START Runtime Version: python:3.13.v9\tRuntime Version ARN: arn:x\n");
	check(&line, log_line_restore_report(&line, text, TIME, 450096, LINE_SUCCESS),
	      "RESTORE_REPORT Restore Duration: 450.10 ms\n");
	check(&line, log_line_restore_report(&line, text, TIME, 1236040, LINE_TIMEOUT),
	      "RESTORE_REPORT Restore Duration: 1236.04 ms\tStatus: timeout\n");
}

static void text_report(void **state)
{
	_cleanup_buf_ struct buf line = BUF_INIT;
	struct line_report report = { .request_id = ID,
				      .duration_us = 3005,
				      .billed_ms = 4,
				      .memory_mb = 128,
				      .max_memory_bytes = 36 << 20,
				      .init_us = -1,
				      .restore_us = -1,
				      .billed_restore_ms = -1 };

	(void)state;
	check(&line, log_line_report(&line, text, TIME, &report),
	      "REPORT RequestId: " ID
	      "\tDuration: 3.01 ms\tBilled Duration: 4 ms\tMemory Size: 128 "
	      "MB\tMax Memory Used: 36 MB\t\n");
	report.init_us = 110096;
	report.max_memory_bytes++;
	check(&line, log_line_report(&line, text, TIME, &report),
	      "REPORT RequestId: " ID
	      "\tDuration: 3.01 ms\tBilled Duration: 4 ms\tMemory Size: 128 "
	      "MB\tMax Memory Used: 37 MB\tInit Duration: 110.10 ms\t\n");
	report.init_us = -1;
	report.restore_us = 450100;
	report.billed_restore_ms = 120;
	check(&line, log_line_report(&line, text, TIME, &report),
	      "REPORT RequestId: " ID
	      "\tDuration: 3.01 ms\tBilled Duration: 4 ms\tMemory Size: 128 "
	      "MB\tMax Memory Used: 37 MB\tRestore Duration: 450.10 ms\tBilled Restore Duration: "
	      "120 ms\t\n");
	report.restore_us = report.billed_restore_ms = -1;
	report.status = LINE_TIMEOUT;
	check(&line, log_line_report(&line, text, TIME, &report),
	      "REPORT RequestId: " ID
	      "\tDuration: 3.01 ms\tBilled Duration: 4 ms\tMemory Size: 128 "
	      "MB\tMax Memory Used: 37 MB\tStatus: timeout\n");
	report.status = LINE_ERROR;
	report.error_type = "Runtime.ExitError";
	check(&line, log_line_report(&line, text, TIME, &report),
	      "REPORT RequestId: " ID
	      "\tDuration: 3.01 ms\tBilled Duration: 4 ms\tMemory Size: 128 "
	      "MB\tMax Memory Used: 37 MB\tStatus: error\tError Type: Runtime.ExitError\n");
}

static void text_failures(void **state)
{
	_cleanup_buf_ struct buf line = BUF_INIT;

	(void)state;
	check(&line, log_line_timeout(&line, text, TIME, ID, 3000000),
	      "2025-11-24T23:12:27.123Z " ID " Task timed out after 3.00 seconds\n\n");
	check(&line,
	      log_line_crash(&line, text,
			     "RequestId: " ID " Error: Runtime exited with error: exit status 1",
			     "Runtime.ExitError"),
	      "RequestId: " ID " Error: Runtime exited with error: exit status 1\n"
	      "Runtime.ExitError\n");
	check(&line, log_line_dropped(&line, text, TIME, 7, 512),
	      "LOGS_DROPPED Records: 7\tBytes: 512\tReason: the log could not take them\n");
}

static void json_events(void **state)
{
	_cleanup_buf_ struct buf line = BUF_INIT;
	struct line_runtime r = { .version = "python:3.13.v9", .arn = "arn:x" };
	struct line_source source = { .function_name = "f",
				      .function_version = "$LATEST",
				      .runtime = &r };
	struct line_report report = { .request_id = ID,
				      .duration_us = 3500,
				      .billed_ms = 4,
				      .memory_mb = 128,
				      .max_memory_bytes = 36 << 20,
				      .init_us = 110500,
				      .restore_us = -1,
				      .billed_restore_ms = -1 };

	(void)state;
	check(&line, log_line_start(&line, json, TIME, ID, "$LATEST", NULL),
	      "{\"time\":\"2025-11-24T23:12:27.123Z\",\"type\":\"platform.start\",\"record\":{"
	      "\"requestId\":\"" ID "\",\"version\":\"$LATEST\"}}\n");
	check(&line, log_line_start(&line, json, TIME, ID, "1", "blue"),
	      "{\"time\":\"2025-11-24T23:12:27.123Z\",\"type\":\"platform.start\",\"record\":{"
	      "\"requestId\":\"" ID "\",\"version\":\"1\",\"tenantId\":\"blue\"}}\n");
	check(&line, log_line_end(&line, json, ID), "");
	check(&line, log_line_timeout(&line, json, TIME, ID, 1000000), "");
	check(&line, log_line_report(&line, json, TIME, &report),
	      "{\"time\":\"2025-11-24T23:12:27.123Z\",\"type\":\"platform.report\",\"record\":{"
	      "\"requestId\":\"" ID "\",\"status\":\"success\",\"metrics\":{\"durationMs\":3.5,"
	      "\"billedDurationMs\":4,\"memorySizeMB\":128,\"maxMemoryUsedMB\":36,"
	      "\"initDurationMs\":110.5}}}\n");
	report.end_tenant = "blue";
	report.init_us = -1;
	check(&line, log_line_report(&line, json, TIME, &report),
	      "{\"time\":\"2025-11-24T23:12:27.123Z\",\"type\":\"platform.report\",\"record\":{"
	      "\"requestId\":\"" ID "\",\"status\":\"success\",\"tenantId\":\"blue\",\"metrics\":{"
	      "\"durationMs\":3.5,\"billedDurationMs\":4,\"memorySizeMB\":128,"
	      "\"maxMemoryUsedMB\":36}}}\n");
	check(&line,
	      log_line_init_report(&line, json_debug, TIME, &source, false, 1500, LINE_SUCCESS,
				   NULL),
	      "{\"time\":\"2025-11-24T23:12:27.123Z\",\"type\":\"platform.initReport\",\"record\":{"
	      "\"initializationType\":\"on-demand\",\"phase\":\"init\",\"status\":\"success\","
	      "\"metrics\":{\"durationMs\":1.5}}}\n");
}

static void json_levels(void **state)
{
	_cleanup_buf_ struct buf line = BUF_INIT;
	struct line_runtime r = { .version = "v", .arn = "a" };
	struct line_source source = { .function_name = "f",
				      .function_version = "$LATEST",
				      .runtime = &r };
	struct line_report report = {
		.request_id = ID, .init_us = -1, .restore_us = -1, .billed_restore_ms = -1
	};

	(void)state;
	check(&line,
	      log_line_init_report(&line, json, TIME, &source, false, 1500, LINE_SUCCESS, NULL),
	      "");
	check(&line, log_line_start(&line, json_warn, TIME, ID, "$LATEST", "blue"), "");
	check(&line, log_line_report(&line, json_warn, TIME, &report), "");
	report.status = LINE_TIMEOUT;
	assert_int_equal(log_line_report(&line, json_warn, TIME, &report), 0);
	assert_non_null(strstr(buf_string(&line), "\"status\":\"timeout\""));
	assert_int_equal(line_level_parse(NULL), LINE_LEVEL_INFO);
	assert_int_equal(line_level_parse("DEBUG"), LINE_LEVEL_DEBUG);
	assert_int_equal(line_level_parse("WARN"), LINE_LEVEL_WARN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runtime_versions), cmocka_unit_test(text_start_end),
		cmocka_unit_test(text_report),      cmocka_unit_test(text_failures),
		cmocka_unit_test(json_events),      cmocka_unit_test(json_levels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
