/* SPDX-License-Identifier: Apache-2.0 */

/* A day's sums are the sums of its hours, made once it is over: a query of a year reads a
 * twenty-fourth. Who adds to the hours of such a day later adds to both, in one transaction. */

#include "agent/store/ledger_internal.h"

/* Of the first hour that there is; without any, none that is over. */
static int read_first_day(struct ledger *ledger, int64_t *ret, struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = ledger->writes[LEDGER_FIRST_HOUR];

	if (sqlite3_step(statement) != SQLITE_ROW)
		return database_refuse(&ledger->writer, "read", error);
	*ret = sqlite3_column_type(statement, 0) == SQLITE_NULL
		       ? INT64_MAX / LEDGER_DAY_US - 1
		       : sqlite3_column_int64(statement, 0) / 24;
	return 0;
}

static int run_with(struct ledger *ledger, enum ledger_write which, int64_t number,
		    struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = ledger->writes[which];

	(void)sqlite3_bind_int64(statement, 1, number);
	if (sqlite3_step(statement) != SQLITE_DONE)
		return database_refuse(&ledger->writer, "write", error);
	return 0;
}

int ledger_sum_day(struct ledger *ledger, int64_t before_us, bool *ret_more, struct error *error)
{
	int64_t day = ledger->state.days;
	int r = 0;

	*ret_more = false;
	if (day == 0)
		r = read_first_day(ledger, &day, error);
	if (r < 0 || (day + 1) * LEDGER_DAY_US > before_us)
		return r;
	r = ledger_begin(ledger, error);
	if (r < 0)
		return r;
	r = run_with(ledger, LEDGER_SUM_DAY, day, error);
	if (r == 0)
		r = run_with(ledger, LEDGER_SET_DAYS, day + 1, error);
	r = ledger_end(ledger, r, error);
	if (r < 0)
		return r;
	ledger->state.days = day + 1;
	*ret_more = true;
	return 0;
}
