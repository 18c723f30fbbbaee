/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/store/audit_log.h"

#include <errno.h>
#include <string.h>

#include "agent/store/database.h"

static const struct database_kind kind = {
	.name = "audit log",
	.application_id = 0x4d464155, /* "MFAU" */
	.version = 1,
	.schema = "CREATE TABLE record (id INTEGER PRIMARY KEY AUTOINCREMENT, time_us INTEGER NOT "
		  "NULL,"
		  " principal TEXT NOT NULL, access_key_id TEXT NOT NULL, tenant TEXT NOT NULL,"
		  " method TEXT NOT NULL, resource TEXT NOT NULL, peer TEXT NOT NULL,"
		  " result TEXT NOT NULL, message TEXT NOT NULL) STRICT;"
		  "CREATE INDEX by_time ON record (time_us);"
		  "CREATE INDEX by_tenant ON record (tenant, id);",
	.check_max_bytes = 64LL << 20, /* read in about a second */
};

enum statement { BEGIN, COMMIT, ROLLBACK, INSERT, TRIM_COUNT, TRIM_TIME, QUERY, STATEMENT_COUNT };

static const char *const sql[STATEMENT_COUNT] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[INSERT] = "INSERT INTO record (time_us, principal, access_key_id, tenant, method, "
		   "resource, peer, result, message) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
	[TRIM_COUNT] = "DELETE FROM record WHERE id <= (SELECT max(id) FROM record) - ?1",
	[TRIM_TIME] = "DELETE FROM record WHERE time_us < ?1",
	[QUERY] = "SELECT id, time_us, principal, access_key_id, tenant, method, resource, peer, "
		  "result, message FROM record WHERE id > ?1 AND (?2 = '' OR tenant = ?2) AND "
		  "time_us >= ?3 AND time_us < ?4 ORDER BY id LIMIT ?5",
};

struct audit_log {
	struct database database;
	sqlite3_stmt *statements[STATEMENT_COUNT];
};

/* Runs a statement without rows; what was bound is free again. */
static int run(struct audit_log *log, enum statement which, struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = log->statements[which];

	return sqlite3_step(statement) == SQLITE_DONE
		       ? 0
		       : database_refuse(&log->database, "write", error);
}

static int insert(struct audit_log *log, const struct audit_record *record, struct error *error)
{
	sqlite3_stmt *statement = log->statements[INSERT];

	(void)sqlite3_bind_int64(statement, 1, record->time_us);
	database_bind_text(statement, 2, record->principal);
	database_bind_text(statement, 3, record->access_key_id);
	database_bind_text(statement, 4, record->tenant);
	database_bind_text(statement, 5, record->method);
	database_bind_text(statement, 6, record->resource);
	database_bind_text(statement, 7, record->peer);
	database_bind_text(statement, 8, record->result);
	database_bind_text(statement, 9, record->message);
	return run(log, INSERT, error);
}

static int trim(struct audit_log *log, uint64_t max_records, int64_t oldest_us, struct error *error)
{
	int r;

	(void)sqlite3_bind_int64(log->statements[TRIM_COUNT], 1, (sqlite3_int64)max_records);
	r = run(log, TRIM_COUNT, error);
	if (r < 0)
		return r;
	(void)sqlite3_bind_int64(log->statements[TRIM_TIME], 1, oldest_us);
	return run(log, TRIM_TIME, error);
}

int audit_log_append(struct audit_log *log, const struct audit_record *records, size_t count,
		     uint64_t max_records, int64_t oldest_us, struct error *error)
{
	int r = run(log, BEGIN, error);

	if (r < 0)
		return r;
	for (size_t i = 0; i < count && r == 0; i++)
		r = insert(log, &records[i], error);
	if (r == 0)
		r = trim(log, max_records, oldest_us, error);
	if (r == 0)
		r = run(log, COMMIT, error);
	if (r < 0)
		database_roll_back(&log->database, log->statements[ROLLBACK]);
	return r;
}

static const char *text_at(sqlite3_stmt *statement, int column)
{
	const char *text = (const char *)sqlite3_column_text(statement, column);

	return text ? text : "";
}

static struct audit_record record_of(sqlite3_stmt *statement)
{
	return (struct audit_record){
		.id = sqlite3_column_int64(statement, 0),
		.time_us = sqlite3_column_int64(statement, 1),
		.principal = text_at(statement, 2),
		.access_key_id = text_at(statement, 3),
		.tenant = text_at(statement, 4),
		.method = text_at(statement, 5),
		.resource = text_at(statement, 6),
		.peer = text_at(statement, 7),
		.result = text_at(statement, 8),
		.message = text_at(statement, 9),
	};
}

int audit_log_query(struct audit_log *log, const struct audit_filter *filter, audit_record_fn *fn,
		    void *arg, struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = log->statements[QUERY];
	int step;

	(void)sqlite3_bind_int64(statement, 1, filter->after_id);
	database_bind_text(statement, 2, filter->tenant);
	(void)sqlite3_bind_int64(statement, 3, filter->start_us);
	(void)sqlite3_bind_int64(statement, 4, filter->end_us);
	(void)sqlite3_bind_int64(statement, 5, (sqlite3_int64)filter->limit);
	while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
		const struct audit_record record = record_of(statement);

		fn(&record, arg);
	}
	return step == SQLITE_DONE ? 0 : database_refuse(&log->database, "read", error);
}

int audit_log_open(const char *path, struct audit_log **ret, struct error *error)
{
	_cleanup_(audit_log_close_p) struct audit_log *log = calloc(1, sizeof(*log));
	int r;

	if (!log)
		return error_set_errno(error, ENOMEM, "Cannot open the audit log");
	r = database_open(&log->database, &kind, path, false, error);
	for (size_t i = 0; i < STATEMENT_COUNT && r == 0; i++)
		r = database_prepare(&log->database, sql[i], &log->statements[i], error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(log);
	return 0;
}

struct audit_log *audit_log_close(struct audit_log *log)
{
	if (!log)
		return NULL;
	for (unsigned i = 0; i < STATEMENT_COUNT; i++)
		(void)sqlite3_finalize(log->statements[i]);
	database_close(&log->database);
	free(log);
	return NULL;
}
