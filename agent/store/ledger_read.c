/* SPDX-License-Identifier: Apache-2.0 */

/* Single records, and what all readers have in common. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/store/ledger_internal.h"

void ledger_finalize_p(sqlite3_stmt **statement)
{
	(void)sqlite3_finalize(*statement);
}

int ledger_no_memory(struct error *error)
{
	return error_set_errno(error, ENOMEM, "Cannot read the ledger");
}

int ledger_prepare_read(struct ledger *ledger, const struct buf *sql, sqlite3_stmt **ret,
			struct error *error)
{
	return database_prepare(&ledger->reader, buf_string(sql), ret, error);
}

void ledger_bind_filter(sqlite3_stmt *statement, const struct ledger_filter *filter, int64_t from,
			int64_t to)
{
	database_bind_text(statement, 1, filter->tenant);
	database_bind_text(statement, 2, filter->function);
	database_bind_text(statement, 3, filter->version);
	(void)sqlite3_bind_int64(statement, 4, from);
	(void)sqlite3_bind_int64(statement, 5, to);
}

void ledger_copy_text(sqlite3_stmt *statement, int column, char *to, size_t size)
{
	const char *text = (const char *)sqlite3_column_text(statement, column);

	(void)snprintf(to, size, "%s", text ? text : "");
}

/* Tenant, function, version, time, and the figures from column `figures` on. */
void ledger_take_row(sqlite3_stmt *statement, int figures, struct ledger_row *ret)
{
	ledger_copy_text(statement, 0, ret->tenant, sizeof(ret->tenant));
	ledger_copy_text(statement, 1, ret->function, sizeof(ret->function));
	ledger_copy_text(statement, 2, ret->version, sizeof(ret->version));
	ret->is_day = false;
	ret->begins_us = sqlite3_column_int64(statement, 3) * LEDGER_HOUR_US;
	for (int i = 0; i < _LEDGER_FIGURES; i++)
		ret->figures[i] = sqlite3_column_int64(statement, figures + i);
}

int ledger_each_row(struct ledger *ledger, sqlite3_stmt *statement, ledger_row_fn *fn, void *arg,
		    struct error *error)
{
	struct ledger_row row;
	int step, r;

	while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
		ledger_take_row(statement, 4, &row);
		r = fn(&row, arg);
		if (r < 0)
			return r;
	}
	return step == SQLITE_DONE ? 0 : database_refuse(&ledger->reader, "read", error);
}

int64_t ledger_hour_up(int64_t time_us)
{
	return time_us / LEDGER_HOUR_US + (time_us % LEDGER_HOUR_US > 0);
}

/* -- records -- */

#define RECORD_COLUMNS                                                                             \
	"r.sequence, r.request_id, s.tenant, s.function, s.version, r.started_us, r.duration_us,"  \
	" ifnull(r.init_us, -1), ifnull(r.restore_us, -1), ifnull(r.billed_restore_ms, -1),"       \
	" r.billed_ms, r.memory_mb, r.max_memory_mb, r.event_bytes, r.answer_bytes,"               \
	" r.streamed_bytes, r.over_bytes, r.storage_mb, r.restored_mb, r.start, r.result,"         \
	" r.provisioned, r.withheld"

static void format_uuid(sqlite3_stmt *statement, int column, char out[UUID_BYTES])
{
	const uint8_t *id = sqlite3_column_blob(statement, column);
	char hex[UUID_BYTES] = "";

	if (id && sqlite3_column_bytes(statement, column) >= 16) /* a run may follow */
		hex_encode(id, 16, hex);
	(void)snprintf(out, UUID_BYTES, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
		       hex + 16, hex + 20);
}

static void take_record(sqlite3_stmt *statement, struct ledger_record *ret)
{
	int64_t *const numbers[] = { &ret->started_us,   &ret->duration_us,       &ret->init_us,
				     &ret->restore_us,   &ret->billed_restore_ms, &ret->billed_ms,
				     &ret->memory_mb,    &ret->max_memory_mb,     &ret->event_bytes,
				     &ret->answer_bytes, &ret->streamed_bytes,    &ret->over_bytes,
				     &ret->storage_mb,   &ret->restored_mb };

	*ret = (struct ledger_record){
		.sequence = (uint64_t)sqlite3_column_int64(statement, 0),
		.start = (enum ledger_start)sqlite3_column_int(statement, 19),
		.result = (enum ledger_result)sqlite3_column_int(statement, 20),
		.provisioned = sqlite3_column_int(statement, 21) != 0,
		.withheld = sqlite3_column_int(statement, 22) != 0,
	};
	format_uuid(statement, 1, ret->request_id);
	ledger_copy_text(statement, 2, ret->tenant, sizeof(ret->tenant));
	ledger_copy_text(statement, 3, ret->function, sizeof(ret->function));
	ledger_copy_text(statement, 4, ret->version, sizeof(ret->version));
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		*numbers[i] = sqlite3_column_int64(statement, (int)i + 5);
}

/* Records whose sequences lie from `first` to `last`. */
struct stretch {
	uint64_t first, last;
};

/* One reading: the hours tell the stretches, in order of their beginning. */
struct reading {
	sqlite3_stmt *hours;
	sqlite3_stmt *records;
	uint32_t left; /* records that are still wanted */
	ledger_record_fn *fn;
	void *arg;
};

/* Where the records of the filter lie, as the hourly sums know. Those of one function by hour, as
 * hours without any need not be read; late records make hours overlap. Those of many in one
 * stretch: they have some in most hours, and sorting out all their sums would cost more. */
static int prepare_hours(struct ledger *ledger, const struct ledger_filter *filter, uint64_t after,
			 sqlite3_stmt **ret, struct error *error)
{
	_cleanup_buf_ struct buf sql = BUF_INIT;
	int r = buf_append_string(&sql,
				  "SELECT min(u.first_sequence), max(u.last_sequence)"
				  " FROM series s CROSS JOIN rollup u ON u.series = s.id"
				  " WHERE " LEDGER_IN_SERIES
				  " AND u.hour >= ?4 AND u.hour < ?5 AND u.last_sequence > ?6");

	if (r == 0 && filter->function[0])
		r = buf_append_string(&sql, " GROUP BY u.hour ORDER BY 1");
	if (r < 0)
		return ledger_no_memory(error);
	r = ledger_prepare_read(ledger, &sql, ret, error);
	if (r < 0)
		return r;
	ledger_bind_filter(*ret, filter, filter->from_us / LEDGER_HOUR_US,
			   ledger_hour_up(filter->to_us));
	(void)sqlite3_bind_int64(*ret, 6, (sqlite3_int64)after);
	return 0;
}

static int prepare_records(struct ledger *ledger, const struct ledger_filter *filter,
			   sqlite3_stmt **ret, struct error *error)
{
	int r = database_prepare(
		&ledger->reader,
		"SELECT " RECORD_COLUMNS " FROM record r CROSS JOIN series s ON s.id = r.series"
		" WHERE " LEDGER_IN_SERIES " AND r.started_us >= ?4 AND r.started_us < ?5"
		" AND r.sequence >= ?6 AND r.sequence <= ?7"
		" ORDER BY r.sequence LIMIT ?8",
		ret, error);

	if (r == 0)
		ledger_bind_filter(*ret, filter, filter->from_us, filter->to_us);
	return r;
}

static int read_stretch(struct ledger *ledger, struct reading *reading,
			const struct stretch *stretch, struct error *error)
{
	struct ledger_record record;
	int step, r;

	(void)sqlite3_reset(reading->records);
	(void)sqlite3_bind_int64(reading->records, 6, (sqlite3_int64)stretch->first);
	(void)sqlite3_bind_int64(reading->records, 7, (sqlite3_int64)stretch->last);
	(void)sqlite3_bind_int64(reading->records, 8, reading->left);
	while ((step = sqlite3_step(reading->records)) == SQLITE_ROW) {
		take_record(reading->records, &record);
		reading->left--;
		r = reading->fn(&record, reading->arg);
		if (r < 0)
			return r;
	}
	return step == SQLITE_DONE ? 0 : database_refuse(&ledger->reader, "read", error);
}

static int read_hours(struct ledger *ledger, struct reading *reading, uint64_t after,
		      struct error *error)
{
	struct stretch stretch = { 0 }, hour;
	int step, r = 0;

	while ((step = sqlite3_step(reading->hours)) == SQLITE_ROW && reading->left > 0) {
		hour.first = (uint64_t)sqlite3_column_int64(reading->hours, 0);
		hour.last = (uint64_t)sqlite3_column_int64(reading->hours, 1);
		if (hour.first <= after)
			hour.first = after + 1;
		if (stretch.last > 0 && hour.first <= stretch.last + 1) {
			stretch.last = hour.last > stretch.last ? hour.last : stretch.last;
			continue;
		}
		if (stretch.last > 0)
			r = read_stretch(ledger, reading, &stretch, error);
		if (r < 0)
			return r;
		stretch = hour;
	}
	if (step != SQLITE_DONE && step != SQLITE_ROW)
		return database_refuse(&ledger->reader, "read", error);
	return stretch.last > 0 && reading->left > 0
		       ? read_stretch(ledger, reading, &stretch, error)
		       : 0;
}

int ledger_read(struct ledger *ledger, const struct ledger_filter *filter, uint64_t after,
		uint32_t limit, ledger_record_fn *fn, void *arg, struct error *error)
{
	_cleanup_statement_ sqlite3_stmt *hours = NULL, *records = NULL;
	struct reading reading = { .left = limit, .fn = fn, .arg = arg };
	int r = prepare_hours(ledger, filter, after, &hours, error);

	if (r == 0)
		r = prepare_records(ledger, filter, &records, error);
	if (r < 0)
		return r;
	reading.hours = hours;
	reading.records = records;
	return read_hours(ledger, &reading, after, error);
}
