/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "agent/store/registry.h"
#include "mayfly/fs.h"

#define SCHEMA_VERSION  1
#define APPLICATION_ID  0x4d61796c /* "Mayl": tells our file from another's */
#define BUSY_TIMEOUT_MS 5000

#define TEXT(x)         #x
#define TEXT_OF(macro)  TEXT(macro)

static const char schema[] =
	"BEGIN IMMEDIATE;"
	"CREATE TABLE entry (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL,"
	" revision INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE counter (id INTEGER PRIMARY KEY CHECK (id = 1),"
	" revision INTEGER NOT NULL) STRICT;"
	"INSERT INTO counter VALUES (1, 0);"
	"PRAGMA application_id = " TEXT_OF(APPLICATION_ID) ";"
							   "PRAGMA user_version = " TEXT_OF(
								   SCHEMA_VERSION) ";"
										   "COMMIT;";

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
	sqlite3 *connection;
	sqlite3_stmt *statements[_STATEMENT_COUNT];
	char *path;
};

/* A statement in use: reset when its scope ends, so that none holds a read lock. */
static void reset_p(sqlite3_stmt **statement)
{
	if (*statement) {
		(void)sqlite3_reset(*statement);
		(void)sqlite3_clear_bindings(*statement);
	}
}
#define _cleanup_reset_ _cleanup_(reset_p)

static int refuse(const struct sqlite *sqlite, const char *doing, struct error *error)
{
	int code = sqlite3_errcode(sqlite->connection) & 0xff;
	const char *text = sqlite3_errmsg(sqlite->connection);

	if (code == SQLITE_FULL)
		return error_set(error, ERROR_UNAVAILABLE, NULL,
				 "The disk of the node's state is full; nothing was changed.");
	if (code == SQLITE_NOMEM)
		return error_set_errno(error, ENOMEM, "Cannot %s the registry", doing);
	if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
		return error_set(error, ERROR_INTERNAL, NULL, "The registry %s is damaged: %s.",
				 sqlite->path, text);
	return error_set(error, ERROR_UNAVAILABLE, NULL, "Cannot %s the registry %s: %s.", doing,
			 sqlite->path, text);
}

/* Runs a statement without parameters to its end. */
static int run(struct sqlite *sqlite, enum statement which)
{
	_cleanup_reset_ sqlite3_stmt *statement = sqlite->statements[which];

	return sqlite3_step(statement) == SQLITE_DONE ? 0 : -EIO;
}

static void bind_key(sqlite3_stmt *statement, const char *key)
{
	(void)sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
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
	return run(sqlite, COMMIT) < 0 ? refuse(sqlite, "write", error) : 0;
}

static int sqlite_commit(struct registry *registry, const struct registry_write *writes,
			 size_t count, uint64_t *ret_revision, struct error *error)
{
	struct sqlite *sqlite = container_of(registry, struct sqlite, base);
	uint64_t revision = 0;
	int r;

	if (run(sqlite, BEGIN) < 0)
		return refuse(sqlite, "write", error);
	r = write_all(sqlite, writes, count, &revision, error);
	if (r < 0) {
		/* Some errors have rolled back by themselves; then there is nothing to undo. */
		if (!sqlite3_get_autocommit(sqlite->connection))
			(void)run(sqlite, ROLLBACK);
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
	(void)sqlite3_close(sqlite->connection);
	free(sqlite->path);
	free(sqlite);
	return NULL;
}

static const struct registry_ops sqlite_ops = {
	.get = sqlite_get,
	.list = sqlite_list,
	.commit = sqlite_commit,
	.close = sqlite_close,
};

static int execute(struct sqlite *sqlite, const char *text, struct error *error)
{
	if (sqlite3_exec(sqlite->connection, text, NULL, NULL, NULL) == SQLITE_OK)
		return 0;
	return refuse(sqlite, "open", error);
}

/* The first column of the first row; `text` has one of each. */
static int query(struct sqlite *sqlite, const char *text, int64_t *ret_number, bool *ret_is_ok,
		 struct error *error)
{
	sqlite3_stmt *statement = NULL;
	const char *value;
	int step;

	if (sqlite3_prepare_v2(sqlite->connection, text, -1, &statement, NULL) != SQLITE_OK)
		return refuse(sqlite, "open", error);
	step = sqlite3_step(statement);
	if (step == SQLITE_ROW) {
		*ret_number = sqlite3_column_int64(statement, 0);
		value = (const char *)sqlite3_column_text(statement, 0);
		*ret_is_ok = value && (strcmp(value, "ok") == 0 || strcmp(value, "wal") == 0);
	}
	if (sqlite3_finalize(statement) != SQLITE_OK || step != SQLITE_ROW)
		return refuse(sqlite, "open", error);
	return 0;
}

static int check_version(struct sqlite *sqlite, struct error *error)
{
	int64_t application = 0, version = 0, tables = 0;
	bool ok;
	int r;

	r = query(sqlite, "PRAGMA application_id", &application, &ok, error);
	if (r == 0)
		r = query(sqlite, "PRAGMA user_version", &version, &ok, error);
	if (r == 0)
		r = query(sqlite, "SELECT count(*) FROM sqlite_schema", &tables, &ok, error);
	if (r < 0)
		return r;
	if (tables == 0 && version == 0 && application == 0)
		return execute(sqlite, schema, error);
	if (application != APPLICATION_ID || version < 1)
		return error_set(error, ERROR_INTERNAL, NULL,
				 "%s is not a registry of this program.", sqlite->path);
	if (version > SCHEMA_VERSION)
		return error_set(error, ERROR_INTERNAL, NULL,
				 "The registry %s has version %lld; this program knows versions "
				 "up to %d. Install the newer program again.",
				 sqlite->path, (long long)version, SCHEMA_VERSION);
	return 0;
}

static int check_integrity(struct sqlite *sqlite, struct error *error)
{
	int64_t number;
	bool ok = false;
	int r;

	r = query(sqlite, "PRAGMA quick_check(1)", &number, &ok, error);
	if (r < 0)
		return r;
	if (!ok)
		return error_set(error, ERROR_INTERNAL, NULL,
				 "The registry %s is damaged; restore it from a copy.",
				 sqlite->path);
	return 0;
}

static int set_up(struct sqlite *sqlite, struct error *error)
{
	int64_t number;
	bool is_wal = false;
	int r;

	(void)sqlite3_extended_result_codes(sqlite->connection, 1);
	(void)sqlite3_busy_timeout(sqlite->connection, BUSY_TIMEOUT_MS);
	r = query(sqlite, "PRAGMA journal_mode = WAL", &number, &is_wal, error);
	if (r < 0)
		return r;
	if (!is_wal)
		return error_set(error, ERROR_INTERNAL, NULL,
				 "The file system of %s cannot hold a write-ahead log.",
				 sqlite->path);
	/* FULL: a commit is on the disk before it returns. */
	r = execute(sqlite, "PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF", error);
	if (r < 0)
		return r;
	r = check_integrity(sqlite, error);
	if (r < 0)
		return r;
	r = check_version(sqlite, error);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < _STATEMENT_COUNT; i++)
		if (sqlite3_prepare_v3(sqlite->connection, sql[i], -1, SQLITE_PREPARE_PERSISTENT,
				       &sqlite->statements[i], NULL) != SQLITE_OK)
			return refuse(sqlite, "open", error);
	return 0;
}

/* The file's name must survive a power cut as its content does. */
static int sync_folder(const char *path, struct error *error)
{
	_cleanup_free_ char *folder = strdup(path);
	char *slash = folder ? strrchr(folder, '/') : NULL;
	int r;

	if (!folder)
		return error_set_errno(error, ENOMEM, "Cannot open the registry");
	if (slash)
		slash[slash == folder] = 0;
	r = fs_sync_directory(slash ? folder : ".");
	return r < 0 ? error_set_errno(error, r, "Cannot sync the folder of %s", path) : 0;
}

/* Environment variables of functions may be secrets; SQLite gives its other files the same mode. */
static int create_file(const char *path, struct error *error)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	return fd < 0 ? error_set_errno(error, errno, "Cannot open the registry %s", path) : 0;
}

int registry_open_sqlite(const char *path, struct registry **ret, struct error *error)
{
	_cleanup_(registry_close_p) struct registry *registry = NULL;
	struct sqlite *sqlite = calloc(1, sizeof(*sqlite));
	int r;

	if (!sqlite)
		return error_set_errno(error, ENOMEM, "Cannot open the registry");
	sqlite->base.ops = &sqlite_ops;
	registry = &sqlite->base;
	sqlite->path = strdup(path);
	if (!sqlite->path)
		return error_set_errno(error, ENOMEM, "Cannot open the registry");

	r = create_file(path, error);
	if (r < 0)
		return r;
	if (sqlite3_open_v2(path, &sqlite->connection,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, NULL) != SQLITE_OK)
		return refuse(sqlite, "open", error);
	r = set_up(sqlite, error);
	if (r < 0)
		return r;
	r = sync_folder(path, error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(registry);
	return 0;
}
