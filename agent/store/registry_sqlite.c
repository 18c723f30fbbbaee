/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "agent/store/database.h"
#include "agent/store/registry.h"

#define SCHEMA_VERSION 1
#define APPLICATION_ID 0x4d61796c /* "Mayl": tells our file from another's */

static const struct database_kind registry_kind = {
	.name = "registry",
	.application_id = APPLICATION_ID,
	.version = SCHEMA_VERSION,
	.schema = "CREATE TABLE entry (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL,"
		  " revision INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
		  "CREATE TABLE counter (id INTEGER PRIMARY KEY CHECK (id = 1),"
		  " revision INTEGER NOT NULL) STRICT;"
		  "INSERT INTO counter VALUES (1, 0);",
	.check_max_bytes = INT64_MAX,
};

enum statement {
	BEGIN,
	COMMIT,
	ROLLBACK,
	GET,
	GET_REVISION,
	LIST,
	PUT,
	REMOVE,
	REMOVE_PREFIX,
	COUNT_UP,
	_STATEMENT_COUNT,
};

static const char *const sql[_STATEMENT_COUNT] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[GET] = "SELECT value, revision FROM entry WHERE key = ?1",
	[GET_REVISION] = "SELECT revision FROM entry WHERE key = ?1",
	[LIST] = "SELECT key, value, revision FROM entry WHERE key >= ?1 ORDER BY key",
	[PUT] = "REPLACE INTO entry VALUES (?1, ?2, ?3)",
	[REMOVE] = "DELETE FROM entry WHERE key = ?1",
	[REMOVE_PREFIX] = "DELETE FROM entry WHERE key >= ?1 AND key < ?1 || char(1114111)",
	[COUNT_UP] = "UPDATE counter SET revision = revision + 1 RETURNING revision",
};

struct sqlite {
	struct registry base;
	struct database database;
	sqlite3_stmt *statements[_STATEMENT_COUNT];
};

static int refuse(const struct sqlite *sqlite, const char *doing, struct error *error)
{
	return database_refuse(&sqlite->database, doing, error);
}

static void bind_key(sqlite3_stmt *statement, const char *key)
{
	database_bind_text(statement, 1, key);
}

static struct slice column_blob(sqlite3_stmt *statement, int column)
{
	const void *data = sqlite3_column_blob(statement, column);

	return slice_new(data, (size_t)sqlite3_column_bytes(statement, column));
}

static int sqlite_get(struct registry *registry, const char *key, struct buf *ret_value,
		      uint64_t *ret_revision, struct error *error)
{
	struct sqlite *sqlite = container_of(registry, struct sqlite, base);
	_cleanup_reset_ sqlite3_stmt *statement = sqlite->statements[GET];
	struct slice value;
	int step;

	bind_key(statement, key);
	step = sqlite3_step(statement);
	if (step == SQLITE_DONE)
		return -ENOENT;
	if (step != SQLITE_ROW)
		return refuse(sqlite, "read", error);
	value = column_blob(statement, 0);
	if (buf_append(ret_value, value.data, value.len) < 0)
		return error_set_errno(error, ENOMEM, "Cannot read the registry");
	*ret_revision = (uint64_t)sqlite3_column_int64(statement, 1);
	return 0;
}

static int sqlite_list(struct registry *registry, const char *prefix, const char *after,
		       size_t limit, registry_entry_fn *fn, void *arg, struct error *error)
{
	struct sqlite *sqlite = container_of(registry, struct sqlite, base);
	_cleanup_reset_ sqlite3_stmt *statement = sqlite->statements[LIST];
	size_t given = 0;
	int step, r;

	bind_key(statement, after && strcmp(after, prefix) > 0 ? after : prefix);
	while ((!limit || given < limit) && (step = sqlite3_step(statement)) != SQLITE_DONE) {
		const char *key;

		if (step != SQLITE_ROW)
			return refuse(sqlite, "read", error);
		key = (const char *)sqlite3_column_text(statement, 0);
		if (!key)
			return error_set_errno(error, ENOMEM, "Cannot read the registry");
		if (strncmp(key, prefix, strlen(prefix)) != 0)
			break;
		if (after && strcmp(key, after) <= 0)
			continue;
		r = fn(key, column_blob(statement, 1), (uint64_t)sqlite3_column_int64(statement, 2),
		       arg);
		if (r < 0)
			return r;
		given++;
	}
	return 0;
}

static int check_revision(struct sqlite *sqlite, const struct registry_write *write,
			  struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = sqlite->statements[GET_REVISION];
	uint64_t revision = 0;
	int step;

	if (write->whole_prefix || write->revision == REGISTRY_ANY_REVISION)
		return 0;
	bind_key(statement, write->key);
	step = sqlite3_step(statement);
	if (step == SQLITE_ROW)
		revision = (uint64_t)sqlite3_column_int64(statement, 0);
	else if (step != SQLITE_DONE)
		return refuse(sqlite, "read", error);
	if (revision != write->revision)
		return error_set(error, ERROR_PRECONDITION_FAILED, NULL,
				 "The registry's %s was changed meanwhile.", write->key);
	return 0;
}

static int count_up(struct sqlite *sqlite, uint64_t *ret_revision, struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = sqlite->statements[COUNT_UP];

	if (sqlite3_step(statement) != SQLITE_ROW)
		return refuse(sqlite, "write", error);
	*ret_revision = (uint64_t)sqlite3_column_int64(statement, 0);
	/* The change is complete only when the statement is. */
	if (sqlite3_step(statement) != SQLITE_DONE)
		return refuse(sqlite, "write", error);
	return 0;
}

static enum statement statement_of(const struct registry_write *write)
{
	if (write->whole_prefix)
		return REMOVE_PREFIX;
	return write->remove ? REMOVE : PUT;
}

static int write_one(struct sqlite *sqlite, const struct registry_write *write, uint64_t revision,
		     struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = sqlite->statements[statement_of(write)];

	bind_key(statement, write->key);
	if (statement_of(write) == PUT) {
		/* A NULL pointer would bind NULL instead of an empty value. */
		static const uint8_t empty[1];

		(void)sqlite3_bind_blob64(statement, 2,
					  write->value.len ? write->value.data : empty,
					  write->value.len, SQLITE_STATIC);
		(void)sqlite3_bind_int64(statement, 3, (sqlite3_int64)revision);
	}
	if (sqlite3_step(statement) != SQLITE_DONE)
		return refuse(sqlite, "write", error);
	return 0;
}

static int write_all(struct sqlite *sqlite, const struct registry_write *writes, size_t count,
		     uint64_t *ret_revision, struct error *error)
{
	int r;

	for (size_t i = 0; i < count; i++) {
		r = check_revision(sqlite, &writes[i], error);
		if (r < 0)
			return r;
	}
	r = count_up(sqlite, ret_revision, error);
	for (size_t i = 0; i < count && r == 0; i++)
		r = write_one(sqlite, &writes[i], *ret_revision, error);
	if (r < 0)
		return r;
	return database_run(sqlite->statements[COMMIT]) < 0 ? refuse(sqlite, "write", error) : 0;
}

static int sqlite_commit(struct registry *registry, const struct registry_write *writes,
			 size_t count, uint64_t *ret_revision, struct error *error)
{
	struct sqlite *sqlite = container_of(registry, struct sqlite, base);
	uint64_t revision = 0;
	int r;

	if (database_run(sqlite->statements[BEGIN]) < 0)
		return refuse(sqlite, "write", error);
	r = write_all(sqlite, writes, count, &revision, error);
	if (r < 0) {
		database_roll_back(&sqlite->database, sqlite->statements[ROLLBACK]);
		return r;
	}
	if (ret_revision)
		*ret_revision = revision;
	return 0;
}

static struct registry *sqlite_close(struct registry *registry)
{
	struct sqlite *sqlite = container_of(registry, struct sqlite, base);

	for (unsigned i = 0; i < _STATEMENT_COUNT; i++)
		(void)sqlite3_finalize(sqlite->statements[i]);
	database_close(&sqlite->database);
	free(sqlite);
	return NULL;
}

static const struct registry_ops sqlite_ops = {
	.get = sqlite_get,
	.list = sqlite_list,
	.commit = sqlite_commit,
	.close = sqlite_close,
};

int registry_open_sqlite(const char *path, struct registry **ret, struct error *error)
{
	_cleanup_(registry_close_p) struct registry *registry = NULL;
	struct sqlite *sqlite = calloc(1, sizeof(*sqlite));
	int r;

	if (!sqlite)
		return error_set_errno(error, ENOMEM, "Cannot open the registry");
	sqlite->base.ops = &sqlite_ops;
	registry = &sqlite->base;
	r = database_open(&sqlite->database, &registry_kind, path, true, error);
	for (unsigned i = 0; i < _STATEMENT_COUNT && r == 0; i++)
		r = database_prepare(&sqlite->database, sql[i], &sqlite->statements[i], error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(registry);
	return 0;
}
