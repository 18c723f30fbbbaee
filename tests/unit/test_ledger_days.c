/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_store mayfly_base mayfly_pkg_sqlite

/* Days that are summed up: queries say the same as before, whatever comes late. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/ledger_harness.h"

#define HOURS    75
#define FIRST_US (NOON_US - 40 * LEDGER_HOUR_US) /* at 20:00 */

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

static void add(struct ledger_place *place, unsigned number, const char *function, int64_t hour)
{
	struct ledger_record record =
		ledger_sample(number, function, FIRST_US + hour * LEDGER_HOUR_US);
	bool wal_is_long;

	record.max_memory_mb = 30 + number % 7;
	assert_int_equal(ledger_commit(place->ledger, &record, &wal_is_long, NULL), 0);
}

static void accrue(struct ledger_place *place, int64_t hour, int64_t length_ms)
{
	const struct ledger_accrual piece = {
		.tenant = TENANT,
		.function = "f",
		.version = "$LATEST",
		.begins_ms = (FIRST_US + hour * LEDGER_HOUR_US) / 1000,
		.ends_ms = (FIRST_US + hour * LEDGER_HOUR_US) / 1000 + length_ms,
		.units = 2,
		.memory_mb = 128,
	};

	assert_int_equal(ledger_accrue(place->ledger, &piece, NULL), 0);
}

static unsigned sum_days(struct ledger_place *place, int64_t before_us)
{
	bool more = true;
	unsigned days = 0;

	while (more) {
		assert_int_equal(ledger_sum_day(place->ledger, before_us, &more, NULL), 0);
		days += more;
	}
	return days;
}

struct rows {
	struct ledger_row rows[512];
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

static void query(struct ledger_place *place, int64_t from, int64_t to, unsigned groups,
		  struct rows *ret)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	const struct ledger_query query = {
		.filter = { .from_us = FIRST_US + from * LEDGER_HOUR_US,
			    .to_us = FIRST_US + to * LEDGER_HOUR_US },
		.groups = groups,
		.limit = 512,
	};

	memset(ret, 0, sizeof(*ret));
	if (ledger_query(place->ledger, &query, keep_row, ret, &error) < 0)
		fail_msg("%s", error_text(&error));
}

/* Every range against the hours, which days have no part in. */
static void assert_days_are_hours(struct ledger_place *place)
{
	static struct rows hours, sums;

	for (int64_t from = 0; from < HOURS; from += 5)
		for (int64_t to = from; to <= HOURS; to += 7) {
			int64_t invocations = 0, allocated = 0, largest = 0;
			int64_t by_day = 0;

			query(place, from, to, LEDGER_BY_HOUR | LEDGER_BY_FUNCTION, &hours);
			for (size_t i = 0; i < hours.count; i++) {
				const int64_t *figures = hours.rows[i].figures;

				invocations += figures[LEDGER_INVOCATIONS];
				allocated += figures[LEDGER_ALLOCATED_MB_MS];
				if (figures[LEDGER_MAX_MEMORY_MB] > largest)
					largest = figures[LEDGER_MAX_MEMORY_MB];
			}
			query(place, from, to, 0, &sums);
			assert_int_equal(sums.count, 1);
			assert_int_equal(sums.rows[0].figures[LEDGER_INVOCATIONS], invocations);
			assert_int_equal(sums.rows[0].figures[LEDGER_ALLOCATED_MB_MS], allocated);
			assert_int_equal(sums.rows[0].figures[LEDGER_MAX_MEMORY_MB], largest);
			query(place, from, to, LEDGER_BY_DAY | LEDGER_BY_FUNCTION, &sums);
			for (size_t i = 0; i < sums.count; i++) {
				assert_int_equal(sums.rows[i].begins_us % LEDGER_DAY_US, 0);
				by_day += sums.rows[i].figures[LEDGER_INVOCATIONS];
			}
			assert_int_equal(by_day, invocations);
		}
}

static uint64_t reconcile(struct ledger_place *place, size_t differences)
{
	static struct rows found;
	struct ledger_reconciled sums = { 0 };

	found.count = 0;
	assert_int_equal(ledger_reconcile(place->ledger, keep_difference, &found, &sums, NULL), 0);
	assert_int_equal(found.count, 2 * differences);
	return sums.days;
}

static void queries_say_the_same(void **state)
{
	struct ledger_place *place = *state;

	for (unsigned i = 0; i < 2 * HOURS; i++)
		add(place, i, i % 3 ? "f" : "g", i / 2);
	accrue(place, 3, 5000);
	accrue(place, 40, 7000);
	assert_days_are_hours(place);
	/* 4 hours, then three whole days less the one that is not over. */
	assert_int_equal(sum_days(place, FIRST_US + 60 * LEDGER_HOUR_US), 3);
	assert_days_are_hours(place);
	assert_int_equal(reconcile(place, 0), 2 * 3);
	/* Late ones, of a function that had none that day, too. */
	add(place, 1000, "f", 1);
	add(place, 1001, "new", 30);
	add(place, 1002, "f", 70);
	accrue(place, 3, 9000);
	accrue(place, 41, 100);
	assert_days_are_hours(place);
	assert_int_equal(reconcile(place, 0), 2 * 3 + 1);
	ledger_reopen(place);
	add(place, 1003, "g", 2);
	assert_int_equal(sum_days(place, FIRST_US + 80 * LEDGER_HOUR_US), 1);
	assert_days_are_hours(place);
	(void)reconcile(place, 0);
}

static void tampering_with_a_day_is_found(void **state)
{
	struct ledger_place *place = *state;

	for (unsigned i = 0; i < 2 * HOURS; i++)
		add(place, i, "f", i / 2);
	assert_int_equal(sum_days(place, NOON_US), 2);
	ledger_alter(place, "UPDATE day_rollup SET mb_ms = 1 WHERE day = 19998");
	(void)reconcile(place, 1);
	ledger_alter(place, "DELETE FROM day_rollup WHERE day = 19998");
	(void)reconcile(place, 1);
}

static void without_hours_no_day_is_summed_up(void **state)
{
	struct ledger_place *place = *state;

	assert_int_equal(sum_days(place, NOON_US), 0);
	add(place, 1, "f", 0);
	assert_int_equal(sum_days(place, FIRST_US), 0);
	assert_int_equal(sum_days(place, FIRST_US + 4 * LEDGER_HOUR_US), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(queries_say_the_same),
		TEST(tampering_with_a_day_is_found),
		TEST(without_hours_no_day_is_summed_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
