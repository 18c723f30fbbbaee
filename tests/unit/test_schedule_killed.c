/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_schedules mayfly_events mayfly_store mayfly_functions mayfly_core mayfly_base
// mayfly_pkg_sqlite

/* Killed at any moment, again and again: every occurrence becomes one event, none two. */

#include "tests/unit/schedule_harness.h"

#include <sqlite3.h>

#include "tests/unit/killed_child.h"

#define ROUNDS      60
#define PER_ROUND   4
#define REGISTRY_DB "registry.db"

static void path_of(const char *name, char out[160])
{
	(void)snprintf(out, 160, "%s/%s", place->folder, name);
}

static void open_registry(void)
{
	char path[160];

	path_of(REGISTRY_DB, path);
	assert_int_equal(registry_open_sqlite(path, &moody.inner, NULL), 0);
}

static bool is_marked(void)
{
	return view_of("tick").fired_us >= now_us;
}

/* In the child, which has nothing of the parent's. Occurrence n is n minutes after the start; its
 * event runs and ends as fast as it can. */
static void fire_until_killed(void *arg _unused_, unsigned first, int pipe_fd)
{
	open_store();
	open_registry();
	now_us = (START_S + 60LL * first) * SECOND;
	open_all();
	for (unsigned n = first;; n++) {
		advance_to((START_S + 60LL * n) * SECOND);
		turn_until(is_marked);
		say_done(pipe_fd, n);
	}
}

/* How many events there ever were: a sequence is not used again. */
static unsigned count_events(void)
{
	sqlite3_stmt *statement;
	sqlite3 *connection;
	unsigned count;

	assert_int_equal(sqlite3_open(place->path, &connection), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(connection,
					    "SELECT seq FROM sqlite_sequence WHERE name = 'event'",
					    -1, &statement, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	count = (unsigned)sqlite3_column_int(statement, 0);
	(void)sqlite3_finalize(statement);
	assert_int_equal(sqlite3_close(connection), SQLITE_OK);
	return count;
}

static void test_killed_again_and_again(void **state _unused_)
{
	struct schedule_request request = request_of("tick", "rate(1 minute)");
	unsigned last = 0;

	open_registry();
	open_all();
	request.start_us = (START_S + 60) * SECOND;
	assert_int_equal(change(schedules_create, &request), ERROR_NONE);
	close_all();
	moody.inner = registry_close(moody.inner);
	place->store = event_store_close(place->store);

	for (unsigned round = 0; round < ROUNDS; round++)
		last = run_until_killed(fire_until_killed, NULL, last + 1, PER_ROUND,
					round * 10000);

	open_store();
	open_registry();
	now_us = (START_S + 60LL * last) * SECOND;
	open_all();
	/* What the last one had begun may be there; no more, and no fewer. */
	advance_to((START_S + 60LL * (last + 1)) * SECOND);
	turn_until(is_marked);
	assert_int_equal(schedule_gauges().missed, 0);
	close_all();
	place->store = event_store_close(place->store);
	assert_int_equal(count_events(), last + 1);
	open_store();
}

static int set_up_files(void **state)
{
	now_us = START_S * SECOND;
	moody = (struct moody_registry){ .base.ops = &moody_ops };
	return set_up(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_killed_again_and_again, set_up_files,
						tear_down_schedules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
