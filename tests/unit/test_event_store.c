/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_events mayfly_queues mayfly_store mayfly_functions mayfly_core mayfly_base
// mayfly_pkg_sqlite

/* The file of events: all of one is kept, kill -9 loses none, a foreign file is refused. */

#include "tests/unit/event_harness.h"

#include <sqlite3.h>

#include "tests/unit/killed_child.h"

static struct event_op sample(unsigned n)
{
	struct event_op op = { .change = EVENT_ADD,
			       .record = { .tenant = TENANT,
					   .function = "f",
					   .qualifier = "live",
					   .received_us = n,
					   .due_us = n + 1,
					   .bytes = 9 },
			       .body = { .payload = slice_from_string("\"payload\""),
					 .client_context = slice_from_string("{}"),
					 .trace_id = "Root=1",
					 .end_tenant = "blue" } };

	(void)snprintf(op.record.request_id, sizeof(op.record.request_id),
		       "%08x-0000-4000-8000-000000000000", n);
	return op;
}

static void apply(struct event_op *op)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	if (event_store_apply(place->store, op, &error) < 0)
		fail_msg("%s", error_text(&error));
}

static int copy_record(const struct event_record *record, void *arg)
{
	*(struct event_record *)arg = *record;
	return 0;
}

static void test_all_of_an_event_is_kept(void **state _unused_)
{
	struct event_op op = sample(17);
	struct event_record record = { 0 };
	struct event_op *slot = &op;

	apply(slot);
	op.change = EVENT_UPDATE;
	op.record.due_us = 99;
	op.record.errors = 1;
	op.record.delays = 2;
	apply(slot);
	place->store = event_store_close(place->store);
	open_store();
	assert_int_equal(event_store_each(place->store, copy_record, &record, NULL), 0);
	assert_memory_equal(&record, &op.record, sizeof(record));
	struct event_op read = { .change = EVENT_READ, .record = record };
	apply(&read);
	assert_non_null(read.memory);
	assert_string_equal(read.body.trace_id, "Root=1");
	assert_string_equal(read.body.end_tenant, "blue");
	assert_int_equal(read.body.payload.len, 9);
	assert_memory_equal(read.body.payload.data, "\"payload\"", 9);
	assert_int_equal(read.body.client_context.len, 2);
	event_op_forget_body(&read);
	read.change = EVENT_DELETE;
	apply(&read);
	read.change = EVENT_READ;
	apply(&read);
	assert_null(read.memory);
	assert_int_equal(count_stored(), 0);
	/* Its number is not given again. */
	struct event_op next = sample(18);
	apply(&next);
	assert_true(next.record.sequence > record.sequence);
}

static void add_until_killed(void *arg _unused_, unsigned first, int pipe_fd)
{
	struct event_store *store;

	if (event_store_open(place->path, false, &store, NULL) < 0)
		_exit(1);
	for (unsigned n = first;; n++) {
		struct event_op op = sample(n);

		if (event_store_apply(store, &op, NULL) < 0)
			_exit(1);
		say_done(pipe_fd, n);
	}
}

static void test_what_was_acknowledged_survives_kill(void **state _unused_)
{
	unsigned last = 0;

	place->store = event_store_close(place->store);
	for (unsigned round = 0; round < 5; round++) {
		last = run_until_killed(add_until_killed, NULL, last + 1, 10, round * 20000);
		open_store();
		/* At most one more, whose acknowledgement was not sent. */
		unsigned count = count_stored();
		assert_in_range(count, last, last + round + 1);
		place->store = event_store_close(place->store);
	}
	open_store();
}

static int copy_settings(const struct event_record *key _unused_,
			 const struct event_settings *settings, void *arg)
{
	*(struct event_settings *)arg = *settings;
	return 0;
}

/* A file as version 0.1.0 made it, with an event in it. */
static void test_a_file_of_version_1_is_brought_up(void **state _unused_)
{
	static const char *const first_version =
		"CREATE TABLE event (sequence INTEGER PRIMARY KEY AUTOINCREMENT,"
		" request_id TEXT NOT NULL, tenant TEXT NOT NULL, function TEXT NOT NULL,"
		" qualifier TEXT NOT NULL, received_us INTEGER NOT NULL,"
		" due_us INTEGER NOT NULL, errors INTEGER NOT NULL, delays INTEGER NOT NULL,"
		" bytes INTEGER NOT NULL, trace_id TEXT NOT NULL, client_context BLOB NOT NULL,"
		" payload BLOB NOT NULL) STRICT;"
		"CREATE TABLE settings (tenant TEXT NOT NULL, function TEXT NOT NULL,"
		" qualifier TEXT NOT NULL, max_retries INTEGER, max_age_s INTEGER,"
		" modified_us INTEGER NOT NULL, PRIMARY KEY (tenant, function, qualifier))"
		" STRICT, WITHOUT ROWID;"
		"INSERT INTO event VALUES (7, 'r', '123456789012', 'f', '', 1, 2, 0, 0, 2, "
		"'Root=9',"
		" x'', x'7b7d'); INSERT INTO settings VALUES ('123456789012', 'f', '$LATEST', 1, "
		"NULL, 5);"
		" PRAGMA application_id = 1298233669; PRAGMA user_version = 1;";
	struct event_record record = { 0 };
	sqlite3 *connection;

	place->store = event_store_close(place->store);
	assert_int_equal(unlink(place->path), 0);
	assert_int_equal(sqlite3_open(place->path, &connection), SQLITE_OK);
	assert_int_equal(sqlite3_exec(connection, first_version, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(connection), SQLITE_OK);
	open_store();
	assert_int_equal(event_store_each(place->store, copy_record, &record, NULL), 0);
	assert_int_equal(record.sequence, 7);
	struct event_op read = { .change = EVENT_READ, .record = record };
	apply(&read);
	assert_string_equal(read.body.trace_id, "Root=9");
	assert_string_equal(read.body.end_tenant, "");
	assert_int_equal(read.body.payload.len, 2);
	assert_int_equal(read.record.hops, 0);
	event_op_forget_body(&read);
	struct event_settings settings = { 0 };
	assert_int_equal(event_store_each_settings(place->store, copy_settings, &settings, NULL),
			 0);
	assert_true(settings.has_max_retries);
	assert_int_equal(settings.max_retries, 1);
	assert_int_equal(settings.modified_us, 5);
	assert_string_equal(settings.on_success, "");
	assert_string_equal(settings.on_failure, "");
}

static int copy_delivery(const struct event_record *record, const struct event_delivery *delivery,
			 void *arg)
{
	struct event_op *op = arg;

	op->record = *record;
	*op->delivery = *delivery;
	op->delivery->target = strdup(delivery->target);
	return 0;
}

static void test_all_of_a_delivery_is_kept(void **state _unused_)
{
	struct event_op event = sample(17), op = sample(18);
	struct event_delivery delivery = { .id = "00000012-0000-4000-8000-000000000001",
					   .target = (char *)"https://host/",
					   .is_dead_letter = true,
					   .condition = "RetriesExhausted",
					   .error_message = "no",
					   .event_at = 3,
					   .event_bytes = 5 };
	struct event_delivery again = { 0 };
	struct event_op read = { .delivery = &again };

	apply(&event);
	op.change = EVENT_ADD_DELIVERY;
	op.delivery = &delivery;
	op.record.hops = 4;
	event.change = EVENT_DELETE;
	event.next = &op; /* as an event ends */
	apply(&event);
	assert_int_equal(count_stored(), 0);
	op.change = EVENT_UPDATE_DELIVERY;
	op.record.due_us = 99;
	op.record.errors = 2;
	apply(&op);
	place->store = event_store_close(place->store);
	open_store();
	assert_int_equal(event_store_each_delivery(place->store, copy_delivery, &read, NULL), 0);
	assert_memory_equal(&read.record, &op.record, sizeof(op.record));
	assert_string_equal(again.id, delivery.id);
	assert_string_equal(again.target, delivery.target);
	assert_true(again.is_dead_letter);
	assert_string_equal(again.condition, delivery.condition);
	assert_int_equal(again.event_at, 3);
	assert_int_equal(again.event_bytes, 5);
	read.change = EVENT_READ_DELIVERY;
	apply(&read);
	assert_string_equal(again.error_message, "no");
	assert_string_equal(read.body.trace_id, "Root=1");
	assert_string_equal(read.body.end_tenant, "blue");
	assert_memory_equal(read.body.payload.data, "\"payload\"", 9);
	event_op_forget_body(&read);
	read.change = EVENT_DELETE_DELIVERY;
	apply(&read);
	read.change = EVENT_READ_DELIVERY;
	apply(&read);
	assert_null(read.memory);
	free(again.target);
}

static void test_a_foreign_file_is_refused(void **state _unused_)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct event_store *store;
	sqlite3 *connection;

	assert_int_equal(sqlite3_open(place->path, &connection), SQLITE_OK);
	assert_int_equal(sqlite3_exec(connection, "PRAGMA user_version = 99", NULL, NULL, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_close(connection), SQLITE_OK);
	assert_true(event_store_open(place->path, false, &store, &error) < 0);
	assert_non_null(strstr(error_text(&error), "has version 99"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all_of_an_event_is_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_was_acknowledged_survives_kill, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_a_file_of_version_1_is_brought_up, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_all_of_a_delivery_is_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_foreign_file_is_refused, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
