/* SPDX-License-Identifier: Apache-2.0 */

/* What goes into the log of a version's function: streams, the guest's records, and the lines
 * around INIT, be it a sandbox's own or the one that is done once for a function template. */

#include "agent/pool/pool_internal.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

int version_open_log(const struct version *version, const char *sandbox_id, int64_t created_us,
		     char ret_name[LOG_STREAM_NAME_BYTES], struct log_stream **ret)
{
	char group[LOG_GROUP_NAME_MAX + 1];
	int r;

	log_group_name(version->function_name, version->config.log_group, group);
	log_stream_name(created_us, version->function_name, version->number_name, sandbox_id,
			version->config.log_group, ret_name);
	r = log_stream_open(version->pool->logs, version->tenant, group, ret_name, ret);
	if (r >= 0)
		log_stream_set_style(*ret, version->style);
	return r;
}

static void write_line(struct log_stream *log, int64_t time_us, const struct buf *line, int r)
{
	if (r >= 0 && line->len > 0)
		log_stream_write(log, time_us, buf_slice(line));
}

void version_log_records(const struct version *version, struct log_stream *log,
			 const Mayfly__Guest__V1__LogRecords *logs)
{
	_cleanup_buf_ struct buf line = BUF_INIT;
	int64_t now_us;

	for (size_t i = 0; i < logs->n_records; i++) {
		const Mayfly__Guest__V1__LogRecord *record = logs->records[i];

		log_stream_write_guest(log, record->time_us,
				       slice_new(record->data.data, record->data.len));
	}
	if (logs->dropped_records == 0)
		return;
	now_us = clock_realtime_us();
	write_line(log, now_us, &line,
		   log_line_dropped(&line, version->style, now_us, logs->dropped_records,
				    logs->dropped_bytes));
}

void version_log_init_start(const struct version *version, struct log_stream *log)
{
	struct line_source source = version_line_source(version);
	int64_t now_us = clock_realtime_us();
	_cleanup_buf_ struct buf line = BUF_INIT;

	write_line(log, now_us, &line, log_line_init_start(&line, version->style, now_us, &source));
}

static enum line_status init_status(const Mayfly__Guest__V1__Outcome *outcome)
{
	if (!outcome || outcome->status == MAYFLY__GUEST__V1__STATUS__STATUS_GUEST_FAILURE)
		return LINE_FAILURE;
	if (outcome->status == MAYFLY__GUEST__V1__STATUS__STATUS_OK)
		return LINE_SUCCESS;
	if (outcome->status == MAYFLY__GUEST__V1__STATUS__STATUS_TIMEOUT)
		return LINE_TIMEOUT;
	return LINE_ERROR;
}

void version_log_init_report(const struct version *version, struct log_stream *log,
			     const Mayfly__Guest__V1__Outcome *outcome, int64_t duration_us)
{
	struct line_source source = version_line_source(version);
	int64_t now_us = clock_realtime_us();
	_cleanup_buf_ struct buf line = BUF_INIT;

	write_line(log, now_us, &line,
		   log_line_init_report(&line, version->style, now_us, &source, false, duration_us,
					init_status(outcome),
					outcome ? outcome->error_type : "Sandbox.Failure"));
}

/* -- INIT for a function template -- */

void version_close_init_log(struct version *version)
{
	version->init_log = log_stream_close(version->init_log);
}

static void on_begin(const char *sandbox_id, void *arg)
{
	struct version *version = arg;
	char name[LOG_STREAM_NAME_BYTES];

	version_close_init_log(version); /* of a build that begins again */
	if (version_open_log(version, sandbox_id, clock_realtime_us(), name, &version->init_log) <
	    0) {
		log_write(LOG_WARNING,
			  &(struct log_fields){ .tenant = version->tenant,
						.function = version->function_name },
			  "The log of the function's INIT is lost: no memory");
		return;
	}
	version_log_init_start(version, version->init_log);
}

static void on_logs(const Mayfly__Guest__V1__LogRecords *logs, void *arg)
{
	struct version *version = arg;

	if (version->init_log)
		version_log_records(version, version->init_log, logs);
}

static void on_end(const Mayfly__Guest__V1__Outcome *outcome, int64_t duration_us, void *arg)
{
	struct version *version = arg;

	if (version->init_log)
		version_log_init_report(version, version->init_log, outcome, duration_us);
}

const struct template_init_events version_init_events = {
	.on_begin = on_begin,
	.on_logs = on_logs,
	.on_end = on_end,
};
