/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "agent/store/ledger_internal.h"

#define WAL_LONG_PAGES 1000  /* 4 MiB: time to checkpoint beside the commits */
#define WAL_MAX_PAGES  16384 /* 64 MiB: commits came too fast for that; now one waits for it */
#define UUID_RAW_BYTES 16
#define KEY_BYTES      (UUID_RAW_BYTES + sizeof(uint64_t)) /* with a run */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int parse_uuid(const char *text, uint8_t out[UUID_RAW_BYTES])
{
	size_t at = 0;

	for (size_t i = 0; i < UUID_RAW_BYTES; i++) {
		int high, low;

		if (i == 4 || i == 6 || i == 8 || i == 10)
			if (text[at++] != '-')
				return -EINVAL;
		high = hex_value(text[at++]);
		low = high < 0 ? -1 : hex_value(text[at++]);
		if (low < 0)
			return -EINVAL;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return text[at] ? -EINVAL : 0;
}

static void bind_series(sqlite3_stmt *statement, const char *tenant, const char *function,
			const char *version)
{
	database_bind_text(statement, 1, tenant);
	database_bind_text(statement, 2, function);
	database_bind_text(statement, 3, version);
}

int ledger_find_series(struct ledger *ledger, const char *tenant, const char *function,
		       const char *version, int64_t *ret, struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *find = ledger->writes[LEDGER_FIND_SERIES];
	_cleanup_reset_ sqlite3_stmt *add = ledger->writes[LEDGER_ADD_SERIES];
	int step;

	bind_series(find, tenant, function, version);
	step = sqlite3_step(find);
	if (step == SQLITE_ROW) {
		*ret = sqlite3_column_int64(find, 0);
		return 0;
	}
	bind_series(add, tenant, function, version);
	if (step != SQLITE_DONE || sqlite3_step(add) != SQLITE_DONE)
		return database_refuse(&ledger->writer, "write", error);
	*ret = sqlite3_last_insert_rowid(ledger->writer.connection);
	return 0;
}

static void bind_optional(sqlite3_stmt *statement, int at, int64_t value)
{
	if (value >= 0)
		(void)sqlite3_bind_int64(statement, at, value);
}

static void bind_record(sqlite3_stmt *statement, const struct ledger_record *record, int64_t series)
{
	const int64_t from_8[] = { record->billed_ms,     record->memory_mb,
				   record->max_memory_mb, record->event_bytes,
				   record->answer_bytes,  record->streamed_bytes,
				   record->over_bytes,    record->storage_mb,
				   record->restored_mb,   record->start,
				   record->result,        record->provisioned,
				   record->withheld };

	(void)sqlite3_bind_int64(statement, 2, series);
	(void)sqlite3_bind_int64(statement, 3, record->started_us);
	(void)sqlite3_bind_int64(statement, 4, record->duration_us);
	bind_optional(statement, 5, record->init_us);
	bind_optional(statement, 6, record->restore_us);
	bind_optional(statement, 7, record->billed_restore_ms);
	for (size_t i = 0; i < ARRAY_SIZE(from_8); i++)
		(void)sqlite3_bind_int64(statement, (int)i + 8, from_8[i]);
}

static int add_record(struct ledger *ledger, struct ledger_record *record, struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = ledger->writes[LEDGER_ADD_RECORD];
	uint8_t id[KEY_BYTES];
	int64_t series = 0;
	int r;

	if (parse_uuid(record->request_id, id) < 0)
		return error_set(error, ERROR_INTERNAL, NULL, "'%s' is no request id.",
				 record->request_id);
	r = ledger_find_series(ledger, record->tenant, record->function, record->version, &series,
			       error);
	if (r < 0)
		return r;
	memcpy(id + UUID_RAW_BYTES, &record->run, sizeof(record->run));
	(void)sqlite3_bind_blob(statement, 1, id, record->run ? (int)KEY_BYTES : UUID_RAW_BYTES,
				SQLITE_STATIC);
	bind_record(statement, record, series);
	if (sqlite3_step(statement) != SQLITE_DONE)
		return database_refuse(&ledger->writer, "write", error);
	record->sequence = sqlite3_changes(ledger->writer.connection) > 0
				   ? (uint64_t)sqlite3_last_insert_rowid(ledger->writer.connection)
				   : 0;
	return 0;
}

static int roll_up(struct ledger *ledger, struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = ledger->writes[LEDGER_ROLL_UP];

	(void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)ledger->state.last_sequence);
	if (sqlite3_step(statement) != SQLITE_DONE)
		return database_refuse(&ledger->writer, "write", error);
	return 0;
}

/* Of days that are summed up already: to those, too. */
static int roll_up_late(struct ledger *ledger, struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = ledger->writes[LEDGER_ROLL_UP_LATE];

	(void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)ledger->state.last_sequence);
	(void)sqlite3_bind_int64(statement, 2, ledger->state.days);
	if (sqlite3_step(statement) != SQLITE_DONE)
		return database_refuse(&ledger->writer, "write", error);
	return 0;
}

int ledger_begin(struct ledger *ledger, struct error *error)
{
	if (database_run(ledger->writes[LEDGER_BEGIN]) < 0)
		return database_refuse(&ledger->writer, "write", error);
	return 0;
}

int ledger_end(struct ledger *ledger, int r, struct error *error)
{
	if (r == 0 && database_run(ledger->writes[LEDGER_COMMIT]) < 0)
		r = database_refuse(&ledger->writer, "write", error);
	if (r < 0)
		database_roll_back(&ledger->writer, ledger->writes[LEDGER_ROLLBACK]);
	return r;
}

int ledger_commit(struct ledger *ledger, struct ledger_record *first, bool *ret_wal_is_long,
		  struct error *error)
{
	uint64_t last = ledger->state.last_sequence;
	bool late = false;
	int r = ledger_begin(ledger, error);

	if (r < 0)
		return r;
	for (struct ledger_record *record = first; record && r == 0; record = record->next) {
		r = add_record(ledger, record, error);
		if (r == 0 && record->sequence > last)
			last = record->sequence;
		late |= record->started_us < ledger->state.days * LEDGER_DAY_US;
	}
	if (r == 0)
		r = roll_up(ledger, error);
	if (r == 0 && late)
		r = roll_up_late(ledger, error);
	r = ledger_end(ledger, r, error);
	if (r < 0)
		return r;
	ledger->state.last_sequence = last;
	/* What was committed stays so, whatever becomes of a checkpoint. */
	if (ledger->wal_pages >= WAL_MAX_PAGES)
		(void)sqlite3_wal_checkpoint_v2(ledger->writer.connection, NULL,
						SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	*ret_wal_is_long = ledger->wal_pages >= WAL_LONG_PAGES;
	return 0;
}

int ledger_checkpoint(struct ledger *ledger, struct error *error)
{
	int code = sqlite3_wal_checkpoint_v2(ledger->checkpointer.connection, NULL,
					     SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);

	if (code == SQLITE_OK || (code & 0xff) == SQLITE_BUSY)
		return 0;
	return database_refuse(&ledger->checkpointer, "checkpoint", error);
}

/* Whether the first record behind those of the future has expired. All before it may go then: that
 * is kept in mind, for there may be many. */
static int look_beyond(struct ledger *ledger, int64_t before_us, int64_t now_us,
		       struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = ledger->writes[LEDGER_OLDEST_PAST];
	int step;

	(void)sqlite3_bind_int64(statement, 1, now_us);
	step = sqlite3_step(statement);
	if (step == SQLITE_ROW && sqlite3_column_int64(statement, 1) < before_us)
		ledger->expired_before = (uint64_t)sqlite3_column_int64(statement, 0);
	return step == SQLITE_ROW || step == SQLITE_DONE
		       ? 0
		       : database_refuse(&ledger->writer, "read", error);
}

struct expired {
	uint64_t through; /* the last of the oldest records that may go; 0: none */
	unsigned count;
	uint64_t last;   /* of those that were looked at without an end */
	unsigned future; /* of them, those at the end that began in the future */
};

static int find_oldest(struct ledger *ledger, int64_t before_us, int64_t now_us, unsigned limit,
		       struct expired *ret, struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = ledger->writes[LEDGER_OLDEST];
	int step;

	*ret = (struct expired){ 0 };
	(void)sqlite3_bind_int64(statement, 1, limit);
	while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
		int64_t started_us = sqlite3_column_int64(statement, 1);

		if (started_us >= before_us && started_us <= now_us)
			return 0;
		ret->last = (uint64_t)sqlite3_column_int64(statement, 0);
		ret->future++;
		if (started_us >= before_us)
			continue;
		ret->through = ret->last;
		ret->count += ret->future;
		ret->future = 0;
	}
	return step == SQLITE_DONE ? 0 : database_refuse(&ledger->writer, "read", error);
}

static int find_expired(struct ledger *ledger, int64_t before_us, int64_t now_us, unsigned limit,
			struct expired *ret, struct error *error)
{
	int r = find_oldest(ledger, before_us, now_us, limit, ret, error);

	if (r < 0 || ret->future < limit)
		return r;
	if (ledger->expired_before <= ret->last)
		r = look_beyond(ledger, before_us, now_us, error);
	if (r == 0 && ledger->expired_before > ret->last) {
		ret->through = ret->last;
		ret->count = ret->future;
	}
	return r;
}

static int run_with(struct ledger *ledger, enum ledger_write which, uint64_t sequence,
		    struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = ledger->writes[which];

	(void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)sequence);
	if (sqlite3_step(statement) != SQLITE_DONE)
		return database_refuse(&ledger->writer, "write", error);
	return 0;
}

int ledger_trim(struct ledger *ledger, int64_t before_us, int64_t now_us, unsigned limit,
		unsigned *ret_deleted, struct error *error)
{
	struct expired expired;
	int r = find_expired(ledger, before_us, now_us, limit, &expired, error);

	if (r < 0)
		return r;
	if (expired.count > 0) {
		r = ledger_begin(ledger, error);
		if (r < 0)
			return r;
		r = run_with(ledger, LEDGER_DELETE, expired.through, error);
		if (r == 0)
			r = run_with(ledger, LEDGER_SET_TRIMMED, expired.through, error);
		r = ledger_end(ledger, r, error);
		if (r < 0)
			return r;
		ledger->state.trimmed = expired.through;
	}
	*ret_deleted = expired.count;
	return 0;
}
