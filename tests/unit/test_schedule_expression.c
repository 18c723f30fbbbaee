/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_schedules mayfly_base

/* Schedule expressions: when they occur next, by table and against a walk over every minute. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "agent/schedules/calendar.h"
#include "agent/schedules/expression.h"
#include "mayfly/clock.h"

static struct zone *load(const char *name)
{
	struct zone *zone = NULL;

	assert_int_equal(zone_load(name, &zone, NULL), 0);
	return zone;
}

static int64_t parse_time(const char *text)
{
	struct calendar c = { 0 };
	int year;

	assert_int_equal(sscanf(text, "%4d-%2u-%2uT%2u:%2u:%2u", &year, &c.month, &c.day, &c.hour,
				&c.minute, &c.second),
			 6);
	c.year = year;
	return calendar_seconds(&c);
}

static struct expression parse(const char *text)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct expression expression;

	if (expression_parse(text, &expression, &error) < 0)
		fail_msg("%s", error_text(&error));
	return expression;
}

#define OCCURRENCES 4

/* All in UTC; a rate begins when the row does. */
struct row {
	const char *expression;
	const char *zone; /* NULL: UTC */
	const char *after;
	const char *next[OCCURRENCES]; /* then none where there are fewer */
};

static void check(const struct row *row)
{
	_cleanup_(zone_free_p) struct zone *zone = load(row->zone ? row->zone : "UTC");
	struct expression expression = parse(row->expression);
	int64_t base_us = parse_time(row->after) * USEC_PER_SEC, at_us = base_us;

	assert_int_equal(expression_check(&expression, row->expression, zone, NULL), 0);
	for (size_t i = 0; i < OCCURRENCES && (i == 0 || row->next[i - 1]); i++) {
		char text[CALENDAR_TEXT_BYTES] = "none";
		const char *wanted = row->next[i] ? row->next[i] : "none";

		if (expression_next(&expression, zone, base_us, at_us, &at_us) == 0)
			calendar_format(at_us / USEC_PER_SEC, text);
		if (strncmp(text, wanted, 19) != 0)
			fail_msg("%s in %s after %s: number %zu is %s, not %s", row->expression,
				 row->zone ? row->zone : "UTC", row->after, i + 1, text, wanted);
	}
}

static const struct row rows[] = {
	/* Steps, lists, ranges, names. */
	{ "cron(* * * * ? *)",
	  NULL,
	  "2026-11-26T02:30:00",
	  { "2026-11-26T02:31:00", "2026-11-26T02:32:00", "2026-11-26T02:33:00",
	    "2026-11-26T02:34:00" } },
	{ "cron(0/20 8-9 * * ? *)",
	  NULL,
	  "2026-11-26T02:30:00",
	  { "2026-11-26T08:00:00", "2026-11-26T08:20:00", "2026-11-26T08:40:00",
	    "2026-11-26T09:00:00" } },
	{ "cron(5,10-12/2,59 0 1 JAN,jul ? 2027)",
	  NULL,
	  "2026-11-26T02:30:00",
	  { "2027-01-01T00:05:00", "2027-01-01T00:10:00", "2027-01-01T00:12:00",
	    "2027-01-01T00:59:00" } },
	{ "cron( 15   12 ? * MON-FRI * )",
	  NULL,
	  "2026-11-27T13:00:00",
	  { "2026-11-30T12:15:00", "2026-12-01T12:15:00", "2026-12-02T12:15:00",
	    "2026-12-03T12:15:00" } },
	/* 2 is Monday; a range may go by way of the week's end. */
	{ "cron(0 0 ? * 2 *)",
	  NULL,
	  "2026-11-26T00:00:00",
	  { "2026-11-30T00:00:00", "2026-12-07T00:00:00", "2026-12-14T00:00:00",
	    "2026-12-21T00:00:00" } },
	{ "cron(0 0 ? * FRI-MON *)",
	  NULL,
	  "2026-11-26T00:00:00",
	  { "2026-11-27T00:00:00", "2026-11-28T00:00:00", "2026-11-29T00:00:00",
	    "2026-11-30T00:00:00" } },
	{ "cron(0 22-2/2 * * ? *)",
	  NULL,
	  "2026-11-26T02:30:00",
	  { "2026-11-26T22:00:00", "2026-11-27T00:00:00", "2026-11-27T02:00:00",
	    "2026-11-27T22:00:00" } },
	{ "cron(30-30 13-13 ? * 2,4,6 *)",
	  NULL,
	  "2026-11-26T00:00:00",
	  { "2026-11-27T13:30:00", "2026-11-30T13:30:00", "2026-12-02T13:30:00",
	    "2026-12-04T13:30:00" } },
	/* Ends of months, leap years. */
	{ "cron(0 0 L * ? *)",
	  NULL,
	  "2027-12-31T00:00:00",
	  { "2028-01-31T00:00:00", "2028-02-29T00:00:00", "2028-03-31T00:00:00",
	    "2028-04-30T00:00:00" } },
	{ "cron(0 0 31 * ? *)",
	  NULL,
	  "2026-11-26T00:00:00",
	  { "2026-12-31T00:00:00", "2027-01-31T00:00:00", "2027-03-31T00:00:00",
	    "2027-05-31T00:00:00" } },
	{ "cron(0 0 29 2 ? *)",
	  NULL,
	  "2095-01-01T00:00:00",
	  { "2096-02-29T00:00:00", "2104-02-29T00:00:00", "2108-02-29T00:00:00",
	    "2112-02-29T00:00:00" } },
	/* The workday nearest: never beyond the month. */
	{ "cron(0 0 1W * ? *)",
	  NULL,
	  "2026-07-15T00:00:00",
	  { "2026-08-03T00:00:00", "2026-09-01T00:00:00", "2026-10-01T00:00:00",
	    "2026-11-02T00:00:00" } },
	{ "cron(0 0 31W * ? *)",
	  NULL,
	  "2026-05-01T00:00:00",
	  { "2026-05-29T00:00:00", "2026-07-31T00:00:00", "2026-08-31T00:00:00",
	    "2026-10-30T00:00:00" } },
	{ "cron(0 0 15W * ? *)",
	  NULL,
	  "2026-08-01T00:00:00",
	  { "2026-08-14T00:00:00", "2026-09-15T00:00:00", "2026-10-15T00:00:00",
	    "2026-11-16T00:00:00" } },
	{ "cron(0 0 LW * ? *)",
	  NULL,
	  "2026-05-01T00:00:00",
	  { "2026-05-29T00:00:00", "2026-06-30T00:00:00", "2026-07-31T00:00:00",
	    "2026-08-31T00:00:00" } },
	{ "cron(0 0 1,L * ? *)",
	  NULL,
	  "2026-11-26T00:00:00",
	  { "2026-11-30T00:00:00", "2026-12-01T00:00:00", "2026-12-31T00:00:00",
	    "2027-01-01T00:00:00" } },
	/* Weekdays of a month. */
	{ "cron(0 0 ? * 6L *)",
	  NULL,
	  "2026-11-01T00:00:00",
	  { "2026-11-27T00:00:00", "2026-12-25T00:00:00", "2027-01-29T00:00:00",
	    "2027-02-26T00:00:00" } },
	{ "cron(0 0 ? * L *)",
	  NULL,
	  "2026-11-26T00:00:00",
	  { "2026-11-28T00:00:00", "2026-12-05T00:00:00", "2026-12-12T00:00:00",
	    "2026-12-19T00:00:00" } },
	{ "cron(0 0 ? * 3#2 *)",
	  NULL,
	  "2026-11-01T00:00:00",
	  { "2026-11-10T00:00:00", "2026-12-08T00:00:00", "2027-01-12T00:00:00",
	    "2027-02-09T00:00:00" } },
	{ "cron(0 0 ? * MON#5 *)",
	  NULL,
	  "2026-11-01T00:00:00",
	  { "2026-11-30T00:00:00", "2027-03-29T00:00:00", "2027-05-31T00:00:00",
	    "2027-08-30T00:00:00" } },
	/* The last years; then there are none. */
	{ "cron(0 0 1 12 ? 2198/1)",
	  NULL,
	  "2026-11-26T00:00:00",
	  { "2198-12-01T00:00:00", "2199-12-01T00:00:00" } },
	{ "cron(59 23 31 12 ? 2199)", NULL, "2026-11-26T00:00:00", { "2199-12-31T23:59:00" } },
	{ "cron(0 0 1 1 ? 1970)", NULL, "2026-11-26T00:00:00", { NULL } },
	{ "cron(0 0 1 1 ? 2027-2031/2)",
	  NULL,
	  "2026-11-26T00:00:00",
	  { "2027-01-01T00:00:00", "2029-01-01T00:00:00", "2031-01-01T00:00:00" } },
	/* Zones. What spring leaps over is left out, what autumn repeats occurs once. */
	{ "cron(30 8 * * ? *)",
	  "Europe/Berlin",
	  "2026-10-23T12:00:00",
	  { "2026-10-24T06:30:00", "2026-10-25T07:30:00", "2026-10-26T07:30:00",
	    "2026-10-27T07:30:00" } },
	{ "cron(30 2 * * ? *)",
	  "Europe/Berlin",
	  "2026-03-27T12:00:00",
	  { "2026-03-28T01:30:00", "2026-03-30T00:30:00", "2026-03-31T00:30:00",
	    "2026-04-01T00:30:00" } },
	{ "cron(30 2 * * ? *)",
	  "Europe/Berlin",
	  "2026-10-24T12:00:00",
	  { "2026-10-25T00:30:00", "2026-10-26T01:30:00", "2026-10-27T01:30:00",
	    "2026-10-28T01:30:00" } },
	{ "cron(0/30 * * * ? *)",
	  "Europe/Berlin",
	  "2026-10-25T00:00:00",
	  { "2026-10-25T00:30:00", "2026-10-25T02:00:00", "2026-10-25T02:30:00",
	    "2026-10-25T03:00:00" } },
	{ "cron(0/30 * * * ? *)",
	  "Europe/Berlin",
	  "2026-10-25T01:10:00",
	  { "2026-10-25T02:00:00", "2026-10-25T02:30:00", "2026-10-25T03:00:00",
	    "2026-10-25T03:30:00" } },
	{ "cron(0/30 * * * ? *)",
	  "Europe/Berlin",
	  "2026-03-29T00:00:00",
	  { "2026-03-29T00:30:00", "2026-03-29T01:00:00", "2026-03-29T01:30:00",
	    "2026-03-29T02:00:00" } },
	{ "cron(30 2 * * ? *)",
	  "America/New_York",
	  "2026-03-07T12:00:00",
	  { "2026-03-09T06:30:00", "2026-03-10T06:30:00", "2026-03-11T06:30:00",
	    "2026-03-12T06:30:00" } },
	{ "cron(30 1 * * ? *)",
	  "America/New_York",
	  "2026-10-31T12:00:00",
	  { "2026-11-01T05:30:00", "2026-11-02T06:30:00", "2026-11-03T06:30:00",
	    "2026-11-04T06:30:00" } },
	/* Half an hour: 02:00 to 02:30 is leapt over, 01:30 to 02:00 repeated. */
	{ "cron(15 2 * * ? *)",
	  "Australia/Lord_Howe",
	  "2026-10-02T12:00:00",
	  { "2026-10-02T15:45:00", "2026-10-04T15:15:00", "2026-10-05T15:15:00",
	    "2026-10-06T15:15:00" } },
	{ "cron(45 1 * * ? *)",
	  "Australia/Lord_Howe",
	  "2026-04-02T12:00:00",
	  { "2026-04-02T14:45:00", "2026-04-03T14:45:00", "2026-04-04T14:45:00",
	    "2026-04-05T15:15:00" } },
	{ "cron(0 12 30 12 ? *)",
	  "Pacific/Apia",
	  "2010-01-01T00:00:00",
	  { "2010-12-30T22:00:00", "2012-12-29T22:00:00", "2013-12-29T22:00:00",
	    "2014-12-29T22:00:00" } },
	/* Rates are durations, whatever clocks do. */
	{ "rate(1 minute)",
	  NULL,
	  "2026-11-26T02:30:07",
	  { "2026-11-26T02:31:07", "2026-11-26T02:32:07", "2026-11-26T02:33:07",
	    "2026-11-26T02:34:07" } },
	{ "rate(36 hours)",
	  NULL,
	  "2026-11-26T00:00:00",
	  { "2026-11-27T12:00:00", "2026-11-29T00:00:00", "2026-11-30T12:00:00",
	    "2026-12-02T00:00:00" } },
	{ "rate(1 days)",
	  "Europe/Berlin",
	  "2026-10-24T12:00:00",
	  { "2026-10-25T12:00:00", "2026-10-26T12:00:00", "2026-10-27T12:00:00",
	    "2026-10-28T12:00:00" } },
	/* Once. */
	{ "at(2026-11-26T02:30:05)", NULL, "2026-11-26T02:30:04", { "2026-11-26T02:30:05" } },
	{ "at(2026-11-26T02:30:05)", NULL, "2026-11-26T02:30:05", { NULL } },
	{ "at(2028-02-29T12:00:00)",
	  "Asia/Kolkata",
	  "2026-01-01T00:00:00",
	  { "2028-02-29T06:30:00" } },
	{ "at(2026-10-25T02:30:00)",
	  "Europe/Berlin",
	  "2026-01-01T00:00:00",
	  { "2026-10-25T00:30:00" } },
};

static void test_next(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check(&rows[i]);
}

/* -- a rate's first occurrence -- */

static void test_rate_begins_at_its_base(void **state _unused_)
{
	_cleanup_(zone_free_p) struct zone *zone = load("UTC");
	struct expression expression = parse("rate(5 minutes)");
	int64_t next;

	assert_int_equal(expression_next(&expression, zone, 1000, 999, &next), 0);
	assert_int_equal(next, 1000);
	assert_int_equal(expression_next(&expression, zone, 1000, -5, &next), 0);
	assert_int_equal(next, 1000);
	assert_int_equal(expression_next(&expression, zone, 1000, 1000, &next), 0);
	assert_int_equal(next, 1000 + 300 * USEC_PER_SEC);
	/* A thousand years later it is still in step. */
	assert_int_equal(
		expression_next(&expression, zone, 1000, 31556952000LL * USEC_PER_SEC, &next), 0);
	assert_int_equal((next - 1000) % (300 * USEC_PER_SEC), 0);
}

/* -- nonsense -- */

#define RATE_WORDS                                                                                 \
	"It must be rate(value unit): a number from 1 to 999999, and minutes, hours or days."
#define AT_WORDS "It must be at(yyyy-mm-ddThh:mm:ss) with a time of the years 1970 to 2199."
#define COUNT_WORDS                                                                                \
	"cron() has six fields: minutes, hours, day-of-month, month, day-of-week and year."
#define MARK_WORDS "Day-of-month or day-of-week must be ?, and only one of them."

static void test_nonsense(void **state _unused_)
{
	static const struct {
		const char *text;
		const char *reason;
	} cases[] = {
		{ "", "It must be rate(...), cron(...) or at(...)." },
		{ "every day", "It must be rate(...), cron(...) or at(...)." },
		{ "cron(0 0 * * ? *", "It must be rate(...), cron(...) or at(...)." },
		{ " rate(1 day)", "It must be rate(...), cron(...) or at(...)." },
		{ "rate()", RATE_WORDS },
		{ "rate(0 minutes)", RATE_WORDS },
		{ "rate(-1 minutes)", RATE_WORDS },
		{ "rate(1.5 hours)", RATE_WORDS },
		{ "rate(5 seconds)", RATE_WORDS },
		{ "rate(5 Minutes)", RATE_WORDS },
		{ "rate(5minutes)", RATE_WORDS },
		{ "rate(1000000 minutes)", RATE_WORDS },
		{ "rate(99999999999999999999 minutes)", RATE_WORDS },
		{ "at(2026-11-26 02:30:05)", AT_WORDS },
		{ "at(2026-11-26T02:30)", AT_WORDS },
		{ "at(2026-11-26T02:30:05Z)", AT_WORDS },
		{ "at(2026-02-29T00:00:00)", AT_WORDS },
		{ "at(2026-13-01T00:00:00)", AT_WORDS },
		{ "at(2026-00-10T00:00:00)", AT_WORDS },
		{ "at(2026-01-01T24:00:00)", AT_WORDS },
		{ "at(2026-01-01T23:59:60)", AT_WORDS },
		{ "at(1969-12-31T23:59:59)", AT_WORDS },
		{ "at(2200-01-01T00:00:00)", AT_WORDS },
		{ "cron()", COUNT_WORDS },
		{ "cron(0 0 * * ?)", COUNT_WORDS },
		{ "cron(0 0 0 * * ? *)", COUNT_WORDS },
		{ "cron(0, 9-18, ?, *, MON-FRI, *)", "Minutes: values are 0 to 59." },
		{ "cron(0 0 * * * *)", MARK_WORDS },
		{ "cron(0 0 ? * ? *)", MARK_WORDS },
		{ "cron(0 0 1 * 2 *)", MARK_WORDS },
		{ "cron(60 0 * * ? *)", "Minutes: values are 0 to 59." },
		{ "cron(-1 0 * * ? *)", "Minutes: values are 0 to 59." },
		{ "cron(? 0 * * ? *)",
		  "Minutes: ? stands alone, for a day-of-month or a day-of-week." },
		{ "cron(0 24 * * ? *)", "Hours: values are 0 to 23." },
		{ "cron(0 0 0 * ? *)", "Day-of-month: values are 1 to 31." },
		{ "cron(0 0 32 * ? *)", "Day-of-month: values are 1 to 31." },
		{ "cron(0 0 1 13 ? *)", "Month: values are 1 to 12 or JAN to DEC." },
		{ "cron(0 0 1 JANUARY ? *)",
		  "Month: there is something behind a value that is no part of it." },
		{ "cron(0 0 ? * 0 *)", "Day-of-week: values are 1 to 7 or SUN to SAT." },
		{ "cron(0 0 ? * 8 *)", "Day-of-week: values are 1 to 7 or SUN to SAT." },
		{ "cron(0 0 ? * MON/2 *)", "Day-of-week: there are no steps (/)." },
		{ "cron(0 0 ? * MON#6 *)",
		  "Day-of-week: # stands between one day and a number from 1 to 5." },
		{ "cron(0 0 ? * MON# *)",
		  "Day-of-week: # stands between one day and a number from 1 to 5." },
		{ "cron(0 0 ? * 6LW *)", "Day-of-week: L stands alone, or behind a day." },
		{ "cron(0 0 L-3 * ? *)", "Day-of-month: L stands alone, or before W." },
		{ "cron(0 0 1-3W * ? *)",
		  "Day-of-month: there is something behind a value that is no part of it." },
		{ "cron(0 0 3W5 * ? *)", "Day-of-month: W stands behind one day." },
		{ "cron(0 0 1 * ? 1969)", "Year: values are 1970 to 2199." },
		{ "cron(0 0 1 * ? 2200)", "Year: values are 1970 to 2199." },
		{ "cron(0 0 1 * ? 20271)", "Year: values are 1970 to 2199." },
		{ "cron(0 0 1 * ? 2030-2020)", "Year: a range ends after it begins." },
		{ "cron(0/0 0 * * ? *)",
		  "Minutes: a step (/) is a number from 1 to the size of the field." },
		{ "cron(*/61 0 * * ? *)",
		  "Minutes: a step (/) is a number from 1 to the size of the field." },
		{ "cron(*5 0 * * ? *)", "Minutes: * stands alone, or before a step (/)." },
		{ "cron(5, 0 * * ? *)", "Minutes: values are 0 to 59." },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_error_ struct error error = ERROR_INIT;
		char wanted[512];
		struct expression expression;

		(void)snprintf(wanted, sizeof(wanted), "Invalid Schedule Expression %s. %s",
			       cases[i].text, cases[i].reason);
		assert_int_equal(expression_parse(cases[i].text, &expression, &error), -EINVAL);
		assert_string_equal(error.field, "schedule_expression");
		assert_string_equal(error_text(&error), wanted);
	}
}

static void test_too_long(void **state _unused_)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct expression expression;
	char text[EXPRESSION_MAX + 2];

	memset(text, ' ', sizeof(text));
	memcpy(text, "rate(1 ", 7);
	memcpy(text + EXPRESSION_MAX - 4, "day)", 5);
	assert_int_equal(expression_parse(text, &expression, NULL), 0);
	memcpy(text + EXPRESSION_MAX - 4, " day)", 6);
	assert_int_equal(expression_parse(text, &expression, &error), -EINVAL);
	assert_non_null(strstr(error_text(&error), "less than or equal to 256"));
}

/* What is well written and can never be. */
static void test_impossible(void **state _unused_)
{
	static const struct {
		const char *text;
		const char *zone;
		const char *reason;
	} cases[] = {
		{ "cron(0 0 31 2 ? *)", "UTC", "It names a day that never comes." },
		{ "cron(0 0 31W 4,6,9,11 ? *)", "UTC", "It names a day that never comes." },
		{ "cron(0 0 29 2 ? 2027)", "UTC", "It names a day that never comes." },
		{ "cron(0 0 29 2 ? 2100)", "UTC", "It names a day that never comes." },
		{ "cron(0 0 ? 2 MON#5 2027)", "UTC", "It names a day that never comes." },
		{ "at(2026-03-29T02:30:00)", "Europe/Berlin",
		  "The clocks of that time zone leap over that time." },
		{ "at(2026-10-04T02:29:59)", "Australia/Lord_Howe",
		  "The clocks of that time zone leap over that time." },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(zone_free_p) struct zone *zone = load(cases[i].zone);
		_cleanup_error_ struct error error = ERROR_INIT;
		struct expression expression = parse(cases[i].text);
		char wanted[512];

		(void)snprintf(wanted, sizeof(wanted), "Invalid Schedule Expression %s. %s",
			       cases[i].text, cases[i].reason);
		assert_int_equal(expression_check(&expression, cases[i].text, zone, &error),
				 -EINVAL);
		assert_string_equal(error_text(&error), wanted);
	}
}

/* -- against a walk over every minute -- */

static uint64_t seed = 0x2545f4914f6cdd1d;

static unsigned draw(unsigned below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 33) % below;
}

/* What one field says, as a person would write it down. */
struct wish {
	char text[32];
	bool has[64];
};

static void wish_all(struct wish *wish, unsigned min, unsigned max)
{
	(void)snprintf(wish->text, sizeof(wish->text), "*");
	for (unsigned i = min; i <= max; i++)
		wish->has[i] = true;
}

static void draw_wish(struct wish *wish, unsigned min, unsigned max, bool no_steps)
{
	unsigned span = max - min + 1, a = min + draw(span), b = min + draw(span);
	unsigned step = 1 + draw(span);

	memset(wish, 0, sizeof(*wish));
	switch (draw(no_steps ? 3 : 5)) {
	case 0:
		wish_all(wish, min, max);
		break;
	case 1:
		(void)snprintf(wish->text, sizeof(wish->text), "%u,%u", a, b);
		wish->has[a] = wish->has[b] = true;
		break;
	case 2:
		(void)snprintf(wish->text, sizeof(wish->text), "%u-%u", a, b);
		for (unsigned i = a;; i = i == max ? min : i + 1) {
			wish->has[i] = true;
			if (i == b)
				break;
		}
		break;
	case 3:
		(void)snprintf(wish->text, sizeof(wish->text), "%u/%u", a, step);
		for (unsigned i = a; i <= max; i += step)
			wish->has[i] = true;
		break;
	default:
		(void)snprintf(wish->text, sizeof(wish->text), "*/%u", step);
		for (unsigned i = min; i <= max; i += step)
			wish->has[i] = true;
	}
}

/* The days, with what only they have. */
struct day_wish {
	struct wish wish;
	bool by_weekday;
	char mark; /* 'L', 'W' (LW), 'N' (nW), 'l' (nL), '#' */
	unsigned n, m;
};

static void draw_days(struct day_wish *days)
{
	memset(days, 0, sizeof(*days));
	days->by_weekday = draw(2);
	if (draw(2)) {
		draw_wish(&days->wish, 1, days->by_weekday ? 7 : 31, days->by_weekday);
		return;
	}
	days->n = 1 + draw(days->by_weekday ? 7 : 31);
	days->m = 1 + draw(5);
	days->mark = days->by_weekday ? "l#"[draw(2)] : "LWN"[draw(3)];
	if (days->mark == '#')
		(void)snprintf(days->wish.text, sizeof(days->wish.text), "%u#%u", days->n, days->m);
	else if (days->mark == 'N' || days->mark == 'l')
		(void)snprintf(days->wish.text, sizeof(days->wish.text), "%u%c", days->n,
			       days->mark == 'N' ? 'W' : 'L');
	else
		(void)snprintf(days->wish.text, sizeof(days->wish.text), "L%s",
			       days->mark == 'W' ? "W" : "");
}

static unsigned weekday_at(const struct calendar *c, unsigned day)
{
	return calendar_weekday(calendar_days(c->year, c->month, day)) + 1;
}

static bool is_workday(const struct calendar *c, unsigned day)
{
	return weekday_at(c, day) != 1 && weekday_at(c, day) != 7;
}

/* Of all workdays of the month the nearest; the earlier of two is a Friday before a Saturday. */
static bool is_nearest(const struct calendar *c, unsigned wanted)
{
	unsigned length = calendar_days_in_month(c->year, c->month);
	unsigned best = 0;

	if (wanted > length)
		return false;
	for (unsigned day = 1; day <= length; day++) {
		unsigned now = day > wanted ? day - wanted : wanted - day;
		unsigned then = best > wanted ? best - wanted : wanted - best;

		if (is_workday(c, day) && (!best || now < then))
			best = day;
	}
	return c->day == best;
}

static bool day_matches(const struct day_wish *days, const struct calendar *c)
{
	unsigned length = calendar_days_in_month(c->year, c->month);
	bool later = false;

	switch (days->mark) {
	case 'L':
		return c->day == length;
	case 'W':
		for (unsigned day = c->day + 1; day <= length; day++)
			later |= is_workday(c, day);
		return is_workday(c, c->day) && !later;
	case 'N':
		return is_nearest(c, days->n);
	case 'l':
		return weekday_at(c, c->day) == days->n && c->day + 7 > length;
	case '#':
		return weekday_at(c, c->day) == days->n && (c->day + 6) / 7 == days->m;
	default:
		return days->wish.has[days->by_weekday ? weekday_at(c, c->day) : c->day];
	}
}

/* Whether this local time was shown before. */
static bool is_repeated(const struct zone *zone, int64_t utc_s)
{
	int64_t local_s = utc_s + zone_offset(zone, utc_s);

	for (int64_t t = utc_s - 60; t > utc_s - 2 * 3600; t -= 60)
		if (t + zone_offset(zone, t) == local_s)
			return true;
	return false;
}

#define WALK_DAYS 40

static void walk(const struct zone *zone, int64_t from_s)
{
	struct wish minutes, hours, months;
	struct day_wish days;
	struct expression expression;
	char text[EXPRESSION_MAX];
	int64_t next_us, found_s = INT64_MAX;

	draw_wish(&minutes, 0, 59, false);
	draw_wish(&hours, 0, 23, false);
	draw_wish(&months, 1, 12, false);
	draw_days(&days);
	(void)snprintf(text, sizeof(text), "cron(%s %s %s %s %s *)", minutes.text, hours.text,
		       days.by_weekday ? "?" : days.wish.text, months.text,
		       days.by_weekday ? days.wish.text : "?");
	expression = parse(text);
	if (expression_next(&expression, zone, 0, from_s * USEC_PER_SEC, &next_us) == 0)
		found_s = next_us / USEC_PER_SEC;
	for (int64_t t = from_s + 60; t <= from_s + WALK_DAYS * CALENDAR_DAY_S; t += 60) {
		struct calendar c;

		calendar_split(t + zone_offset(zone, t), &c);
		if (!minutes.has[c.minute] || !hours.has[c.hour] || !months.has[c.month] ||
		    !day_matches(&days, &c) || is_repeated(zone, t))
			continue;
		if (t != found_s)
			fail_msg("%s after %lld: %lld, not %lld", text, (long long)from_s,
				 (long long)found_s, (long long)t);
		return;
	}
	if (found_s <= from_s + WALK_DAYS * CALENDAR_DAY_S)
		fail_msg("%s after %lld: %lld, where there is none", text, (long long)from_s,
			 (long long)found_s);
}

static void test_as_a_walk(void **state _unused_)
{
	static const char *const names[] = { "UTC", "Europe/Berlin", "America/New_York",
					     "Australia/Lord_Howe" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_(zone_free_p) struct zone *zone = load(names[i]);

		for (unsigned n = 0; n < 300; n++)
			walk(zone, parse_time("2026-01-01T00:00:00") +
					   (int64_t)draw(3 * 365 * 1440) * 60);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_next),       cmocka_unit_test(test_rate_begins_at_its_base),
		cmocka_unit_test(test_nonsense),   cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_impossible), cmocka_unit_test(test_as_a_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
