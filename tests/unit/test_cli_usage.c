/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_cli mayfly_rpc

/* What the verbs of usage ask a scripted node, print of its answer, and refuse. */

#include "tests/unit/cli_harness.h"

#include "cli/usage.h"
#include "mayfly/clock.h"

#define DAY_US (86400 * USEC_PER_SEC)

static void a_query_pages_and_adds_the_total(void **state _unused_)
{
	_cleanup_output_ struct output o =
		run("usage", "query", "area", "--by", "function,day", "--sort", "gb-seconds",
		    "--month", "2026-11", "--version", "7", NULL);

	assert_int_equal(o.code, 0);
	const Mayfly__V1__QueryUsageRequest *r = last_request();
	assert_string_equal(r->marker, "1");
	assert_string_equal(r->filter->function_name, "area");
	assert_string_equal(r->filter->version, "7");
	assert_false(r->all_tenants);
	assert_int_equal(r->filter->from_us, 1793491200 * USEC_PER_SEC);
	assert_int_equal(r->filter->to_us, r->filter->from_us + 30 * DAY_US);
	assert_int_equal(r->order, MAYFLY__V1__USAGE_ORDER__USAGE_ORDER_GB_SECONDS);
	assert_int_equal(r->n_group_by, 2);
	assert_int_equal(r->group_by[0], MAYFLY__V1__USAGE_GROUP__USAGE_GROUP_FUNCTION);
	assert_int_equal(r->group_by[1], MAYFLY__V1__USAGE_GROUP__USAGE_GROUP_DAY);
	const char *text = buf_string(&o.out);
	const char *first = strstr(text, "\nf ");
	const char *second = strstr(text, "\ng ");
	const char *total = strstr(text, "\ntotal ");
	assert_true(first && second > first && total > second);
	assert_non_null(strstr(first, "2026-11-25"));
	assert_non_null(strstr(first, "1.500"));
	assert_non_null(strstr(total, "12.50002\n"));
}

static void a_query_as_json_has_whole_numbers(void **state _unused_)
{
	_cleanup_output_ struct output o =
		run("usage", "query", "--limit", "1", "--all-tenants", "--from",
		    "2026-11-25T13:30Z", "--to", "2026-12-01", "-o", "json", NULL);

	assert_int_equal(o.code, 0);
	const Mayfly__V1__QueryUsageRequest *r = last_request();
	assert_int_equal(r->max_items, 1);
	assert_string_equal(r->marker, "");
	assert_true(r->all_tenants);
	assert_int_equal(r->filter->from_us, 1795613400 * USEC_PER_SEC);
	assert_int_equal(r->filter->to_us, 1796083200 * USEC_PER_SEC);
	json_t *json = parse(&o);
	const json_t *rows = json_object_get(json, "Rows");
	assert_int_equal(json_array_size(rows), 1);
	const json_t *row = json_array_get(rows, 0);
	assert_int_equal(json_integer_value(json_object_get(row, "BilledMbMs")), 1536000);
	assert_string_equal(json_string_value(json_object_get(row, "Cost")), "12.50002");
	json_decref(json);
}

static void the_last_month_ends_with_the_year(void **state _unused_)
{
	_cleanup_output_ struct output o = run("usage", "query", "--month", "2026-12", NULL);

	assert_int_equal(o.code, 0);
	const Mayfly__V1__QueryUsageRequest *r = last_request();
	assert_int_equal(r->filter->to_us - r->filter->from_us, 31 * DAY_US);
}

static void wrong_options_are_refused(void **state _unused_)
{
	static const char *const cases[][5] = {
		{ "--by", "function,minute", NULL },
		{ "--by", "", NULL },
		{ "--month", "2026", NULL },
		{ "--month", "2026-13", NULL },
		{ "--from", "yesterday", NULL },
		{ "--to", "2026-11-25T13", NULL },
		{ "--limit", "0", NULL },
		{ "--sort", "cost", NULL },
		{ "--month", "2026-11", "--since", "1h", NULL },
		{ "--month", "2026-11", "--to", "2026-11-02", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_output_ struct output o =
			run("usage", "query", cases[i][0], cases[i][1], cases[i][2],
			    cases[i][2] ? cases[i][3] : NULL, NULL);

		assert_int_equal(o.code, 2);
		assert_int_equal(o.out.len, 0);
	}
}

static void a_difference_is_told_and_fails(void **state _unused_)
{
	_cleanup_output_ struct output o = run("usage", "reconcile", NULL);

	assert_int_equal(o.code, 1);
	assert_non_null(strstr(buf_string(&o.out), "2 differences\n"));
	assert_non_null(strstr(buf_string(&o.out), "billed_ms"));
	assert_non_null(strstr(buf_string(&o.out), "3 sandboxes counted"));
	assert_non_null(strstr(buf_string(&o.out), "more CPU time than was billed"));
	assert_null(strstr(buf_string(&o.out), "within"));
	assert_non_null(strstr(buf_string(&o.err), "does not agree with itself"));
}

static void cpu_time_of_all_versions_is_shown_on_demand(void **state _unused_)
{
	_cleanup_output_ struct output o = run("usage", "reconcile", "--cpu", NULL);
	_cleanup_output_ struct output json = run("usage", "reconcile", "--output", "json", NULL);

	assert_non_null(strstr(buf_string(&o.out), "more CPU time than was billed"));
	assert_non_null(strstr(buf_string(&o.out), "within"));
	assert_non_null(strstr(buf_string(&json.out), "\"ServeUs\": 2500000"));
	assert_non_null(strstr(buf_string(&json.out), "\"CpuDifferences\": 1"));
}

static void money_has_all_its_digits(void **state _unused_)
{
	static const struct {
		uint64_t units, picos;
		const char *text;
	} cases[] = { { 0, 0, "0.00" },
		      { 1, 200000000000, "1.20" },
		      { 0, 1, "0.000000000001" },
		      { UINT64_MAX, 999999999999, "18446744073709551615.999999999999" } };
	char text[USAGE_MONEY_BYTES];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		Mayfly__V1__Money money = MAYFLY__V1__MONEY__INIT;

		money.units = cases[i].units;
		money.picos = cases[i].picos;
		assert_string_equal(usage_money(&money, text), cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_query_pages_and_adds_the_total),
		cmocka_unit_test(a_query_as_json_has_whole_numbers),
		cmocka_unit_test(the_last_month_ends_with_the_year),
		cmocka_unit_test(wrong_options_are_refused),
		cmocka_unit_test(a_difference_is_told_and_fails),
		cmocka_unit_test(cpu_time_of_all_versions_is_shown_on_demand),
		cmocka_unit_test(money_has_all_its_digits),
	};

	return cmocka_run_group_tests(tests, start_node, stop_node);
}
