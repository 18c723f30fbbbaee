/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/store/event_store_internal.h"

static const char *const upgrades[] = {
	/* In whose name a function with end-tenants is to be invoked. */
	"ALTER TABLE event ADD COLUMN end_tenant TEXT NOT NULL DEFAULT '';",
	/* Destinations. */
	"ALTER TABLE event ADD COLUMN hops INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE settings ADD COLUMN on_success TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE settings ADD COLUMN on_failure TEXT NOT NULL DEFAULT '';"
	"CREATE TABLE delivery (sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL,"
	" request_id TEXT NOT NULL, tenant TEXT NOT NULL, function TEXT NOT NULL,"
	" qualifier TEXT NOT NULL, ended_us INTEGER NOT NULL, due_us INTEGER NOT NULL,"
	" tries INTEGER NOT NULL, hops INTEGER NOT NULL, bytes INTEGER NOT NULL,"
	" target TEXT NOT NULL, is_dead_letter INTEGER NOT NULL, condition TEXT NOT NULL,"
	" event_at INTEGER NOT NULL, event_bytes INTEGER NOT NULL, error_message TEXT NOT NULL,"
	" trace_id TEXT NOT NULL, end_tenant TEXT NOT NULL, client_context BLOB NOT NULL,"
	" payload BLOB NOT NULL) STRICT;",
};

static const struct database_kind kind = {
	.name = "event store",
	.application_id = 0x4d617945, /* "MayE" */
	.version = 1 + (int)ARRAY_SIZE(upgrades),
	.upgrades = upgrades,
	/* AUTOINCREMENT: a sequence is not used again when its event has ended. */
	.schema = "CREATE TABLE event (sequence INTEGER PRIMARY KEY AUTOINCREMENT,"
		  " request_id TEXT NOT NULL, tenant TEXT NOT NULL, function TEXT NOT NULL,"
		  " qualifier TEXT NOT NULL, received_us INTEGER NOT NULL,"
		  " due_us INTEGER NOT NULL, errors INTEGER NOT NULL, delays INTEGER NOT NULL,"
		  " bytes INTEGER NOT NULL, trace_id TEXT NOT NULL, client_context BLOB NOT NULL,"
		  " payload BLOB NOT NULL) STRICT;"
		  "CREATE TABLE settings (tenant TEXT NOT NULL, function TEXT NOT NULL,"
		  " qualifier TEXT NOT NULL, max_retries INTEGER, max_age_s INTEGER,"
		  " modified_us INTEGER NOT NULL, PRIMARY KEY (tenant, function, qualifier))"
		  " STRICT, WITHOUT ROWID;",
	.check_max_bytes = 64LL << 20, /* read in about a second */
};

static const char *const sql[_EVENT_STATEMENTS] = {
	[EVENT_BEGIN] = "BEGIN IMMEDIATE",
	[EVENT_COMMIT] = "COMMIT",
	[EVENT_ROLLBACK] = "ROLLBACK",
	[EVENT_INSERT] =
		("INSERT INTO event (request_id, tenant, function, qualifier, received_us, due_us,"
		 " errors, delays, bytes, trace_id, client_context, payload, end_tenant, hops)"
		 " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"),
	[EVENT_SET] = "UPDATE event SET due_us = ?2, errors = ?3, delays = ?4 WHERE sequence = ?1",
	[EVENT_REMOVE] = "DELETE FROM event WHERE sequence = ?1",
	[EVENT_GET_BODY] = ("SELECT trace_id, client_context, payload, end_tenant, hops"
			    " FROM event WHERE sequence = ?1"),
	/* Large rows overflow into pages of their own, and their columns come last: none of what
	 * they carry is read. */
	[EVENT_GET_ALL] = ("SELECT sequence, request_id, tenant, function, qualifier, received_us,"
			   " due_us, errors, delays, bytes FROM event ORDER BY sequence"),
	[EVENT_PUT_SETTINGS] = "REPLACE INTO settings VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	[EVENT_REMOVE_SETTINGS] =
		"DELETE FROM settings WHERE tenant = ?1 AND function = ?2 AND qualifier = ?3",
	[EVENT_GET_SETTINGS] = ("SELECT tenant, function, qualifier, max_retries, max_age_s,"
				" modified_us, on_success, on_failure FROM settings"
				" ORDER BY 1, 2, 3"),
	[EVENT_INSERT_DELIVERY] =
		("INSERT INTO delivery (id, request_id, tenant, function, qualifier, ended_us,"
		 " due_us, tries, hops, bytes, target, is_dead_letter, condition, event_at,"
		 " event_bytes, error_message, trace_id, end_tenant, client_context, payload)"
		 " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,"
		 " ?17, ?18, ?19, ?20)"),
	[EVENT_SET_DELIVERY] = "UPDATE delivery SET due_us = ?2, tries = ?3 WHERE sequence = ?1",
	[EVENT_REMOVE_DELIVERY] = "DELETE FROM delivery WHERE sequence = ?1",
	[EVENT_GET_DELIVERY_BODY] = ("SELECT trace_id, client_context, payload, end_tenant,"
				     " error_message FROM delivery WHERE sequence = ?1"),
	[EVENT_GET_DELIVERIES] =
		("SELECT sequence, request_id, tenant, function, qualifier, ended_us, due_us,"
		 " tries, hops, bytes, id, target, is_dead_letter, condition, event_at,"
		 " event_bytes FROM delivery ORDER BY sequence"),
};

int event_store_open(const char *path, bool full, struct event_store **ret, struct error *error)
{
	_cleanup_(event_store_close_p) struct event_store *store = calloc(1, sizeof(*store));
	int r;

	if (!store)
		return error_set_errno(error, ENOMEM, "Cannot open the event store");
	r = database_open(&store->database, &kind, path, full, error);
	for (size_t i = 0; i < _EVENT_STATEMENTS && r == 0; i++)
		r = database_prepare(&store->database, sql[i], &store->statements[i], error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(store);
	return 0;
}

struct event_store *event_store_close(struct event_store *store)
{
	if (!store)
		return NULL;
	for (size_t i = 0; i < _EVENT_STATEMENTS; i++)
		(void)sqlite3_finalize(store->statements[i]);
	database_close(&store->database);
	free(store);
	return NULL;
}

void event_op_forget_body(struct event_op *op)
{
	free(op->memory);
	op->memory = NULL;
	op->body = (struct event_body){ 0 };
}

/* -- single changes -- */

void event_store_bind_number(sqlite3_stmt *statement, int at, int64_t number)
{
	(void)sqlite3_bind_int64(statement, at, number);
}

void event_store_bind_bytes(sqlite3_stmt *statement, int at, struct slice bytes)
{
	(void)sqlite3_bind_blob64(statement, at, bytes.len ? bytes.data : (const void *)"",
				  bytes.len, SQLITE_STATIC);
}

static int add(struct event_store *store, struct event_op *op, struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = store->statements[EVENT_INSERT];
	struct event_record *record = &op->record;

	database_bind_text(statement, 1, record->request_id);
	database_bind_text(statement, 2, record->tenant);
	database_bind_text(statement, 3, record->function);
	database_bind_text(statement, 4, record->qualifier);
	event_store_bind_number(statement, 5, record->received_us);
	event_store_bind_number(statement, 6, record->due_us);
	event_store_bind_number(statement, 7, record->errors);
	event_store_bind_number(statement, 8, record->delays);
	event_store_bind_number(statement, 9, (int64_t)record->bytes);
	database_bind_text(statement, 10, op->body.trace_id ? op->body.trace_id : "");
	event_store_bind_bytes(statement, 11, op->body.client_context);
	event_store_bind_bytes(statement, 12, op->body.payload);
	database_bind_text(statement, 13, op->body.end_tenant ? op->body.end_tenant : "");
	event_store_bind_number(statement, 14, record->hops);
	if (sqlite3_step(statement) != SQLITE_DONE)
		return database_refuse(&store->database, "write", error);
	record->sequence = (uint64_t)sqlite3_last_insert_rowid(store->database.connection);
	return 0;
}

static int change(struct event_store *store, const struct event_op *op, struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement =
		store->statements[op->change == EVENT_UPDATE ? EVENT_SET : EVENT_REMOVE];

	event_store_bind_number(statement, 1, (int64_t)op->record.sequence);
	if (op->change == EVENT_UPDATE) {
		event_store_bind_number(statement, 2, op->record.due_us);
		event_store_bind_number(statement, 3, op->record.errors);
		event_store_bind_number(statement, 4, op->record.delays);
	}
	if (sqlite3_step(statement) != SQLITE_DONE)
		return database_refuse(&store->database, "write", error);
	return 0;
}

int event_store_copy_columns(sqlite3_stmt *statement, int count, struct slice *ret,
			     void **ret_memory, struct error *error)
{
	size_t bytes = 0;
	uint8_t *at;

	for (int i = 0; i < count; i++)
		bytes += (size_t)sqlite3_column_bytes(statement, i) + 1;
	at = calloc(1, bytes);
	if (!at)
		return error_set_errno(error, ENOMEM, "Cannot read an event");
	*ret_memory = at;
	for (int i = 0; i < count; i++) {
		const void *data = sqlite3_column_blob(statement, i);

		ret[i] = slice_new(at, (size_t)sqlite3_column_bytes(statement, i));
		if (ret[i].len > 0)
			memcpy(at, data, ret[i].len);
		at += ret[i].len + 1;
	}
	return 0;
}

int event_store_take_body(sqlite3_stmt *statement, int count, struct event_op *op,
			  struct slice *ret, struct error *error)
{
	int r;

	event_op_forget_body(op); /* of a try that was rolled back */
	r = event_store_copy_columns(statement, count, ret, &op->memory, error);
	if (r < 0)
		return r;
	op->body = (struct event_body){ .trace_id = (const char *)ret[0].data,
					.client_context = ret[1],
					.payload = ret[2],
					.end_tenant = (const char *)ret[3].data };
	return 0;
}

static int take_body(sqlite3_stmt *statement, struct event_op *op, struct error *error)
{
	struct slice columns[4];

	op->record.hops = (unsigned)sqlite3_column_int64(statement, 4);
	return event_store_take_body(statement, ARRAY_SIZE(columns), op, columns, error);
}

static int read_body(struct event_store *store, struct event_op *op, struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = store->statements[EVENT_GET_BODY];
	int step;

	event_store_bind_number(statement, 1, (int64_t)op->record.sequence);
	step = sqlite3_step(statement);
	if (step == SQLITE_ROW)
		return take_body(statement, op, error);
	return step == SQLITE_DONE ? 0 : database_refuse(&store->database, "read", error);
}

static int change_settings(struct event_store *store, const struct event_op *op,
			   struct error *error)
{
	bool is_set = op->change == EVENT_SET_SETTINGS;
	_cleanup_reset_ sqlite3_stmt *statement =
		store->statements[is_set ? EVENT_PUT_SETTINGS : EVENT_REMOVE_SETTINGS];
	const struct event_settings *settings = op->settings;

	database_bind_text(statement, 1, op->record.tenant);
	database_bind_text(statement, 2, op->record.function);
	database_bind_text(statement, 3, op->record.qualifier);
	if (is_set) {
		if (settings->has_max_retries)
			event_store_bind_number(statement, 4, settings->max_retries);
		if (settings->has_max_age)
			event_store_bind_number(statement, 5, settings->max_age_s);
		event_store_bind_number(statement, 6, settings->modified_us);
		database_bind_text(statement, 7, settings->on_success);
		database_bind_text(statement, 8, settings->on_failure);
	}
	if (sqlite3_step(statement) != SQLITE_DONE)
		return database_refuse(&store->database, "write", error);
	return 0;
}

static int apply(struct event_store *store, struct event_op *op, struct error *error)
{
	switch (op->change) {
	case EVENT_ADD:
		return add(store, op, error);
	case EVENT_READ:
		return read_body(store, op, error);
	case EVENT_SET_SETTINGS:
	case EVENT_FORGET_SETTINGS:
		return change_settings(store, op, error);
	case EVENT_ADD_DELIVERY:
	case EVENT_UPDATE_DELIVERY:
	case EVENT_DELETE_DELIVERY:
	case EVENT_READ_DELIVERY:
		return event_store_change_delivery(store, op, error);
	default:
		return change(store, op, error);
	}
}

int event_store_apply(struct event_store *store, struct event_op *first, struct error *error)
{
	int r = 0;

	if (database_run(store->statements[EVENT_BEGIN]) < 0)
		return database_refuse(&store->database, "write", error);
	for (struct event_op *op = first; op && r == 0; op = op->next)
		r = apply(store, op, error);
	if (r == 0 && database_run(store->statements[EVENT_COMMIT]) < 0)
		r = database_refuse(&store->database, "write", error);
	if (r < 0)
		database_roll_back(&store->database, store->statements[EVENT_ROLLBACK]);
	return r;
}

/* -- all -- */

void event_store_take_text(sqlite3_stmt *statement, int column, char *to, size_t size)
{
	const char *text = (const char *)sqlite3_column_text(statement, column);

	(void)snprintf(to, size, "%s", text ? text : "");
}

static void take_record(sqlite3_stmt *statement, struct event_record *ret)
{
	*ret = (struct event_record){
		.sequence = (uint64_t)sqlite3_column_int64(statement, 0),
		.received_us = sqlite3_column_int64(statement, 5),
		.due_us = sqlite3_column_int64(statement, 6),
		.errors = (unsigned)sqlite3_column_int64(statement, 7),
		.delays = (unsigned)sqlite3_column_int64(statement, 8),
		.bytes = (uint64_t)sqlite3_column_int64(statement, 9),
	};
	event_store_take_text(statement, 1, ret->request_id, sizeof(ret->request_id));
	event_store_take_text(statement, 2, ret->tenant, sizeof(ret->tenant));
	event_store_take_text(statement, 3, ret->function, sizeof(ret->function));
	event_store_take_text(statement, 4, ret->qualifier, sizeof(ret->qualifier));
}

int event_store_each(struct event_store *store, event_record_fn *fn, void *arg, struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = store->statements[EVENT_GET_ALL];
	struct event_record record;
	int step, r;

	while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
		take_record(statement, &record);
		r = fn(&record, arg);
		if (r < 0)
			return error_set_errno(error, r, "Cannot take up an event");
	}
	return step == SQLITE_DONE ? 0 : database_refuse(&store->database, "read", error);
}

int event_store_each_settings(struct event_store *store, event_settings_fn *fn, void *arg,
			      struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = store->statements[EVENT_GET_SETTINGS];
	int step, r;

	while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
		struct event_record key = { 0 };
		struct event_settings settings = {
			.has_max_retries = sqlite3_column_type(statement, 3) != SQLITE_NULL,
			.max_retries = (unsigned)sqlite3_column_int64(statement, 3),
			.has_max_age = sqlite3_column_type(statement, 4) != SQLITE_NULL,
			.max_age_s = (unsigned)sqlite3_column_int64(statement, 4),
			.modified_us = sqlite3_column_int64(statement, 5),
		};

		event_store_take_text(statement, 0, key.tenant, sizeof(key.tenant));
		event_store_take_text(statement, 1, key.function, sizeof(key.function));
		event_store_take_text(statement, 2, key.qualifier, sizeof(key.qualifier));
		event_store_take_text(statement, 6, settings.on_success,
				      sizeof(settings.on_success));
		event_store_take_text(statement, 7, settings.on_failure,
				      sizeof(settings.on_failure));
		r = fn(&key, &settings, arg);
		if (r < 0)
			return error_set_errno(error, r, "Cannot take up settings of events");
	}
	return step == SQLITE_DONE ? 0 : database_refuse(&store->database, "read", error);
}
