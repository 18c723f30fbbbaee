/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/store/audit_log.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>

#define APPLICATION_ID  0x4d464155 /* "MFAU" */
#define BUSY_TIMEOUT_MS 5000
#define STRINGIFY(x)    #x
#define TEXT_OF(x)      STRINGIFY(x)

static const char schema[] =
	"BEGIN;"
	"CREATE TABLE record (id INTEGER PRIMARY KEY AUTOINCREMENT, time_us INTEGER NOT NULL,"
	" principal TEXT NOT NULL, access_key_id TEXT NOT NULL, tenant TEXT NOT NULL,"
	" method TEXT NOT NULL, resource TEXT NOT NULL, peer TEXT NOT NULL, result TEXT NOT NULL,"
	" message TEXT NOT NULL) STRICT;"
	"CREATE INDEX by_time ON record (time_us);"
	"CREATE INDEX by_tenant ON record (tenant, id);"
	"PRAGMA application_id = " TEXT_OF(APPLICATION_ID) ";"
							   "PRAGMA user_version = 1;"
							   "COMMIT;";

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
	sqlite3 *connection;
	char *path;
	sqlite3_stmt *statements[STATEMENT_COUNT];
};

static int refuse(struct audit_log *log, const char *what, struct error *error)
{
	return error_set(error, ERROR_UNAVAILABLE, NULL, "Cannot %s the audit log %s: %s", what,
			 log->path, sqlite3_errmsg(log->connection));
}

/* Runs a statement without rows; what was bound is free again. */
static int run(struct audit_log *log, enum statement which, struct error *error)
{
	sqlite3_stmt *statement = log->statements[which];
	int step = sqlite3_step(statement);
	int r = step == SQLITE_DONE ? 0 : refuse(log, "write", error);

	(void)sqlite3_reset(statement);
	(void)sqlite3_clear_bindings(statement);
	return r;
}

static void bind_text(sqlite3_stmt *statement, int place, const char *text)
{
	(void)sqlite3_bind_text(statement, place, text, -1, SQLITE_STATIC);
}

static int insert(struct audit_log *log, const struct audit_record *record, struct error *error)
{
	sqlite3_stmt *statement = log->statements[INSERT];

	(void)sqlite3_bind_int64(statement, 1, record->time_us);
	bind_text(statement, 2, record->principal);
	bind_text(statement, 3, record->access_key_id);
	bind_text(statement, 4, record->tenant);
	bind_text(statement, 5, record->method);
	bind_text(statement, 6, record->resource);
	bind_text(statement, 7, record->peer);
	bind_text(statement, 8, record->result);
	bind_text(statement, 9, record->message);
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
	if (r < 0 && run(log, ROLLBACK, NULL) < 0)
		return r; /* there was nothing to take back */
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
	sqlite3_stmt *statement = log->statements[QUERY];
	int step;

	(void)sqlite3_bind_int64(statement, 1, filter->after_id);
	bind_text(statement, 2, filter->tenant);
	(void)sqlite3_bind_int64(statement, 3, filter->start_us);
	(void)sqlite3_bind_int64(statement, 4, filter->end_us);
	(void)sqlite3_bind_int64(statement, 5, (sqlite3_int64)filter->limit);
	while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
		const struct audit_record record = record_of(statement);

		fn(&record, arg);
	}
	int r = step == SQLITE_DONE ? 0 : refuse(log, "read", error);
	(void)sqlite3_reset(statement);
	(void)sqlite3_clear_bindings(statement);
	return r;
}

/* -- opening -- */

static int read_number(struct audit_log *log, const char *text, int64_t *ret, struct error *error)
{
	sqlite3_stmt *statement = NULL;
	int step;

	if (sqlite3_prepare_v2(log->connection, text, -1, &statement, NULL) != SQLITE_OK)
		return refuse(log, "open", error);
	step = sqlite3_step(statement);
	if (step == SQLITE_ROW)
		*ret = sqlite3_column_int64(statement, 0);
	if (sqlite3_finalize(statement) != SQLITE_OK || step != SQLITE_ROW)
		return refuse(log, "open", error);
	return 0;
}

static int execute(struct audit_log *log, const char *text, struct error *error)
{
	if (sqlite3_exec(log->connection, text, NULL, NULL, NULL) == SQLITE_OK)
		return 0;
	return refuse(log, "open", error);
}

static int set_up(struct audit_log *log, struct error *error)
{
	int64_t application = 0, tables = 0;
	int r;

	(void)sqlite3_busy_timeout(log->connection, BUSY_TIMEOUT_MS);
	r = execute(log, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;", error);
	if (r == 0)
		r = read_number(log, "PRAGMA application_id", &application, error);
	if (r == 0)
		r = read_number(log, "SELECT count(*) FROM sqlite_schema", &tables, error);
	if (r == 0 && tables == 0)
		r = execute(log, schema, error);
	else if (r == 0 && application != APPLICATION_ID)
		r = error_set(error, ERROR_INTERNAL, NULL, "%s is not an audit log of this program",
			      log->path);
	for (unsigned i = 0; i < STATEMENT_COUNT && r == 0; i++)
		if (sqlite3_prepare_v3(log->connection, sql[i], -1, SQLITE_PREPARE_PERSISTENT,
				       &log->statements[i], NULL) != SQLITE_OK)
			r = refuse(log, "open", error);
	return r;
}

int audit_log_open(const char *path, struct audit_log **ret, struct error *error)
{
	_cleanup_(audit_log_close_p) struct audit_log *log = calloc(1, sizeof(*log));
	/* SQLite gives its other files the same mode. */
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return error_set_errno(error, errno, "Cannot open the audit log %s", path);
	if (!log || !(log->path = strdup(path)))
		return error_set_errno(error, ENOMEM, "Cannot open the audit log %s", path);
	if (sqlite3_open_v2(path, &log->connection, SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX,
			    NULL) != SQLITE_OK)
		return refuse(log, "open", error);
	r = set_up(log, error);
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
	(void)sqlite3_close(log->connection);
	free(log->path);
	free(log);
	return NULL;
}
