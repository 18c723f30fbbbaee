/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/store/database.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "mayfly/fs.h"

#define BUSY_TIMEOUT_MS 5000

void database_reset_p(sqlite3_stmt **statement)
{
	if (*statement) {
		(void)sqlite3_reset(*statement);
		(void)sqlite3_clear_bindings(*statement);
	}
}

int database_refuse(const struct database *database, const char *doing, struct error *error)
{
	int code = sqlite3_errcode(database->connection) & 0xff;
	const char *text = sqlite3_errmsg(database->connection);
	const char *name = database->kind->name;

	if (code == SQLITE_FULL)
		return error_set(error, ERROR_UNAVAILABLE, NULL,
				 "The disk of the node's state is full; nothing was changed.");
	if (code == SQLITE_NOMEM)
		return error_set_errno(error, ENOMEM, "Cannot %s the %s", doing, name);
	if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
		return error_set(error, ERROR_INTERNAL, NULL, "The %s %s is damaged: %s.", name,
				 database->path, text);
	return error_set(error, ERROR_UNAVAILABLE, NULL, "Cannot %s the %s %s: %s.", doing, name,
			 database->path, text);
}

int database_prepare(struct database *database, const char *sql, sqlite3_stmt **ret,
		     struct error *error)
{
	if (sqlite3_prepare_v3(database->connection, sql, -1, SQLITE_PREPARE_PERSISTENT, ret,
			       NULL) == SQLITE_OK)
		return 0;
	return database_refuse(database, "open", error);
}

int database_execute(struct database *database, const char *sql, struct error *error)
{
	if (sqlite3_exec(database->connection, sql, NULL, NULL, NULL) == SQLITE_OK)
		return 0;
	return database_refuse(database, "open", error);
}

void database_bind_text(sqlite3_stmt *statement, int place, const char *text)
{
	(void)sqlite3_bind_text(statement, place, text, -1, SQLITE_STATIC);
}

int database_run(sqlite3_stmt *statement)
{
	int step = sqlite3_step(statement);

	return sqlite3_reset(statement) == SQLITE_OK && step == SQLITE_DONE ? 0 : -EIO;
}

void database_roll_back(struct database *database, sqlite3_stmt *rollback)
{
	/* Some errors have rolled back by themselves; then there is nothing to undo. */
	if (!sqlite3_get_autocommit(database->connection))
		(void)!database_run(rollback);
}

/* The first column of the first row; `text` has one of each. */
static int query(struct database *database, const char *text, int64_t *ret_number, bool *ret_is_ok,
		 struct error *error)
{
	sqlite3_stmt *statement = NULL;
	const char *value;
	int step;

	if (sqlite3_prepare_v2(database->connection, text, -1, &statement, NULL) != SQLITE_OK)
		return database_refuse(database, "open", error);
	step = sqlite3_step(statement);
	if (step == SQLITE_ROW) {
		*ret_number = sqlite3_column_int64(statement, 0);
		value = (const char *)sqlite3_column_text(statement, 0);
		*ret_is_ok = value && (strcmp(value, "ok") == 0 || strcmp(value, "wal") == 0);
	}
	if (sqlite3_finalize(statement) != SQLITE_OK || step != SQLITE_ROW)
		return database_refuse(database, "open", error);
	return 0;
}

/* The next version, whole or not at all: from none by the schema, else by an upgrade. */
static int step_version(struct database *database, int64_t version, struct error *error)
{
	const struct database_kind *kind = database->kind;
	_cleanup_free_ char *text = NULL;
	int r;

	if (asprintf(&text,
		     "BEGIN IMMEDIATE;%s PRAGMA application_id = %d; PRAGMA user_version = %lld;"
		     "COMMIT;",
		     version == 0 ? kind->schema : kind->upgrades[version - 1],
		     kind->application_id, (long long)version + 1) < 0) {
		text = NULL;
		return error_set_errno(error, ENOMEM, "Cannot open the %s", kind->name);
	}
	r = database_execute(database, text, error);
	if (r < 0 && !sqlite3_get_autocommit(database->connection))
		(void)sqlite3_exec(database->connection, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

static int bring_up(struct database *database, int64_t version, struct error *error)
{
	int r = 0;

	for (; version < database->kind->version && r == 0; version++)
		r = step_version(database, version, error);
	return r;
}

static int check_version(struct database *database, struct error *error)
{
	const struct database_kind *kind = database->kind;
	int64_t application = 0, version = 0, tables = 0;
	bool ok;
	int r;

	r = query(database, "PRAGMA application_id", &application, &ok, error);
	if (r == 0)
		r = query(database, "PRAGMA user_version", &version, &ok, error);
	if (r == 0)
		r = query(database, "SELECT count(*) FROM sqlite_schema", &tables, &ok, error);
	if (r < 0)
		return r;
	if (tables == 0 && version == 0 && application == 0)
		return bring_up(database, 0, error);
	if (application != kind->application_id || version < 1)
		return error_set(error, ERROR_INTERNAL, NULL, "%s is not a %s of this program.",
				 database->path, kind->name);
	if (version > kind->version)
		return error_set(error, ERROR_INTERNAL, NULL,
				 "The %s %s has version %lld; this program knows versions up to "
				 "%d. Install the newer program again.",
				 kind->name, database->path, (long long)version, kind->version);
	return bring_up(database, version, error);
}

static int check_integrity(struct database *database, struct error *error)
{
	int64_t number;
	struct stat st;
	bool ok = false;
	int r;

	if (stat(database->path, &st) == 0 && st.st_size > database->kind->check_max_bytes)
		return 0;
	r = query(database, "PRAGMA quick_check(1)", &number, &ok, error);
	if (r < 0)
		return r;
	if (!ok)
		return error_set(error, ERROR_INTERNAL, NULL,
				 "The %s %s is damaged; restore it from a copy.",
				 database->kind->name, database->path);
	return 0;
}

static int connect_file(struct database *database, const struct database_kind *kind,
			const char *path, struct error *error)
{
	database->kind = kind;
	database->path = strdup(path);
	if (!database->path)
		return error_set_errno(error, ENOMEM, "Cannot open the %s", kind->name);
	if (sqlite3_open_v2(path, &database->connection,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, NULL) != SQLITE_OK)
		return database_refuse(database, "open", error);
	(void)sqlite3_extended_result_codes(database->connection, 1);
	(void)sqlite3_busy_timeout(database->connection, BUSY_TIMEOUT_MS);
	return database_execute(database, "PRAGMA trusted_schema = OFF", error);
}

static int set_up(struct database *database, bool full, struct error *error)
{
	int64_t number;
	bool is_wal = false;
	int r;

	r = query(database, "PRAGMA journal_mode = WAL", &number, &is_wal, error);
	if (r < 0)
		return r;
	if (!is_wal)
		return error_set(error, ERROR_INTERNAL, NULL,
				 "The file system of %s cannot hold a write-ahead log.",
				 database->path);
	r = database_execute(database,
			     full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL",
			     error);
	if (r == 0)
		r = check_integrity(database, error);
	return r < 0 ? r : check_version(database, error);
}

/* The file's name must survive a power cut as its content does. */
static int sync_folder(const char *path, const struct database_kind *kind, struct error *error)
{
	_cleanup_free_ char *folder = strdup(path);
	char *slash = folder ? strrchr(folder, '/') : NULL;
	int r;

	if (!folder)
		return error_set_errno(error, ENOMEM, "Cannot open the %s", kind->name);
	if (slash)
		slash[slash == folder] = 0;
	r = fs_sync_directory(slash ? folder : ".");
	return r < 0 ? error_set_errno(error, r, "Cannot sync the folder of %s", path) : 0;
}

/* What is in it is nobody else's business; SQLite gives its other files the same mode. */
static int create_file(const char *path, const struct database_kind *kind, struct error *error)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	return fd < 0 ? error_set_errno(error, errno, "Cannot open the %s %s", kind->name, path)
		      : 0;
}

int database_open(struct database *database, const struct database_kind *kind, const char *path,
		  bool full, struct error *error)
{
	int r = create_file(path, kind, error);

	if (r == 0)
		r = connect_file(database, kind, path, error);
	if (r == 0)
		r = set_up(database, full, error);
	return r < 0 ? r : sync_folder(path, kind, error);
}

int database_open_again(struct database *database, const struct database *first,
			struct error *error)
{
	return connect_file(database, first->kind, first->path, error);
}

void database_close(struct database *database)
{
	(void)sqlite3_close(database->connection);
	free(database->path);
	*database = (struct database){ 0 };
}
