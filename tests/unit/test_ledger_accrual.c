/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_store mayfly_base mayfly_pkg_sqlite

/* The ledger's second version: what is billed by its time, and files of the first one. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "tests/unit/ledger_harness.h"

#define NOON_MS (NOON_US / 1000)

/* As the first version made it, with two records of one hour. */
static const char version_1[] =
	"CREATE TABLE series (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, function TEXT NOT NULL,"
	" version TEXT NOT NULL, UNIQUE (tenant, function, version)) STRICT;"
	"CREATE TABLE record (sequence INTEGER PRIMARY KEY AUTOINCREMENT,"
	" request_id BLOB NOT NULL UNIQUE, series INTEGER NOT NULL, started_us INTEGER NOT NULL,"
	" duration_us INTEGER NOT NULL, init_us INTEGER, restore_us INTEGER,"
	" billed_restore_ms INTEGER, billed_ms INTEGER NOT NULL, memory_mb INTEGER NOT NULL,"
	" max_memory_mb INTEGER NOT NULL, event_bytes INTEGER NOT NULL,"
	" answer_bytes INTEGER NOT NULL, streamed_bytes INTEGER NOT NULL, start INTEGER NOT NULL,"
	" result INTEGER NOT NULL, withheld INTEGER NOT NULL) STRICT;"
	"CREATE TABLE rollup (series INTEGER NOT NULL, hour INTEGER NOT NULL,"
	" first_sequence INTEGER NOT NULL, last_sequence INTEGER NOT NULL,"
	" invocations INTEGER NOT NULL, errors INTEGER NOT NULL, timeouts INTEGER NOT NULL,"
	" failures INTEGER NOT NULL, cold_starts INTEGER NOT NULL, withheld INTEGER NOT NULL,"
	" duration_us INTEGER NOT NULL, init_us INTEGER NOT NULL, billed_ms INTEGER NOT NULL,"
	" mb_ms INTEGER NOT NULL, event_bytes INTEGER NOT NULL, answer_bytes INTEGER NOT NULL,"
	" streamed_bytes INTEGER NOT NULL, max_memory_mb INTEGER NOT NULL,"
	" PRIMARY KEY (series, hour)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), trimmed INTEGER NOT NULL) "
	"STRICT;"
	"INSERT INTO state VALUES (1, 0);"
	"INSERT INTO series VALUES (1, '" TENANT "', 'f', '1');"
	"INSERT INTO record VALUES (1, x'00000001000040008000000000000000', 1, 1728043200000000, "
	"1500,"
	" NULL, 450100, 120, 2, 128, 36, 10, 7000000, 7000000, 3, 0, 0),"
	"(2, x'00000002000040008000000000000000', 1, 1728043200000001, 1500, NULL, NULL, NULL, 2,"
	" 128, 36, 10, 20, 0, 0, 0, 0);"
	"INSERT INTO rollup VALUES (1, 480012, 1, 2, 2, 0, 0, 0, 1, 0, 3000, 0, 124, 15872, 20,"
	" 7000020, 7000000, 36);"
	"PRAGMA application_id = 1298233676; PRAGMA user_version = 1;";

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

/* -- reading -- */

struct rows {
	struct ledger_row rows[16];
	size_t count;
};

static int keep_row(const struct ledger_row *row, void *arg)
{
	struct rows *rows = arg;

	assert_true(rows->count < ARRAY_SIZE(rows->rows));
	rows->rows[rows->count++] = *row;
	return 0;
}

static int keep_difference(const struct ledger_row *counted, const struct ledger_row *rolled,
			   void *arg)
{
	assert_int_equal(keep_row(counted, arg), 0);
	return keep_row(rolled, arg);
}

static void query(struct ledger_place *place, unsigned groups, struct rows *ret)
{
	const struct ledger_query query = { .filter.to_us = INT64_MAX / 2,
					    .groups = groups,
					    .limit = 16 };
	_cleanup_error_ struct error error = ERROR_INIT;

	ret->count = 0;
	if (ledger_query(place->ledger, &query, keep_row, ret, &error) < 0)
		fail_msg("%s", error_text(&error));
}

static int64_t total(struct ledger_place *place, enum ledger_figure figure)
{
	struct rows rows;

	query(place, 0, &rows);
	assert_int_equal(rows.count, 1);
	return rows.rows[0].figures[figure];
}

static struct ledger_reconciled reconcile(struct ledger_place *place, struct rows *ret)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct ledger_reconciled sums = { 0 };

	ret->count = 0;
	if (ledger_reconcile(place->ledger, keep_difference, ret, &sums, &error) < 0)
		fail_msg("%s", error_text(&error));
	return sums;
}

static void add_record(struct ledger_place *place, unsigned number, int64_t started_us)
{
	struct ledger_record record = ledger_sample(number, "f", started_us);
	bool wal_is_long;

	assert_int_equal(ledger_commit(place->ledger, &record, &wal_is_long, NULL), 0);
	assert_true(record.sequence > 0);
}

static int count_record(const struct ledger_record *record _unused_, void *arg)
{
	++*(unsigned *)arg;
	return 0;
}

/* -- accruals -- */

static struct ledger_accrual piece(enum ledger_accrual_kind kind, int64_t begins_ms,
				   int64_t length_ms)
{
	return (struct ledger_accrual){ .tenant = TENANT,
					.function = "f",
					.version = "$LATEST",
					.kind = kind,
					.begins_ms = begins_ms,
					.ends_ms = begins_ms + length_ms,
					.units = 3,
					.memory_mb = 128 };
}

static void accrue(struct ledger_place *place, const struct ledger_accrual *first)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	if (ledger_accrue(place->ledger, first, &error) < 0)
		fail_msg("%s", error_text(&error));
}

static void a_piece_grows_and_never_shrinks(void **state)
{
	struct ledger_place *place = *state;
	struct ledger_accrual a = piece(LEDGER_ALLOCATION, NOON_MS, 1000);
	struct rows rows;

	accrue(place, &a);
	accrue(place, &a); /* as after a commit whose outcome is not known */
	assert_int_equal(total(place, LEDGER_ALLOCATED_MB_MS), 3 * 128 * 1000);
	a.ends_ms += 500;
	accrue(place, &a);
	a.ends_ms -= 1200;
	accrue(place, &a);
	assert_int_equal(total(place, LEDGER_ALLOCATED_MB_MS), 3 * 128 * 1500);
	assert_int_equal(total(place, LEDGER_CACHED_MB_MS), 0);
	ledger_reopen(place);
	a.ends_ms = NOON_MS + 2000;
	accrue(place, &a);
	assert_int_equal(total(place, LEDGER_ALLOCATED_MB_MS), 3 * 128 * 2000);
	assert_int_equal(total(place, LEDGER_INVOCATIONS), 0);
	(void)reconcile(place, &rows);
	assert_int_equal(rows.count, 0);
}

static void pieces_belong_to_the_hour_of_their_beginning(void **state)
{
	struct ledger_place *place = *state;
	struct ledger_accrual minimum = piece(LEDGER_ALLOCATION, NOON_MS, 10);
	struct ledger_accrual cache = piece(LEDGER_CACHE, NOON_MS - 1, 7200000);
	struct ledger_accrual all = piece(LEDGER_ALLOCATION, NOON_MS, 20);
	struct rows rows;

	minimum.slot = 1;
	minimum.next = &cache;
	all.next = &minimum;
	accrue(place, &all);
	query(place, LEDGER_BY_HOUR, &rows);
	assert_int_equal(rows.count, 2);
	assert_int_equal(rows.rows[0].begins_us, NOON_US - LEDGER_HOUR_US);
	assert_int_equal(rows.rows[0].figures[LEDGER_CACHED_MB_MS], 3LL * 128 * 7200000);
	assert_int_equal(rows.rows[1].figures[LEDGER_ALLOCATED_MB_MS], 3 * 128 * 30);
	(void)reconcile(place, &rows);
	assert_int_equal(rows.count, 0);
}

static void records_and_accruals_share_an_hour(void **state)
{
	struct ledger_place *place = *state;
	const struct ledger_accrual a = piece(LEDGER_ALLOCATION, NOON_MS + 5, 1000);
	const struct ledger_accrual next = piece(LEDGER_ALLOCATION, NOON_MS + 3600000, 1000);
	const struct ledger_filter filter = { .from_us = NOON_US,
					      .to_us = NOON_US + LEDGER_HOUR_US };
	struct ledger_reconciled sums;
	struct rows rows;
	unsigned deleted, read = 0;

	accrue(place, &a);
	add_record(place, 1, NOON_US);
	add_record(place, 2, NOON_US);
	accrue(place, &next);
	query(place, LEDGER_BY_HOUR, &rows);
	assert_int_equal(rows.count, 2);
	assert_int_equal(rows.rows[0].figures[LEDGER_INVOCATIONS], 2);
	assert_int_equal(rows.rows[0].figures[LEDGER_MAX_MEMORY_MB], 36);
	sums = reconcile(place, &rows);
	assert_int_equal(rows.count, 0);
	assert_int_equal(sums.records, 2);
	assert_int_equal(sums.rollups, 2);
	/* The hour's records are found, and known to be trimmed. */
	assert_int_equal(ledger_read(place->ledger, &filter, 0, 10, count_record, &read, NULL), 0);
	assert_int_equal(read, 2);
	assert_int_equal(ledger_trim(place->ledger, INT64_MAX, INT64_MAX, 1, &deleted, NULL), 0);
	sums = reconcile(place, &rows);
	assert_int_equal(rows.count, 0);
	assert_int_equal(sums.trimmed, 1);
	assert_int_equal(sums.rollups, 1);
}

static void tampering_with_an_accrual_is_found(void **state)
{
	struct ledger_place *place = *state;
	const struct ledger_accrual a = piece(LEDGER_ALLOCATION, NOON_MS, 1000);
	struct rows rows;

	accrue(place, &a);
	ledger_alter(place, "UPDATE accrual SET units = 2");
	(void)reconcile(place, &rows);
	assert_int_equal(rows.count, 2);
	assert_int_equal(rows.rows[0].figures[LEDGER_ALLOCATED_MB_MS], 2 * 128 * 1000);
	assert_int_equal(rows.rows[1].figures[LEDGER_ALLOCATED_MB_MS], 3 * 128 * 1000);
}

/* -- files of version 1 -- */

static void a_file_of_the_first_version_is_brought_up(void **state)
{
	struct ledger_place *place = *state;
	const struct ledger_accrual a = piece(LEDGER_ALLOCATION, NOON_MS, 1000);
	struct ledger_state now;
	struct rows rows;

	place->ledger = ledger_close(place->ledger);
	assert_int_equal(unlink(place->path), 0);
	ledger_alter(place, version_1);
	for (int round = 0; round < 2; round++) {
		ledger_reopen(place);
		ledger_get_state(place->ledger, &now);
		assert_int_equal(now.last_sequence, 2);
		assert_int_equal(total(place, LEDGER_INVOCATIONS), 2);
		/* What it did not know is not billed after the fact. */
		assert_int_equal(total(place, LEDGER_RESTORED_MB), 0);
		assert_int_equal(total(place, LEDGER_OVER_BYTES), 0);
		assert_int_equal(total(place, LEDGER_STORAGE_MB_MS), 0);
		(void)reconcile(place, &rows);
		assert_int_equal(rows.count, 0);
	}
	add_record(place, 3, NOON_US);
	accrue(place, &a);
	(void)reconcile(place, &rows);
	assert_int_equal(rows.count, 0);
	assert_int_equal(total(place, LEDGER_INVOCATIONS), 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_piece_grows_and_never_shrinks),
		TEST(pieces_belong_to_the_hour_of_their_beginning),
		TEST(records_and_accruals_share_an_hour),
		TEST(tampering_with_an_accrual_is_found),
		TEST(a_file_of_the_first_version_is_brought_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
