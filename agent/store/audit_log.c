/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/store/audit_log.h"

#include <errno.h>
#include <string.h>

#include "agent/store/database.h"

/* Of max_records, for operators. */
#define OPERATORS_PART 4

static const char *const upgrades[] = {
	/* 2: whose room a record takes, and how many have it. Those of before have the share "". */
	"ALTER TABLE record ADD COLUMN share TEXT NOT NULL DEFAULT '';"
	"CREATE TABLE share (name TEXT PRIMARY KEY, records INTEGER NOT NULL) STRICT, WITHOUT "
	"ROWID;"
	"CREATE TABLE shared (share TEXT NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (share, id)) "
	"STRICT, WITHOUT ROWID;"
	"INSERT INTO share SELECT '', (SELECT max(id) FROM record) - (SELECT min(id) FROM record) "
	"+ 1 WHERE EXISTS (SELECT 1 FROM record);"
	"CREATE TRIGGER record_comes AFTER INSERT ON record BEGIN"
	" INSERT INTO shared VALUES (new.share, new.id);"
	" INSERT INTO share VALUES (new.share, 1)"
	"  ON CONFLICT (name) DO UPDATE SET records = records + 1;"
	"END;"
	"CREATE TRIGGER record_goes AFTER DELETE ON record BEGIN"
	" DELETE FROM shared WHERE share = old.share AND id = old.id;"
	" UPDATE share SET records = records - 1 WHERE name = old.share;"
	" DELETE FROM share WHERE name = old.share AND records <= 0;"
	"END;",
};

static const struct database_kind kind = {
	.name = "audit log",
	.application_id = 0x4d464155, /* "MFAU" */
	.version = 2,
	.upgrades = upgrades,
	.schema = "CREATE TABLE record (id INTEGER PRIMARY KEY AUTOINCREMENT, time_us INTEGER NOT "
		  "NULL,"
		  " principal TEXT NOT NULL, access_key_id TEXT NOT NULL, tenant TEXT NOT NULL,"
		  " method TEXT NOT NULL, resource TEXT NOT NULL, peer TEXT NOT NULL,"
		  " result TEXT NOT NULL, message TEXT NOT NULL) STRICT;"
		  "CREATE INDEX by_time ON record (time_us);"
		  "CREATE INDEX by_tenant ON record (tenant, id);",
	.check_max_bytes = 64LL << 20, /* read in about a second */
};

enum statement {
	BEGIN,
	COMMIT,
	ROLLBACK,
	INSERT,
	TOTAL,
	LARGEST,
	TRIM_SHARE,
	TRIM_FORMER,
	END_FORMER,
	TRIM_TIME,
	QUERY,
	STATEMENT_COUNT
};

static const char *const sql[STATEMENT_COUNT] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[INSERT] = "INSERT INTO record (time_us, principal, access_key_id, tenant, method, "
		   "resource, peer, result, message, share) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, "
		   "?8, ?9, ?10)",
	[TOTAL] = "SELECT coalesce(sum(records), 0) FROM share",
	[LARGEST] = "SELECT name, records - CASE name WHEN '" AUDIT_SHARE_OPERATORS
		    "' THEN ?1 ELSE 0 END AS counted FROM share ORDER BY counted DESC, name "
		    "LIMIT 2",
	[TRIM_SHARE] = "DELETE FROM record WHERE id IN (SELECT id FROM shared WHERE share = ?1 "
		       "ORDER BY id LIMIT ?2)",
	/* They are the first ones, so finding them is quick. */
	[TRIM_FORMER] = "DELETE FROM record WHERE id IN (SELECT id FROM record WHERE share = '' "
			"ORDER BY id LIMIT ?1)",
	[END_FORMER] = "DELETE FROM share WHERE name = ''",
	[TRIM_TIME] = "DELETE FROM record WHERE time_us < ?1",
	[QUERY] = "SELECT id, time_us, principal, access_key_id, tenant, method, resource, peer, "
		  "result, message FROM record WHERE id > ?1 AND (?2 = '' OR tenant = ?2) AND "
		  "time_us >= ?3 AND time_us < ?4 ORDER BY id LIMIT ?5",
};

struct audit_log {
	struct database database;
	sqlite3_stmt *statements[STATEMENT_COUNT];
};

static const char *text_at(sqlite3_stmt *statement, int column)
{
	const char *text = (const char *)sqlite3_column_text(statement, column);

	return text ? text : "";
}

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
	database_bind_text(statement, 10, record->share);
	return run(log, INSERT, error);
}

static int count_all(struct audit_log *log, int64_t *ret, struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = log->statements[TOTAL];

	if (sqlite3_step(statement) != SQLITE_ROW)
		return database_refuse(&log->database, "read", error);
	*ret = sqlite3_column_int64(statement, 0);
	return 0;
}

/* The share that has the most, and by how much it exceeds the next one. */
static int find_largest(struct audit_log *log, int64_t max_records, char **ret_share,
			int64_t *ret_lead, struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = log->statements[LARGEST];
	_cleanup_free_ char *share = NULL;
	int64_t most, next = 0;
	int step;

	(void)sqlite3_bind_int64(statement, 1, max_records / OPERATORS_PART);
	if (sqlite3_step(statement) != SQLITE_ROW)
		return database_refuse(&log->database, "read", error);
	share = strdup(text_at(statement, 0));
	if (!share)
		return error_set_errno(error, ENOMEM, "Cannot trim the audit log");
	most = sqlite3_column_int64(statement, 1);
	step = sqlite3_step(statement);
	if (step == SQLITE_ROW)
		next = sqlite3_column_int64(statement, 1);
	else if (step != SQLITE_DONE)
		return database_refuse(&log->database, "read", error);
	*ret_lead = most - next;
	*ret_share = TAKE_PTR(share);
	return 0;
}

static int trim_share(struct audit_log *log, const char *share, int64_t count, struct error *error)
{
	int r;

	if (share[0]) {
		database_bind_text(log->statements[TRIM_SHARE], 1, share);
		(void)sqlite3_bind_int64(log->statements[TRIM_SHARE], 2, count);
		return run(log, TRIM_SHARE, error);
	}
	(void)sqlite3_bind_int64(log->statements[TRIM_FORMER], 1, count);
	r = run(log, TRIM_FORMER, error);
	/* They were counted by their ids, which may have gaps. */
	if (r == 0 && sqlite3_changes(log->database.connection) == 0)
		r = run(log, END_FORMER, error);
	return r;
}

/* In steps that grow with what is too much, so that many equal shares take no step for each. */
static int trim_shares(struct audit_log *log, int64_t max_records, struct error *error)
{
	int64_t total, before = INT64_MAX, lead, count;
	int r = count_all(log, &total, error);

	while (r == 0 && total > max_records && total < before) {
		_cleanup_free_ char *share = NULL;
		int64_t over = total - max_records;

		r = find_largest(log, max_records, &share, &lead, error);
		if (r < 0)
			return r;
		count = lead > over / 16 ? lead : over / 16;
		count = count < 1 ? 1 : count > over ? over : count;
		r = trim_share(log, share, count, error);
		before = total;
		if (r == 0)
			r = count_all(log, &total, error);
	}
	return r;
}

static int trim(struct audit_log *log, uint64_t max_records, int64_t oldest_us, struct error *error)
{
	int r;

	(void)sqlite3_bind_int64(log->statements[TRIM_TIME], 1, oldest_us);
	r = run(log, TRIM_TIME, error);
	return r < 0 ? r : trim_shares(log, (int64_t)max_records, error);
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
		.share = "",
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
