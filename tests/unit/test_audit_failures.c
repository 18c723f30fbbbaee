/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_audit mayfly_store mayfly_core mayfly_base

/* Calls that failed: some of each caller are noted, the others counted. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "agent/audit/failures.h"
#include "clock_double.h"
#include "mayfly/fs.h"
#include "mayfly/log.h"

#define BLUE  "111111111111"
#define GREEN "222222222222"

struct node {
	char folder[64];
	struct loop *loop;
	struct trail *trail;
	struct failures failures;
	/* The last answer. */
	bool answered;
	size_t count;
	char last_message[96], last_principal[64], last_method[64];
};

static int set_up(void **state)
{
	struct node *node = calloc(1, sizeof(*node));
	char path[96];

	log_set_max_priority(LOG_ERR);
	clock_double_realtime_us = 1000 * USEC_PER_SEC;
	(void)snprintf(node->folder, sizeof(node->folder), "/tmp/mayfly-failures-XXXXXX");
	assert_non_null(mkdtemp(node->folder));
	(void)snprintf(path, sizeof(path), "%s/audit.db", node->folder);
	const struct trail_config config = { .path = path,
					     .max_records = 100000,
					     .keep_us = 3600 * USEC_PER_SEC };
	assert_int_equal(loop_new(1, &node->loop), 0);
	assert_int_equal(trail_open(&config, node->loop, &node->trail, NULL), 0);
	node->failures = (struct failures){ .trail = node->trail, .loop = node->loop };
	*state = node;
	return 0;
}

static int tear_down(void **state)
{
	struct node *node = *state;

	failures_end(&node->failures);
	loop_end_jobs(node->loop);
	trail_close(node->trail);
	loop_free(node->loop);
	assert_int_equal(fs_remove_tree(node->folder), 0);
	free(node);
	return 0;
}

static void refuse(struct node *node, unsigned count, const char *principal, const char *tenant)
{
	const struct audit_record record = { .principal = principal,
					     .access_key_id = "AKIA",
					     .tenant = tenant,
					     .method = "mayfly.v1.FunctionService/List",
					     .resource = "f",
					     .peer = "here",
					     .result = "AccessDeniedException",
					     .message = "No.",
					     .share = tenant };

	while (count-- > 0)
		failures_note(&node->failures, &record);
}

static void on_answer(const struct audit_record *records, size_t count, const struct error *error,
		      void *arg)
{
	struct node *node = arg;

	assert_null(error);
	node->answered = true;
	node->count = count;
	if (count == 0)
		return;
	(void)snprintf(node->last_message, sizeof(node->last_message), "%s",
		       records[count - 1].message);
	(void)snprintf(node->last_principal, sizeof(node->last_principal), "%s",
		       records[count - 1].principal);
	(void)snprintf(node->last_method, sizeof(node->last_method), "%s",
		       records[count - 1].method);
}

static size_t count_of(struct node *node, const char *tenant)
{
	const struct audit_filter filter = { tenant, 0, INT64_MAX, 0, 1000 };

	node->answered = false;
	trail_query(node->trail, &filter, on_answer, node);
	while (!node->answered)
		assert_true(sd_event_run(loop_event(node->loop), UINT64_MAX) > 0);
	return node->count;
}

static void test_one_caller(void **state)
{
	struct node *node = *state;

	refuse(node, 60, "ann", BLUE);
	assert_int_equal(count_of(node, BLUE), 60);
	assert_string_equal(node->last_message, "No.");
	assert_null(node->failures.timer.source);
	refuse(node, 40, "ann", BLUE);
	assert_non_null(node->failures.timer.source); /* for the end of the minute */
	refuse(node, 2, "bob", BLUE);                 /* others have their own count */
	refuse(node, 1, "ann", GREEN);
	assert_int_equal(count_of(node, BLUE), 62);
	assert_int_equal(count_of(node, GREEN), 1);

	clock_double_passed_us += 60 * USEC_PER_SEC;
	refuse(node, 1, "bob", BLUE); /* the first of a new minute */
	assert_int_equal(count_of(node, BLUE), 64);
	refuse(node, 100, "ann", BLUE);
	failures_end(&node->failures);
	assert_null(node->failures.timer.source);
	assert_int_equal(count_of(node, BLUE), 125);
	assert_string_equal(node->last_message, "40 more calls that failed in one minute");
	assert_string_equal(node->last_principal, "ann");
	assert_string_equal(node->last_method, "");
	failures_end(&node->failures);
	assert_int_equal(count_of(node, BLUE), 125);
}

static void test_more_callers_than_are_told_apart(void **state)
{
	struct node *node = *state;
	char name[16];

	for (unsigned i = 0; i < FAILURES_CALLERS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "u%u", i);
		refuse(node, 1, name, GREEN);
	}
	refuse(node, 7, "ann", BLUE);
	assert_int_equal(count_of(node, BLUE), 0);
	failures_end(&node->failures);
	assert_int_equal(node->failures.count, 0);
	refuse(node, 1, "ann", BLUE);
	assert_int_equal(count_of(node, BLUE), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_caller, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_more_callers_than_are_told_apart, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
