/* SPDX-License-Identifier: Apache-2.0 */

/* START, END and REPORT, and what goes between when it did not end well. */

#include "agent/invoke/billing.h"
#include "agent/invoke/invocation_internal.h"
#include "mayfly/clock.h"
#include "mayfly/id.h"

static struct line_style style(const struct invocation *invocation)
{
	const struct function_config *config = sandbox_config(invocation->sandbox);

	return (struct line_style){ .format = config->log_format,
				    .level = line_level_parse(config->system_log_level) };
}

static void write_line(struct invocation *invocation, int64_t time_us, struct buf *line, int r)
{
	/* Without memory a line is lost, the invocation is not. */
	if (r >= 0 && line->len > 0)
		log_stream_write(sandbox_log(invocation->sandbox), time_us, buf_slice(line));
	buf_reset(line);
}

void report_write_start(struct invocation *invocation)
{
	_cleanup_buf_ struct buf line = BUF_INIT;
	int64_t time_us = invocation->bound_at_us;

	invocation->start_written = true;
	if (invocation->request.log_tail)
		log_stream_capture_begin(sandbox_log(invocation->sandbox),
					 INVOCATION_LOG_RESULT_BYTES);
	write_line(invocation, time_us, &line,
		   log_line_start(&line, style(invocation), time_us, invocation->id,
				  invocation->facts.version, invocation->request.end_tenant));
}

static int64_t duration_us(const struct invocation *invocation)
{
	int64_t us = invocation->stamps.complete_us - invocation->stamps.sent_us;

	/* The time it takes to notice a timeout is not the function's. */
	return us < invocation->timeout_us ? us : invocation->timeout_us;
}

/* INIT (or the restore that stands for it) belongs to the first invocation. */
static void fill_start(const struct invocation *invocation, struct line_report *line)
{
	const struct sandbox_facts *facts = &invocation->facts;
	int64_t init_us = 0;

	line->init_us = line->restore_us = line->billed_restore_ms = -1;
	if (facts->invocations == 1 && facts->origin == SANDBOX_FROM_SNAPSHOT) {
		line->restore_us = facts->restored_us - facts->requested_us;
		line->billed_restore_ms = (int64_t)billing_milliseconds(
			facts->restored_us - facts->restore_sent_us, 0);
	} else if (facts->invocations == 1) {
		init_us = facts->init_done_us - facts->init_sent_us;
		if (facts->init == SANDBOX_INIT_OK)
			line->init_us = init_us;
	}
	line->billed_ms = billing_milliseconds(line->duration_us, init_us);
}

static void write_cause(struct invocation *invocation, const struct report *report, int64_t now_us)
{
	_cleanup_buf_ struct buf line = BUF_INIT;
	struct line_style lines = style(invocation);
	struct line_source source = { .function_name = invocation->function_name,
				      .function_version = invocation->facts.version,
				      .runtime = sandbox_runtime(invocation->sandbox) };

	if (report->failed_init_us > 0)
		write_line(invocation, now_us, &line,
			   log_line_init_report(&line, lines, now_us, &source, true,
						report->failed_init_us, report->status,
						report->error_type));
	if (report->status == LINE_TIMEOUT)
		write_line(invocation, now_us, &line,
			   log_line_timeout(&line, lines, now_us, invocation->id,
					    invocation->timeout_us));
	if (report->crash)
		write_line(invocation, now_us, &line,
			   log_line_crash(&line, lines, report->crash, report->error_type));
}

static enum ledger_start ledger_start(const struct invocation *invocation)
{
	switch (phases_start_kind(&invocation->facts, invocation->stamps.queued_us)) {
	case INVOCATION_START_SPARE:
		return LEDGER_START_SPARE;
	case INVOCATION_START_RESTORE:
		return LEDGER_START_RESTORE;
	case INVOCATION_START_SNAP_START:
		return LEDGER_START_SNAP_START;
	case INVOCATION_START_BOOT:
		return LEDGER_START_BOOT;
	default:
		return LEDGER_START_WARM;
	}
}

static enum ledger_result ledger_result(enum line_status status)
{
	switch (status) {
	case LINE_SUCCESS:
		return LEDGER_OK;
	case LINE_TIMEOUT:
		return LEDGER_TIMEOUT;
	case LINE_FAILURE:
		return LEDGER_SANDBOX_FAILURE;
	default:
		return LEDGER_FUNCTION_ERROR;
	}
}

/* The bill is what the line says: a tenant can compute it anew. */
static void fill_record(const struct invocation *invocation, const struct line_report *line,
			enum line_status status, struct ledger_record *ret)
{
	bool streaming = invocation->request.streaming;
	int64_t streamed = (int64_t)(streaming ? invocation->response_bytes : 0);

	*ret = (struct ledger_record){
		.started_us = invocation->bound_at_us,
		.duration_us = line->duration_us,
		.init_us = line->init_us,
		.restore_us = line->restore_us,
		.billed_restore_ms = line->billed_restore_ms,
		.billed_ms = (int64_t)line->billed_ms,
		.memory_mb = line->memory_mb,
		.max_memory_mb = (int64_t)log_line_megabytes(line->max_memory_bytes),
		.event_bytes = (int64_t)invocation->request.payload.len,
		.answer_bytes = streaming ? streamed : (int64_t)invocation->response.len,
		.streamed_bytes = streamed,
		.over_bytes = billing_stream_bytes(streamed),
		.storage_mb = sandbox_config(invocation->sandbox)->ephemeral_storage_mb,
		.restored_mb = line->restore_us >= 0 ? line->memory_mb : 0,
		.provisioned = invocation->grant.provisioned,
		.start = ledger_start(invocation),
		.result = ledger_result(status),
	};
	(void)snprintf(ret->request_id, sizeof(ret->request_id), "%s", invocation->id);
	if (invocation->request.request_id && invocation->request.request_id[0])
		random_bytes(&ret->run, sizeof(ret->run));
	(void)snprintf(ret->tenant, sizeof(ret->tenant), "%s", invocation->tenant);
	(void)snprintf(ret->function, sizeof(ret->function), "%s", invocation->function_name);
	(void)snprintf(ret->version, sizeof(ret->version), "%s", invocation->facts.version);
}

void report_write_end(struct invocation *invocation, const struct report *report)
{
	_cleanup_buf_ struct buf line = BUF_INIT;
	struct line_style lines = style(invocation);
	int64_t now_us = clock_realtime_us();
	struct line_report text = {
		.request_id = invocation->id,
		.end_tenant = invocation->request.end_tenant,
		.duration_us = duration_us(invocation),
		.memory_mb = invocation->facts.memory_mb,
		.max_memory_bytes = report->max_memory_bytes,
		.status = report->status,
		.error_type = report->error_type,
	};

	invocation->reported = true;
	invocation->duration_us = text.duration_us;
	if (!invocation->start_written) /* its vCPUs never ran, until it was overdue */
		report_write_start(invocation);
	/* An error that the runtime reported is told by the runtime's own lines. */
	if (lines.format == LOG_TEXT && report->status == LINE_ERROR && !report->crash)
		text.status = LINE_SUCCESS;
	fill_start(invocation, &text);
	fill_record(invocation, &text, report->status, &invocation->entry->record);
	if (report->status != LINE_SUCCESS)
		write_cause(invocation, report, now_us);
	write_line(invocation, now_us, &line, log_line_end(&line, lines, invocation->id));
	write_line(invocation, now_us, &line, log_line_report(&line, lines, now_us, &text));
	if (invocation->request.log_tail)
		log_stream_capture_end(sandbox_log(invocation->sandbox), &invocation->log_result);
}
