/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/schedules/zone_rule.h"

#include <errno.h>

#include "agent/schedules/calendar.h"

#define HOURS_MAX        167U
#define OFFSET_HOURS_MAX 24U
#define SUMMER_AHEAD_S   3600
#define DEFAULT_TIME_S   7200

static bool take(struct slice *text, char c)
{
	if (text->len == 0 || (char)text->data[0] != c)
		return false;
	*text = slice_new(text->data + 1, text->len - 1);
	return true;
}

static bool is_digit_next(const struct slice *text)
{
	return text->len > 0 && text->data[0] >= '0' && text->data[0] <= '9';
}

static int take_number(struct slice *text, unsigned min, unsigned max, unsigned *ret)
{
	unsigned value = 0;

	if (!is_digit_next(text))
		return -EBADMSG;
	while (is_digit_next(text)) {
		value = value * 10 + (unsigned)(text->data[0] - '0');
		*text = slice_new(text->data + 1, text->len - 1);
		if (value > max)
			return -EBADMSG;
	}
	*ret = value;
	return value < min ? -EBADMSG : 0;
}

static bool is_letter(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* What an offset is called concerns nobody here. */
static int skip_name(struct slice *text)
{
	size_t len = 0;

	if (take(text, '<')) {
		while (len < text->len && text->data[len] != '>')
			len++;
		if (len == text->len)
			return -EBADMSG;
		*text = slice_new(text->data + len + 1, text->len - len - 1);
		return 0;
	}
	while (len < text->len && is_letter(text->data[len]))
		len++;
	if (len < 3)
		return -EBADMSG;
	*text = slice_new(text->data + len, text->len - len);
	return 0;
}

/* [+-]hh[:mm[:ss]] */
static int take_time(struct slice *text, unsigned max_hours, int32_t *ret)
{
	unsigned hours, minutes = 0, seconds = 0;
	bool negative = take(text, '-');
	int r;

	if (!negative)
		(void)take(text, '+');
	r = take_number(text, 0, max_hours, &hours);
	if (r == 0 && take(text, ':')) {
		r = take_number(text, 0, 59, &minutes);
		if (r == 0 && take(text, ':'))
			r = take_number(text, 0, 59, &seconds);
	}
	if (r < 0)
		return r;
	*ret = (int32_t)(hours * 3600 + minutes * 60 + seconds) * (negative ? -1 : 1);
	return 0;
}

static int take_day(struct slice *text, struct zone_day *ret)
{
	int r;

	*ret = (struct zone_day){ .time_s = DEFAULT_TIME_S };
	if (take(text, 'M')) {
		ret->kind = ZONE_DAY_MONTH;
		r = take_number(text, 1, 12, &ret->month);
		if (r < 0 || !take(text, '.') || take_number(text, 1, 5, &ret->week) < 0 ||
		    !take(text, '.'))
			return -EBADMSG;
		r = take_number(text, 0, 6, &ret->day);
	} else if (take(text, 'J')) {
		ret->kind = ZONE_DAY_JULIAN;
		r = take_number(text, 1, 365, &ret->day);
	} else {
		ret->kind = ZONE_DAY_ZERO;
		r = take_number(text, 0, 365, &ret->day);
	}
	if (r == 0 && take(text, '/'))
		r = take_time(text, HOURS_MAX, &ret->time_s);
	return r;
}

/* POSIX counts west of Greenwich. */
static int take_offset(struct slice *text, int32_t *ret)
{
	int r = take_time(text, OFFSET_HOURS_MAX, ret);

	*ret = -*ret;
	return r;
}

static int take_summer(struct slice *text, struct zone_rule *ret)
{
	int r = skip_name(text);

	ret->has_summer = true;
	ret->summer_offset_s = ret->offset_s + SUMMER_AHEAD_S;
	if (r == 0 && text->len > 0 && text->data[0] != ',')
		r = take_offset(text, &ret->summer_offset_s);
	if (r < 0 || !take(text, ',') || take_day(text, &ret->summer_begins) < 0 ||
	    !take(text, ',') || take_day(text, &ret->summer_ends) < 0)
		return -EBADMSG;
	return 0;
}

int zone_rule_parse(struct slice text, struct zone_rule *ret)
{
	int r;

	*ret = (struct zone_rule){ 0 };
	r = skip_name(&text);
	if (r == 0)
		r = take_offset(&text, &ret->offset_s);
	if (r == 0 && text.len > 0)
		r = take_summer(&text, ret);
	return r < 0 || text.len > 0 ? -EBADMSG : 0;
}

/* Local seconds, of the clock before the change. */
static int64_t day_in_year(const struct zone_day *day, int64_t year)
{
	int64_t days = calendar_days(year, 1, 1);
	unsigned first, of_month;

	switch (day->kind) {
	case ZONE_DAY_JULIAN:
		days += day->day - 1;
		days += day->day >= 60 && calendar_is_leap_year(year);
		break;
	case ZONE_DAY_ZERO:
		days += day->day;
		break;
	default:
		days = calendar_days(year, day->month, 1);
		first = (day->day + 7 - calendar_weekday(days)) % 7;
		of_month = first + 7 * (day->week - 1);
		if (of_month >= calendar_days_in_month(year, day->month))
			of_month -= 7;
		days += of_month;
	}
	return days * CALENDAR_DAY_S + day->time_s;
}

/* The last change before that moment decides, which may have been a year's before. Where both are
 * at once, summer it is: so are zones written that have it all year. */
int32_t zone_rule_offset(const struct zone_rule *rule, int64_t utc_s)
{
	int64_t last = INT64_MIN;
	bool is_summer = false;
	struct calendar calendar;

	if (!rule->has_summer)
		return rule->offset_s;
	calendar_split(utc_s + rule->offset_s, &calendar);
	for (int64_t year = calendar.year - 1; year <= calendar.year + 1; year++) {
		int64_t begins = day_in_year(&rule->summer_begins, year) - rule->offset_s;
		int64_t ends = day_in_year(&rule->summer_ends, year) - rule->summer_offset_s;

		if (ends <= utc_s && ends > last) {
			last = ends;
			is_summer = false;
		}
		if (begins <= utc_s && begins >= last) {
			last = begins;
			is_summer = true;
		}
	}
	return is_summer ? rule->summer_offset_s : rule->offset_s;
}
