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
	LEDGER_FIND_ACCRUAL,
	LEDGER_ADD_ACCRUAL,
	LEDGER_ROLL_UP_ALLOCATION,
	LEDGER_ROLL_UP_CACHE,
	LEDGER_PUT_BUDGET,
	LEDGER_DELETE_BUDGET,
	LEDGER_OLDEST,
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
};

/* ledger_write.c: what ledger_accrue.c needs of it. */
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
