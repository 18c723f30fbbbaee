/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One SQLite file of ours: made with its schema or checked to be what we know, WAL. What the
 * implementations of this room have in common, and theirs alone. Any thread, one at a time. */

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "mayfly/cleanup.h"
#include "mayfly/error.h"

struct database_kind {
	const char *name; /* "registry": in errors */
	int application_id;
	int version;
	const char *schema; /* statements that make version 1 */
	/* For each further version the statements that lead to it from the one before: version - 1
	 * of them. New files go the same way. They must not depend on the size of the file. */
	const char *const *upgrades;
	/* A file up to this size is read whole when it is opened, to see whether it is damaged; a
	 * larger one shows it as it is used. */
	int64_t check_max_bytes;
};

struct database {
	const struct database_kind *kind;
	sqlite3 *connection;
	char *path;
};

/* `full`: a commit is on the disk before it returns; else in the kernel's memory. On failure
 * database_close() is still owed. */
int database_open(struct database *database, const struct database_kind *kind, const char *path,
		  bool full, struct error *error) _must_use_;
/* A further connection to an open one, whose file it leaves as it is. */
int database_open_again(struct database *database, const struct database *first,
			struct error *error) _must_use_;
/* After its statements were finalized. Copes with what was not opened. */
void database_close(struct database *database);

/* The connection's last error in words; `doing` is a verb. */
int database_refuse(const struct database *database, const char *doing, struct error *error);
int database_prepare(struct database *database, const char *sql, sqlite3_stmt **ret,
		     struct error *error) _must_use_;
/* Statements without parameters and results. */
int database_execute(struct database *database, const char *sql, struct error *error) _must_use_;
/* Borrows `text` until the statement is reset. */
void database_bind_text(sqlite3_stmt *statement, int place, const char *text);
/* Steps a statement without results to its end and resets it. 0 or -EIO. */
int database_run(sqlite3_stmt *statement) _must_use_;
/* Ends a transaction that failed, unless SQLite has done so. */
void database_roll_back(struct database *database, sqlite3_stmt *rollback);

/* A statement in use: reset when its scope ends, so that none holds a read lock. */
void database_reset_p(sqlite3_stmt **statement);
#define _cleanup_reset_ _cleanup_(database_reset_p)
