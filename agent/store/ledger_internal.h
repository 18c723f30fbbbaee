/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the ledger share. */

#include "agent/store/database.h"
#include "agent/store/ledger.h"
#include "mayfly/buf.h"

enum ledger_write {
	LEDGER_BEGIN,
	LEDGER_COMMIT,
	LEDGER_ROLLBACK,
	LEDGER_FIND_SERIES,
	LEDGER_ADD_SERIES,
	LEDGER_ADD_RECORD,
	LEDGER_ROLL_UP,
	LEDGER_ROLL_UP_LATE,
	LEDGER_FIND_ACCRUAL,
	LEDGER_ADD_ACCRUAL,
	LEDGER_ROLL_UP_ALLOCATION,
	LEDGER_ROLL_UP_CACHE,
	LEDGER_LATE_ALLOCATION,
	LEDGER_LATE_CACHE,
	LEDGER_FIRST_HOUR,
	LEDGER_SUM_DAY,
	LEDGER_SET_DAYS,
	LEDGER_PUT_BUDGET,
	LEDGER_DELETE_BUDGET,
	LEDGER_OLDEST,
	LEDGER_OLDEST_PAST,
	LEDGER_DELETE,
	LEDGER_SET_TRIMMED,
	_LEDGER_WRITES,
};

struct ledger {
	struct database writer;
	struct database reader;
	struct database checkpointer;
	sqlite3_stmt *writes[_LEDGER_WRITES];
	struct ledger_state state; /* as the writer knows it */
	int wal_pages;             /* after the writer's last commit */
	uint64_t expired_before;   /* this has expired, with all before it */
};

/* ledger_write.c: what the other writers need of it. */
int ledger_find_series(struct ledger *ledger, const char *tenant, const char *function,
		       const char *version, int64_t *ret, struct error *error) _must_use_;
int ledger_begin(struct ledger *ledger, struct error *error) _must_use_;
/* Commits if `r`, what became of the transaction so far, is 0, else rolls back; returns `r`, or
 * what the commit said. */
int ledger_end(struct ledger *ledger, int r, struct error *error) _must_use_;

/* "sum(1), sum(result <> 0), …": the figures of records, and "sum(u.invocations), …" of rollups.
 * Names with `prefix` before each, if that is not NULL. */
int ledger_append_sums(struct buf *sql, bool of_rollups) _must_use_;
int ledger_append_names(struct buf *sql, const char *prefix) _must_use_;
/* "0, 0, …, VALUE, …, 0": all figures but one are none. */
int ledger_append_zeros(struct buf *sql, enum ledger_figure but, const char *value) _must_use_;
/* What a kind of accrual is summed up in. */
enum ledger_figure ledger_accrual_figure(enum ledger_accrual_kind kind);
/* "invocations = invocations + excluded.invocations, …" */
int ledger_append_additions(struct buf *sql) _must_use_;

/* -- ledger_read.c: what readers have in common -- */

/* Parameters of a filter: the same numbers in every statement. */
#define LEDGER_IN_SERIES                                                                           \
	"(?1 = '' OR s.tenant = ?1) AND (?2 = '' OR s.function = ?2) AND"                          \
	" (?3 = '' OR s.version = ?3)"

void ledger_finalize_p(sqlite3_stmt **statement);
#define _cleanup_statement_ _cleanup_(ledger_finalize_p)

int ledger_no_memory(struct error *error);
int ledger_prepare_read(struct ledger *ledger, const struct buf *sql, sqlite3_stmt **ret,
			struct error *error) _must_use_;
/* Its texts, and two times as parameters 4 and 5. */
void ledger_bind_filter(sqlite3_stmt *statement, const struct ledger_filter *filter, int64_t from,
			int64_t to);
void ledger_copy_text(sqlite3_stmt *statement, int column, char *to, size_t size);
/* Tenant, function, version, time, and the figures from column `figures` on. */
void ledger_take_row(sqlite3_stmt *statement, int figures, struct ledger_row *ret);
int ledger_each_row(struct ledger *ledger, sqlite3_stmt *statement, ledger_row_fn *fn, void *arg,
		    struct error *error) _must_use_;
/* The first hour that begins at or after a time. */
int64_t ledger_hour_up(int64_t time_us);
