/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_schedules mayfly_events mayfly_store mayfly_functions mayfly_core mayfly_base
// mayfly_pkg_sqlite

/* Schedules: what may be asked for, how they change, and how they are listed. */

#include "tests/unit/schedule_harness.h"

static void test_create_get_delete(void **state _unused_)
{
	struct schedule_request request = request_of("nightly", "cron(30 2 * * ? *)");
	struct schedule_view view;

	open_all();
	request.timezone = "Europe/Berlin";
	request.description = "at night";
	assert_int_equal(change(schedules_create, &request), ERROR_NONE);
	view = view_of("nightly");
	assert_non_null(view.schedule);
	assert_string_equal(view.schedule->tenant, TENANT);
	assert_string_equal(view.schedule->description, "at night");
	assert_string_equal(view.schedule->target.name, "f");
	assert_string_equal(view.schedule->target.qualifier, "live");
	assert_int_equal(view.schedule->max_age_s, 86400);
	assert_int_equal(view.schedule->max_retries, 185);
	assert_int_equal(view.schedule->created_us, now_us);
	assert_int_equal(view.next_us, (START_S + 5400) * SECOND);
	assert_int_equal(view.fired_us, 0);
	assert_null(view_of("other").schedule);

	/* The same after a restart. */
	close_all();
	open_all();
	view = view_of("nightly");
	assert_non_null(view.schedule);
	assert_string_equal(view.schedule->expression, "cron(30 2 * * ? *)");
	assert_string_equal(view.schedule->timezone, "Europe/Berlin");
	assert_string_equal(view.schedule->target.qualifier, "live");
	assert_int_equal(view.next_us, (START_S + 5400) * SECOND);

	assert_int_equal(delete ("nightly"), ERROR_NONE);
	assert_null(view_of("nightly").schedule);
	assert_int_equal(delete ("nightly"), ERROR_NOT_FOUND);
	assert_string_equal(changed_message, "Schedule nightly does not exist.");
	close_all();
	open_all();
	assert_int_equal(schedule_gauges().count, 0);
}

static void test_names_are_given_once(void **state _unused_)
{
	struct schedule_request request = request_of("a", "rate(1 day)");

	open_all();
	request.client_token = "one";
	assert_int_equal(change(schedules_create, &request), ERROR_NONE);
	/* The same request again is answered as the first. */
	assert_int_equal(change(schedules_create, &request), ERROR_NONE);
	assert_non_null(changed_view.schedule);
	request.description = "another";
	assert_int_equal(change(schedules_create, &request), ERROR_CONFLICT);
	assert_string_equal(changed_message, "Schedule a already exists.");
	request.description = "";
	request.client_token = "two";
	assert_int_equal(change(schedules_create, &request), ERROR_CONFLICT);
	request.client_token = "";
	assert_int_equal(change(schedules_create, &request), ERROR_CONFLICT);
	/* Another tenant's is another one. */
	request.tenant = OTHER;
	assert_int_equal(change(schedules_create, &request), ERROR_NONE);
	assert_int_equal(schedules_count(schedules, TENANT), 1);
	assert_int_equal(schedules_count(schedules, OTHER), 1);
	assert_int_equal(schedules_count(schedules, "000000000000"), 0);
}

static void check_refused(struct schedule_request request, enum error_code code,
			  const char *message)
{
	assert_int_equal(change(schedules_create, &request), code);
	if (strncmp(changed_message, message, strlen(message)) != 0)
		fail_msg("%s, not %s", changed_message, message);
	if (strcmp(request.name, "a") == 0)
		assert_null(view_of("a").schedule);
}

#define WITH(member, value)                                                                        \
	({                                                                                         \
		struct schedule_request _request = request_of("a", "rate(1 day)");                 \
		_request.member = value;                                                           \
		_request;                                                                          \
	})

static void test_refusals(void **state _unused_)
{
	char name[SCHEDULE_NAME_MAX + 2], text[2 * SCHEDULE_DESCRIPTION_MAX + 3], large[1100];
	unsigned number;

	open_all();
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	check_refused(WITH(name, name), ERROR_INVALID_PARAMETER,
		      "1 validation error detected: Value 'nnn");
	check_refused(
		WITH(name, ""), ERROR_INVALID_PARAMETER,
		"1 validation error detected: Value '' at 'name' failed to satisfy constraint: "
		"Member must satisfy regular expression pattern: ^[0-9a-zA-Z-_.]+$");
	check_refused(WITH(name, "a/b"), ERROR_INVALID_PARAMETER, "1 validation error");
	/* Characters count, not bytes. */
	for (unsigned i = 0; i <= SCHEDULE_DESCRIPTION_MAX; i++)
		memcpy(text + 2 * (size_t)i, "\xc3\xa4", 2);
	text[sizeof(text) - 1] = 0;
	check_refused(WITH(description, text), ERROR_INVALID_PARAMETER,
		      "1 validation error detected: Value '\xc3\xa4");
	check_refused(WITH(expression, "rate(1 week)"), ERROR_INVALID_PARAMETER,
		      "Invalid Schedule Expression rate(1 week). ");
	check_refused(WITH(expression, "cron(0 0 31 2 ? *)"), ERROR_INVALID_PARAMETER,
		      "Invalid Schedule Expression cron(0 0 31 2 ? *). It names a day that never");
	check_refused(WITH(expression, "at(2099-12-30T23:59:59)"), ERROR_INVALID_PARAMETER,
		      "Invalid Schedule Expression at(2099-12-30T23:59:59). That time has passed.");
	check_refused(WITH(timezone, "Europe/Nowhere"), ERROR_INVALID_PARAMETER,
		      "Invalid Schedule Expression Timezone Europe/Nowhere.");
	check_refused(WITH(timezone, "../../../etc/passwd"), ERROR_INVALID_PARAMETER,
		      "Invalid Schedule Expression Timezone ../../../etc/passwd.");
	check_refused(WITH(start_us, -1), ERROR_INVALID_PARAMETER,
		      "1 validation error detected: Value '-1' at 'startDate'");
	struct schedule_request request = WITH(start_us, 1000);
	request.end_us = 1000;
	check_refused(request, ERROR_INVALID_PARAMETER, "The EndDate must be after the StartDate.");
	check_refused(WITH(is_flexible, true), ERROR_INVALID_PARAMETER,
		      "1 validation error detected: Value '0' at "
		      "'flexibleTimeWindow.maximumWindowInMinutes' failed to satisfy constraint: "
		      "Member must have value greater than or equal to 1");
	check_refused(WITH(window_minutes, 5), ERROR_INVALID_PARAMETER,
		      "MaximumWindowInMinutes must not be given");
	number = 59;
	check_refused(WITH(max_age_s, &number), ERROR_INVALID_PARAMETER,
		      "1 validation error detected: Value '59' at "
		      "'target.retryPolicy.maximumEventAgeInSeconds'");
	number = 186;
	check_refused(WITH(max_retries, &number), ERROR_INVALID_PARAMETER,
		      "1 validation error detected: Value '186' at "
		      "'target.retryPolicy.maximumRetryAttempts'");
	check_refused(WITH(target, ""), ERROR_INVALID_PARAMETER,
		      "1 validation error detected: Value null at 'target.arn'");
	check_refused(WITH(target, "arn:aws:lambda:eu-central-1:210987654321:function:f"),
		      ERROR_ACCESS_DENIED, "Functions of account 210987654321 are not accessible");
	check_refused(WITH(input, "{\"a\": }"), ERROR_INVALID_PARAMETER,
		      "The Input of the target is not valid JSON: ");
	memset(large, '1', sizeof(large) - 1);
	large[sizeof(large) - 1] = 0;
	check_refused(WITH(input, large), ERROR_CONFLICT, "The inputs of tenant 123456789012's");
	function_is_gone = true;
	check_refused(WITH(target, "gone"), ERROR_NOT_FOUND, "Function not found: gone");
	function_is_gone = false;
	function.config.tenancy = TENANCY_PER_TENANT;
	check_refused(WITH(target, "f"), ERROR_INVALID_PARAMETER,
		      "The invoked function is enabled with tenancy configuration.");
	function.config.tenancy = TENANCY_SHARED;
	for (unsigned i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "b%u", i);
		create(name, "rate(1 day)");
	}
	check_refused(WITH(name, "a"), ERROR_CONFLICT, "Tenant 123456789012 has 20 schedules, ");
	/* What there is may be changed all the same. */
	request = request_of("b1", "rate(2 days)");
	assert_int_equal(change(schedules_update, &request), ERROR_NONE);
}

static void test_update_replaces(void **state _unused_)
{
	struct schedule_request request = request_of("a", "rate(1 hour)");
	int64_t first_us, created_us;
	unsigned number = 60;

	open_all();
	request.description = "first";
	request.max_age_s = &number;
	request.start_us = now_us + 10 * MINUTE;
	assert_int_equal(change(schedules_create, &request), ERROR_NONE);
	created_us = now_us;
	first_us = view_of("a").next_us;
	assert_int_equal(first_us, now_us + 10 * MINUTE);

	/* What has nothing to do with times leaves them alone. */
	now_us += MINUTE;
	request.description = "second";
	assert_int_equal(change(schedules_update, &request), ERROR_NONE);
	assert_string_equal(view_of("a").schedule->description, "second");
	assert_int_equal(view_of("a").next_us, first_us);
	assert_int_equal(view_of("a").schedule->created_us, created_us);
	assert_int_equal(view_of("a").schedule->modified_us, now_us);

	/* What is not given is as by default. */
	request = request_of("a", "rate(2 hours)");
	assert_int_equal(change(schedules_update, &request), ERROR_NONE);
	assert_string_equal(view_of("a").schedule->description, "");
	assert_int_equal(view_of("a").schedule->max_age_s, 86400);

	request = request_of("nobody", "rate(2 hours)");
	assert_int_equal(change(schedules_update, &request), ERROR_NOT_FOUND);
	assert_string_equal(changed_message, "Schedule nobody does not exist.");
	close_all();
	open_all();
	assert_string_equal(view_of("a").schedule->expression, "rate(2 hours)");
}

/* A change that cannot be written down did not happen. */
static void test_disk_full(void **state _unused_)
{
	struct schedule_request request = request_of("a", "rate(1 day)");

	open_all();
	set_mood(ERROR_UNAVAILABLE);
	assert_int_equal(change(schedules_create, &request), ERROR_UNAVAILABLE);
	assert_null(view_of("a").schedule);
	assert_int_equal(schedules_count(schedules, TENANT), 0);
	set_mood(ERROR_NONE);
	request.start_us = now_us + MINUTE;
	assert_int_equal(change(schedules_create, &request), ERROR_NONE);
	set_mood(ERROR_UNAVAILABLE);
	request.description = "x";
	assert_int_equal(change(schedules_update, &request), ERROR_UNAVAILABLE);
	assert_string_equal(view_of("a").schedule->description, "");
	assert_int_equal(delete ("a"), ERROR_UNAVAILABLE);
	assert_int_equal(view_of("a").next_us, now_us + MINUTE);
}

/* -- pages -- */

static void check_page(const char *prefix, int state, unsigned max, const char *after,
		       const char *names, const char *next)
{
	struct schedules_filter filter = { .tenant = TENANT,
					   .name_prefix = prefix,
					   .has_state = state >= 0,
					   .disabled = state > 0,
					   .max_results = max,
					   .after = after };
	struct schedules_page page;
	char text[256] = "";

	assert_int_equal(schedules_list(schedules, &filter, &page, NULL), 0);
	for (size_t i = 0; i < page.count; i++)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s ",
			       page.views[i].schedule->name);
	assert_string_equal(text, names);
	assert_string_equal(page.next, next);
}

static void test_pages(void **state _unused_)
{
	static const char *const names[] = { "b-1", "a", "b-3", "c.x", "b-2", "b" };
	struct schedule_request request;

	open_all();
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		request = request_of(names[i], "rate(1 day)");
		request.disabled = i % 2;
		assert_int_equal(change(schedules_create, &request), ERROR_NONE);
		request.tenant = OTHER;
		assert_int_equal(change(schedules_create, &request), ERROR_NONE);
	}
	check_page("", -1, 0, "", "a b b-1 b-2 b-3 c.x ", "");
	check_page("", -1, 4, "", "a b b-1 b-2 ", "b-2");
	check_page("", -1, 4, "b-2", "b-3 c.x ", "");
	check_page("b-", -1, 0, "", "b-1 b-2 b-3 ", "");
	check_page("b-", -1, 2, "", "b-1 b-2 ", "b-2");
	check_page("b-", -1, 2, "b-2", "b-3 ", "");
	check_page("", 1, 0, "", "a b c.x ", "");
	check_page("", 0, 2, "", "b-1 b-2 ", "b-2");
	check_page("", 0, 2, "b-2", "b-3 ", "");
	check_page("zz", -1, 0, "", "", "");

	struct schedules_filter filter = {
		.tenant = TENANT, .name_prefix = "", .max_results = 101, .after = ""
	};
	struct schedules_page page;
	assert_int_equal(schedules_list(schedules, &filter, &page, NULL), -EINVAL);
	filter.max_results = 0;
	filter.after = "a b";
	assert_int_equal(schedules_list(schedules, &filter, &page, NULL), -EINVAL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_schedules, tear_down_schedules)
	const struct CMUnitTest tests[] = {
		TEST(test_create_get_delete), TEST(test_names_are_given_once),
		TEST(test_refusals),          TEST(test_update_replaces),
		TEST(test_disk_full),         TEST(test_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
