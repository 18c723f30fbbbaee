/* SPDX-License-Identifier: Apache-2.0 */

/* Sums of hours and days, grouped. */

#include "agent/store/ledger_internal.h"

/* -- what is summed up -- */

/* "sum(u.invocations) AS invocations, …" */
static int append_named_sums(struct buf *sql)
{
	int r = 0;

	for (size_t i = 0; i < _LEDGER_FIGURES && r == 0; i++) {
		enum ledger_figure figure = (enum ledger_figure)i;
		const char *name = ledger_figure_name(figure);

		r = buf_append_format(sql, "%s%s(u.%s) AS %s", i ? ", " : "",
				      figure == LEDGER_MAX_MEMORY_MB ? "max" : "sum", name, name);
	}
	return r;
}

/* One part of the time: hours or days of a range, summed up for each series unless days are told
 * apart. The join's order is ours: SQLite has no statistics, and there are few series. */
static int append_part(struct buf *sql, bool by_day, const char *hour, const char *table,
		       const char *range)
{
	int r = buf_append_format(sql,
				  "SELECT s.tenant AS tenant, s.function AS function,"
				  " s.version AS version, %s AS hour, ",
				  by_day ? hour : "0");

	if (r == 0)
		r = by_day ? ledger_append_names(sql, "u.") : append_named_sums(sql);
	if (r == 0)
		r = buf_append_format(sql,
				      " FROM series s CROSS JOIN %s u ON u.series = s.id"
				      " WHERE " LEDGER_IN_SERIES " AND %s%s",
				      table, range, by_day ? "" : " GROUP BY s.id");
	return r;
}

/* Days that are whole in the times and summed up by now, and the hours before and behind them.
 * Parameters 8 and 9: the first of the whole days, and the one behind the last. */
#define DAYS_END "max(?8, min(?9, (SELECT days FROM state)))"

static int append_parts(struct buf *sql, bool by_day)
{
	int r = append_part(sql, by_day, "u.day * 24", "day_rollup",
			    "u.day >= ?8 AND u.day < " DAYS_END);

	if (r == 0)
		r = buf_append_string(sql, " UNION ALL ");
	if (r == 0)
		r = append_part(sql, by_day, "u.hour - u.hour % 24", "rollup",
				"u.hour >= ?4 AND u.hour < min(?5, ?8 * 24)");
	if (r == 0)
		r = buf_append_string(sql, " UNION ALL ");
	if (r == 0)
		r = append_part(sql, by_day, "u.hour - u.hour % 24", "rollup",
				"u.hour >= max(?4, " DAYS_END " * 24) AND u.hour < ?5");
	return r;
}

static int append_source(struct buf *sql, unsigned groups)
{
	int r;

	if (groups & LEDGER_BY_HOUR)
		return buf_append_string(
			sql, " FROM series s CROSS JOIN rollup u ON u.series = s.id"
			     " WHERE " LEDGER_IN_SERIES " AND u.hour >= ?4 AND u.hour < ?5");
	r = buf_append_string(sql, " FROM (");
	if (r == 0)
		r = append_parts(sql, (groups & LEDGER_BY_DAY) != 0);
	return r < 0 ? r : buf_append_string(sql, ") u");
}

static int append_query(struct buf *sql, const struct ledger_query *query)
{
	static const struct {
		unsigned group;
		const char *name;
	} columns[] = { { LEDGER_BY_TENANT, "tenant" },
			{ LEDGER_BY_FUNCTION, "function" },
			{ LEDGER_BY_VERSION, "version" } };
	unsigned groups = query->groups;
	const char *from = groups & LEDGER_BY_HOUR ? "s" : "u";
	int r = buf_append_string(sql, "SELECT ");

	for (size_t i = 0; i < ARRAY_SIZE(columns) && r == 0; i++)
		r = groups & columns[i].group
			    ? buf_append_format(sql, "%s.%s, ", from, columns[i].name)
			    : buf_append_string(sql, "'', ");
	if (r == 0)
		r = buf_append_string(sql, groups & (LEDGER_BY_HOUR | LEDGER_BY_DAY) ? "u.hour, "
										     : "0, ");
	if (r == 0)
		r = ledger_append_sums(sql, true);
	if (r == 0)
		r = append_source(sql, groups);
	if (r == 0 && groups)
		r = buf_append_string(sql, " GROUP BY 1, 2, 3, 4 ORDER BY ");
	/* The figures are columns 5 and on. */
	if (r == 0 && groups && query->by_figure)
		r = buf_append_format(sql, "%d DESC, ", 5 + (int)query->figure);
	if (r == 0 && groups)
		r = buf_append_string(sql, "1, 2, 3, 4");
	return r < 0 ? r : buf_append_string(sql, " LIMIT ?6 OFFSET ?7");
}

int ledger_query(struct ledger *ledger, const struct ledger_query *query, ledger_row_fn *fn,
		 void *arg, struct error *error)
{
	_cleanup_buf_ struct buf sql = BUF_INIT;
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	int64_t from = ledger_hour_up(query->filter.from_us);
	int64_t to = ledger_hour_up(query->filter.to_us);
	int r;

	if (append_query(&sql, query) < 0)
		return ledger_no_memory(error);
	r = ledger_prepare_read(ledger, &sql, &statement, error);
	if (r < 0)
		return r;
	ledger_bind_filter(statement, &query->filter, from, to);
	(void)sqlite3_bind_int64(statement, 8, from / 24 + (from % 24 > 0));
	(void)sqlite3_bind_int64(statement, 9, to / 24);
	(void)sqlite3_bind_int64(statement, 6, query->limit);
	(void)sqlite3_bind_int64(statement, 7, (sqlite3_int64)query->offset);
	return ledger_each_row(ledger, statement, fn, arg, error);
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
