/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/store/queue_store.h"

#include <errno.h>
#include <string.h>

#include "agent/store/event_store_internal.h"

enum queue_statement {
	QUEUE_BEGIN,
	QUEUE_COMMIT,
	QUEUE_ROLLBACK,
	QUEUE_INSERT,
	QUEUE_TENANT_BYTES,
	QUEUE_LIST,
	QUEUE_READ,
	QUEUE_DELETE,
	_QUEUE_STATEMENTS,
};

struct queue_store {
	struct database database;
	sqlite3_stmt *statements[_QUEUE_STATEMENTS];
};

static const struct database_kind kind = {
	.name = "queue store",
	.application_id = 0x4d617951, /* "MayQ" */
	.version = 1,
	/* AUTOINCREMENT: a sequence, which markers are made of, is not used again. */
	.schema = "CREATE TABLE message (sequence INTEGER PRIMARY KEY AUTOINCREMENT,"
		  " id TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL, queue TEXT NOT NULL,"
		  " function TEXT NOT NULL, qualifier TEXT NOT NULL, request_id TEXT NOT NULL,"
		  " condition TEXT NOT NULL, is_dead_letter INTEGER NOT NULL,"
		  " sent_us INTEGER NOT NULL, event_at INTEGER NOT NULL,"
		  " event_bytes INTEGER NOT NULL, bytes INTEGER NOT NULL,"
		  " error_message TEXT NOT NULL, trace_id TEXT NOT NULL,"
		  " end_tenant TEXT NOT NULL, client_context BLOB NOT NULL,"
		  " body BLOB NOT NULL) STRICT;"
		  "CREATE INDEX message_of_queue ON message (tenant, queue, sequence);"
		  "CREATE TABLE queue (tenant TEXT NOT NULL, name TEXT NOT NULL,"
		  " messages INTEGER NOT NULL, bytes INTEGER NOT NULL,"
		  " PRIMARY KEY (tenant, name)) STRICT, WITHOUT ROWID;"
		  "CREATE TRIGGER message_put AFTER INSERT ON message BEGIN"
		  " INSERT INTO queue VALUES (new.tenant, new.queue, 1, new.bytes)"
		  " ON CONFLICT (tenant, name) DO UPDATE SET messages = messages + 1,"
		  " bytes = bytes + excluded.bytes; END;"
		  "CREATE TRIGGER message_deleted AFTER DELETE ON message BEGIN"
		  " UPDATE queue SET messages = messages - 1, bytes = bytes - old.bytes"
		  " WHERE tenant = old.tenant AND name = old.queue;"
		  " DELETE FROM queue WHERE tenant = old.tenant AND name = old.queue"
		  " AND messages = 0; END;",
	.check_max_bytes = 64LL << 20, /* read in about a second */
};

static const char *const sql[_QUEUE_STATEMENTS] = {
	[QUEUE_BEGIN] = "BEGIN IMMEDIATE",
	[QUEUE_COMMIT] = "COMMIT",
	[QUEUE_ROLLBACK] = "ROLLBACK",
	[QUEUE_INSERT] =
		("INSERT INTO message (id, tenant, queue, function, qualifier, request_id,"
		 " condition, is_dead_letter, sent_us, event_at, event_bytes, bytes,"
		 " error_message, trace_id, end_tenant, client_context, body)"
		 " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,"
		 " ?17)"
		 " ON CONFLICT (id) DO NOTHING"),
	[QUEUE_TENANT_BYTES] = "SELECT ifnull(sum(bytes), 0) FROM queue WHERE tenant = ?1",
	[QUEUE_LIST] = ("SELECT name, messages, bytes, (SELECT sent_us FROM message"
			" WHERE message.tenant = queue.tenant AND message.queue = queue.name"
			" ORDER BY sequence LIMIT 1) FROM queue WHERE tenant = ?1 ORDER BY name"
			" LIMIT ?2"),
	[QUEUE_READ] =
		("SELECT sequence, id, function, qualifier, request_id, condition,"
		 " is_dead_letter, sent_us, event_at, event_bytes, error_message, trace_id,"
		 " client_context, body, end_tenant FROM message WHERE tenant = ?1 AND queue = ?2"
		 " AND sequence > ?3 AND (?4 = '' OR id = ?4) ORDER BY sequence"),
	[QUEUE_DELETE] = ("DELETE FROM message WHERE tenant = ?1 AND queue = ?2"
			  " AND sequence > ?3 AND (?4 = '' OR id = ?4)"),
};

int queue_store_open(const char *path, bool full, struct queue_store **ret, struct error *error)
{
	_cleanup_(queue_store_close_p) struct queue_store *store = calloc(1, sizeof(*store));
	int r;

	if (!store)
		return error_set_errno(error, ENOMEM, "Cannot open the queue store");
	r = database_open(&store->database, &kind, path, full, error);
	for (size_t i = 0; i < _QUEUE_STATEMENTS && r == 0; i++)
		r = database_prepare(&store->database, sql[i], &store->statements[i], error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(store);
	return 0;
}

struct queue_store *queue_store_close(struct queue_store *store)
{
	if (!store)
		return NULL;
	for (size_t i = 0; i < _QUEUE_STATEMENTS; i++)
		(void)sqlite3_finalize(store->statements[i]);
	database_close(&store->database);
	free(store);
	return NULL;
}

/* -- putting -- */

static uint64_t bytes_of(const struct queue_message *message)
{
	return message->body.len + message->client_context.len + QUEUE_MESSAGE_BYTES;
}

static int check_room(struct queue_store *store, const struct queue_message *message,
		      uint64_t max_bytes, struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = store->statements[QUEUE_TENANT_BYTES];

	database_bind_text(statement, 1, message->tenant);
	if (sqlite3_step(statement) != SQLITE_ROW)
		return database_refuse(&store->database, "read", error);
	if ((uint64_t)sqlite3_column_int64(statement, 0) + bytes_of(message) <= max_bytes)
		return 0;
	return error_set(error, ERROR_TOO_MANY_REQUESTS, NULL,
			 "The tenant's queues are full: they have %llu bytes.",
			 (unsigned long long)max_bytes);
}

static int insert(struct queue_store *store, const struct queue_message *message,
		  struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = store->statements[QUEUE_INSERT];

	database_bind_text(statement, 1, message->id);
	database_bind_text(statement, 2, message->tenant);
	database_bind_text(statement, 3, message->queue);
	database_bind_text(statement, 4, message->function);
	database_bind_text(statement, 5, message->qualifier);
	database_bind_text(statement, 6, message->request_id);
	database_bind_text(statement, 7, message->condition);
	event_store_bind_number(statement, 8, message->is_dead_letter);
	event_store_bind_number(statement, 9, message->sent_us);
	event_store_bind_number(statement, 10, (int64_t)message->event_at);
	event_store_bind_number(statement, 11, (int64_t)message->event_bytes);
	event_store_bind_number(statement, 12, (int64_t)bytes_of(message));
	database_bind_text(statement, 13, message->error_message ? message->error_message : "");
	database_bind_text(statement, 14, message->trace_id ? message->trace_id : "");
	database_bind_text(statement, 15, message->end_tenant ? message->end_tenant : "");
	event_store_bind_bytes(statement, 16, message->client_context);
	event_store_bind_bytes(statement, 17, message->body);
	return sqlite3_step(statement) == SQLITE_DONE
		       ? 0
		       : database_refuse(&store->database, "write", error);
}

int queue_store_put(struct queue_store *store, const struct queue_message *message,
		    uint64_t max_bytes, struct error *error)
{
	int r;

	if (database_run(store->statements[QUEUE_BEGIN]) < 0)
		return database_refuse(&store->database, "write", error);
	r = check_room(store, message, max_bytes, error);
	if (r == 0)
		r = insert(store, message, error);
	if (r == 0 && database_run(store->statements[QUEUE_COMMIT]) < 0)
		r = database_refuse(&store->database, "write", error);
	if (r < 0)
		database_roll_back(&store->database, store->statements[QUEUE_ROLLBACK]);
	return r;
}

/* -- reading -- */

int queue_store_list(struct queue_store *store, const char *tenant, struct queue_summary *ret,
		     size_t size, size_t *ret_count, struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = store->statements[QUEUE_LIST];
	int step;

	*ret_count = 0;
	database_bind_text(statement, 1, tenant);
	event_store_bind_number(statement, 2, (int64_t)size);
	while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
		struct queue_summary *summary = &ret[(*ret_count)++];

		event_store_take_text(statement, 0, summary->name, sizeof(summary->name));
		summary->messages = (uint64_t)sqlite3_column_int64(statement, 1);
		summary->bytes = (uint64_t)sqlite3_column_int64(statement, 2);
		summary->oldest_us = sqlite3_column_int64(statement, 3);
	}
	return step == SQLITE_DONE ? 0 : database_refuse(&store->database, "read", error);
}

static void bind_filter(sqlite3_stmt *statement, const struct queue_filter *filter)
{
	database_bind_text(statement, 1, filter->tenant);
	database_bind_text(statement, 2, filter->queue);
	event_store_bind_number(statement, 3, (int64_t)filter->after);
	database_bind_text(statement, 4, filter->id);
}

static struct slice column(sqlite3_stmt *statement, int at)
{
	const void *data = sqlite3_column_blob(statement, at);

	return slice_new(data, (size_t)sqlite3_column_bytes(statement, at));
}

static void take_message(sqlite3_stmt *statement, const struct queue_filter *filter,
			 struct queue_message *ret)
{
	*ret = (struct queue_message){
		.sequence = (uint64_t)sqlite3_column_int64(statement, 0),
		.is_dead_letter = sqlite3_column_int64(statement, 6) != 0,
		.sent_us = sqlite3_column_int64(statement, 7),
		.event_at = (uint64_t)sqlite3_column_int64(statement, 8),
		.event_bytes = (uint64_t)sqlite3_column_int64(statement, 9),
		.error_message = (const char *)sqlite3_column_text(statement, 10),
		.trace_id = (const char *)sqlite3_column_text(statement, 11),
		.client_context = column(statement, 12),
		.body = column(statement, 13),
		.end_tenant = (const char *)sqlite3_column_text(statement, 14),
	};
	memcpy(ret->tenant, filter->tenant, sizeof(ret->tenant));
	memcpy(ret->queue, filter->queue, sizeof(ret->queue));
	event_store_take_text(statement, 1, ret->id, sizeof(ret->id));
	event_store_take_text(statement, 2, ret->function, sizeof(ret->function));
	event_store_take_text(statement, 3, ret->qualifier, sizeof(ret->qualifier));
	event_store_take_text(statement, 4, ret->request_id, sizeof(ret->request_id));
	event_store_take_text(statement, 5, ret->condition, sizeof(ret->condition));
}

int queue_store_read(struct queue_store *store, const struct queue_filter *filter,
		     queue_message_fn *fn, void *arg, struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = store->statements[QUEUE_READ];
	struct queue_message message;
	int step, r;

	bind_filter(statement, filter);
	while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
		take_message(statement, filter, &message);
		r = fn(&message, arg);
		if (r != 0)
			return r;
	}
	return step == SQLITE_DONE ? 0 : database_refuse(&store->database, "read", error);
}

int queue_store_delete(struct queue_store *store, const struct queue_filter *filter,
		       uint64_t *ret_count, struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = store->statements[QUEUE_DELETE];

	bind_filter(statement, filter);
	if (sqlite3_step(statement) != SQLITE_DONE)
		return database_refuse(&store->database, "write", error);
	*ret_count = (uint64_t)sqlite3_changes64(store->database.connection);
	return 0;
}
