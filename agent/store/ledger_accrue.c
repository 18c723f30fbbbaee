/* SPDX-License-Identifier: Apache-2.0 */

/* What is billed by its time: pieces that grow, and their part of the rollups. */

#include "agent/store/ledger_internal.h"

static void bind_key(sqlite3_stmt *statement, const struct ledger_accrual *accrual, int64_t series)
{
	(void)sqlite3_bind_int64(statement, 1, series);
	(void)sqlite3_bind_int64(statement, 2, accrual->kind);
	(void)sqlite3_bind_int64(statement, 3, accrual->begins_ms);
	(void)sqlite3_bind_int64(statement, 4, accrual->slot);
}

/* Up to when the piece is in the rollups already. */
static int find_end(struct ledger *ledger, const struct ledger_accrual *accrual, int64_t series,
		    int64_t *ret_ms, struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = ledger->writes[LEDGER_FIND_ACCRUAL];
	int step;

	bind_key(statement, accrual, series);
	step = sqlite3_step(statement);
	if (step != SQLITE_ROW && step != SQLITE_DONE)
		return database_refuse(&ledger->writer, "write", error);
	*ret_ms = step == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : accrual->begins_ms;
	return 0;
}

static int add(struct ledger *ledger, const struct ledger_accrual *accrual, int64_t series,
	       struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = ledger->writes[LEDGER_ADD_ACCRUAL];

	bind_key(statement, accrual, series);
	(void)sqlite3_bind_int64(statement, 5, accrual->ends_ms);
	(void)sqlite3_bind_int64(statement, 6, accrual->units);
	(void)sqlite3_bind_int64(statement, 7, accrual->memory_mb);
	if (sqlite3_step(statement) != SQLITE_DONE)
		return database_refuse(&ledger->writer, "write", error);
	return 0;
}

static int add_to(struct ledger *ledger, enum ledger_write sums, int64_t series, int64_t time,
		  int64_t mb_ms, struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = ledger->writes[sums];

	(void)sqlite3_bind_int64(statement, 1, series);
	(void)sqlite3_bind_int64(statement, 2, time);
	(void)sqlite3_bind_int64(statement, 3, mb_ms);
	if (sqlite3_step(statement) != SQLITE_DONE)
		return database_refuse(&ledger->writer, "write", error);
	return 0;
}

/* To its hour, and to its day, if that is summed up already. */
static int roll_up(struct ledger *ledger, const struct ledger_accrual *accrual, int64_t series,
		   int64_t since_ms, struct error *error)
{
	bool cache = accrual->kind == LEDGER_CACHE;
	int64_t hour = accrual->begins_ms / (LEDGER_HOUR_US / 1000);
	int64_t mb_ms = accrual->units * accrual->memory_mb * (accrual->ends_ms - since_ms);
	int r = add_to(ledger, cache ? LEDGER_ROLL_UP_CACHE : LEDGER_ROLL_UP_ALLOCATION, series,
		       hour, mb_ms, error);

	if (r < 0 || hour / 24 >= ledger->state.days)
		return r;
	return add_to(ledger, cache ? LEDGER_LATE_CACHE : LEDGER_LATE_ALLOCATION, series, hour / 24,
		      mb_ms, error);
}

static int accrue(struct ledger *ledger, const struct ledger_accrual *accrual, struct error *error)
{
	int64_t series = 0, since_ms = 0;
	int r = ledger_find_series(ledger, accrual->tenant, accrual->function, accrual->version,
				   &series, error);

	if (r == 0)
		r = find_end(ledger, accrual, series, &since_ms, error);
	if (r < 0 || accrual->ends_ms <= since_ms)
		return r;
	r = add(ledger, accrual, series, error);
	return r < 0 ? r : roll_up(ledger, accrual, series, since_ms, error);
}

int ledger_accrue(struct ledger *ledger, const struct ledger_accrual *first, struct error *error)
{
	int r = ledger_begin(ledger, error);

	if (r < 0)
		return r;
	for (const struct ledger_accrual *accrual = first; accrual && r == 0;
	     accrual = accrual->next)
		r = accrue(ledger, accrual, error);
	return ledger_end(ledger, r, error);
}
