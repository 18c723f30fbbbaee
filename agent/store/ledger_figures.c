/* SPDX-License-Identifier: Apache-2.0 */

/* What is summed up, and how: the one place that rollups, queries and reconciliation share. */

#include "agent/store/ledger_internal.h"

#define BILLED "(billed_ms + ifnull(billed_restore_ms, 0))"

static const struct {
	const char *name;
	const char *of_record;
	bool largest; /* instead of the sum */
} figures[_LEDGER_FIGURES] = {
	[LEDGER_INVOCATIONS] = { "invocations", "1", false },
	[LEDGER_ERRORS] = { "errors", "result <> 0", false },
	[LEDGER_TIMEOUTS] = { "timeouts", "result = 2", false },
	[LEDGER_FAILURES] = { "failures", "result = 3", false },
	[LEDGER_COLD_STARTS] = { "cold_starts", "start >= 2", false },
	[LEDGER_WITHHELD] = { "withheld", "withheld", false },
	[LEDGER_DURATION_US] = { "duration_us", "duration_us", false },
	[LEDGER_INIT_US] = { "init_us", "ifnull(init_us, 0)", false },
	[LEDGER_BILLED_MS] = { "billed_ms", BILLED, false },
	[LEDGER_MB_MS] = { "mb_ms", "memory_mb * " BILLED, false },
	[LEDGER_EVENT_BYTES] = { "event_bytes", "event_bytes", false },
	[LEDGER_ANSWER_BYTES] = { "answer_bytes", "answer_bytes", false },
	[LEDGER_STREAMED_BYTES] = { "streamed_bytes", "streamed_bytes", false },
	[LEDGER_MAX_MEMORY_MB] = { "max_memory_mb", "max_memory_mb", true },
	[LEDGER_PROVISIONED_INVOCATIONS] = { "provisioned_invocations", "provisioned", false },
	[LEDGER_PROVISIONED_MB_MS] = { "provisioned_mb_ms", "provisioned * memory_mb * " BILLED,
				       false },
	/* Less than is free is not credited. */
	[LEDGER_STORAGE_MB_MS] = { "storage_mb_ms", "max(storage_mb - 512, 0) * " BILLED, false },
	[LEDGER_OVER_BYTES] = { "over_bytes", "over_bytes", false },
	[LEDGER_RESTORED_MB] = { "restored_mb", "restored_mb", false },
	[LEDGER_ALLOCATED_MB_MS] = { "allocated_mb_ms", "0", false },
	[LEDGER_CACHED_MB_MS] = { "cached_mb_ms", "0", false },
};

const char *ledger_figure_name(enum ledger_figure figure)
{
	return figures[figure].name;
}

int ledger_append_sums(struct buf *sql, bool of_rollups)
{
	int r = 0;

	for (size_t i = 0; i < _LEDGER_FIGURES && r == 0; i++)
		r = buf_append_format(sql, "%s%s(%s%s)", i ? ", " : "",
				      figures[i].largest ? "max" : "sum", of_rollups ? "u." : "",
				      of_rollups ? figures[i].name : figures[i].of_record);
	return r;
}

int ledger_append_zeros(struct buf *sql, enum ledger_figure but, const char *value)
{
	int r = 0;

	for (size_t i = 0; i < _LEDGER_FIGURES && r == 0; i++)
		r = buf_append_format(sql, "%s%s", i ? ", " : "", i == but ? value : "0");
	return r;
}

enum ledger_figure ledger_accrual_figure(enum ledger_accrual_kind kind)
{
	return kind == LEDGER_CACHE ? LEDGER_CACHED_MB_MS : LEDGER_ALLOCATED_MB_MS;
}

int ledger_append_names(struct buf *sql, const char *prefix)
{
	int r = 0;

	for (size_t i = 0; i < _LEDGER_FIGURES && r == 0; i++)
		r = buf_append_format(sql, "%s%s%s", i ? ", " : "", prefix ? prefix : "",
				      figures[i].name);
	return r;
}

int ledger_append_additions(struct buf *sql)
{
	int r = 0;

	for (size_t i = 0; i < _LEDGER_FIGURES && r == 0; i++)
		r = buf_append_format(sql,
				      figures[i].largest ? "%s%s = max(%s, excluded.%s)"
							 : "%s%s = %s + excluded.%s",
				      i ? ", " : "", figures[i].name, figures[i].name,
				      figures[i].name);
	return r;
}
