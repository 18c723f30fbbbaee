/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_audit mayfly_store mayfly_core mayfly_base

/* The audit log: what is noted is found, in order, by tenant and time, within its bounds. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/audit/trail.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"
#include "mayfly/log.h"

#define BLUE        "111111111111"
#define GREEN       "222222222222"
#define DEADLINE_US 20000000

struct node {
	char folder[64];
	char path[96];
	uint64_t max_records;
	int64_t keep_us;
	struct loop *loop;
	struct trail *trail;
	/* The last answer. */
	bool answered;
	size_t count;
	char methods[512]; /* of the records, blanks between */
	int64_t last_id, last_time_us;
	char last_principal[64], last_message[64];
	enum error_code code;
};

static int64_t age_step_us; /* of the time that records are deleted by */

static int64_t age_now_us(void *arg _unused_)
{
	return clock_realtime_us() + age_step_us;
}

static void open_trail(struct node *node)
{
	const struct trail_config config = { .path = node->path,
					     .max_records = node->max_records,
					     .keep_us = node->keep_us,
					     .age_now_us = age_now_us };

	assert_int_equal(loop_new(1, &node->loop), 0);
	assert_int_equal(trail_open(&config, node->loop, &node->trail, NULL), 0);
}

static void close_trail(struct node *node)
{
	loop_end_jobs(node->loop);
	node->trail = trail_close(node->trail);
	node->loop = loop_free(node->loop);
}

static int set_up(void **state)
{
	struct node *node = calloc(1, sizeof(*node));

	log_set_max_priority(LOG_ERR);
	(void)snprintf(node->folder, sizeof(node->folder), "/tmp/mayfly-audit-XXXXXX");
	assert_non_null(mkdtemp(node->folder));
	(void)snprintf(node->path, sizeof(node->path), "%s/audit.db", node->folder);
	node->max_records = 1000;
	node->keep_us = 3600 * USEC_PER_SEC;
	open_trail(node);
	*state = node;
	return 0;
}

static int tear_down(void **state)
{
	struct node *node = *state;

	close_trail(node);
	assert_int_equal(fs_remove_tree(node->folder), 0);
	free(node);
	return 0;
}

static struct audit_record record_of(const char *method, const char *tenant)
{
	return (struct audit_record){ .principal = "ann",
				      .access_key_id = "AKIA",
				      .tenant = tenant,
				      .method = method,
				      .resource = "f",
				      .peer = "unix",
				      .result = "OK",
				      .message = "",
				      .share = *tenant ? tenant : AUDIT_SHARE_OPERATORS };
}

static void note(struct node *node, const char *method, const char *tenant)
{
	const struct audit_record record = record_of(method, tenant);

	trail_note(node->trail, &record);
}

static void on_answer(const struct audit_record *records, size_t count, const struct error *error,
		      void *arg)
{
	struct node *node = arg;

	node->answered = true;
	node->count = count;
	node->code = error ? error->code : ERROR_NONE;
	node->methods[0] = 0;
	for (size_t i = 0; i < count; i++) {
		size_t len = strlen(node->methods);

		(void)snprintf(node->methods + len, sizeof(node->methods) - len, "%s%s",
			       i ? " " : "", records[i].method);
		assert_true(records[i].id > node->last_id || i == 0);
		node->last_id = records[i].id;
		node->last_time_us = records[i].time_us;
		(void)snprintf(node->last_principal, sizeof(node->last_principal), "%s",
			       records[i].principal);
		(void)snprintf(node->last_message, sizeof(node->last_message), "%s",
			       records[i].message);
	}
}

static void ask(struct node *node, const char *tenant, int64_t start_us, int64_t end_us,
		int64_t after_id, size_t limit)
{
	const struct audit_filter filter = { tenant, start_us, end_us, after_id, limit };

	node->answered = false;
	trail_query(node->trail, &filter, on_answer, node);
	assert_false(node->answered);
	while (!node->answered)
		assert_true(sd_event_run(loop_event(node->loop), DEADLINE_US) > 0);
	assert_int_equal(node->code, ERROR_NONE);
}

static void test_what_was_noted_is_found(void **state)
{
	struct node *node = *state;
	int64_t before = clock_realtime_us();
	struct audit_record odd = record_of("d", "");

	note(node, "a", BLUE);
	note(node, "b", GREEN);
	note(node, "c", BLUE);
	odd.principal = "o'hara\"; DROP TABLE record; --";
	odd.message = "gr\xc3\xbc\xc3\x9f";
	trail_note(node->trail, &odd);
	ask(node, "", 0, INT64_MAX, 0, 100);
	assert_string_equal(node->methods, "a b c d");
	assert_true(node->last_time_us >= before);
	assert_string_equal(node->last_principal, odd.principal);
	assert_string_equal(node->last_message, odd.message);
	ask(node, BLUE, 0, INT64_MAX, 0, 100);
	assert_string_equal(node->methods, "a c");
	ask(node, "999999999999", 0, INT64_MAX, 0, 100);
	assert_int_equal(node->count, 0);

	close_trail(node);
	open_trail(node);
	ask(node, GREEN, 0, INT64_MAX, 0, 100);
	assert_string_equal(node->methods, "b");
}

static void test_pages_and_times(void **state)
{
	struct node *node = *state;
	int64_t first_us;

	for (unsigned i = 0; i < 5; i++) {
		const char name[] = { (char)('a' + (char)i), 0 };

		note(node, name, BLUE);
	}
	ask(node, "", 0, INT64_MAX, 0, 2);
	assert_string_equal(node->methods, "a b");
	ask(node, "", 0, INT64_MAX, node->last_id, 2);
	assert_string_equal(node->methods, "c d");
	ask(node, "", 0, INT64_MAX, node->last_id, 2);
	assert_string_equal(node->methods, "e");
	first_us = node->last_time_us;
	ask(node, "", first_us + 1, INT64_MAX, 0, 100);
	assert_int_equal(node->count, 0);
	ask(node, "", first_us, INT64_MAX, 0, 100);
	assert_non_null(strchr(node->methods, 'e'));
	ask(node, "", 0, first_us, 0, 100);
	assert_null(strchr(node->methods, 'e'));
}

static void test_the_oldest_go(void **state)
{
	struct node *node = *state;

	close_trail(node);
	node->max_records = 3;
	open_trail(node);
	for (unsigned i = 0; i < 26; i++) {
		const char name[] = { (char)('a' + (char)i), 0 };

		note(node, name, BLUE);
	}
	ask(node, "", 0, INT64_MAX, 0, 100);
	assert_string_equal(node->methods, "x y z");

	close_trail(node);
	node->keep_us = -USEC_PER_SEC; /* all is too old, but for who knows better */
	age_step_us = -3600 * USEC_PER_SEC;
	open_trail(node);
	note(node, "kept", BLUE);
	ask(node, "", 0, INT64_MAX, 0, 100);
	assert_string_equal(node->methods, "y z kept");
	age_step_us = 0;
	note(node, "late", BLUE);
	ask(node, "", 0, INT64_MAX, 0, 100);
	assert_int_equal(node->count, 0);
}

static void note_many(struct node *node, unsigned count, const char *tenant)
{
	while (count-- > 0)
		note(node, "m", tenant);
}

static size_t count_of(struct node *node, const char *tenant)
{
	ask(node, tenant, 0, INT64_MAX, 0, 1000);
	return node->count;
}

/* Whoever has the most loses first; operators have a quarter that does not count. */
static void test_nobody_pushes_out_another(void **state)
{
	struct node *node = *state;

	close_trail(node);
	node->max_records = 100;
	open_trail(node);
	note(node, "key", GREEN);
	note_many(node, 25, "");
	note_many(node, 500, BLUE);
	assert_int_equal(count_of(node, GREEN), 1);
	assert_string_equal(node->methods, "key");
	assert_int_equal(count_of(node, BLUE), 74);
	assert_int_equal(count_of(node, ""), 100);
	/* Two who want more than there is have equal parts. */
	note_many(node, 500, GREEN);
	assert_in_range(count_of(node, GREEN), 36, 39);
	assert_in_range(count_of(node, BLUE), 36, 39);
	/* Operators may have more while there is room, but no more than others lose by it. */
	note_many(node, 500, "");
	assert_in_range(count_of(node, GREEN), 24, 26);
	assert_in_range(count_of(node, BLUE), 24, 26);
	assert_int_equal(count_of(node, ""), 100);

	close_trail(node); /* the counts are those of the file */
	open_trail(node);
	note_many(node, 500, BLUE);
	assert_in_range(count_of(node, GREEN), 24, 26);
	assert_int_equal(count_of(node, ""), 100);
}

static void test_more_sharers_than_room(void **state)
{
	struct node *node = *state;
	char tenant[13];

	close_trail(node);
	node->max_records = 50;
	open_trail(node);
	for (unsigned i = 0; i < 200; i++) {
		(void)snprintf(tenant, sizeof(tenant), "%012u", i);
		note_many(node, 2, tenant);
	}
	assert_int_equal(count_of(node, ""), 50);
}

/* As the first version made it. */
static void make_former_file(const char *path)
{
	sqlite3 *connection;

	assert_int_equal(sqlite3_open(path, &connection), SQLITE_OK);
	assert_int_equal(
		sqlite3_exec(connection,
			     "CREATE TABLE record (id INTEGER PRIMARY KEY AUTOINCREMENT, time_us "
			     "INTEGER NOT NULL, principal TEXT NOT NULL, access_key_id TEXT NOT "
			     "NULL, tenant TEXT NOT NULL, method TEXT NOT NULL, resource TEXT NOT "
			     "NULL, peer TEXT NOT NULL, result TEXT NOT NULL, message TEXT NOT "
			     "NULL) STRICT;"
			     "CREATE INDEX by_time ON record (time_us);"
			     "CREATE INDEX by_tenant ON record (tenant, id);"
			     "WITH RECURSIVE n(i) AS (SELECT 5 UNION ALL SELECT i + 1 FROM n LIMIT "
			     "50) INSERT INTO record SELECT i, 9000000000000000, 'ann', '', "
			     "'" GREEN "', 'old', '', '', 'OK', '' FROM n;"
			     "DELETE FROM record WHERE id = 30;"
			     "PRAGMA application_id = 0x4d464155; PRAGMA user_version = 1;",
			     NULL, NULL, NULL),
		SQLITE_OK);
	assert_int_equal(sqlite3_close(connection), SQLITE_OK);
}

static void test_a_former_file(void **state)
{
	struct node *node = *state;

	close_trail(node);
	(void)snprintf(node->path, sizeof(node->path), "%s/former.db", node->folder);
	make_former_file(node->path);
	node->max_records = 60;
	open_trail(node);
	assert_int_equal(count_of(node, GREEN), 49);
	note_many(node, 20, BLUE);
	assert_int_equal(count_of(node, GREEN), 39); /* one more was counted than there was */
	assert_int_equal(count_of(node, BLUE), 20);
	note_many(node, 1000, BLUE);
	assert_in_range(count_of(node, GREEN), 28, 30);
	note_many(node, 200, GREEN);
	assert_in_range(count_of(node, ""), 59, 60);
	ask(node, GREEN, 0, INT64_MAX, 0, 1);
	assert_string_equal(node->methods, "old");
	note_many(node, 200, "999999999999");
	close_trail(node);
	node->max_records = 3; /* down to little at once, the former ones included */
	open_trail(node);
	note(node, "new", BLUE);
	assert_in_range(count_of(node, ""), 2, 3);
}

static void test_the_file(void **state)
{
	struct node *node = *state;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct trail_config config = { .path = node->path, .max_records = 1 };
	struct trail *trail = NULL;
	struct stat st;

	assert_int_equal(stat(node->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	close_trail(node);
	(void)snprintf(node->path, sizeof(node->path), "%s/other.db", node->folder);
	assert_int_equal(
		fs_write_file_atomic(node->path, slice_from_string("no database at all"), 0600), 0);
	assert_int_equal(loop_new(1, &node->loop), 0);
	assert_true(trail_open(&config, node->loop, &trail, &error) < 0);
	assert_non_null(strstr(error_text(&error), node->path));
}

static void test_a_newer_file_is_refused(void **state)
{
	struct node *node = *state;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct trail_config config = { .path = node->path, .max_records = 1 };
	struct trail *trail = NULL;
	sqlite3 *connection;

	close_trail(node);
	assert_int_equal(sqlite3_open(node->path, &connection), SQLITE_OK);
	assert_int_equal(sqlite3_exec(connection, "PRAGMA user_version = 3", NULL, NULL, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_close(connection), SQLITE_OK);
	assert_int_equal(loop_new(1, &node->loop), 0);
	assert_true(trail_open(&config, node->loop, &trail, &error) < 0);
	assert_non_null(strstr(error_text(&error), "has version 3"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_was_noted_is_found, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_pages_and_times, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_oldest_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nobody_pushes_out_another, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_more_sharers_than_room, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_former_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_newer_file_is_refused, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
