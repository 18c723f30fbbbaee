/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_account mayfly_store mayfly_core mayfly_base mayfly_pkg_sqlite

/* The way of a record, on a real loop and a real ledger: who is told when, and what happens while
 * nothing can be written. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/account/account_internal.h"
#include "mayfly/clock.h"
#include "tests/unit/ledger_harness.h"
#include "tests/unit/run_until.h"

#define LIMIT_US     (20 * USEC_PER_SEC)
#define LONG_WAIT_US (3600 * USEC_PER_SEC)
#define DAY_US       (24 * LEDGER_HOUR_US)

struct fixture {
	struct ledger_place place;
	struct loop *loop;
	struct account *account;
};

static void open_account(struct fixture *f, int64_t answer_wait_us)
{
	const struct account_config config = {
		.ledger = f->place.ledger,
		.answer_wait_us = answer_wait_us,
		.raw_keep_us = DAY_US,
		.prices = { .request_pico = 200000, .gb_second_pico = 16666700 },
	};

	assert_int_equal(account_new(&config, f->loop, &f->account, NULL), 0);
}

/* By the host: a moment of g beyond what it may, f well within. */
static struct account_host_use host_uses[2];

static void set_host_uses(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(host_uses); i++) {
		struct account_host_use *use = &host_uses[i];

		*use = (struct account_host_use){ .tenant = TENANT,
						  .version = "$LATEST",
						  .sandboxes = 2,
						  .serve_us = 1000,
						  .beside_us = 5000,
						  .cpus = 2 };
		(void)snprintf(use->function, sizeof(use->function), "%s", i ? "f" : "g");
	}
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	set_host_uses();
	ledger_make(&f->place);
	assert_int_equal(loop_new(2, &f->loop), 0);
	open_account(f, LONG_WAIT_US);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	loop_end_jobs(f->loop);
	account_free(f->account);
	loop_free(f->loop);
	ledger_unmake(&f->place);
	free(f);
	return 0;
}

/* -- invocations -- */

static unsigned told; /* how many */

struct invocation {
	struct ledger_place *place;
	char request_id[UUID_BYTES];
	bool answered;
	unsigned turn;
	bool was_durable; /* as another connection saw it at that time */
	enum error_code code;
};

static int64_t count_rows(const struct ledger_place *place, const char *where)
{
	sqlite3 *connection;
	sqlite3_stmt *statement;
	char sql[256];
	int64_t count;

	(void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM record WHERE %s", where);
	assert_int_equal(sqlite3_open(place->path, &connection), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(connection, sql, -1, &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	count = sqlite3_column_int64(statement, 0);
	assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
	assert_int_equal(sqlite3_close(connection), SQLITE_OK);
	return count;
}

static void on_recorded(const struct error *error, void *arg)
{
	struct invocation *invocation = arg;
	char where[96];

	assert_false(invocation->answered);
	invocation->answered = true;
	invocation->turn = told++;
	invocation->code = error ? error->code : ERROR_NONE;
	(void)snprintf(where, sizeof(where), "hex(substr(request_id, 1, 4)) = upper('%.8s')",
		       invocation->request_id);
	invocation->was_durable = count_rows(invocation->place, where) == 1;
}

static void run(struct fixture *f, unsigned number, struct invocation *ret)
{
	struct account_entry *entry = NULL;

	*ret = (struct invocation){ .place = &f->place };
	assert_int_equal(account_admit(f->account, &entry, NULL), 0);
	entry->record = ledger_sample(number, number % 2 ? "f" : "g", NOON_US);
	(void)snprintf(ret->request_id, UUID_BYTES, "%s", entry->record.request_id);
	account_record(f->account, entry, on_recorded, ret);
	assert_false(ret->answered);
}

/* -- tests -- */

static void an_answer_comes_after_its_commit(void **state)
{
	struct fixture *f = *state;
	struct invocation invocation;

	run(f, 1, &invocation);
	RUN_UNTIL(f, invocation.answered);
	assert_int_equal(invocation.code, ERROR_NONE);
	assert_true(invocation.was_durable);
}

static void all_that_wait_are_one_commit(void **state)
{
	struct fixture *f = *state;
	struct invocation invocations[100];
	unsigned gathered = 0, first = told;

	for (unsigned i = 0; i < ARRAY_SIZE(invocations); i++)
		run(f, i, &invocations[i]);
	/* The first went at once, and alone; the others gather. */
	assert_non_null(f->account->commit.first);
	assert_null(f->account->commit.first->next);
	for (struct ledger_record *r = f->account->first; r; r = r->next)
		gathered++;
	assert_int_equal(gathered, 99);
	RUN_UNTIL(f, invocations[0].answered);
	assert_null(f->account->first);
	for (unsigned i = 0; i < ARRAY_SIZE(invocations); i++) {
		RUN_UNTIL(f, invocations[i].answered);
		assert_true(invocations[i].was_durable);
		assert_int_equal(invocations[i].turn, first + i);
	}
}

static void what_did_not_run_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct account_entry *entry = NULL;
	struct invocation invocation;

	assert_int_equal(account_admit(f->account, &entry, NULL), 0);
	assert_null(account_drop(entry));
	assert_null(account_drop(NULL));
	run(f, 1, &invocation);
	RUN_UNTIL(f, invocation.answered);
	assert_int_equal(count_rows(&f->place, "1"), 1);
}

static void assert_nothing_runs(struct fixture *f)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct account_entry *entry = NULL;

	assert_true(account_admit(f->account, &entry, &error) < 0);
	assert_null(entry);
	assert_int_equal(error.code, ERROR_UNAVAILABLE);
	assert_non_null(
		strstr(error_text(&error), "runs no function, because it cannot record usage: "));
}

static void a_disk_full_for_a_moment_delays_answers(void **state)
{
	struct fixture *f = *state;
	struct invocation a, b;

	ledger_limit_files(4096);
	run(f, 1, &a);
	run(f, 2, &b);
	RUN_UNTIL(f, f->account->failure.code && !f->account->commit.first);
	assert_nothing_runs(f);
	assert_false(a.answered);
	ledger_limit_files(0);
	RUN_UNTIL(f, a.answered && b.answered);
	assert_int_equal(a.code, ERROR_NONE);
	assert_true(a.was_durable && b.was_durable);
	assert_true(a.turn < b.turn);
	assert_int_equal(count_rows(&f->place, "withheld"), 0);
	run(f, 3, &a);
	RUN_UNTIL(f, a.answered);
}

static void an_answer_that_waits_too_long_is_withheld_and_recorded(void **state)
{
	struct fixture *f = *state;
	struct invocation a, b;

	f->account->config.answer_wait_us = 1;
	ledger_limit_files(4096);
	run(f, 1, &a);
	RUN_UNTIL(f, a.answered);
	assert_int_equal(a.code, ERROR_INTERNAL);
	assert_false(a.was_durable);
	assert_nothing_runs(f);
	ledger_limit_files(0);
	RUN_UNTIL(f, !f->account->failure.code);
	assert_int_equal(count_rows(&f->place, "withheld"), 1);
	run(f, 2, &b);
	RUN_UNTIL(f, b.answered);
	assert_int_equal(b.code, ERROR_NONE);
	assert_int_equal(count_rows(&f->place, "NOT withheld"), 1);
}

static void on_flushed(void *arg)
{
	*(bool *)arg = true;
}

static void the_end_waits_for_what_is_under_way(void **state)
{
	struct fixture *f = *state;
	struct invocation invocations[50];
	bool flushed = false;

	for (unsigned i = 0; i < ARRAY_SIZE(invocations); i++)
		run(f, i, &invocations[i]);
	account_flush(f->account, on_flushed, &flushed);
	assert_false(flushed);
	RUN_UNTIL(f, flushed);
	assert_true(invocations[49].answered);
	assert_int_equal(count_rows(&f->place, "1"), 50);
}

static void the_end_does_not_wait_for_a_full_disk(void **state)
{
	struct fixture *f = *state;
	struct invocation invocation;
	bool flushed = false;

	ledger_limit_files(4096);
	run(f, 1, &invocation);
	account_flush(f->account, on_flushed, &flushed);
	RUN_UNTIL(f, flushed);
	ledger_limit_files(0);
	assert_false(invocation.answered);
}

/* -- reading -- */

struct reading {
	bool done;
	size_t count;
	bool more;
	uint64_t total;
	int64_t figure;
	struct account_reconciled reconciled;
	struct account_difference difference; /* the first, as the next */
	struct account_host_check host;
};

static void on_rows(const struct account_rows *result, void *arg)
{
	struct reading *reading = arg;

	assert_null(result->error);
	*reading = (struct reading){ .done = true,
				     .count = result->count,
				     .more = result->more,
				     .figure = result->total.figures[LEDGER_INVOCATIONS] };
}

static void on_records(const struct account_records *result, void *arg)
{
	struct reading *reading = arg;

	assert_null(result->error);
	*reading = (struct reading){ .done = true, .count = result->count, .more = result->more };
}

static void on_reconciled(const struct account_reconciled *result, void *arg)
{
	struct reading *reading = arg;

	assert_null(result->error);
	*reading = (struct reading){
		.done = true, .count = result->count, .total = result->total, .reconciled = *result
	};
	if (result->count > 0)
		reading->difference = result->differences[0];
	if (result->host_count > 0)
		reading->host = result->hosts[0];
}

static void pages_say_whether_there_is_more(void **state)
{
	struct fixture *f = *state;
	const struct ledger_filter filter = { .to_us = INT64_MAX };
	struct ledger_query query = { .filter.to_us = INT64_MAX / 2,
				      .groups = LEDGER_BY_FUNCTION,
				      .limit = 1 };
	struct invocation a, b;
	struct reading reading = { 0 };

	run(f, 1, &a);
	run(f, 2, &b);
	RUN_UNTIL(f, b.answered);
	assert_int_equal(account_query(f->account, &query, on_rows, &reading), 0);
	assert_false(reading.done);
	RUN_UNTIL(f, reading.done);
	assert_int_equal(reading.count, 1);
	assert_true(reading.more);
	assert_int_equal(reading.figure, 2);
	query.limit = 2;
	reading.done = false;
	assert_int_equal(account_query(f->account, &query, on_rows, &reading), 0);
	RUN_UNTIL(f, reading.done);
	assert_int_equal(reading.count, 2);
	assert_false(reading.more);
	reading.done = false;
	assert_int_equal(account_read(f->account, &filter, 0, 1, on_records, &reading), 0);
	RUN_UNTIL(f, reading.done);
	assert_int_equal(reading.count, 1);
	assert_true(reading.more);
}

static void reconcile(struct fixture *f, struct reading *reading)
{
	*reading = (struct reading){ 0 };
	assert_int_equal(account_reconcile(f->account, host_uses, ARRAY_SIZE(host_uses),
					   on_reconciled, reading),
			 0);
	RUN_UNTIL(f, reading->done);
}

static void counters_rollups_and_records_agree_or_it_is_said(void **state)
{
	struct fixture *f = *state;
	struct invocation invocations[10];
	struct reading reading;

	for (unsigned i = 0; i < 5; i++)
		run(f, i, &invocations[i]);
	RUN_UNTIL(f, invocations[4].answered);
	/* Of a former life: no counter knows them. */
	account_free(f->account);
	open_account(f, LONG_WAIT_US);
	for (unsigned i = 5; i < 10; i++)
		run(f, i, &invocations[i]);
	reconcile(f, &reading); /* whatever is under way makes no difference */
	assert_int_equal(reading.total, 0);
	RUN_UNTIL(f, invocations[9].answered);
	reconcile(f, &reading);
	assert_int_equal(reading.total, 0);
	assert_int_equal(reading.reconciled.sums.records, 10);
	assert_int_equal(reading.reconciled.counted_since_start, 5);
	assert_true(reading.reconciled.counters_compared);
	/* Record and rollup tampered with alike: the counters know better. */
	ledger_alter(&f->place, "DELETE FROM record WHERE sequence = 9;"
				"UPDATE rollup SET invocations = invocations - 1, duration_us = "
				"duration_us - 1500, billed_ms = billed_ms - 2, mb_ms = mb_ms - "
				"256, event_bytes = event_bytes - 10, answer_bytes = "
				"answer_bytes - 20 WHERE last_sequence = 9");
	reconcile(f, &reading);
	assert_int_equal(reading.total, 1);
	assert_true(reading.difference.of_counters);
	assert_string_equal(reading.difference.counted.function, "g");
	assert_int_equal(reading.difference.counted.figures[LEDGER_INVOCATIONS], 1);
	assert_int_equal(reading.difference.claimed.figures[LEDGER_INVOCATIONS], 2);
}

static void cpu_time_is_held_against_what_was_billed(void **state)
{
	struct fixture *f = *state;
	struct invocation invocations[4];
	struct reading reading;
	/* Two invocations of 2 ms, two threads each. */
	const uint64_t allowed_us = 2 * 2 * 2 * 1000 + 2 * ACCOUNT_AROUND_US + 5000;

	for (unsigned i = 0; i < ARRAY_SIZE(invocations); i++)
		run(f, i, &invocations[i]);
	RUN_UNTIL(f, invocations[3].answered);
	host_uses[0].serve_us = allowed_us;
	reconcile(f, &reading);
	assert_int_equal(reading.total, 0);
	assert_int_equal(reading.reconciled.host_count, 2);
	assert_string_equal(reading.host.use.function, "g"); /* it used more */
	assert_int_equal(reading.host.invocations, 2);
	assert_int_equal(reading.host.billed_ms, 4);
	assert_int_equal(reading.host.allowed_us, allowed_us);
	assert_null(reading.host.difference);

	host_uses[0].serve_us = allowed_us + 1;
	host_uses[1].serve_us = 0; /* it slept */
	reconcile(f, &reading);
	assert_int_equal(reading.total, 1);
	assert_int_equal(reading.count, 0);
	assert_int_equal(reading.reconciled.host_differences, 1);
	assert_string_equal(reading.host.use.function, "g");
	assert_string_equal(reading.host.difference, "more CPU time than was billed");
}

static void what_was_billed_had_a_sandbox(void **state)
{
	struct fixture *f = *state;
	struct invocation invocation;
	struct reading reading;

	run(f, 0, &invocation);
	RUN_UNTIL(f, invocation.answered);
	host_uses[0].sandboxes = 0;
	host_uses[0].serve_us = 0;
	reconcile(f, &reading);
	assert_int_equal(reading.total, 1);
	assert_string_equal(reading.host.difference, "billed, and there was no sandbox");
	/* Nor is one known by another name. */
	host_uses[0].sandboxes = 1;
	(void)snprintf(host_uses[0].version, sizeof(host_uses[0].version), "7");
	reconcile(f, &reading);
	assert_int_equal(reading.total, 1);
	assert_string_equal(reading.host.use.version, "$LATEST");
	assert_int_equal(reading.reconciled.host_count, 3);
}

static void old_records_are_deleted_in_time(void **state)
{
	struct fixture *f = *state;
	struct invocation invocations[600];
	struct reading reading;

	/* They began years ago; a step deletes 500. */
	for (unsigned i = 0; i < ARRAY_SIZE(invocations); i++)
		run(f, i, &invocations[i]);
	RUN_UNTIL(f, invocations[599].answered);
	assert_int_equal(timer_arm(&f->account->upkeep.timer, f->loop, 0,
				   f->account->upkeep.timer.fn, f->account),
			 0);
	RUN_UNTIL(f, account_trimmed(f->account) == 600);
	assert_int_equal(count_rows(&f->place, "1"), 0);
	reconcile(f, &reading);
	assert_int_equal(reading.total, 0);
	assert_false(reading.reconciled.counters_compared);
}

static void on_record(const struct ledger_record *record, void *arg)
{
	struct reading *reading = arg;

	reading->count++;
	reading->total = record->sequence;
}

static void a_listener_hears_of_durable_records(void **state)
{
	struct fixture *f = *state;
	struct reading heard = { 0 };
	struct invocation a, b, again;

	account_set_listener(f->account, on_record, &heard);
	run(f, 1, &a);
	run(f, 2, &b);
	assert_int_equal(heard.count, 0);
	run(f, 1, &again); /* is there already */
	RUN_UNTIL(f, again.answered);
	assert_int_equal(heard.count, 2);
	assert_int_equal(heard.total, 2);
	account_set_listener(f->account, NULL, NULL);
}

static struct account_money run_cost(const struct account_prices *prices, int64_t invocations,
				     int64_t mb_ms)
{
	const int64_t figures[_LEDGER_FIGURES] = {
		[LEDGER_INVOCATIONS] = invocations, [LEDGER_MB_MS] = mb_ms
	};

	return account_cost(prices, figures);
}

static void cost_is_exact(void **state)
{
	struct fixture *f = *state;
	const struct account_prices *prices = account_prices(f->account);
	const struct account_prices odd = { .gb_second_pico = 1 };
	const struct account_prices high = { .request_pico = 1000000000000,
					     .gb_second_pico = 1000000000000 };
	struct account_money cost = run_cost(prices, 1000000, 0);

	assert_int_equal(cost.units, 0);
	assert_int_equal(cost.picos, 200000000000); /* 0.20 per million */
	cost = run_cost(prices, 3, 128 * 1000 * 8); /* one GB-second */
	assert_int_equal(cost.picos, 600000 + 16666700);
	/* Half of a pico is rounded up, less is not. */
	assert_int_equal(run_cost(&odd, 0, 512000).picos, 1);
	assert_int_equal(run_cost(&odd, 0, 511999).picos, 0);
	cost = run_cost(&high, UINT32_MAX, (int64_t)1024000 * UINT32_MAX);
	assert_int_equal(cost.units, 2ULL * UINT32_MAX);
	assert_int_equal(cost.picos, 0);
}

/* Each part has its own price. */
static void every_part_of_a_cost_is_priced(void **state)
{
	static const struct {
		struct account_prices prices;
		enum ledger_figure figure;
		int64_t count;
	} parts[] = {
		{ { .request_pico = 7 }, LEDGER_INVOCATIONS, 1 },
		{ { .gb_second_pico = 7 }, LEDGER_MB_MS, 1024000 },
		{ { .provisioned_gb_second_pico = 7 }, LEDGER_ALLOCATED_MB_MS, 1024000 },
		{ { .storage_gb_second_pico = 7 }, LEDGER_STORAGE_MB_MS, 1024000 },
		{ { .stream_gb_pico = 7 }, LEDGER_OVER_BYTES, 1 << 30 },
		{ { .cache_gb_second_pico = 7 }, LEDGER_CACHED_MB_MS, 1024000 },
		{ { .restore_gb_pico = 7 }, LEDGER_RESTORED_MB, 1024 },
	};
	const struct account_prices lower = { .gb_second_pico = 10,
					      .provisioned_run_gb_second_pico = 3 };
	const struct account_prices same = { .gb_second_pico = 10 };
	int64_t figures[_LEDGER_FIGURES] = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		memset(figures, 0, sizeof(figures));
		figures[parts[i].figure] = 3 * parts[i].count;
		assert_int_equal(account_cost(&parts[i].prices, figures).picos, 21);
	}
	/* What ran in provisioned places is a part of all that ran. */
	memset(figures, 0, sizeof(figures));
	figures[LEDGER_MB_MS] = 5 * 1024000;
	figures[LEDGER_PROVISIONED_MB_MS] = 2 * 1024000;
	assert_int_equal(account_cost(&lower, figures).picos, 3 * 10 + 2 * 3);
	assert_int_equal(account_cost(&same, figures).picos, 5 * 10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_answer_comes_after_its_commit),
		TEST(all_that_wait_are_one_commit),
		TEST(what_did_not_run_leaves_nothing),
		TEST(a_disk_full_for_a_moment_delays_answers),
		TEST(an_answer_that_waits_too_long_is_withheld_and_recorded),
		TEST(the_end_waits_for_what_is_under_way),
		TEST(the_end_does_not_wait_for_a_full_disk),
		TEST(pages_say_whether_there_is_more),
		TEST(counters_rollups_and_records_agree_or_it_is_said),
		TEST(cpu_time_is_held_against_what_was_billed),
		TEST(what_was_billed_had_a_sandbox),
		TEST(old_records_are_deleted_in_time),
		TEST(a_listener_hears_of_durable_records),
		TEST(cost_is_exact),
		TEST(every_part_of_a_cost_is_priced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
