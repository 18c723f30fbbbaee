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

/* "sum(1), sum(result <> 0), …": the figures of records, and "sum(u.invocations), …" of rollups.
 * Names with `prefix` before each, if that is not NULL. */
int ledger_append_sums(struct buf *sql, bool of_rollups) _must_use_;
int ledger_append_names(struct buf *sql, const char *prefix) _must_use_;
/* "invocations = invocations + excluded.invocations, …" */
int ledger_append_additions(struct buf *sql) _must_use_;
