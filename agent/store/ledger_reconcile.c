/* SPDX-License-Identifier: Apache-2.0 */

/* Counting anew: records and accruals against the sums of hours, those against the sums of days. */

#include <string.h>

#include "agent/store/ledger_internal.h"

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
		return ledger_no_memory(error);
	r = ledger_prepare_read(ledger, &sql, &statement, error);
	if (r < 0)
		return r;
	(void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)after);
	(void)sqlite3_bind_int64(statement, 2, (sqlite3_int64)through);
	return ledger_each_row(ledger, statement, fn, arg, error);
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
	ledger_take_row(statement, 5, &counted);
	ledger_take_row(statement, 5 + _LEDGER_FIGURES, &rolled);
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
		return ledger_no_memory(error);
	r = read_trimmed(ledger, &trimmed, error);
	if (r == 0)
		r = ledger_prepare_read(ledger, &sql, &statement, error);
	if (r < 0)
		return r;
	while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
		r = compare(statement, trimmed, fn, arg, sums);
		if (r < 0)
			return r;
	}
	return step == SQLITE_DONE ? 0 : database_refuse(&ledger->reader, "read", error);
}

/* "WITH hours AS (…) ": what the days that are summed up should be. */
static int append_hours(struct buf *sql)
{
	int r = buf_append_string(sql, "WITH hours (series, day, ");

	if (r == 0)
		r = ledger_append_names(sql, NULL);
	if (r == 0)
		r = buf_append_string(sql, ") AS MATERIALIZED (SELECT u.series, u.hour / 24, ");
	if (r == 0)
		r = ledger_append_sums(sql, true);
	return r < 0 ? r
		     : buf_append_string(sql, " FROM rollup u WHERE u.hour <"
					      " (SELECT days FROM state) * 24 GROUP BY 1, 2) ");
}

static int append_days(struct buf *sql)
{
	static const char *const halves[] = {
		" FROM day_rollup d LEFT JOIN hours h ON h.series = d.series AND h.day = d.day"
		" JOIN series s ON s.id = d.series",
		" FROM hours h LEFT JOIN day_rollup d ON h.series = d.series AND h.day = d.day"
		" JOIN series s ON s.id = h.series WHERE d.series IS NULL",
	};
	int r = append_hours(sql);

	for (size_t i = 0; i < ARRAY_SIZE(halves) && r == 0; i++) {
		r = buf_append_format(sql,
				      "%sSELECT s.tenant, s.function, s.version, %s.day * 24, 0, ",
				      i ? " UNION ALL " : "", i ? "h" : "d");
		if (r == 0)
			r = ledger_append_names(sql, "h.");
		if (r == 0)
			r = buf_append_string(sql, ", ");
		if (r == 0)
			r = ledger_append_names(sql, "d.");
		if (r == 0)
			r = buf_append_string(sql, halves[i]);
	}
	return r;
}

static int reconcile_days(struct ledger *ledger, ledger_difference_fn *fn, void *arg,
			  struct ledger_reconciled *sums, struct error *error)
{
	_cleanup_buf_ struct buf sql = BUF_INIT;
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	struct ledger_row counted, rolled;
	int step, r;

	if (append_days(&sql) < 0)
		return ledger_no_memory(error);
	r = ledger_prepare_read(ledger, &sql, &statement, error);
	while (r == 0 && (step = sqlite3_step(statement)) != SQLITE_DONE) {
		if (step != SQLITE_ROW)
			return database_refuse(&ledger->reader, "read", error);
		ledger_take_row(statement, 5, &counted);
		ledger_take_row(statement, 5 + _LEDGER_FIGURES, &rolled);
		counted.is_day = rolled.is_day = true;
		sums->days++;
		if (memcmp(counted.figures, rolled.figures, sizeof(counted.figures)) != 0)
			r = fn(&counted, &rolled, arg);
	}
	return r;
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
	if (r == 0)
		r = reconcile_days(ledger, fn, arg, &sums, error);
	(void)sqlite3_exec(ledger->reader.connection, "COMMIT", NULL, NULL, NULL);
	if (r == 0)
		*ret = sums;
	return r;
}
