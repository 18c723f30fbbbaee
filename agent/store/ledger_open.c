/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/statvfs.h>

#include "agent/store/ledger_internal.h"

/* Records of version 1 were not billed for what version 2 knows, as their rollups are not. */
static const char *const upgrades[] = {
	/* 1 to 2 */
	"ALTER TABLE record ADD COLUMN over_bytes INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE record ADD COLUMN storage_mb INTEGER NOT NULL DEFAULT 512;"
	"ALTER TABLE record ADD COLUMN restored_mb INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE record ADD COLUMN provisioned INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE rollup ADD COLUMN provisioned_invocations INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE rollup ADD COLUMN provisioned_mb_ms INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE rollup ADD COLUMN storage_mb_ms INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE rollup ADD COLUMN over_bytes INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE rollup ADD COLUMN restored_mb INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE rollup ADD COLUMN allocated_mb_ms INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE rollup ADD COLUMN cached_mb_ms INTEGER NOT NULL DEFAULT 0;"
	"CREATE TABLE accrual (series INTEGER NOT NULL, kind INTEGER NOT NULL,"
	" begins_ms INTEGER NOT NULL, slot INTEGER NOT NULL, ends_ms INTEGER NOT NULL,"
	" units INTEGER NOT NULL, memory_mb INTEGER NOT NULL,"
	" PRIMARY KEY (series, kind, begins_ms, slot)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE budget (tenant TEXT NOT NULL, function TEXT NOT NULL,"
	" measure INTEGER NOT NULL, period INTEGER NOT NULL, soft INTEGER, hard INTEGER,"
	" modified_us INTEGER NOT NULL, soft_told_us INTEGER NOT NULL DEFAULT 0,"
	" hard_told_us INTEGER NOT NULL DEFAULT 0,"
	" PRIMARY KEY (tenant, function, measure, period)) STRICT, WITHOUT ROWID;",
	/* 2 to 3: days are summed up bit by bit, see ledger_day.c. */
	"CREATE TABLE day_rollup (series INTEGER NOT NULL, day INTEGER NOT NULL,"
	" invocations INTEGER NOT NULL, errors INTEGER NOT NULL, timeouts INTEGER NOT NULL,"
	" failures INTEGER NOT NULL, cold_starts INTEGER NOT NULL, withheld INTEGER NOT NULL,"
	" duration_us INTEGER NOT NULL, init_us INTEGER NOT NULL, billed_ms INTEGER NOT NULL,"
	" mb_ms INTEGER NOT NULL, event_bytes INTEGER NOT NULL, answer_bytes INTEGER NOT NULL,"
	" streamed_bytes INTEGER NOT NULL, max_memory_mb INTEGER NOT NULL,"
	" provisioned_invocations INTEGER NOT NULL, provisioned_mb_ms INTEGER NOT NULL,"
	" storage_mb_ms INTEGER NOT NULL, over_bytes INTEGER NOT NULL,"
	" restored_mb INTEGER NOT NULL, allocated_mb_ms INTEGER NOT NULL,"
	" cached_mb_ms INTEGER NOT NULL, PRIMARY KEY (series, day)) STRICT, WITHOUT ROWID;"
	"ALTER TABLE state ADD COLUMN days INTEGER NOT NULL DEFAULT 0;",
};

static const struct database_kind ledger_kind = {
	.name = "ledger",
	.application_id = 0x4d61794c, /* "MayL" */
	.version = 1 + (int)ARRAY_SIZE(upgrades),
	.upgrades = upgrades,
	.schema = "CREATE TABLE series (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL,"
		  " function TEXT NOT NULL, version TEXT NOT NULL,"
		  " UNIQUE (tenant, function, version)) STRICT;"
		  /* AUTOINCREMENT: a sequence is not used again when all records are deleted. */
		  "CREATE TABLE record (sequence INTEGER PRIMARY KEY AUTOINCREMENT,"
		  " request_id BLOB NOT NULL UNIQUE, series INTEGER NOT NULL,"
		  " started_us INTEGER NOT NULL, duration_us INTEGER NOT NULL, init_us INTEGER,"
		  " restore_us INTEGER, billed_restore_ms INTEGER, billed_ms INTEGER NOT NULL,"
		  " memory_mb INTEGER NOT NULL, max_memory_mb INTEGER NOT NULL,"
		  " event_bytes INTEGER NOT NULL, answer_bytes INTEGER NOT NULL,"
		  " streamed_bytes INTEGER NOT NULL, start INTEGER NOT NULL,"
		  " result INTEGER NOT NULL, withheld INTEGER NOT NULL) STRICT;"
		  "CREATE TABLE rollup (series INTEGER NOT NULL, hour INTEGER NOT NULL,"
		  " first_sequence INTEGER NOT NULL, last_sequence INTEGER NOT NULL,"
		  " invocations INTEGER NOT NULL, errors INTEGER NOT NULL,"
		  " timeouts INTEGER NOT NULL, failures INTEGER NOT NULL,"
		  " cold_starts INTEGER NOT NULL, withheld INTEGER NOT NULL,"
		  " duration_us INTEGER NOT NULL, init_us INTEGER NOT NULL,"
		  " billed_ms INTEGER NOT NULL, mb_ms INTEGER NOT NULL,"
		  " event_bytes INTEGER NOT NULL, answer_bytes INTEGER NOT NULL,"
		  " streamed_bytes INTEGER NOT NULL, max_memory_mb INTEGER NOT NULL,"
		  " PRIMARY KEY (series, hour)) STRICT, WITHOUT ROWID;"
		  "CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1),"
		  " trimmed INTEGER NOT NULL) STRICT;"
		  "INSERT INTO state VALUES (1, 0);",
	.check_max_bytes = 64LL << 20, /* read in about a second */
};

static const char *const write_sql[_LEDGER_WRITES] = {
	[LEDGER_BEGIN] = "BEGIN IMMEDIATE",
	[LEDGER_COMMIT] = "COMMIT",
	[LEDGER_ROLLBACK] = "ROLLBACK",
	[LEDGER_FIND_SERIES] =
		"SELECT id FROM series WHERE tenant = ?1 AND function = ?2 AND version = ?3",
	[LEDGER_ADD_SERIES] = "INSERT INTO series (tenant, function, version) VALUES (?1, ?2, ?3)",
	[LEDGER_ADD_RECORD] =
		"INSERT INTO record (request_id, series, started_us, duration_us, init_us,"
		" restore_us, billed_restore_ms, billed_ms, memory_mb, max_memory_mb, event_bytes,"
		" answer_bytes, streamed_bytes, over_bytes, storage_mb, restored_mb, start, result,"
		" provisioned, withheld)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,"
		" ?17, ?18, ?19, ?20)"
		" ON CONFLICT (request_id) DO NOTHING",
	[LEDGER_FIND_ACCRUAL] = "SELECT ends_ms FROM accrual WHERE series = ?1 AND kind = ?2"
				" AND begins_ms = ?3 AND slot = ?4",
	[LEDGER_ADD_ACCRUAL] =
		"INSERT INTO accrual (series, kind, begins_ms, slot, ends_ms, units, memory_mb)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
		" ON CONFLICT (series, kind, begins_ms, slot) DO UPDATE SET ends_ms ="
		" excluded.ends_ms",
	[LEDGER_PUT_BUDGET] =
		"INSERT OR REPLACE INTO budget (tenant, function, measure, period, soft, hard,"
		" modified_us, soft_told_us, hard_told_us)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
	[LEDGER_DELETE_BUDGET] = "DELETE FROM budget WHERE tenant = ?1 AND function = ?2"
				 " AND measure = ?3 AND period = ?4",
	[LEDGER_FIRST_HOUR] = "SELECT min(hour) FROM rollup",
	[LEDGER_SET_DAYS] = "UPDATE state SET days = ?1",
	/* The others are put together. */
	[LEDGER_OLDEST] = "SELECT sequence, started_us FROM record ORDER BY sequence LIMIT ?1",
	[LEDGER_OLDEST_PAST] = "SELECT sequence, started_us FROM record WHERE started_us <= ?1"
			       " ORDER BY sequence LIMIT 1",
	[LEDGER_DELETE] = "DELETE FROM record WHERE sequence <= ?1",
	[LEDGER_SET_TRIMMED] = "UPDATE state SET trimmed = ?1",
};

static int append_roll_up(struct buf *sql)
{
	int r = buf_append_string(
		sql, "INSERT INTO rollup (series, hour, first_sequence, last_sequence, ");

	if (r == 0)
		r = ledger_append_names(sql, NULL);
	if (r == 0)
		r = buf_append_format(
			sql, ") SELECT series, started_us / %lld, min(sequence), max(sequence), ",
			LEDGER_HOUR_US);
	if (r == 0)
		r = ledger_append_sums(sql, false);
	if (r == 0)
		r = buf_append_string(sql, " FROM record WHERE sequence > ?1 GROUP BY 1, 2"
					   " ON CONFLICT (series, hour) DO UPDATE SET"
					   /* That of an accrual has no record yet. */
					   " first_sequence = min(first_sequence,"
					   " excluded.first_sequence),"
					   " last_sequence = excluded.last_sequence, ");
	return r < 0 ? r : ledger_append_additions(sql);
}

/* What came late for days that are summed up: those before ?2. */
static int append_roll_up_late(struct buf *sql)
{
	int r = buf_append_string(sql, "INSERT INTO day_rollup (series, day, ");

	if (r == 0)
		r = ledger_append_names(sql, NULL);
	if (r == 0)
		r = buf_append_format(sql, ") SELECT series, started_us / %lld, ", LEDGER_DAY_US);
	if (r == 0)
		r = ledger_append_sums(sql, false);
	if (r == 0)
		r = buf_append_format(sql,
				      " FROM record WHERE sequence > ?1 AND started_us < ?2 * %lld"
				      " GROUP BY 1, 2 ON CONFLICT (series, day) DO UPDATE SET ",
				      LEDGER_DAY_US);
	return r < 0 ? r : ledger_append_additions(sql);
}

/* A day of all series. */
static int append_sum_day(struct buf *sql)
{
	int r = buf_append_string(sql, "INSERT OR REPLACE INTO day_rollup (series, day, ");

	if (r == 0)
		r = ledger_append_names(sql, NULL);
	if (r == 0)
		r = buf_append_string(sql, ") SELECT u.series, ?1, ");
	if (r == 0)
		r = ledger_append_sums(sql, true);
	return r < 0 ? r
		     : buf_append_string(sql, " FROM series s CROSS JOIN rollup u"
					      " ON u.series = s.id WHERE u.hour >= ?1 * 24"
					      " AND u.hour < ?1 * 24 + 24 GROUP BY s.id");
}

/* Series, hour or day, megabyte-milliseconds. */
static int append_late_accrual(struct buf *sql, enum ledger_accrual_kind kind)
{
	const char *name = ledger_figure_name(ledger_accrual_figure(kind));
	int r = buf_append_string(sql, "INSERT INTO day_rollup (series, day, ");

	if (r == 0)
		r = ledger_append_names(sql, NULL);
	if (r == 0)
		r = buf_append_string(sql, ") VALUES (?1, ?2, ");
	if (r == 0)
		r = ledger_append_zeros(sql, ledger_accrual_figure(kind), "?3");
	if (r == 0)
		r = buf_append_format(sql, ") ON CONFLICT (series, day) DO UPDATE SET %s = %s + ?3",
				      name, name);
	return r;
}

static int append_roll_up_accrual(struct buf *sql, enum ledger_accrual_kind kind)
{
	const char *name = ledger_figure_name(ledger_accrual_figure(kind));
	int r = buf_append_string(
		sql, "INSERT INTO rollup (series, hour, first_sequence, last_sequence, ");

	if (r == 0)
		r = ledger_append_names(sql, NULL);
	if (r == 0)
		r = buf_append_format(sql, ") VALUES (?1, ?2, %lld, 0, ", (long long)INT64_MAX);
	if (r == 0)
		r = ledger_append_zeros(sql, ledger_accrual_figure(kind), "?3");
	if (r == 0)
		r = buf_append_format(
			sql, ") ON CONFLICT (series, hour) DO UPDATE SET %s = %s + ?3", name, name);
	return r;
}

/* The text of a statement that is put together. */
static int append_write(struct buf *sql, enum ledger_write which)
{
	switch (which) {
	case LEDGER_ROLL_UP:
		return append_roll_up(sql);
	case LEDGER_ROLL_UP_LATE:
		return append_roll_up_late(sql);
	case LEDGER_ROLL_UP_ALLOCATION:
		return append_roll_up_accrual(sql, LEDGER_ALLOCATION);
	case LEDGER_ROLL_UP_CACHE:
		return append_roll_up_accrual(sql, LEDGER_CACHE);
	case LEDGER_LATE_ALLOCATION:
		return append_late_accrual(sql, LEDGER_ALLOCATION);
	case LEDGER_LATE_CACHE:
		return append_late_accrual(sql, LEDGER_CACHE);
	case LEDGER_SUM_DAY:
		return append_sum_day(sql);
	default:
		return buf_append_string(sql, write_sql[which]);
	}
}

static int prepare_writes(struct ledger *ledger, struct error *error)
{
	_cleanup_buf_ struct buf sql = BUF_INIT;
	int r = 0;

	for (unsigned i = 0; i < _LEDGER_WRITES && r == 0; i++) {
		buf_reset(&sql);
		if (append_write(&sql, (enum ledger_write)i) < 0)
			return error_set_errno(error, ENOMEM, "Cannot open the ledger");
		r = database_prepare(&ledger->writer, buf_string(&sql), &ledger->writes[i], error);
	}
	return r;
}

static int read_state(struct ledger *ledger, struct error *error)
{
	sqlite3_stmt *statement = NULL;
	int r = database_prepare(
		&ledger->writer,
		"SELECT ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'record'), 0),"
		" trimmed, days FROM state",
		&statement, error);

	if (r < 0)
		return r;
	if (sqlite3_step(statement) != SQLITE_ROW)
		r = database_refuse(&ledger->writer, "read", error);
	ledger->state = (struct ledger_state){
		.last_sequence = (uint64_t)sqlite3_column_int64(statement, 0),
		.trimmed = (uint64_t)sqlite3_column_int64(statement, 1),
		.days = sqlite3_column_int64(statement, 2),
	};
	(void)sqlite3_finalize(statement);
	return r;
}

static int on_wal(void *arg, sqlite3 *connection _unused_, const char *name _unused_, int pages)
{
	struct ledger *ledger = arg;

	ledger->wal_pages = pages;
	return SQLITE_OK;
}

static int open_connections(struct ledger *ledger, const char *path, bool full, struct error *error)
{
	int r = database_open(&ledger->writer, &ledger_kind, path, full, error);

	if (r == 0)
		r = database_open_again(&ledger->reader, &ledger->writer, error);
	if (r == 0)
		r = database_execute(&ledger->reader, "PRAGMA query_only = ON", error);
	if (r == 0)
		r = database_open_again(&ledger->checkpointer, &ledger->writer, error);
	if (r < 0)
		return r;
	/* In the place of the checkpoint that a commit does by itself now and then. */
	(void)sqlite3_wal_hook(ledger->writer.connection, on_wal, ledger);
	return 0;
}

int ledger_open(const char *path, bool full, struct ledger **ret, struct error *error)
{
	_cleanup_(ledger_close_p) struct ledger *ledger = calloc(1, sizeof(*ledger));
	int r;

	if (!ledger)
		return error_set_errno(error, ENOMEM, "Cannot open the ledger");
	r = open_connections(ledger, path, full, error);
	if (r == 0)
		r = prepare_writes(ledger, error);
	if (r == 0)
		r = read_state(ledger, error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(ledger);
	return 0;
}

struct ledger *ledger_close(struct ledger *ledger)
{
	if (!ledger)
		return NULL;
	for (unsigned i = 0; i < _LEDGER_WRITES; i++)
		(void)sqlite3_finalize(ledger->writes[i]);
	database_close(&ledger->checkpointer);
	database_close(&ledger->reader);
	database_close(&ledger->writer);
	free(ledger);
	return NULL;
}

void ledger_get_state(const struct ledger *ledger, struct ledger_state *ret)
{
	*ret = ledger->state;
}

int ledger_check_room(const struct ledger *ledger, struct error *error)
{
	struct statvfs disk;

	if (statvfs(ledger->writer.path, &disk) < 0)
		return error_set_errno(error, errno, "Cannot look at the disk of the ledger");
	/* What is free for everybody: file systems keep some for themselves, of root, too. */
	if (disk.f_bavail > LEDGER_RESERVE_BYTES / disk.f_frsize)
		return 0;
	return error_set(error, ERROR_UNAVAILABLE, NULL,
			 "The disk of the node's state is full but for the last %lld MiB.",
			 LEDGER_RESERVE_BYTES >> 20);
}
