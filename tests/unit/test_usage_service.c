/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_api mayfly_client mayfly_account mayfly_store mayfly_pkg_sqlite

/* UsageService over a real socket, with a real ledger. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "agent/api/usage_service.h"
#include "tests/unit/ledger_harness.h"
#include "tests/unit/service_harness.h"

#define RECORDS 1201 /* two pages of an export, and one record */
#define OTHER   "999999999999"
#define MINUTE  (60 * USEC_PER_SEC)
#define DAY_US  (24 * LEDGER_HOUR_US)

struct node {
	struct harness harness;
	struct ledger_place place;
	struct account *account;
	struct usage_service *service;
	bool flushed;
};

/* -- a node -- */

static void on_flushed(void *arg)
{
	*(bool *)arg = true;
}

/* Its timers go with it, before the loop. */
static void stop_service(void *arg)
{
	struct node *node = arg;

	usage_service_stop(node->service);
	account_flush(node->account, on_flushed, &node->flushed);
}

static void commit(struct node *node, struct ledger_record *records, size_t count)
{
	bool wal_is_long;

	for (size_t i = 0; i + 1 < count; i++)
		records[i].next = &records[i + 1];
	assert_int_equal(ledger_commit(node->place.ledger, records, &wal_is_long, NULL), 0);
}

/* In the second half of the hour after noon; one is of another tenant, an hour later. */
static void add_records(struct node *node)
{
	struct ledger_record *records = calloc(RECORDS, sizeof(*records));
	struct ledger_record other = ledger_sample(RECORDS, "f", NOON_US + LEDGER_HOUR_US);

	assert_non_null(records);
	for (unsigned i = 0; i < RECORDS; i++)
		records[i] = ledger_sample(i, i % 2 ? "f" : "g", NOON_US + 30 * MINUTE + i);
	commit(node, records, RECORDS);
	(void)snprintf(other.tenant, sizeof(other.tenant), "%s", OTHER);
	commit(node, &other, 1);
	free(records);
}

static int set_up_trimmed(void **state, unsigned trimmed)
{
	struct node *node = calloc(1, sizeof(*node));
	unsigned deleted = 0;
	struct account_config config = { .answer_wait_us = MINUTE,
					 .raw_keep_us = 36500 * DAY_US,
					 .prices = { .request_pico = 5 } };

	harness_open(&node->harness);
	ledger_make(&node->place);
	add_records(node);
	if (trimmed > 0)
		assert_int_equal(ledger_trim(node->place.ledger, INT64_MAX, INT64_MAX, trimmed,
					     &deleted, NULL),
				 0);
	assert_int_equal(deleted, trimmed);
	config.ledger = node->place.ledger;
	assert_int_equal(account_new(&config, node->harness.loop, &node->account, NULL), 0);
	assert_int_equal(usage_service_register(node->harness.server, node->account, NULL,
						&node->harness.context, &node->service, NULL),
			 0);
	node->harness.stop = stop_service;
	node->harness.stop_arg = node;
	harness_serve(&node->harness);
	*state = node;
	return 0;
}

static int set_up(void **state)
{
	return set_up_trimmed(state, 0);
}

static int set_up_hole(void **state)
{
	return set_up_trimmed(state, 10);
}

static int tear_down(void **state)
{
	struct node *node = *state;

	harness_end(&node->harness);
	assert_true(node->flushed);
	usage_service_free(node->service);
	account_free(node->account);
	ledger_unmake(&node->place);
	harness_close(&node->harness);
	free(node);
	return 0;
}

/* -- Query -- */

struct asked {
	Mayfly__V1__QueryUsageRequest request;
	Mayfly__V1__UsageFilter filter;
	Mayfly__V1__UsageGroup groups[4];
};

static void asked_init(struct asked *asked)
{
	mayfly__v1__query_usage_request__init(&asked->request);
	mayfly__v1__usage_filter__init(&asked->filter);
	asked->request.filter = &asked->filter;
	asked->request.group_by = asked->groups;
}

static Mayfly__V1__QueryUsageResponse *query(struct node *node, struct asked *asked)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	Mayfly__V1__QueryUsageResponse *answer = NULL;

	if (client_usage_query(node->harness.client, &asked->request, &answer, &error) < 0)
		fail_msg("%s", error_text(&error));
	return answer;
}

static void assert_refused(struct node *node, struct asked *asked, enum error_code code,
			   const char *field)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	Mayfly__V1__QueryUsageResponse *answer = NULL;

	assert_true(client_usage_query(node->harness.client, &asked->request, &answer, &error) < 0);
	assert_int_equal(error.code, code);
	assert_string_equal(error.field, field);
}

static void what_is_wrong_is_named(void **state)
{
	struct node *node = *state;
	struct asked asked;
	char version[LEDGER_VERSION_BYTES + 1];

	memset(version, '1', LEDGER_VERSION_BYTES);
	version[LEDGER_VERSION_BYTES] = '\0';
#define REFUSED(change, code, field)                                                               \
	asked_init(&asked);                                                                        \
	change;                                                                                    \
	assert_refused(node, &asked, code, field)
	REFUSED(asked.request.tenant = (char *)"1", ERROR_INVALID_PARAMETER, "tenant");
	REFUSED(asked.request.tenant = (char *)OTHER, ERROR_NOT_FOUND, "tenant");
	REFUSED(asked.filter.version = version, ERROR_INVALID_PARAMETER, "version");
	REFUSED(asked.filter.from_us = -1, ERROR_INVALID_PARAMETER, "from_us");
	REFUSED((asked.filter.from_us = 2, asked.filter.to_us = 1), ERROR_INVALID_PARAMETER,
		"to_us");
	REFUSED(asked.request.marker = (char *)"-1", ERROR_INVALID_PARAMETER, "marker");
	REFUSED(asked.request.marker = (char *)"99999999999999999999", ERROR_INVALID_PARAMETER,
		"marker");
	REFUSED(asked.request.max_items = 1001, ERROR_INVALID_PARAMETER, "max_items");
	REFUSED(asked.request.order = (Mayfly__V1__UsageOrder)9, ERROR_INVALID_PARAMETER, "order");
	REFUSED((asked.request.n_group_by = 1, asked.groups[0] = (Mayfly__V1__UsageGroup)0),
		ERROR_INVALID_PARAMETER, "group_by");
	REFUSED((asked.request.n_group_by = 2,
		 asked.groups[0] = MAYFLY__V1__USAGE_GROUP__USAGE_GROUP_HOUR,
		 asked.groups[1] = MAYFLY__V1__USAGE_GROUP__USAGE_GROUP_DAY),
		ERROR_INVALID_PARAMETER, "group_by");
#undef REFUSED
}

static void a_tenant_sees_its_own(void **state)
{
	struct node *node = *state;
	_cleanup_message_ Mayfly__V1__QueryUsageResponse *mine = NULL, *all = NULL;
	struct asked asked;

	asked_init(&asked);
	asked.request.n_group_by = 1;
	asked.groups[0] = MAYFLY__V1__USAGE_GROUP__USAGE_GROUP_TENANT;
	mine = query(node, &asked);
	assert_int_equal(mine->n_rows, 1);
	assert_string_equal(mine->rows[0]->tenant, TENANT);
	assert_int_equal(mine->total->figures->invocations, RECORDS);
	assert_int_equal(mine->total->cost->picos, 5 * RECORDS);
	assert_int_equal(mine->price_request_pico, 5);
	asked.request.all_tenants = true;
	all = query(node, &asked);
	assert_int_equal(all->n_rows, 2);
	assert_string_equal(all->rows[1]->tenant, OTHER);
	assert_int_equal(all->total->figures->invocations, RECORDS + 1);
}

static void times_are_widened_to_hours(void **state)
{
	struct node *node = *state;
	_cleanup_message_ Mayfly__V1__QueryUsageResponse *within = NULL, *before = NULL;
	struct asked asked;

	asked_init(&asked);
	asked.filter.from_us = NOON_US + 10 * MINUTE;
	asked.filter.to_us = NOON_US + 11 * MINUTE;
	within = query(node, &asked);
	assert_int_equal(within->from_us, NOON_US);
	assert_int_equal(within->to_us, NOON_US + LEDGER_HOUR_US);
	assert_int_equal(within->total->figures->invocations, RECORDS);
	asked.filter.from_us = NOON_US - 1;
	asked.filter.to_us = NOON_US;
	before = query(node, &asked);
	assert_int_equal(before->from_us, NOON_US - LEDGER_HOUR_US);
	assert_int_equal(before->to_us, NOON_US);
	assert_int_equal(before->total->figures->invocations, 0);
}

/* -- Export -- */

/* How many records came, in pages of these sizes ("500,500,201"), and the last token. */
struct exported {
	size_t count;
	char pages[64];
	char token[32];
};

static int export(struct node *node, const char *token, bool all_tenants, struct exported *ret,
		  struct error *error)
{
	_cleanup_(client_stream_close_p) struct client_stream *stream = NULL;
	Mayfly__V1__ExportUsageRequest request = MAYFLY__V1__EXPORT_USAGE_REQUEST__INIT;
	Mayfly__V1__UsageFilter filter = MAYFLY__V1__USAGE_FILTER__INIT;
	int r;

	*ret = (struct exported){ 0 };
	request.all_tenants = all_tenants;
	request.filter = &filter;
	request.resume_token = (char *)(uintptr_t)token;
	r = client_usage_export(node->harness.client, &request, &stream, error);
	while (r >= 0) {
		_cleanup_message_ Mayfly__V1__ExportUsageResponse *page = NULL;
		size_t len = strlen(ret->pages);

		r = client_usage_export_next(stream, &page, error);
		if (r <= 0)
			break;
		for (size_t i = 0; i < page->n_records; i++)
			assert_true(i == 0 || page->records[i]->started_at_us >
						      page->records[i - 1]->started_at_us);
		ret->count += page->n_records;
		(void)snprintf(ret->pages + len, sizeof(ret->pages) - len, "%s%zu", len ? "," : "",
			       page->n_records);
		(void)snprintf(ret->token, sizeof(ret->token), "%s", page->resume_token);
	}
	return r;
}

static void an_export_goes_on_where_another_ended(void **state)
{
	struct node *node = *state;
	struct exported exported;

	assert_int_equal(export(node, "", false, &exported, NULL), 0);
	assert_string_equal(exported.pages, "500,500,201");
	assert_string_equal(exported.token, "1201");
	assert_int_equal(export(node, "1000", false, &exported, NULL), 0);
	assert_string_equal(exported.pages, "201");
	assert_int_equal(export(node, "1201", false, &exported, NULL), 0);
	assert_string_equal(exported.pages, "");
	assert_int_equal(export(node, "1201", true, &exported, NULL), 0);
	assert_string_equal(exported.pages, "1");
}

static void an_export_with_a_hole_is_refused(void **state)
{
	struct node *node = *state;
	_cleanup_error_ struct error error = ERROR_INIT, garbage = ERROR_INIT;
	struct exported exported;

	/* Ten were deleted before this account began. */
	assert_int_equal(export(node, "10", false, &exported, NULL), 0);
	assert_int_equal(exported.count, RECORDS - 10);
	assert_true(export(node, "9", false, &exported, &error) < 0);
	assert_int_equal(error.code, ERROR_INVALID_PARAMETER);
	assert_string_equal(error.field, "resume_token");
	assert_non_null(strstr(error_text(&error), "have been deleted"));
	/* Without a token: what is there. */
	assert_int_equal(export(node, "", false, &exported, NULL), 0);
	assert_int_equal(exported.count, RECORDS - 10);
	assert_true(export(node, "1x", false, &exported, &garbage) < 0);
	assert_string_equal(garbage.field, "resume_token");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_wrong_is_named),
		TEST(a_tenant_sees_its_own),
		TEST(times_are_widened_to_hours),
		TEST(an_export_goes_on_where_another_ended),
		cmocka_unit_test_setup_teardown(an_export_with_a_hole_is_refused, set_up_hole,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
