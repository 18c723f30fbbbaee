/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/store/ledger_internal.h"

/* Parameters of a filter: the same numbers in every statement. */
#define IN_SERIES                                                                                  \
	"(?1 = '' OR s.tenant = ?1) AND (?2 = '' OR s.function = ?2) AND"                          \
	" (?3 = '' OR s.version = ?3)"

static void finalize_p(sqlite3_stmt **statement)
{
	(void)sqlite3_finalize(*statement);
}
#define _cleanup_statement_ _cleanup_(finalize_p)

static int no_memory(struct error *error)
{
	return error_set_errno(error, ENOMEM, "Cannot read the ledger");
}

static int prepare(struct ledger *ledger, const struct buf *sql, sqlite3_stmt **ret,
		   struct error *error)
{
	return database_prepare(&ledger->reader, buf_string(sql), ret, error);
}

static void bind_filter(sqlite3_stmt *statement, const struct ledger_filter *filter, int64_t from,
			int64_t to)
{
	database_bind_text(statement, 1, filter->tenant);
	database_bind_text(statement, 2, filter->function);
	database_bind_text(statement, 3, filter->version);
	(void)sqlite3_bind_int64(statement, 4, from);
	(void)sqlite3_bind_int64(statement, 5, to);
}

static void copy_text(sqlite3_stmt *statement, int column, char *to, size_t size)
{
	const char *text = (const char *)sqlite3_column_text(statement, column);

	(void)snprintf(to, size, "%s", text ? text : "");
}

/* Tenant, function, version, time, and the figures from column `figures` on. */
static void take_row(sqlite3_stmt *statement, int figures, struct ledger_row *ret)
{
	copy_text(statement, 0, ret->tenant, sizeof(ret->tenant));
	copy_text(statement, 1, ret->function, sizeof(ret->function));
	copy_text(statement, 2, ret->version, sizeof(ret->version));
	ret->begins_us = sqlite3_column_int64(statement, 3) * LEDGER_HOUR_US;
	for (int i = 0; i < _LEDGER_FIGURES; i++)
		ret->figures[i] = sqlite3_column_int64(statement, figures + i);
}

static int each_row(struct ledger *ledger, sqlite3_stmt *statement, ledger_row_fn *fn, void *arg,
		    struct error *error)
{
	struct ledger_row row;
	int step, r;

	while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
		take_row(statement, 4, &row);
		r = fn(&row, arg);
		if (r < 0)
			return r;
	}
	return step == SQLITE_DONE ? 0 : database_refuse(&ledger->reader, "read", error);
}

/* -- query -- */

static int append_query(struct buf *sql, const struct ledger_query *query)
{
	static const struct {
		unsigned group;
		const char *column;
	} columns[] = { { LEDGER_BY_TENANT, "s.tenant" },
			{ LEDGER_BY_FUNCTION, "s.function" },
			{ LEDGER_BY_VERSION, "s.version" } };
	unsigned groups = query->groups;
	int r = buf_append_string(sql, "SELECT ");

	for (size_t i = 0; i < ARRAY_SIZE(columns) && r == 0; i++)
		r = buf_append_format(sql, "%s, ",
				      groups & columns[i].group ? columns[i].column : "''");
	if (r == 0)
		r = buf_append_string(sql, groups & LEDGER_BY_HOUR  ? "u.hour, "
					   : groups & LEDGER_BY_DAY ? "u.hour - u.hour % 24, "
								    : "0, ");
	if (r == 0)
		r = ledger_append_sums(sql, true);
	/* The join's order is ours: SQLite has no statistics, and there are few series. */
	if (r == 0)
		r = buf_append_string(
			sql,
			" FROM series s CROSS JOIN rollup u ON u.series = s.id WHERE " IN_SERIES
			" AND u.hour >= ?4 AND u.hour < ?5");
	if (r == 0 && groups)
		r = buf_append_string(sql, " GROUP BY 1, 2, 3, 4 ORDER BY ");
	/* The figures are columns 5 and on. */
	if (r == 0 && groups && query->by_figure)
		r = buf_append_format(sql, "%d DESC, ", 5 + (int)query->figure);
	if (r == 0 && groups)
		r = buf_append_string(sql, "1, 2, 3, 4");
	return r < 0 ? r : buf_append_string(sql, " LIMIT ?6 OFFSET ?7");
}

static int64_t hour_up(int64_t time_us)
{
	return time_us / LEDGER_HOUR_US + (time_us % LEDGER_HOUR_US > 0);
}

int ledger_query(struct ledger *ledger, const struct ledger_query *query, ledger_row_fn *fn,
		 void *arg, struct error *error)
{
	_cleanup_buf_ struct buf sql = BUF_INIT;
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	int r;

	if (append_query(&sql, query) < 0)
		return no_memory(error);
	r = prepare(ledger, &sql, &statement, error);
	if (r < 0)
		return r;
	bind_filter(statement, &query->filter, hour_up(query->filter.from_us),
		    hour_up(query->filter.to_us));
	(void)sqlite3_bind_int64(statement, 6, query->limit);
	(void)sqlite3_bind_int64(statement, 7, (sqlite3_int64)query->offset);
	return each_row(ledger, statement, fn, arg, error);
}

static int take_only(const struct ledger_row *row, void *arg)
{
	*(struct ledger_row *)arg = *row;
	return 0;
}

static int read_last(struct ledger *ledger, uint64_t *ret, struct error *error)
{
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	int r = database_prepare(
		&ledger->reader,
		"SELECT ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'record'), 0)",
		&statement, error);

	if (r < 0)
		return r;
	if (sqlite3_step(statement) != SQLITE_ROW)
		return database_refuse(&ledger->reader, "read", error);
	*ret = (uint64_t)sqlite3_column_int64(statement, 0);
	return 0;
}

int ledger_sum(struct ledger *ledger, const struct ledger_filter *filter, struct ledger_row *ret,
	       uint64_t *ret_through, struct error *error)
{
	const struct ledger_query query = { .filter = *filter, .limit = 1 };
	/* One snapshot for both. */
	int r = database_execute(&ledger->reader, "BEGIN", error);

	if (r < 0)
		return r;
	*ret = (struct ledger_row){ 0 };
	r = read_last(ledger, ret_through, error);
	if (r == 0)
		r = ledger_query(ledger, &query, take_only, ret, error);
	(void)sqlite3_exec(ledger->reader.connection, "COMMIT", NULL, NULL, NULL);
	return r;
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
	copy_text(statement, 2, ret->tenant, sizeof(ret->tenant));
	copy_text(statement, 3, ret->function, sizeof(ret->function));
	copy_text(statement, 4, ret->version, sizeof(ret->version));
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		*numbers[i] = sqlite3_column_int64(statement, (int)i + 5);
}

/* Where the records of the filter lie, as the rollups know. */
static int find_bounds(struct ledger *ledger, const struct ledger_filter *filter,
		       uint64_t *ret_first, uint64_t *ret_last, struct error *error)
{
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	int r = database_prepare(
		&ledger->reader,
		"SELECT ifnull(min(u.first_sequence), 0), ifnull(max(u.last_sequence), 0)"
		" FROM series s CROSS JOIN rollup u ON u.series = s.id WHERE " IN_SERIES
		" AND u.hour >= ?4 AND u.hour < ?5",
		&statement, error);

	if (r < 0)
		return r;
	bind_filter(statement, filter, filter->from_us / LEDGER_HOUR_US, hour_up(filter->to_us));
	if (sqlite3_step(statement) != SQLITE_ROW)
		return database_refuse(&ledger->reader, "read", error);
	*ret_first = (uint64_t)sqlite3_column_int64(statement, 0);
	*ret_last = (uint64_t)sqlite3_column_int64(statement, 1);
	return 0;
}

int ledger_read(struct ledger *ledger, const struct ledger_filter *filter, uint64_t after,
		uint32_t limit, ledger_record_fn *fn, void *arg, struct error *error)
{
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	struct ledger_record record;
	uint64_t first = 0, last = 0;
	int step, r;

	r = find_bounds(ledger, filter, &first, &last, error);
	if (r == 0)
		r = database_prepare(&ledger->reader,
				     "SELECT " RECORD_COLUMNS
				     " FROM record r CROSS JOIN series s ON s.id = r.series"
				     " WHERE " IN_SERIES
				     " AND r.started_us >= ?4 AND r.started_us < ?5"
				     " AND r.sequence >= ?6 AND r.sequence <= ?7"
				     " ORDER BY r.sequence LIMIT ?8",
				     &statement, error);
	if (r < 0)
		return r;
	bind_filter(statement, filter, filter->from_us, filter->to_us);
	(void)sqlite3_bind_int64(statement, 6, (sqlite3_int64)(first > after ? first : after + 1));
	(void)sqlite3_bind_int64(statement, 7, (sqlite3_int64)last);
	(void)sqlite3_bind_int64(statement, 8, limit);
	while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
		take_record(statement, &record);
		r = fn(&record, arg);
		if (r < 0)
			return r;
	}
	return step == SQLITE_DONE ? 0 : database_refuse(&ledger->reader, "read", error);
}

/* -- counting anew -- */

int ledger_recount(struct ledger *ledger, uint64_t after, uint64_t through, ledger_row_fn *fn,
		   void *arg, struct error *error)
{
	_cleanup_buf_ struct buf sql = BUF_INIT;
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	int r = buf_append_string(&sql, "SELECT s.tenant, s.function, s.version, 0, ");

	if (r == 0)
		r = ledger_append_sums(&sql, false);
	if (r == 0)
		r = buf_append_string(&sql,
				      " FROM record CROSS JOIN series s ON s.id = series"
				      " WHERE sequence > ?1 AND sequence <= ?2 GROUP BY series");
	if (r < 0)
		return no_memory(error);
	r = prepare(ledger, &sql, &statement, error);
	if (r < 0)
		return r;
	(void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)after);
	(void)sqlite3_bind_int64(statement, 2, (sqlite3_int64)through);
	return each_row(ledger, statement, fn, arg, error);
}

static int append_accruals(struct buf *sql, enum ledger_accrual_kind kind)
{
	int r = buf_append_format(sql, " UNION ALL SELECT series, begins_ms / %lld, %lld, ",
				  LEDGER_HOUR_US / 1000, (long long)INT64_MAX);

	if (r == 0)
		r = ledger_append_zeros(sql, ledger_accrual_figure(kind),
					"units * memory_mb * (ends_ms - begins_ms)");
	return r < 0 ? r : buf_append_format(sql, " FROM accrual WHERE kind = %d", (int)kind);
}

/* "WITH part AS (…), raw AS (…) ": the hours of records and of accruals, and both together. */
static int append_raw(struct buf *sql)
{
	int r = buf_append_string(sql, "WITH part (series, hour, first_sequence, ");

	if (r == 0)
		r = ledger_append_names(sql, NULL);
	if (r == 0)
		r = buf_append_format(sql,
				      ") AS (SELECT series, started_us / %lld, min(sequence), ",
				      LEDGER_HOUR_US);
	if (r == 0)
		r = ledger_append_sums(sql, false);
	if (r == 0)
		r = buf_append_string(sql, " FROM record GROUP BY 1, 2");
	if (r == 0)
		r = append_accruals(sql, LEDGER_ALLOCATION);
	if (r == 0)
		r = append_accruals(sql, LEDGER_CACHE);
	if (r == 0)
		r = buf_append_string(sql, "), raw (series, hour, first_sequence, ");
	if (r == 0)
		r = ledger_append_names(sql, NULL);
	if (r == 0)
		r = buf_append_string(sql, ") AS MATERIALIZED (SELECT u.series, u.hour,"
					   " min(u.first_sequence), ");
	if (r == 0)
		r = ledger_append_sums(sql, true);
	return r < 0 ? r : buf_append_string(sql, " FROM part u GROUP BY 1, 2) ");
}

/* Both sides of each hour that is whole in the records, whether they differ or not. */
static int append_reconcile(struct buf *sql)
{
	static const char *const halves[] = {
		" FROM rollup u LEFT JOIN raw r ON r.series = u.series AND r.hour = u.hour"
		" JOIN series s ON s.id = u.series",
		" FROM raw r LEFT JOIN rollup u ON r.series = u.series AND r.hour = u.hour"
		" JOIN series s ON s.id = r.series WHERE u.series IS NULL",
	};
	int r = append_raw(sql);

	for (size_t i = 0; i < ARRAY_SIZE(halves) && r == 0; i++) {
		r = buf_append_format(sql,
				      "%sSELECT s.tenant, s.function, s.version, %s.hour,"
				      " %s.first_sequence, ",
				      i ? " UNION ALL " : "", i ? "r" : "u", i ? "r" : "u");
		if (r == 0)
			r = ledger_append_names(sql, "r.");
		if (r == 0)
			r = buf_append_string(sql, ", ");
		if (r == 0)
			r = ledger_append_names(sql, "u.");
		if (r == 0)
			r = buf_append_string(sql, halves[i]);
	}
	return r;
}

static int compare(sqlite3_stmt *statement, uint64_t trimmed, ledger_difference_fn *fn, void *arg,
		   struct ledger_reconciled *sums)
{
	struct ledger_row counted, rolled;

	if ((uint64_t)sqlite3_column_int64(statement, 4) <= trimmed) {
		sums->trimmed++;
		return 0;
	}
	take_row(statement, 5, &counted);
	take_row(statement, 5 + _LEDGER_FIGURES, &rolled);
	sums->records += (uint64_t)counted.figures[LEDGER_INVOCATIONS];
	sums->rollups++;
	if (memcmp(counted.figures, rolled.figures, sizeof(counted.figures)) == 0)
		return 0;
	return fn(&counted, &rolled, arg);
}

static int read_trimmed(struct ledger *ledger, uint64_t *ret, struct error *error)
{
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	int r = database_prepare(&ledger->reader, "SELECT trimmed FROM state", &statement, error);

	if (r < 0)
		return r;
	if (sqlite3_step(statement) != SQLITE_ROW)
		return database_refuse(&ledger->reader, "read", error);
	*ret = (uint64_t)sqlite3_column_int64(statement, 0);
	return 0;
}

static int reconcile(struct ledger *ledger, ledger_difference_fn *fn, void *arg,
		     struct ledger_reconciled *sums, struct error *error)
{
	_cleanup_buf_ struct buf sql = BUF_INIT;
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	uint64_t trimmed = 0;
	int step, r;

	if (append_reconcile(&sql) < 0)
		return no_memory(error);
	r = read_trimmed(ledger, &trimmed, error);
	if (r == 0)
		r = prepare(ledger, &sql, &statement, error);
	if (r < 0)
		return r;
	while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
		r = compare(statement, trimmed, fn, arg, sums);
		if (r < 0)
			return r;
	}
	return step == SQLITE_DONE ? 0 : database_refuse(&ledger->reader, "read", error);
}

int ledger_reconcile(struct ledger *ledger, ledger_difference_fn *fn, void *arg,
		     struct ledger_reconciled *ret, struct error *error)
{
	struct ledger_reconciled sums = { 0 };
	/* One snapshot for what is trimmed and what is there. */
	int r = database_execute(&ledger->reader, "BEGIN", error);

	if (r < 0)
		return r;
	r = reconcile(ledger, fn, arg, &sums, error);
	(void)sqlite3_exec(ledger->reader.connection, "COMMIT", NULL, NULL, NULL);
	if (r == 0)
		*ret = sums;
	return r;
}
