/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_schedules mayfly_base

/* Time zones as tzdata has them, held against the C library's own reading of the same files. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <time.h>

#include "agent/schedules/calendar.h"
#include "agent/schedules/zone.h"
#include "agent/schedules/zone_rule.h"

static struct zone *load(const char *name)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct zone *zone = NULL;

	if (zone_load(name, &zone, &error) < 0)
		fail_msg("%s: %s", name, error_text(&error));
	return zone;
}

static int64_t at(int64_t year, unsigned month, unsigned day, unsigned hour, unsigned minute)
{
	return calendar_seconds(&(struct calendar){ year, month, day, hour, minute, 0 });
}

static void test_calendar(void **state _unused_)
{
	int64_t days = calendar_days(1895, 1, 1);
	char text[CALENDAR_TEXT_BYTES];
	struct calendar c;

	assert_int_equal(calendar_days(1970, 1, 1), 0);
	assert_int_equal(calendar_weekday(0), 4);
	assert_true(calendar_is_leap_year(2000) && calendar_is_leap_year(2024));
	assert_false(calendar_is_leap_year(1900) || calendar_is_leap_year(2023));
	/* Every day of some centuries follows the one before it. */
	for (int64_t year = 1895; year <= 2405; year++)
		for (unsigned month = 1; month <= 12; month++)
			for (unsigned day = 1; day <= calendar_days_in_month(year, month); day++) {
				assert_int_equal(calendar_days(year, month, day), days);
				calendar_split(days * CALENDAR_DAY_S + 86399, &c);
				assert_true(c.year == year && c.month == month && c.day == day &&
					    c.hour == 23 && c.minute == 59 && c.second == 59);
				days++;
			}
	calendar_format(1795660200, text);
	assert_string_equal(text, "2026-11-26T02:30:00Z");
}

/* The C library knows them, too: one zone at a time. */
static void test_as_the_c_library(void **state _unused_)
{
	static const char *const names[] = {
		"UTC",
		"Europe/Berlin",
		"America/New_York",
		"Australia/Lord_Howe",
		"Asia/Kolkata",
		"Africa/Casablanca",
		"Europe/Dublin",
		"Pacific/Apia",
		"America/Sao_Paulo",
		"Antarctica/Troll",
		"Asia/Kathmandu",
		"Pacific/Chatham",
		"America/Nuuk",
		"Pacific/Kiritimati",
		"Etc/GMT+12",
		"Asia/Gaza",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_(zone_free_p) struct zone *zone = load(names[i]);

		assert_int_equal(setenv("TZ", names[i], 1), 0);
		tzset();
		for (int64_t t = 0; t < at(2199, 12, 31, 0, 0); t += 5 * 3600 + 17) {
			time_t now = (time_t)t;
			struct tm tm;

			assert_non_null(localtime_r(&now, &tm));
			if (zone_offset(zone, t) != tm.tm_gmtoff)
				fail_msg("%s at %lld: %d, not %ld", names[i], (long long)t,
					 zone_offset(zone, t), tm.tm_gmtoff);
		}
	}
	assert_int_equal(unsetenv("TZ"), 0);
	tzset();
}

/* Every local minute around a change is found where the offsets say it is first. */
static void check_locals(const char *name, int64_t from_s, int64_t to_s)
{
	_cleanup_(zone_free_p) struct zone *zone = load(name);

	for (int64_t local_s = from_s; local_s < to_s; local_s += 60) {
		int64_t first = INT64_MAX, found = INT64_MAX;

		for (int64_t t = to_s + 27 * 3600; t >= from_s - 27 * 3600; t -= 60)
			if (t + zone_offset(zone, t) == local_s)
				first = t;
		if (zone_to_utc(zone, local_s, &found) < 0)
			found = INT64_MAX;
		if (found != first)
			fail_msg("%s at local %lld: %lld, not %lld", name, (long long)local_s,
				 (long long)found, (long long)first);
	}
}

static void test_local_times(void **state _unused_)
{
	check_locals("Europe/Berlin", at(2026, 3, 29, 1, 0), at(2026, 3, 29, 4, 0));
	check_locals("Europe/Berlin", at(2026, 10, 25, 1, 0), at(2026, 10, 25, 4, 0));
	check_locals("America/New_York", at(2026, 11, 1, 0, 0), at(2026, 11, 1, 3, 0));
	check_locals("Australia/Lord_Howe", at(2026, 10, 4, 1, 0), at(2026, 10, 4, 3, 30));
	check_locals("Australia/Lord_Howe", at(2027, 4, 4, 1, 0), at(2027, 4, 4, 3, 0));
	/* December 30, 2011, was not there. */
	check_locals("Pacific/Apia", at(2011, 12, 29, 22, 0), at(2011, 12, 30, 2, 0));
	check_locals("Pacific/Apia", at(2011, 12, 30, 22, 0), at(2011, 12, 31, 2, 0));
	/* Beyond the transitions that the file lists. */
	check_locals("Europe/Berlin", at(2150, 10, 25, 1, 0), at(2150, 10, 25, 4, 0));
}

static void test_names(void **state _unused_)
{
	static const char *const names[] = {
		"",
		"Europe",
		"Europe/Nowhere",
		"/etc/localtime",
		"../zoneinfo/UTC",
		"Europe/../UTC",
		"localtime",
		"posixrules",
		"right/UTC",
		"posix/UTC",
		"Europe//Berlin",
		"Europe/Berlin/",
		"zone.tab",
		"Europe/Berlin ",
		"Europe/Berlin\n",
		"tzdata.zi",
		"Europe/Berlin/x",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_error_ struct error error = ERROR_INIT;
		struct zone *zone = NULL;

		assert_int_equal(zone_load(names[i], &zone, &error), -EINVAL);
		assert_string_equal(error.field, "schedule_expression_timezone");
		assert_non_null(
			strstr(error_text(&error), "Invalid Schedule Expression Timezone "));
	}
}

static void test_rules(void **state _unused_)
{
	static const struct {
		const char *text;
		int64_t when[6];
		int32_t offset;
	} rows[] = {
		{ "CET-1CEST,M3.5.0,M10.5.0/3", { 2040, 3, 25, 0, 59 }, 3600 },
		{ "CET-1CEST,M3.5.0,M10.5.0/3", { 2040, 3, 25, 1, 0 }, 7200 },
		{ "CET-1CEST,M3.5.0,M10.5.0/3", { 2040, 10, 28, 0, 59 }, 7200 },
		{ "CET-1CEST,M3.5.0,M10.5.0/3", { 2040, 10, 28, 1, 0 }, 3600 },
		{ "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", { 2040, 1, 1, 0, 0 }, 39600 },
		{ "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", { 2040, 7, 1, 0, 0 }, 37800 },
		{ "IST-1GMT0,M10.5.0,M3.5.0/1", { 2040, 1, 1, 0, 0 }, 0 },
		{ "IST-1GMT0,M10.5.0,M3.5.0/1", { 2040, 7, 1, 0, 0 }, 3600 },
		{ "EST5EDT,J60/0,J300", { 2040, 2, 29, 23, 0 }, -18000 },
		{ "EST5EDT,J60/0,J300", { 2040, 3, 1, 5, 0 }, -14400 },
		{ "EST5EDT,59/0,300", { 2040, 2, 29, 5, 0 }, -14400 },
		{ "XXX3EDT4,0/0,J365/23", { 2040, 1, 1, 3, 0 }, -14400 },
		{ "<-02>2<-01>,M3.5.0/-1,M10.5.0/0", { 2040, 3, 25, 0, 59 }, -7200 },
		{ "<-02>2<-01>,M3.5.0/-1,M10.5.0/0", { 2040, 3, 25, 1, 0 }, -3600 },
		{ "EET-2EEST,M3.4.4/50,M10.4.4/50", { 2040, 3, 23, 23, 59 }, 7200 },
		{ "EET-2EEST,M3.4.4/50,M10.4.4/50", { 2040, 3, 24, 0, 0 }, 10800 },
		{ "UTC0", { 2040, 1, 1, 0, 0 }, 0 },
	};
	static const char *const nonsense[] = {
		"",
		"CE",
		"CET",
		"CET-",
		"CET-1CEST",
		"CET-25",
		"CET-1CEST,",
		"CET-1CEST,M3",
		"CET-1CEST,M3.5.0",
		"CET-1 ",
		"<CET-1",
		"CET-1:60",
		"CET-1CEST,M13.5.0,M10.5.0",
		"CET-1CEST,M3.6.0,M10.5.0",
		"CET-1CEST,M3.5.7,M10.5.0",
		"CET-1CEST,J0,J5",
		"CET-1CEST,366,5",
		"CET-1CEST,M3.5.0/168,M10.5.0",
		"CET-1CEST,M3.5.0,M10.5.0x",
	};
	struct zone_rule rule;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const int64_t *w = rows[i].when;

		assert_int_equal(zone_rule_parse(slice_from_string(rows[i].text), &rule), 0);
		int32_t offset = zone_rule_offset(&rule, at(w[0], (unsigned)w[1], (unsigned)w[2],
							    (unsigned)w[3], (unsigned)w[4]));
		if (offset != rows[i].offset)
			fail_msg("row %zu, %s: %d", i, rows[i].text, offset);
	}
	for (size_t i = 0; i < ARRAY_SIZE(nonsense); i++)
		if (zone_rule_parse(slice_from_string(nonsense[i]), &rule) != -EBADMSG)
			fail_msg("'%s' was taken", nonsense[i]);
}

/* A file that is cut anywhere is refused, and not read beyond its end. */
static void test_cut_files(void **state _unused_)
{
	uint8_t bytes[8192];
	FILE *file = fopen("/usr/share/zoneinfo/Europe/Berlin", "re");
	size_t len;

	assert_non_null(file);
	len = fread(bytes, 1, sizeof(bytes), file);
	assert_int_equal(fclose(file), 0);
	for (size_t n = 0; n <= len; n++) {
		_cleanup_(zone_free_p) struct zone *zone = NULL;
		_cleanup_free_ uint8_t *cut = malloc(n + !n);

		assert_non_null(cut);
		memcpy(cut, bytes, n);
		assert_int_equal(zone_parse(slice_new(cut, n), &zone), n == len ? 0 : -EBADMSG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calendar),    cmocka_unit_test(test_as_the_c_library),
		cmocka_unit_test(test_local_times), cmocka_unit_test(test_names),
		cmocka_unit_test(test_rules),       cmocka_unit_test(test_cut_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
