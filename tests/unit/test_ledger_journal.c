/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_store mayfly_core mayfly_base mayfly_pkg_sqlite

/* What was put into the journal is there after a kill, in order, until it was cleared; and nothing
 * of what was cleared comes back. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "agent/store/ledger_journal.h"
#include "tests/unit/killed_child.h"
#include "tests/unit/ledger_harness.h"

struct fixture {
	char folder[64];
	char path[96];
	struct ledger_journal *journal;
	struct ledger_record found[20000];
	size_t count;
};

static int on_found(const struct ledger_record *record, void *arg)
{
	struct fixture *f = arg;

	assert_true(f->count < ARRAY_SIZE(f->found));
	f->found[f->count++] = *record;
	return 0;
}

static void reopen(struct fixture *f)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	f->journal = ledger_journal_close(f->journal);
	f->count = 0;
	if (ledger_journal_open(f->path, on_found, f, &f->journal, &error) < 0)
		fail_msg("%s", error_text(&error));
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	(void)snprintf(f->folder, sizeof(f->folder), "/tmp/mayfly-journal-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	(void)snprintf(f->path, sizeof(f->path), "%s/ledger.journal", f->folder);
	reopen(f);
	assert_int_equal(f->count, 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	ledger_journal_close(f->journal);
	assert_int_equal(fs_remove_tree(f->folder), 0);
	free(f);
	return 0;
}

static void put(struct fixture *f, unsigned number)
{
	struct ledger_record record = ledger_sample(number, "f", NOON_US);

	assert_int_equal(ledger_journal_put(f->journal, &record), 0);
}

static void assert_found(const struct fixture *f, size_t at, unsigned number)
{
	struct ledger_record record = ledger_sample(number, "f", NOON_US);

	assert_true(at < f->count);
	assert_string_equal(f->found[at].request_id, record.request_id);
}

static void every_field_comes_back(void **state)
{
	struct fixture *f = *state;
	struct ledger_record record = ledger_sample(7, "", NOON_US);

	memset(record.function, 'n', sizeof(record.function) - 1);
	memset(record.version, 'v', sizeof(record.version) - 1);
	memset(record.tenant, 't', sizeof(record.tenant) - 1);
	record.run = UINT64_MAX - 1;
	record.duration_us = 1;
	record.init_us = 2;
	record.restore_us = 3;
	record.billed_restore_ms = 4;
	record.billed_ms = 5;
	record.memory_mb = 6;
	record.max_memory_mb = 7;
	record.event_bytes = 8;
	record.answer_bytes = INT64_MAX;
	record.streamed_bytes = 9;
	record.start = LEDGER_START_BOOT;
	record.result = LEDGER_SANDBOX_FAILURE;
	record.withheld = true;
	record.over_bytes = 5;
	record.storage_mb = 1024;
	record.restored_mb = 128;
	record.provisioned = true;
	assert_int_equal(ledger_journal_put(f->journal, &record), 0);
	record.init_us = -1; /* and those that are absent */
	record.restore_us = -1;
	record.billed_restore_ms = -1;
	assert_int_equal(ledger_journal_put(f->journal, &record), 0);
	reopen(f);
	assert_int_equal(f->count, 2);
	assert_memory_equal(&f->found[1], &record, sizeof(record));
	record.init_us = 2;
	record.restore_us = 3;
	record.billed_restore_ms = 4;
	assert_memory_equal(&f->found[0], &record, sizeof(record));
}

static void what_was_cleared_does_not_come_back(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 10; i++)
		put(f, i);
	ledger_journal_turn(f->journal);
	put(f, 10);
	assert_int_equal(ledger_journal_clear(f->journal, false), 0);
	ledger_journal_turn(f->journal);
	/* Over the first of ten: the nine behind it are of an earlier filling. */
	put(f, 11);
	reopen(f);
	assert_int_equal(f->count, 2);
	assert_found(f, 0, 11);
	assert_found(f, 1, 10);
	assert_int_equal(ledger_journal_clear(f->journal, false), 0);
	ledger_journal_turn(f->journal);
	assert_int_equal(ledger_journal_clear(f->journal, false), 0);
	reopen(f);
	assert_int_equal(f->count, 0);
}

/* The second commit takes the first one's records, too; its success clears those. */
static void a_commit_that_failed_keeps_its_records(void **state)
{
	struct fixture *f = *state;

	put(f, 1);
	ledger_journal_turn(f->journal); /* begins, fails */
	put(f, 2);
	ledger_journal_turn(f->journal); /* begins again, with 2 */
	put(f, 3);                       /* is not in it */
	assert_int_equal(ledger_journal_clear(f->journal, false), 0);
	reopen(f);
	assert_int_equal(f->count, 2); /* 2 is in the ledger, which will know */
	assert_found(f, 0, 2);
	assert_found(f, 1, 3);
}

static void all_can_be_cleared(void **state)
{
	struct fixture *f = *state;

	put(f, 1);
	ledger_journal_turn(f->journal);
	put(f, 2);
	assert_int_equal(ledger_journal_clear(f->journal, true), 0);
	reopen(f);
	assert_int_equal(f->count, 0);
}

/* After a start the halves are as they were left: new records go behind those found. */
static void what_was_found_stays_until_it_is_cleared(void **state)
{
	struct fixture *f = *state;

	put(f, 1);
	reopen(f);
	put(f, 2);
	reopen(f);
	assert_int_equal(f->count, 2);
	assert_found(f, 0, 1);
	assert_found(f, 1, 2);
}

static void a_full_half_takes_no_more(void **state)
{
	struct fixture *f = *state;
	struct ledger_record record = ledger_sample(1, "f", NOON_US);
	unsigned count = 0;
	int r;

	while ((r = ledger_journal_put(f->journal, &record)) == 0)
		count++;
	assert_int_equal(r, -ENOSPC);
	assert_in_range(count, 8000, 20000);
	ledger_journal_turn(f->journal);
	put(f, 2);
	reopen(f);
	assert_int_equal(f->count, count + 1);
	assert_found(f, count, 2);
}

/* The file has its room from the start. */
static void a_full_disk_takes_nothing_from_it(void **state)
{
	struct fixture *f = *state;
	char other[128];
	struct ledger_journal *none = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;

	(void)snprintf(other, sizeof(other), "%s/other", f->folder);
	ledger_limit_files(LEDGER_JOURNAL_HALF_BYTES);
	assert_true(ledger_journal_open(other, on_found, f, &none, &error) < 0);
	assert_null(none);
	ledger_limit_files(0);
}

static void damage_ends_a_half(void **state)
{
	struct fixture *f = *state;
	uint8_t byte;
	int fd;

	for (unsigned i = 0; i < 3; i++)
		put(f, i);
	f->journal = ledger_journal_close(f->journal);
	fd = open(f->path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	/* In the second entry: each has more than 100 bytes, and less than 200. */
	assert_int_equal(pread(fd, &byte, 1, 4096 + 200), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, 4096 + 200), 1);
	(void)close(fd);
	reopen(f);
	assert_int_equal(f->count, 1);
	assert_found(f, 0, 0);
}

static void another_file_is_refused(void **state)
{
	struct fixture *f = *state;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct ledger_journal *none = NULL;
	char other[128];

	(void)snprintf(other, sizeof(other), "%s/other", f->folder);
	assert_int_equal(fs_write_file_atomic(other, slice_from_string("SQLite format 3"), 0600),
			 0);
	assert_true(ledger_journal_open(other, on_found, f, &none, &error) < 0);
	assert_null(none);
	assert_non_null(strstr(error_text(&error), "is no journal of usage"));
}

static void put_until_killed(void *arg, unsigned first, int pipe_fd)
{
	struct fixture *f = arg;

	/* However late the kill is, a half has room for those of all lives. */
	for (unsigned n = first; n < first + 300; n++) {
		struct ledger_record record = ledger_sample(n, "f", NOON_US);

		if (ledger_journal_put(f->journal, &record) < 0)
			_exit(1);
		say_done(pipe_fd, n);
	}
	(void)pause();
}

static void a_kill_loses_nothing_that_was_put(void **state)
{
	struct fixture *f = *state;
	unsigned first = 1, last;

	for (unsigned i = 0; i < 20; i++) {
		last = run_until_killed(put_until_killed, f, first, 5, i * 2000);
		reopen(f);
		/* The last may have been put, and not said. */
		assert_in_range(f->count, last, last + 1);
		for (unsigned n = 1; n <= f->count; n++)
			assert_found(f, n - 1, n);
		first = (unsigned)f->count + 1;
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_field_comes_back),
		TEST(what_was_cleared_does_not_come_back),
		TEST(a_commit_that_failed_keeps_its_records),
		TEST(all_can_be_cleared),
		TEST(what_was_found_stays_until_it_is_cleared),
		TEST(a_full_half_takes_no_more),
		TEST(a_full_disk_takes_nothing_from_it),
		TEST(damage_ends_a_half),
		TEST(another_file_is_refused),
		TEST(a_kill_loses_nothing_that_was_put),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
