/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The platform's own lines in a function's log, byte for byte as Lambda's guide has them: Text
 * format, or the telemetry events of the JSON format. Each function appends one event with its
 * closing newline, or nothing when the function's system log level leaves it out. Pure; any
 * thread. All return 0, -ENOMEM or -EMSGSIZE. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/functions/function.h"
#include "mayfly/buf.h"

enum line_level { LINE_LEVEL_DEBUG, LINE_LEVEL_INFO, LINE_LEVEL_WARN };

/* Of a function's configuration; NULL is INFO. */
enum line_level line_level_parse(const char *system_log_level);

struct line_style {
	enum log_format format;
	enum line_level level; /* JSON only; Text shows all */
};

#define RUNTIME_VERSION_BYTES     96
#define RUNTIME_VERSION_ARN_BYTES 160

/* "python:3.13.v204" of python3.13: the number names the runtime image by its digest's first byte;
 * the ARN has the whole digest (hex SHA-256). */
struct line_runtime {
	char version[RUNTIME_VERSION_BYTES];
	char arn[RUNTIME_VERSION_ARN_BYTES];
};
void line_runtime_set(struct line_runtime *runtime, const char *name, const char *digest,
		      const char *region);

struct line_source {
	const char *function_name;
	const char *function_version;
	const struct line_runtime *runtime;
	bool snap_start; /* else on demand */
};

enum line_status { LINE_SUCCESS, LINE_ERROR, LINE_TIMEOUT, LINE_FAILURE };

int log_line_init_start(struct buf *to, struct line_style style, int64_t time_us,
			const struct line_source *source) _must_use_;

/* Text shows it only when INIT failed. `invoke_phase`: repeated within an invocation. */
int log_line_init_report(struct buf *to, struct line_style style, int64_t time_us,
			 const struct line_source *source, bool invoke_phase, int64_t duration_us,
			 enum line_status status, const char *error_type) _must_use_;

int log_line_restore_start(struct buf *to, struct line_style style, int64_t time_us,
			   const struct line_source *source) _must_use_;
int log_line_restore_report(struct buf *to, struct line_style style, int64_t time_us,
			    int64_t duration_us, enum line_status status) _must_use_;

/* JSON shows whose invocation it is; `end_tenant` "" or NULL: nobody's. */
int log_line_start(struct buf *to, struct line_style style, int64_t time_us, const char *request_id,
		   const char *version, const char *end_tenant) _must_use_;
/* Text only. */
int log_line_end(struct buf *to, struct line_style style, const char *request_id) _must_use_;

struct line_report {
	const char *request_id;
	const char *end_tenant; /* as in log_line_start() */
	int64_t duration_us;
	uint64_t billed_ms;
	unsigned memory_mb;
	uint64_t max_memory_bytes;
	int64_t init_us; /* negative: none, as the next two */
	int64_t restore_us;
	int64_t billed_restore_ms;
	enum line_status status;
	const char *error_type; /* with LINE_ERROR and LINE_FAILURE */
};
/* As a report says memory: rounded up. */
uint64_t log_line_megabytes(uint64_t bytes) _pure_;
int log_line_report(struct buf *to, struct line_style style, int64_t time_us,
		    const struct line_report *report) _must_use_;

/* Text only, as the crash: JSON says both in the report. */
int log_line_timeout(struct buf *to, struct line_style style, int64_t time_us,
		     const char *request_id, int64_t timeout_us) _must_use_;
/* "RequestId: ID Error: Runtime exited …", then the type on a line of its own. */
int log_line_crash(struct buf *to, struct line_style style, const char *message,
		   const char *error_type) _must_use_;

/* Log records that the guest or the log store could not keep. */
int log_line_dropped(struct buf *to, struct line_style style, int64_t time_us, uint64_t records,
		     uint64_t bytes) _must_use_;
