/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_account mayfly_store mayfly_core mayfly_base mayfly_pkg_sqlite

/* The short way of a record, through the journal: answers go before their commit, and nothing of
 * what was answered is lost or counted twice, whatever happens next. */

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

struct fixture {
	struct ledger_place place;
	char journal_path[96];
	struct loop *loop;
	struct account *account;
};

/* Of all that run here. */
static const struct account_host_use host_uses[] = {
	{ .tenant = TENANT, .function = "f", .version = "$LATEST", .sandboxes = 1, .cpus = 2 },
	{ .tenant = TENANT, .function = "g", .version = "$LATEST", .sandboxes = 1, .cpus = 2 },
};

static void open_account(struct fixture *f, bool answers)
{
	const struct account_config config = {
		.ledger = f->place.ledger,
		.journal_path = f->journal_path,
		.journal_answers = answers,
		.answer_wait_us = LONG_WAIT_US,
		.raw_keep_us = 24 * LEDGER_HOUR_US,
	};
	_cleanup_error_ struct error error = ERROR_INIT;

	if (account_new(&config, f->loop, &f->account, &error) < 0)
		fail_msg("%s", error_text(&error));
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	ledger_make(&f->place);
	(void)snprintf(f->journal_path, sizeof(f->journal_path), "%s/ledger.journal",
		       f->place.folder);
	assert_int_equal(loop_new(2, &f->loop), 0);
	open_account(f, true);
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

/* Another life, as after a kill: nothing of what waits is written, and nobody is told. */
static void live_again(struct fixture *f, bool answers)
{
	loop_end_jobs(f->loop);
	account_free(f->account);
	loop_free(f->loop);
	assert_int_equal(loop_new(2, &f->loop), 0);
	open_account(f, answers);
}

static int64_t count_rows(const struct ledger_place *place)
{
	sqlite3 *connection;
	sqlite3_stmt *statement;
	int64_t count;

	assert_int_equal(sqlite3_open(place->path, &connection), SQLITE_OK);
	assert_int_equal(
		sqlite3_prepare_v2(connection, "SELECT count(*) FROM record", -1, &statement, NULL),
		SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	count = sqlite3_column_int64(statement, 0);
	assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
	assert_int_equal(sqlite3_close(connection), SQLITE_OK);
	return count;
}

struct invocation {
	bool answered;
	enum error_code code;
};

static void on_recorded(const struct error *error, void *arg)
{
	struct invocation *invocation = arg;

	assert_false(invocation->answered);
	invocation->answered = true;
	invocation->code = error ? error->code : ERROR_NONE;
}

static void run(struct fixture *f, unsigned number, struct invocation *ret)
{
	struct account_entry *entry = NULL;

	*ret = (struct invocation){ 0 };
	assert_int_equal(account_admit(f->account, &entry, NULL), 0);
	entry->record = ledger_sample(number, "f", NOON_US);
	account_record(f->account, entry, on_recorded, ret);
	assert_false(ret->answered); /* never inside the call */
}

/* So that nothing can be committed: another writer is at it. */
static sqlite3 *lock_ledger(const struct fixture *f)
{
	sqlite3 *connection;

	assert_int_equal(sqlite3_open(f->place.path, &connection), SQLITE_OK);
	assert_int_equal(sqlite3_exec(connection, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	return connection;
}

static void an_answer_does_not_wait_for_its_commit(void **state)
{
	struct fixture *f = *state;
	struct invocation invocations[100];
	sqlite3 *lock = lock_ledger(f);

	for (unsigned i = 0; i < ARRAY_SIZE(invocations); i++)
		run(f, i, &invocations[i]);
	for (unsigned i = 0; i < ARRAY_SIZE(invocations); i++) {
		RUN_UNTIL(f, invocations[i].answered);
		assert_int_equal(invocations[i].code, ERROR_NONE);
	}
	assert_int_equal(count_rows(&f->place), 0);
	assert_int_equal(sqlite3_close(lock), SQLITE_OK);
	RUN_UNTIL(f, count_rows(&f->place) == 100);
}

static void records_gather_for_a_while(void **state)
{
	struct fixture *f = *state;
	struct invocation invocations[50];

	for (unsigned i = 0; i < ARRAY_SIZE(invocations); i++) {
		run(f, i, &invocations[i]);
		assert_null(f->account->commit.first);
	}
	RUN_UNTIL(f, count_rows(&f->place) > 0);
	assert_int_equal(count_rows(&f->place), 50);
}

static void what_was_answered_outlives_the_agent(void **state)
{
	struct fixture *f = *state;
	struct invocation invocations[3];

	for (unsigned life = 0; life < 3; life++) {
		run(f, life, &invocations[life]);
		RUN_UNTIL(f, invocations[life].answered);
		/* Its commit is not over, or has just been. */
		live_again(f, true);
		RUN_UNTIL(f, count_rows(&f->place) == life + 1);
	}
	live_again(f, true);
	RUN_UNTIL(f, !f->account->first && !f->account->commit.first);
	assert_int_equal(count_rows(&f->place), 3);
	/* By then the journal knows that, too. */
	account_free(f->account);
	ledger_alter(&f->place, "DELETE FROM record");
	open_account(f, true);
	assert_null(f->account->first);
}

/* The operator asked for full durability since. */
static void who_does_not_use_the_journal_still_empties_it(void **state)
{
	struct fixture *f = *state;
	sqlite3 *lock = lock_ledger(f);
	struct invocation invocation;

	run(f, 1, &invocation);
	RUN_UNTIL(f, invocation.answered);
	assert_int_equal(sqlite3_close(lock), SQLITE_OK);
	live_again(f, false);
	RUN_UNTIL(f, count_rows(&f->place) == 1);
	run(f, 2, &invocation);
	RUN_UNTIL(f, invocation.answered);
	assert_int_equal(count_rows(&f->place), 2);
}

struct reading {
	bool done;
	int64_t invocations;
	uint64_t differences;
	uint64_t counted;
	uint64_t waiting;
	uint64_t billed_ms; /* held against the host's CPU time */
};

static void on_rows(const struct account_rows *result, void *arg)
{
	struct reading *reading = arg;

	assert_null(result->error);
	reading->invocations = result->total.figures[LEDGER_INVOCATIONS];
	reading->done = true;
}

static void on_records(const struct account_records *result, void *arg)
{
	struct reading *reading = arg;

	assert_null(result->error);
	reading->invocations = (int64_t)result->count;
	reading->done = true;
}

static void on_reconciled(const struct account_reconciled *result, void *arg)
{
	struct reading *reading = arg;

	assert_null(result->error);
	reading->differences = result->total;
	reading->counted = result->counted_since_start;
	reading->waiting = result->waiting;
	for (size_t i = 0; i < result->host_count; i++)
		reading->billed_ms += result->hosts[i].billed_ms;
	reading->done = true;
}

/* Asked at once after the answer, and with a commit of others under way. */
static void whoever_was_answered_is_found(void **state)
{
	struct fixture *f = *state;
	const struct ledger_query query = { .filter.to_us = INT64_MAX / 2, .limit = 10 };
	const struct ledger_filter filter = { .to_us = INT64_MAX };
	struct reading rows = { 0 }, records = { 0 }, reconciled = { 0 }, none = { 0 };
	struct invocation invocations[300];

	assert_int_equal(account_query(f->account, &query, on_rows, &none), 0);
	RUN_UNTIL(f, none.done);
	assert_int_equal(none.invocations, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(invocations); i++)
		run(f, i, &invocations[i]);
	assert_non_null(f->account->commit.first); /* of the first 256 */
	assert_non_null(f->account->first);
	assert_int_equal(account_query(f->account, &query, on_rows, &rows), 0);
	assert_int_equal(account_read(f->account, &filter, 0, 1000, on_records, &records), 0);
	assert_int_equal(account_reconcile(f->account, host_uses, 2, on_reconciled, &reconciled),
			 0);
	RUN_UNTIL(f, rows.done && records.done && reconciled.done);
	assert_int_equal(rows.invocations, 300);
	assert_int_equal(records.invocations, 300);
	assert_int_equal(reconciled.counted, 300);
	assert_int_equal(reconciled.differences, 0);
	assert_int_equal(reconciled.waiting, 0);
}

/* Who asks for much of one tenant stands behind that, not before what is asked of others, or of
 * all. */
static void reads_take_turns(void **state)
{
	struct fixture *f = *state;
	struct ledger_query query = { .filter.to_us = INT64_MAX / 2, .limit = 10 };
	struct reading many[8] = { 0 }, other = { 0 }, all = { 0 };

	(void)snprintf(query.filter.tenant, sizeof(query.filter.tenant), "123456789012");
	for (unsigned i = 0; i < ARRAY_SIZE(many); i++)
		assert_int_equal(account_query(f->account, &query, on_rows, &many[i]), 0);
	(void)snprintf(query.filter.tenant, sizeof(query.filter.tenant), "210987654321");
	assert_int_equal(account_query(f->account, &query, on_rows, &other), 0);
	query.filter.tenant[0] = 0;
	assert_int_equal(account_query(f->account, &query, on_rows, &all), 0);
	RUN_UNTIL(f, other.done && all.done);
	assert_true(many[0].done);
	assert_false(many[ARRAY_SIZE(many) - 1].done);
	RUN_UNTIL(f, many[ARRAY_SIZE(many) - 1].done);
}

/* It ran in a sandbox of that life, of which no host counts anything any more. */
static void a_former_life_s_record_needs_no_sandbox_of_this_one(void **state)
{
	struct fixture *f = *state;
	sqlite3 *lock = lock_ledger(f);
	struct reading reading = { 0 };
	struct invocation invocation;

	run(f, 1, &invocation);
	RUN_UNTIL(f, invocation.answered);
	assert_int_equal(sqlite3_close(lock), SQLITE_OK);
	live_again(f, true);
	assert_int_equal(account_reconcile(f->account, NULL, 0, on_reconciled, &reading), 0);
	RUN_UNTIL(f, reading.done);
	assert_int_equal(reading.counted, 1);
	assert_int_equal(reading.differences, 0);
	assert_int_equal(reading.billed_ms, 0);
	run(f, 2, &invocation);
	RUN_UNTIL(f, invocation.answered);
	reading.done = false;
	assert_int_equal(account_reconcile(f->account, NULL, 0, on_reconciled, &reading), 0);
	RUN_UNTIL(f, reading.done);
	assert_int_equal(reading.differences, 1);
	assert_int_equal(reading.billed_ms, 2);
}

static void a_full_disk_takes_back_no_answer(void **state)
{
	struct fixture *f = *state;
	struct invocation a, b;
	struct account_entry *admitted = NULL, *refused = NULL;
	struct reading reading = { 0 };

	assert_int_equal(account_admit(f->account, &admitted, NULL), 0);
	admitted->record = ledger_sample(2, "f", NOON_US);
	b = (struct invocation){ 0 };
	ledger_limit_files(LEDGER_JOURNAL_HALF_BYTES * 3);
	ledger_alter(&f->place, "CREATE TRIGGER full BEFORE INSERT ON record BEGIN "
				"SELECT raise(ABORT, 'full'); END");
	run(f, 1, &a);
	RUN_UNTIL(f, f->account->failure.code && !f->account->commit.first);
	assert_true(a.answered);
	assert_int_equal(a.code, ERROR_NONE);
	assert_true(account_admit(f->account, &refused, NULL) < 0);
	/* What runs already is answered, too. */
	account_record(f->account, admitted, on_recorded, &b);
	RUN_UNTIL(f, b.answered);
	assert_int_equal(b.code, ERROR_NONE);
	/* Reading does not wait for a disk. */
	assert_int_equal(account_reconcile(f->account, host_uses, 2, on_reconciled, &reading), 0);
	RUN_UNTIL(f, reading.done);
	assert_int_equal(reading.waiting, 2);
	/* What is not in the ledger yet is known to have run. */
	assert_int_equal(reading.billed_ms, 4);
	/* A life that ends now takes nothing with it. */
	ledger_limit_files(0);
	live_again(f, true);
	RUN_UNTIL(f, f->account->failure.code);
	ledger_alter(&f->place, "DROP TRIGGER full");
	RUN_UNTIL(f, !f->account->failure.code);
	assert_int_equal(count_rows(&f->place), 2);
}

static void on_flushed(void *arg)
{
	*(bool *)arg = true;
}

static void the_end_commits_all_at_once(void **state)
{
	struct fixture *f = *state;
	struct invocation invocation;
	bool flushed = false;

	run(f, 1, &invocation);
	account_flush(f->account, on_flushed, &flushed);
	RUN_UNTIL(f, flushed);
	assert_true(invocation.answered);
	assert_int_equal(count_rows(&f->place), 1);
}

/* A journal without room: the long way. */
static void beyond_the_journal_answers_wait(void **state)
{
	struct fixture *f = *state;
	struct ledger_record record = ledger_sample(1000000, "f", NOON_US);
	struct invocation invocation;
	sqlite3 *lock = lock_ledger(f);

	while (ledger_journal_put(f->account->journal, &record) == 0)
		;
	run(f, 1, &invocation);
	assert_non_null(f->account->commit.first);
	assert_int_equal(sd_event_run(loop_event(f->loop), 0), 0);
	assert_false(invocation.answered);
	assert_int_equal(sqlite3_close(lock), SQLITE_OK);
	RUN_UNTIL(f, invocation.answered);
	assert_int_equal(invocation.code, ERROR_NONE);
	assert_int_equal(count_rows(&f->place), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_answer_does_not_wait_for_its_commit),
		TEST(records_gather_for_a_while),
		TEST(what_was_answered_outlives_the_agent),
		TEST(who_does_not_use_the_journal_still_empties_it),
		TEST(whoever_was_answered_is_found),
		TEST(reads_take_turns),
		TEST(a_former_life_s_record_needs_no_sandbox_of_this_one),
		TEST(a_full_disk_takes_back_no_answer),
		TEST(the_end_commits_all_at_once),
		TEST(beyond_the_journal_answers_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
