/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "agent/store/ledger_internal.h"

static void bind_key(sqlite3_stmt *statement, const struct ledger_budget *key)
{
	database_bind_text(statement, 1, key->tenant);
	database_bind_text(statement, 2, key->function);
	(void)sqlite3_bind_int64(statement, 3, key->measure);
	(void)sqlite3_bind_int64(statement, 4, key->period);
}

static void bind_limit(sqlite3_stmt *statement, int at, int64_t limit)
{
	if (limit >= 0)
		(void)sqlite3_bind_int64(statement, at, limit);
}

int ledger_put_budget(struct ledger *ledger, const struct ledger_budget *budget,
		      struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = ledger->writes[LEDGER_PUT_BUDGET];

	bind_key(statement, budget);
	bind_limit(statement, 5, budget->soft);
	bind_limit(statement, 6, budget->hard);
	(void)sqlite3_bind_int64(statement, 7, budget->modified_us);
	(void)sqlite3_bind_int64(statement, 8, budget->soft_told_us);
	(void)sqlite3_bind_int64(statement, 9, budget->hard_told_us);
	return sqlite3_step(statement) == SQLITE_DONE
		       ? 0
		       : database_refuse(&ledger->writer, "write", error);
}

int ledger_delete_budget(struct ledger *ledger, const struct ledger_budget *key,
			 struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = ledger->writes[LEDGER_DELETE_BUDGET];

	bind_key(statement, key);
	return sqlite3_step(statement) == SQLITE_DONE
		       ? 0
		       : database_refuse(&ledger->writer, "write", error);
}

static void copy_text(sqlite3_stmt *statement, int column, char *to, size_t size)
{
	const char *text = (const char *)sqlite3_column_text(statement, column);

	(void)snprintf(to, size, "%s", text ? text : "");
}

static int tell(sqlite3_stmt *statement, ledger_budget_fn *fn, void *arg)
{
	struct ledger_budget budget = {
		.measure = (enum ledger_measure)sqlite3_column_int(statement, 2),
		.period = (enum ledger_period)sqlite3_column_int(statement, 3),
		.soft = sqlite3_column_int64(statement, 4),
		.hard = sqlite3_column_int64(statement, 5),
		.modified_us = sqlite3_column_int64(statement, 6),
		.soft_told_us = sqlite3_column_int64(statement, 7),
		.hard_told_us = sqlite3_column_int64(statement, 8),
	};

	copy_text(statement, 0, budget.tenant, sizeof(budget.tenant));
	copy_text(statement, 1, budget.function, sizeof(budget.function));
	/* Of a newer program with the same schema: not ours to enforce. */
	if (budget.measure >= _LEDGER_MEASURES || budget.period >= _LEDGER_PERIODS)
		return 0;
	return fn(&budget, arg);
}

int ledger_each_budget(struct ledger *ledger, ledger_budget_fn *fn, void *arg, struct error *error)
{
	sqlite3_stmt *statement = NULL;
	int step = SQLITE_DONE;
	int r = database_prepare(&ledger->reader,
				 "SELECT tenant, function, measure, period, ifnull(soft, -1),"
				 " ifnull(hard, -1), modified_us, soft_told_us, hard_told_us"
				 " FROM budget ORDER BY 1, 2, 3, 4",
				 &statement, error);

	while (r == 0 && (step = sqlite3_step(statement)) == SQLITE_ROW)
		r = tell(statement, fn, arg);
	if (r == 0 && step != SQLITE_DONE)
		r = database_refuse(&ledger->reader, "read", error);
	(void)sqlite3_finalize(statement);
	return r;
}
