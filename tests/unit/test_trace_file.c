/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_cli mayfly_base

/* Traces of minute counts: both forms, what is refused and in which line, and moments in a minute.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/trace_file.h"
#include "mayfly/clock.h"

static int parse(const char *text, size_t max_functions, struct trace *ret, struct error *e)
{
	return trace_parse(slice_from_string(text), max_functions, ret, e);
}

static void both_forms(void **state)
{
	static const char azure[] = "HashOwner,HashApp,HashFunction,Trigger,1,2,3\r\n"
				    "o,a,f1,timer,0,5,1000000\r\n"
				    "o,a,silent,http,0,0,0\r\n"
				    "o,a,f 2,http,1,0,0\r\n";
	static const char rows[] = "# a remark\nf1,0,5,1000000\n\nsilent,0,0,0\nf?2,1,0,0";
	const char *const texts[] = { azure, rows };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_trace_ struct trace trace = { 0 };

		assert_int_equal(parse(texts[i], 10, &trace, NULL), 0);
		assert_int_equal(trace.n, 2);
		assert_int_equal(trace.minutes, 3);
		assert_string_equal(trace.functions[0].name, "f1");
		assert_int_equal(trace.functions[0].total, 1000005);
		assert_int_equal(trace.functions[0].counts[1], 5);
		assert_string_equal(trace.functions[1].name, "f?2"); /* it is printed */
		assert_int_equal(trace.functions[1].total, 1);
	}
}

static void only_so_many(void **state)
{
	_cleanup_trace_ struct trace trace = { 0 };
	_cleanup_error_ struct error e = ERROR_INIT;

	(void)state;
	assert_int_equal(parse("a,1\nb,0\nc,1\nd,1\n", 2, &trace, NULL), 0);
	assert_int_equal(trace.n, 2);
	assert_string_equal(trace.functions[1].name, "c");
	assert_true(parse("a,1\nb,x\n", 1, &trace, &e) < 0); /* what is left out is looked at */
}

static void what_is_wrong_is_said(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "", "no invocation" },
		{ "f,0\n", "no invocation" },
		{ "f\n", "line 1: no counts" },
		{ ",1\n", "line 1: the function has no name" },
		{ "f,1,\n", "line 1: a count is digits" },
		{ "f,1\ng,-1\n", "line 2: a count is digits" },
		{ "f,1000001\n", "line 1: a count is digits, at most 1000000" },
		{ "f,18446744073709551617\n", "line 1: a count is digits" },
		{ "#\nf,1\ng,1,2\n", "line 3: another number of minutes" },
		{ "HashOwner,HashApp\na,b,c\n", "line 2: fields are missing" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_error_ struct error e = ERROR_INIT;
		struct trace trace;

		assert_true(parse(cases[i].text, 10, &trace, &e) < 0);
		assert_non_null(strstr(error_text(&e), cases[i].says));
	}
}

static void a_day_has_1440_minutes(void **state)
{
	_cleanup_trace_ struct trace trace = { 0 };
	_cleanup_buf_ struct buf text = BUF_INIT;

	(void)state;
	assert_int_equal(buf_append_string(&text, "f"), 0);
	for (unsigned i = 0; i < TRACE_MINUTES_MAX; i++)
		assert_int_equal(buf_append_string(&text, ",1"), 0);
	assert_int_equal(trace_parse(buf_slice(&text), 1, &trace, NULL), 0);
	assert_int_equal(trace.minutes, TRACE_MINUTES_MAX);
	assert_int_equal(buf_append_string(&text, ",1"), 0);
	struct trace more;
	assert_true(trace_parse(buf_slice(&text), 1, &more, NULL) < 0);
}

static void moments_are_in_order_and_the_same(void **state)
{
	int64_t first[1000], second[1000], other[1000];

	(void)state;
	trace_spread(1000, 7, first);
	trace_spread(1000, 7, second);
	trace_spread(1000, 8, other);
	assert_memory_equal(first, second, sizeof(first));
	assert_memory_not_equal(first, other, sizeof(first));
	for (unsigned i = 0; i < 1000; i++) {
		assert_true(first[i] >= 0 && first[i] < 60 * USEC_PER_SEC);
		assert_true(i == 0 || first[i] >= first[i - 1]);
	}
	assert_in_range(first[500] / USEC_PER_SEC, 25, 35);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_forms),
		cmocka_unit_test(only_so_many),
		cmocka_unit_test(what_is_wrong_is_said),
		cmocka_unit_test(a_day_has_1440_minutes),
		cmocka_unit_test(moments_are_in_order_and_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
