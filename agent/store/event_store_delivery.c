/* SPDX-License-Identifier: Apache-2.0 */

/* Outcomes on their way to destinations, in the file of the events: that an event ended and what is
 * to be told of it is one change. */

#include <errno.h>
#include <string.h>

#include "agent/store/event_store_internal.h"

static int add(struct event_store *store, struct event_op *op, struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = store->statements[EVENT_INSERT_DELIVERY];
	const struct event_delivery *delivery = op->delivery;
	struct event_record *record = &op->record;

	database_bind_text(statement, 1, delivery->id);
	database_bind_text(statement, 2, record->request_id);
	database_bind_text(statement, 3, record->tenant);
	database_bind_text(statement, 4, record->function);
	database_bind_text(statement, 5, record->qualifier);
	event_store_bind_number(statement, 6, record->received_us);
	event_store_bind_number(statement, 7, record->due_us);
	event_store_bind_number(statement, 8, record->errors);
	event_store_bind_number(statement, 9, record->hops);
	event_store_bind_number(statement, 10, (int64_t)record->bytes);
	database_bind_text(statement, 11, delivery->target);
	event_store_bind_number(statement, 12, delivery->is_dead_letter);
	database_bind_text(statement, 13, delivery->condition);
	event_store_bind_number(statement, 14, (int64_t)delivery->event_at);
	event_store_bind_number(statement, 15, (int64_t)delivery->event_bytes);
	database_bind_text(statement, 16, delivery->error_message ? delivery->error_message : "");
	database_bind_text(statement, 17, op->body.trace_id ? op->body.trace_id : "");
	database_bind_text(statement, 18, op->body.end_tenant ? op->body.end_tenant : "");
	event_store_bind_bytes(statement, 19, op->body.client_context);
	event_store_bind_bytes(statement, 20, op->body.payload);
	if (sqlite3_step(statement) != SQLITE_DONE)
		return database_refuse(&store->database, "write", error);
	record->sequence = (uint64_t)sqlite3_last_insert_rowid(store->database.connection);
	return 0;
}

static int change(struct event_store *store, const struct event_op *op, struct error *error)
{
	bool is_update = op->change == EVENT_UPDATE_DELIVERY;
	_cleanup_reset_ sqlite3_stmt *statement =
		store->statements[is_update ? EVENT_SET_DELIVERY : EVENT_REMOVE_DELIVERY];

	event_store_bind_number(statement, 1, (int64_t)op->record.sequence);
	if (is_update) {
		event_store_bind_number(statement, 2, op->record.due_us);
		event_store_bind_number(statement, 3, op->record.errors);
	}
	if (sqlite3_step(statement) != SQLITE_DONE)
		return database_refuse(&store->database, "write", error);
	return 0;
}

static int take_body(sqlite3_stmt *statement, struct event_op *op, struct error *error)
{
	struct slice columns[5];
	int r = event_store_take_body(statement, ARRAY_SIZE(columns), op, columns, error);

	if (r < 0)
		return r;
	op->delivery->error_message = (const char *)columns[4].data;
	return 0;
}

static int read_body(struct event_store *store, struct event_op *op, struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = store->statements[EVENT_GET_DELIVERY_BODY];
	int step;

	event_store_bind_number(statement, 1, (int64_t)op->record.sequence);
	step = sqlite3_step(statement);
	if (step == SQLITE_ROW)
		return take_body(statement, op, error);
	return step == SQLITE_DONE ? 0 : database_refuse(&store->database, "read", error);
}

int event_store_change_delivery(struct event_store *store, struct event_op *op, struct error *error)
{
	switch (op->change) {
	case EVENT_ADD_DELIVERY:
		return add(store, op, error);
	case EVENT_READ_DELIVERY:
		return read_body(store, op, error);
	default:
		return change(store, op, error);
	}
}

/* -- all -- */

static void take_record(sqlite3_stmt *statement, struct event_record *ret)
{
	*ret = (struct event_record){
		.sequence = (uint64_t)sqlite3_column_int64(statement, 0),
		.received_us = sqlite3_column_int64(statement, 5),
		.due_us = sqlite3_column_int64(statement, 6),
		.errors = (unsigned)sqlite3_column_int64(statement, 7),
		.hops = (unsigned)sqlite3_column_int64(statement, 8),
		.bytes = (uint64_t)sqlite3_column_int64(statement, 9),
	};
	event_store_take_text(statement, 1, ret->request_id, sizeof(ret->request_id));
	event_store_take_text(statement, 2, ret->tenant, sizeof(ret->tenant));
	event_store_take_text(statement, 3, ret->function, sizeof(ret->function));
	event_store_take_text(statement, 4, ret->qualifier, sizeof(ret->qualifier));
}

int event_store_each_delivery(struct event_store *store, event_delivery_fn *fn, void *arg,
			      struct error *error)
{
	_cleanup_reset_ sqlite3_stmt *statement = store->statements[EVENT_GET_DELIVERIES];
	int step, r;

	while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
		char target[EVENT_TARGET_BYTES];
		struct event_record record;
		struct event_delivery delivery = {
			.target = target,
			.is_dead_letter = sqlite3_column_int64(statement, 12) != 0,
			.event_at = (uint64_t)sqlite3_column_int64(statement, 14),
			.event_bytes = (uint64_t)sqlite3_column_int64(statement, 15),
		};

		take_record(statement, &record);
		event_store_take_text(statement, 10, delivery.id, sizeof(delivery.id));
		event_store_take_text(statement, 11, target, sizeof(target));
		event_store_take_text(statement, 13, delivery.condition,
				      sizeof(delivery.condition));
		r = fn(&record, &delivery, arg);
		if (r < 0)
			return error_set_errno(error, r, "Cannot take up a delivery");
	}
	return step == SQLITE_DONE ? 0 : database_refuse(&store->database, "read", error);
}
