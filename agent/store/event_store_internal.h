/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the event store share. */

#include "agent/store/database.h"
#include "agent/store/event_store.h"

enum event_statement {
	EVENT_BEGIN,
	EVENT_COMMIT,
	EVENT_ROLLBACK,
	EVENT_INSERT,
	EVENT_SET,
	EVENT_REMOVE,
	EVENT_GET_BODY,
	EVENT_GET_ALL,
	EVENT_PUT_SETTINGS,
	EVENT_REMOVE_SETTINGS,
	EVENT_GET_SETTINGS,
	EVENT_INSERT_DELIVERY,
	EVENT_SET_DELIVERY,
	EVENT_REMOVE_DELIVERY,
	EVENT_GET_DELIVERY_BODY,
	EVENT_GET_DELIVERIES,
	_EVENT_STATEMENTS,
};

struct event_store {
	struct database database;
	sqlite3_stmt *statements[_EVENT_STATEMENTS];
};

/* Copies `count` columns into one piece of memory, a NUL behind each: ret[i] is what column i
 * holds. The caller frees *ret_memory. */
int event_store_copy_columns(sqlite3_stmt *statement, int count, struct slice *ret,
			     void **ret_memory, struct error *error) _must_use_;
/* The columns trace id, context, payload, end-tenant, and what is behind them, as the op's body. */
int event_store_take_body(sqlite3_stmt *statement, int count, struct event_op *op,
			  struct slice *ret, struct error *error) _must_use_;
void event_store_bind_number(sqlite3_stmt *statement, int at, int64_t number);
/* No bytes are not NULL. */
void event_store_bind_bytes(sqlite3_stmt *statement, int at, struct slice bytes);
void event_store_take_text(sqlite3_stmt *statement, int column, char *to, size_t size);

/* event_store_delivery.c: one change of a delivery. */
int event_store_change_delivery(struct event_store *store, struct event_op *op,
				struct error *error) _must_use_;
