/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_store mayfly_base mayfly_pkg_sqlite

/* The ledger's file: records with their rollups, once; queries; retention; what is refused. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "tests/unit/killed_child.h"
#include "tests/unit/ledger_harness.h"

static int set_up(void **state)
{
	struct ledger_place *place = calloc(1, sizeof(*place));

	ledger_make(place);
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	ledger_unmake(*state);
	free(*state);
	return 0;
}

/* -- writing and reading -- */

static int commit(struct ledger_place *place, struct ledger_record *records, size_t count,
		  struct error *error)
{
	bool wal_is_long;

	for (size_t i = 0; i + 1 < count; i++)
		records[i].next = &records[i + 1];
	return ledger_commit(place->ledger, records, &wal_is_long, error);
}

static void add(struct ledger_place *place, unsigned number, const char *function,
		int64_t started_us)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct ledger_record record = ledger_sample(number, function, started_us);

	if (commit(place, &record, 1, &error) < 0)
		fail_msg("%s", error_text(&error));
}

struct rows {
	struct ledger_row rows[64];
	size_t count;
};

static int keep_row(const struct ledger_row *row, void *arg)
{
	struct rows *rows = arg;

	assert_true(rows->count < ARRAY_SIZE(rows->rows));
	rows->rows[rows->count++] = *row;
	return 0;
}

static struct ledger_query all(unsigned groups)
{
	return (struct ledger_query){ .filter.to_us = INT64_MAX / 2,
				      .groups = groups,
				      .limit = 100 };
}

static void query(struct ledger_place *place, const struct ledger_query *query, struct rows *ret)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	ret->count = 0;
	if (ledger_query(place->ledger, query, keep_row, ret, &error) < 0)
		fail_msg("%s", error_text(&error));
}

static int64_t total(struct ledger_place *place, enum ledger_figure figure)
{
	const struct ledger_query everything = all(0);
	struct rows rows;

	query(place, &everything, &rows);
	assert_int_equal(rows.count, 1);
	return rows.rows[0].figures[figure];
}

struct read {
	struct ledger_record records[64];
	size_t count;
};

static int keep_record(const struct ledger_record *record, void *arg)
{
	struct read *read = arg;

	assert_true(read->count < ARRAY_SIZE(read->records));
	read->records[read->count++] = *record;
	return 0;
}

static void read_records(struct ledger_place *place, const struct ledger_filter *filter,
			 uint64_t after, uint32_t limit, struct read *ret)
{
	static const struct ledger_filter everything = { .to_us = INT64_MAX };
	_cleanup_error_ struct error error = ERROR_INIT;

	ret->count = 0;
	if (ledger_read(place->ledger, filter ? filter : &everything, after, limit, keep_record,
			ret, &error) < 0)
		fail_msg("%s", error_text(&error));
}

/* -- tests -- */

/* A commit that is repeated adds none; another run of the same request does. */
static void each_run_of_a_request_is_there_once(void **state)
{
	struct ledger_place *place = *state;
	struct ledger_record record = ledger_sample(7, "f", NOON_US);
	_cleanup_error_ struct error error = ERROR_INIT;
	struct read read;

	for (uint64_t run = 0; run < 3; run++) {
		record.run = run * 12345;
		assert_int_equal(commit(place, &record, 1, &error), 0);
		assert_true(record.sequence > 0);
		assert_int_equal(commit(place, &record, 1, &error), 0);
		assert_int_equal(record.sequence, 0);
	}
	read_records(place, NULL, 0, 10, &read);
	assert_int_equal(read.count, 3);
	for (size_t i = 0; i < read.count; i++)
		assert_string_equal(read.records[i].request_id, record.request_id);
}

static void a_record_comes_back_as_it_was(void **state)
{
	struct ledger_place *place = *state;
	struct ledger_record record = ledger_sample(0xabcdef01, "f", NOON_US + 5);
	struct read read;

	record.init_us = 0;
	record.restore_us = 450100;
	record.billed_restore_ms = 120;
	record.streamed_bytes = 7;
	record.over_bytes = 3;
	record.storage_mb = 1024;
	record.restored_mb = 128;
	record.provisioned = true;
	record.start = LEDGER_START_SNAP_START;
	record.result = LEDGER_TIMEOUT;
	record.withheld = true;
	assert_int_equal(commit(place, &record, 1, NULL), 0);
	assert_int_equal(record.sequence, 1);
	ledger_reopen(place);
	read_records(place, NULL, 0, 10, &read);
	assert_int_equal(read.count, 1);
	assert_memory_equal(&read.records[0], &record, sizeof(record));
	assert_int_equal(total(place, LEDGER_BILLED_MS), 122);
	assert_int_equal(total(place, LEDGER_MB_MS), 122 * 128);
	assert_int_equal(total(place, LEDGER_PROVISIONED_INVOCATIONS), 1);
	assert_int_equal(total(place, LEDGER_PROVISIONED_MB_MS), 122 * 128);
	assert_int_equal(total(place, LEDGER_STORAGE_MB_MS), 122 * 512);
	assert_int_equal(total(place, LEDGER_OVER_BYTES), 3);
	assert_int_equal(total(place, LEDGER_RESTORED_MB), 128);
	assert_int_equal(total(place, LEDGER_TIMEOUTS), 1);
	assert_int_equal(total(place, LEDGER_ERRORS), 1);
	assert_int_equal(total(place, LEDGER_COLD_STARTS), 1);
	assert_int_equal(total(place, LEDGER_WITHHELD), 1);
}

static void a_request_id_is_there_once(void **state)
{
	struct ledger_place *place = *state;
	struct ledger_record records[3] = { ledger_sample(1, "f", NOON_US),
					    ledger_sample(2, "f", NOON_US),
					    ledger_sample(1, "f", NOON_US) };
	struct read read;

	assert_int_equal(commit(place, records, 3, NULL), 0);
	assert_int_equal(records[2].sequence, 0);
	/* The whole batch again, as after a commit whose outcome is not known. */
	assert_int_equal(commit(place, records, 3, NULL), 0);
	assert_int_equal(records[0].sequence, 0);
	add(place, 2, "g", NOON_US + 3 * LEDGER_HOUR_US);
	read_records(place, NULL, 0, 10, &read);
	assert_int_equal(read.count, 2);
	assert_int_equal(total(place, LEDGER_INVOCATIONS), 2);
}

static void what_is_no_request_id_is_refused(void **state)
{
	static const char *const ids[] = { "", "00000001-0000-4000-8000-00000000000",
					   "00000001-0000-4000-8000-00000000000g",
					   "00000001x0000-4000-8000-000000000000" };
	struct ledger_place *place = *state;

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		_cleanup_error_ struct error error = ERROR_INIT;
		struct ledger_record records[2] = { ledger_sample(1, "f", NOON_US),
						    ledger_sample(2, "f", NOON_US) };

		(void)snprintf(records[1].request_id, UUID_BYTES, "%s", ids[i]);
		assert_true(commit(place, records, 2, &error) < 0);
		assert_non_null(strstr(error_text(&error), "is no request id"));
	}
	assert_int_equal(total(place, LEDGER_INVOCATIONS), 0);
}

static void hours_begin_at_their_first_microsecond(void **state)
{
	struct ledger_place *place = *state;
	struct ledger_query by_hour = all(LEDGER_BY_HOUR);
	struct rows rows;

	add(place, 1, "f", NOON_US - 1);
	add(place, 2, "f", NOON_US);
	add(place, 3, "f", NOON_US + LEDGER_HOUR_US - 1);
	add(place, 4, "f", NOON_US + LEDGER_HOUR_US);
	/* A long one that began before others that are recorded already. */
	add(place, 5, "f", NOON_US - 1);
	query(place, &by_hour, &rows);
	assert_int_equal(rows.count, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(rows.rows[i].begins_us, NOON_US + (i - 1) * LEDGER_HOUR_US);
	assert_int_equal(rows.rows[0].figures[LEDGER_INVOCATIONS], 2);
	assert_int_equal(rows.rows[1].figures[LEDGER_INVOCATIONS], 2);
	assert_int_equal(rows.rows[2].figures[LEDGER_INVOCATIONS], 1);
	by_hour.filter.from_us = NOON_US;
	by_hour.filter.to_us = NOON_US + LEDGER_HOUR_US;
	query(place, &by_hour, &rows);
	assert_int_equal(rows.count, 1);
	assert_int_equal(rows.rows[0].begins_us, NOON_US);
	/* Midnight is twelve hours away. */
	by_hour = all(LEDGER_BY_DAY);
	add(place, 6, "f", NOON_US - 12 * LEDGER_HOUR_US - 1);
	query(place, &by_hour, &rows);
	assert_int_equal(rows.count, 2);
	assert_int_equal(rows.rows[1].begins_us, NOON_US - 12 * LEDGER_HOUR_US);
	assert_int_equal(rows.rows[1].figures[LEDGER_INVOCATIONS], 5);
}

static void rows_are_grouped_sorted_and_paged(void **state)
{
	struct ledger_place *place = *state;
	struct ledger_query by_function = all(LEDGER_BY_TENANT | LEDGER_BY_FUNCTION);
	struct ledger_record other = ledger_sample(9, "a", NOON_US);
	struct rows rows;

	add(place, 1, "b", NOON_US);
	add(place, 2, "c", NOON_US);
	add(place, 3, "c", NOON_US + LEDGER_HOUR_US);
	add(place, 4, "a", NOON_US);
	(void)snprintf(other.tenant, sizeof(other.tenant), "%s", "999999999999");
	other.result = LEDGER_FUNCTION_ERROR;
	assert_int_equal(commit(place, &other, 1, NULL), 0);
	query(place, &by_function, &rows);
	assert_int_equal(rows.count, 4);
	assert_string_equal(rows.rows[0].function, "a");
	assert_string_equal(rows.rows[2].function, "c");
	assert_string_equal(rows.rows[3].tenant, "999999999999");
	assert_string_equal(rows.rows[0].version, "");
	assert_int_equal(rows.rows[0].begins_us, 0);
	by_function.by_figure = true;
	by_function.figure = LEDGER_INVOCATIONS;
	by_function.limit = 2;
	query(place, &by_function, &rows);
	assert_int_equal(rows.count, 2);
	assert_string_equal(rows.rows[0].function, "c");
	assert_string_equal(rows.rows[1].function, "a");
	by_function.offset = 2;
	query(place, &by_function, &rows);
	assert_string_equal(rows.rows[0].function, "b");
	by_function.offset = 0;
	by_function.figure = LEDGER_ERRORS;
	query(place, &by_function, &rows);
	assert_string_equal(rows.rows[0].tenant, "999999999999");
	(void)snprintf(by_function.filter.tenant, LEDGER_TENANT_BYTES, "%s", TENANT);
	(void)snprintf(by_function.filter.function, LEDGER_FUNCTION_BYTES, "a");
	query(place, &by_function, &rows);
	assert_int_equal(rows.count, 1);
	assert_int_equal(rows.rows[0].figures[LEDGER_INVOCATIONS], 1);
	(void)snprintf(by_function.filter.version, LEDGER_VERSION_BYTES, "7");
	query(place, &by_function, &rows);
	assert_int_equal(rows.count, 0);
}

static void records_are_read_in_order_and_within_times(void **state)
{
	struct ledger_place *place = *state;
	struct ledger_filter filter = { .function = "f",
					.from_us = NOON_US,
					.to_us = NOON_US + 10 };
	struct read read;

	add(place, 1, "f", NOON_US + 9);
	add(place, 2, "g", NOON_US);
	add(place, 3, "f", NOON_US - 1);
	add(place, 4, "f", NOON_US);
	add(place, 5, "f", NOON_US + 10);
	read_records(place, &filter, 0, 10, &read);
	assert_int_equal(read.count, 2);
	assert_int_equal(read.records[0].sequence, 1);
	assert_int_equal(read.records[1].sequence, 4);
	read_records(place, &filter, 1, 10, &read);
	assert_int_equal(read.count, 1);
	read_records(place, NULL, 1, 2, &read);
	assert_int_equal(read.count, 2);
	assert_int_equal(read.records[0].sequence, 2);
	read_records(place, NULL, 5, 2, &read);
	assert_int_equal(read.count, 0);
}

/* Hours that overlap, because some are recorded late, and hours that lie apart. */
static void records_of_many_hours_come_once_and_in_order(void **state)
{
	static const unsigned hours[] = { 0, 0, 1, 0, 1, 3, 3, 2, 3, 7, 7, 5, 9, 0 };
	static const char *const functions[] = { "f", "g", "" };
	struct ledger_place *place = *state;
	struct ledger_filter filter = { .from_us = NOON_US,
					.to_us = NOON_US + 24 * LEDGER_HOUR_US };
	struct read read;

	for (unsigned i = 0; i < ARRAY_SIZE(hours); i++)
		add(place, i, i % 3 ? "f" : "g", NOON_US + hours[i] * LEDGER_HOUR_US);
	for (unsigned which = 0; which < ARRAY_SIZE(functions); which++)
		for (unsigned after = 0; after <= ARRAY_SIZE(hours); after++)
			for (unsigned limit = 1; limit <= ARRAY_SIZE(hours); limit++) {
				unsigned found = 0;

				(void)snprintf(filter.function, sizeof(filter.function), "%s",
					       functions[which]);
				read_records(place, &filter, after, limit, &read);
				for (unsigned i = after; i < ARRAY_SIZE(hours); i++) {
					bool is_g = i % 3 == 0;

					if (found == limit || (which == 0 && is_g) ||
					    (which == 1 && !is_g))
						continue;
					assert_true(found < read.count);
					assert_int_equal(read.records[found++].sequence, i + 1);
				}
				assert_int_equal(read.count, found);
			}
}

/* A record that the hourly sums do not know, between two hours: nobody has looked there. */
static void hours_without_records_are_not_read(void **state)
{
	struct ledger_place *place = *state;
	const struct ledger_filter filter = { .function = "f", .to_us = INT64_MAX / 2 };
	struct read read;

	add(place, 1, "f", NOON_US);
	for (unsigned i = 2; i < 6; i++)
		add(place, i, "g", NOON_US + LEDGER_HOUR_US);
	add(place, 6, "f", NOON_US + 2 * LEDGER_HOUR_US);
	ledger_alter(place,
		     "UPDATE record SET series = (SELECT id FROM series WHERE function = 'f')"
		     " WHERE sequence = 3");
	read_records(place, &filter, 0, 10, &read);
	assert_int_equal(read.count, 2);
	assert_int_equal(read.records[0].sequence, 1);
	assert_int_equal(read.records[1].sequence, 6);
}

static int count_difference(const struct ledger_row *counted, const struct ledger_row *rolled,
			    void *arg)
{
	struct rows *rows = arg;

	rows->rows[rows->count++] = *counted;
	rows->rows[rows->count++] = *rolled;
	return 0;
}

static void reconcile(struct ledger_place *place, struct rows *rows, struct ledger_reconciled *sums)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	rows->count = 0;
	if (ledger_reconcile(place->ledger, count_difference, rows, sums, &error) < 0)
		fail_msg("%s", error_text(&error));
}

static void every_tampering_is_found(void **state)
{
	struct ledger_place *place = *state;
	struct ledger_reconciled sums;
	struct rows rows;

	for (unsigned i = 0; i < 6; i++)
		add(place, i, i % 2 ? "f" : "g", NOON_US + i / 2 * LEDGER_HOUR_US);
	reconcile(place, &rows, &sums);
	assert_int_equal(rows.count, 0);
	assert_int_equal(sums.records, 6);
	assert_int_equal(sums.rollups, 6);
	ledger_alter(place, "UPDATE record SET billed_ms = 3 WHERE sequence = 1");
	reconcile(place, &rows, &sums);
	assert_int_equal(rows.count, 2);
	assert_int_equal(rows.rows[0].figures[LEDGER_BILLED_MS], 3);
	assert_int_equal(rows.rows[1].figures[LEDGER_BILLED_MS], 2);
	assert_string_equal(rows.rows[0].function, "g");
	assert_int_equal(rows.rows[0].begins_us, NOON_US);
	ledger_alter(place, "DELETE FROM record WHERE sequence = 2");
	ledger_alter(place, "DELETE FROM rollup WHERE first_sequence = 6");
	reconcile(place, &rows, &sums);
	assert_int_equal(rows.count, 6);
}

/* By a clock that was ahead: they go when the next that is of the past does. */
static void records_of_the_future_hold_nothing_up(void **state)
{
	const int64_t now_us = NOON_US + 10 * LEDGER_DAY_US, before_us = NOON_US + LEDGER_HOUR_US;
	const int64_t ahead_us = NOON_US + 400 * LEDGER_DAY_US;
	static const bool future[] = { 0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 0, 1 };
	struct ledger_place *place = *state;
	unsigned deleted, steps = 0, sum = 0;
	struct ledger_state now;

	for (unsigned i = 0; i < ARRAY_SIZE(future); i++)
		add(place, i, "f", future[i] ? ahead_us : NOON_US);
	add(place, 77, "f", now_us - 1); /* young */
	do {
		assert_int_equal(ledger_trim(place->ledger, before_us, now_us, 3, &deleted, NULL),
				 0);
		assert_in_range(deleted, 0, 3);
		sum += deleted;
		steps++;
	} while (deleted > 0);
	/* The last of them is before one that stays. */
	assert_int_equal(sum, 11);
	assert_int_equal(steps, 5);
	ledger_get_state(place->ledger, &now);
	assert_int_equal(now.trimmed, 11);
	/* Nor do more of them than a step looks at. */
	for (unsigned i = 20; i < 25; i++)
		add(place, i, "f", ahead_us);
	assert_int_equal(ledger_trim(place->ledger, now_us, now_us, 3, &deleted, NULL), 0);
	assert_int_equal(deleted, 2);
	assert_int_equal(ledger_trim(place->ledger, now_us, now_us, 3, &deleted, NULL), 0);
	assert_int_equal(deleted, 0);
}

static void old_records_go_and_their_rollups_stay(void **state)
{
	struct ledger_place *place = *state;
	struct ledger_reconciled sums;
	struct ledger_state now;
	struct read read;
	struct rows rows;
	unsigned deleted;

	for (unsigned i = 0; i < 6; i++)
		add(place, i, "f", NOON_US + i / 2 * LEDGER_HOUR_US);
	assert_int_equal(ledger_trim(place->ledger, NOON_US + LEDGER_HOUR_US + 1,
				     NOON_US + LEDGER_DAY_US, 3, &deleted, NULL),
			 0);
	assert_int_equal(deleted, 3);
	assert_int_equal(ledger_trim(place->ledger, NOON_US + LEDGER_HOUR_US + 1,
				     NOON_US + LEDGER_DAY_US, 3, &deleted, NULL),
			 0);
	assert_int_equal(deleted, 1);
	assert_int_equal(ledger_trim(place->ledger, NOON_US + LEDGER_HOUR_US + 1,
				     NOON_US + LEDGER_DAY_US, 3, &deleted, NULL),
			 0);
	assert_int_equal(deleted, 0);
	ledger_get_state(place->ledger, &now);
	assert_int_equal(now.trimmed, 4);
	read_records(place, NULL, 0, 10, &read);
	assert_int_equal(read.count, 2);
	assert_int_equal(total(place, LEDGER_INVOCATIONS), 6);
	reconcile(place, &rows, &sums);
	assert_int_equal(rows.count, 0);
	assert_int_equal(sums.rollups, 1);
	assert_int_equal(sums.trimmed, 2);
	/* Sequences are not used again, even when all are gone. */
	assert_int_equal(ledger_trim(place->ledger, INT64_MAX, INT64_MAX, 100, &deleted, NULL), 0);
	ledger_reopen(place);
	ledger_get_state(place->ledger, &now);
	assert_int_equal(now.last_sequence, 6);
	assert_int_equal(now.trimmed, 6);
	add(place, 77, "f", NOON_US);
	read_records(place, NULL, 6, 10, &read);
	assert_int_equal(read.count, 1);
	assert_int_equal(read.records[0].sequence, 7);
}

static void a_full_disk_changes_nothing(void **state)
{
	struct ledger_place *place = *state;
	_cleanup_error_ struct error error = ERROR_INIT;
	_cleanup_free_ struct ledger_record *many = calloc(5000, sizeof(*many));
	struct stat st;
	int r;

	add(place, 1000000, "kept", NOON_US);
	for (unsigned i = 0; i < 5000; i++)
		many[i] = ledger_sample(i, "f", NOON_US);
	ledger_limit_files(200 << 10);
	r = commit(place, many, 5000, &error);
	ledger_limit_files(0);
	assert_true(r < 0);
	assert_int_equal(error.code, ERROR_UNAVAILABLE);
	assert_int_equal(total(place, LEDGER_INVOCATIONS), 1);
	error_clear(&error);
	assert_int_equal(commit(place, many, 5000, &error), 0);
	assert_int_equal(many[4999].sequence, many[0].sequence + 4999);
	assert_int_equal(ledger_checkpoint(place->ledger, &error), 0);
	ledger_reopen(place);
	assert_int_equal(total(place, LEDGER_INVOCATIONS), 5001);
	assert_int_equal(stat(place->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void assert_refused(struct ledger_place *place, const char *expected)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	place->ledger = ledger_close(place->ledger);
	assert_true(ledger_open(place->path, false, &place->ledger, &error) < 0);
	assert_non_null(strstr(error_text(&error), expected));
	assert_null(place->ledger);
}

static void a_newer_version_is_refused(void **state)
{
	ledger_alter(*state, "PRAGMA user_version = 4");
	assert_refused(*state, "has version 4; this program knows versions up to 3");
}

static void a_foreign_file_is_refused(void **state)
{
	/* The registry's. */
	ledger_alter(*state, "PRAGMA application_id = 1298233708");
	assert_refused(*state, "is not a ledger of this program");
}

static void a_damaged_file_is_refused(void **state)
{
	struct ledger_place *place = *state;
	_cleanup_close_ int fd = -1;
	uint8_t junk[512];

	add(place, 1, "f", NOON_US);
	place->ledger = ledger_close(place->ledger);
	memset(junk, 0xa5, sizeof(junk));
	fd = open(place->path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	for (off_t at = 4096; at < 5 * 4096; at += 512)
		assert_int_equal(pwrite(fd, junk, sizeof(junk), at), sizeof(junk));
	assert_refused(place, "damaged");
}

/* Numbered records, each said once it is committed. */
static void write_one_by_one(void *arg, unsigned first, int pipe_fd)
{
	struct ledger *ledger = NULL;
	bool wal_is_long;

	if (ledger_open(arg, false, &ledger, NULL) < 0)
		_exit(1);
	for (unsigned n = first;; n++) {
		struct ledger_record record = ledger_sample(n, "f", NOON_US + n);

		if (ledger_commit(ledger, &record, &wal_is_long, NULL) < 0)
			_exit(1);
		if (n % 50 == 0 && ledger_checkpoint(ledger, NULL) < 0)
			_exit(1);
		say_done(pipe_fd, n);
	}
}

static void a_kill_loses_nothing_committed(void **state)
{
	struct ledger_place *place = *state;
	struct ledger_reconciled sums;
	struct rows rows;
	uint32_t next = 0;

	for (unsigned round = 0; round < 20; round++) {
		uint32_t last;

		place->ledger = ledger_close(place->ledger);
		last = run_until_killed(write_one_by_one, place->path, next, 5, round * 40009);
		ledger_reopen(place);
		next = (uint32_t)total(place, LEDGER_INVOCATIONS);
		/* Perhaps the one under way, too. */
		assert_true(next == last + 1 || next == last + 2);
		reconcile(place, &rows, &sums);
		assert_int_equal(rows.count, 0);
		assert_int_equal(sums.records, next);
	}
}

/* PRAGMA synchronous cannot be seen from without; that it changes nothing else can. */
static void full_synchronisation_commits_alike(void **state)
{
	struct ledger_place *place = *state;

	place->ledger = ledger_close(place->ledger);
	assert_int_equal(ledger_open(place->path, true, &place->ledger, NULL), 0);
	add(place, 1, "f", NOON_US);
	assert_int_equal(ledger_checkpoint(place->ledger, NULL), 0);
	ledger_reopen(place);
	assert_int_equal(total(place, LEDGER_INVOCATIONS), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_record_comes_back_as_it_was),
		TEST(a_request_id_is_there_once),
		TEST(each_run_of_a_request_is_there_once),
		TEST(what_is_no_request_id_is_refused),
		TEST(hours_begin_at_their_first_microsecond),
		TEST(rows_are_grouped_sorted_and_paged),
		TEST(records_are_read_in_order_and_within_times),
		TEST(records_of_many_hours_come_once_and_in_order),
		TEST(hours_without_records_are_not_read),
		TEST(every_tampering_is_found),
		TEST(records_of_the_future_hold_nothing_up),
		TEST(old_records_go_and_their_rollups_stay),
		TEST(a_full_disk_changes_nothing),
		TEST(full_synchronisation_commits_alike),
		TEST(a_newer_version_is_refused),
		TEST(a_foreign_file_is_refused),
		TEST(a_damaged_file_is_refused),
		TEST(a_kill_loses_nothing_committed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
