/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/schedules/expression.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/schedules/calendar.h"
#include "mayfly/clock.h"

#define AT_CHARS 19 /* yyyy-mm-ddThh:mm:ss */

static int refuse(const char *text, const char *reason, struct error *error)
{
	return error_set(error, ERROR_INVALID_PARAMETER, "schedule_expression",
			 "Invalid Schedule Expression %.*s. %s", EXPRESSION_MAX, text, reason);
}

/* -- rate -- */

static int parse_rate(const char *body, struct expression *ret)
{
	static const struct {
		const char *name;
		int64_t seconds;
	} units[] = {
		{ "minute", CALENDAR_MINUTE_S }, { "minutes", CALENDAR_MINUTE_S },
		{ "hour", CALENDAR_HOUR_S },     { "hours", CALENDAR_HOUR_S },
		{ "day", CALENDAR_DAY_S },       { "days", CALENDAR_DAY_S },
	};
	int64_t value = 0;
	const char *at = body;

	for (; *at >= '0' && *at <= '9' && value <= EXPRESSION_RATE_MAX; at++)
		value = value * 10 + (*at - '0');
	if (value < 1 || value > EXPRESSION_RATE_MAX || *at != ' ')
		return -EINVAL;
	at += strspn(at, " ");
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (strcmp(at, units[i].name) == 0) {
			ret->kind = EXPRESSION_RATE;
			ret->rate_s = value * units[i].seconds;
			return 0;
		}
	return -EINVAL;
}

/* -- at -- */

/* A number of `digits` digits, and what follows it. */
static bool take_digits(const char **at, unsigned digits, char end, unsigned *ret)
{
	*ret = 0;
	for (; digits > 0; digits--, ++*at) {
		if (**at < '0' || **at > '9')
			return false;
		*ret = *ret * 10 + (unsigned)(**at - '0');
	}
	return *(*at)++ == end;
}

static int parse_at(const char *body, struct expression *ret)
{
	struct calendar at = { 0 };
	unsigned year;

	if (strlen(body) != AT_CHARS || !take_digits(&body, 4, '-', &year) ||
	    !take_digits(&body, 2, '-', &at.month) || !take_digits(&body, 2, 'T', &at.day) ||
	    !take_digits(&body, 2, ':', &at.hour) || !take_digits(&body, 2, ':', &at.minute) ||
	    !take_digits(&body, 2, 0, &at.second))
		return -EINVAL;
	at.year = year;
	if (year < CRON_YEAR_MIN || year > CRON_YEAR_MAX || at.month < 1 || at.month > 12 ||
	    at.day < 1 || at.day > calendar_days_in_month(year, at.month) || at.hour > 23 ||
	    at.minute > 59 || at.second > 59)
		return -EINVAL;
	ret->kind = EXPRESSION_AT;
	ret->at_local_s = calendar_seconds(&at);
	return 0;
}

/* -- all -- */

/* What is between "name(" and the ")" at the end. */
static bool take_body(const char *text, const char *name, char body[EXPRESSION_MAX + 1])
{
	size_t begin = strlen(name), len = strlen(text);

	if (strncmp(text, name, begin) != 0 || len < begin + 1 || text[len - 1] != ')')
		return false;
	memcpy(body, text + begin, len - begin - 1);
	body[len - begin - 1] = 0;
	return true;
}

int expression_parse(const char *text, struct expression *ret, struct error *error)
{
	char body[EXPRESSION_MAX + 1], reason[CRON_REASON_BYTES];

	*ret = (struct expression){ 0 };
	if (strlen(text) > EXPRESSION_MAX)
		return error_set(error, ERROR_INVALID_PARAMETER, "schedule_expression",
				 "1 validation error detected: Value '%.*s...' at "
				 "'scheduleExpression' failed to satisfy constraint: Member must "
				 "have length less than or equal to %d",
				 32, text, EXPRESSION_MAX);
	if (take_body(text, "rate(", body))
		return parse_rate(body, ret) == 0
			       ? 0
			       : refuse(text,
					"It must be rate(value unit): a number from 1 to 999999, "
					"and minutes, hours or days.",
					error);
	if (take_body(text, "at(", body))
		return parse_at(body, ret) == 0
			       ? 0
			       : refuse(text,
					"It must be at(yyyy-mm-ddThh:mm:ss) with a time of the "
					"years 1970 to 2199.",
					error);
	if (!take_body(text, "cron(", body))
		return refuse(text, "It must be rate(...), cron(...) or at(...).", error);
	ret->kind = EXPRESSION_CRON;
	return cron_parse(body, &ret->cron, reason) == 0 ? 0 : refuse(text, reason, error);
}

int expression_check(const struct expression *expression, const char *text, const struct zone *zone,
		     struct error *error)
{
	int64_t unused;

	if (expression->kind == EXPRESSION_CRON && cron_next(&expression->cron, 0, &unused) < 0)
		return refuse(text, "It names a day that never comes.", error);
	if (expression->kind == EXPRESSION_AT &&
	    zone_to_utc(zone, expression->at_local_s, &unused) < 0)
		return refuse(text, "The clocks of that time zone leap over that time.", error);
	return 0;
}

static int64_t floor_seconds(int64_t us)
{
	return us / USEC_PER_SEC - (us % USEC_PER_SEC < 0);
}

static int next_of_rate(const struct expression *expression, int64_t base_us, int64_t after_us,
			int64_t *ret_us)
{
	int64_t rate_us = expression->rate_s * USEC_PER_SEC;

	*ret_us = base_us;
	if (after_us >= base_us)
		*ret_us += ((after_us - base_us) / rate_us + 1) * rate_us;
	return 0;
}

static int next_of_at(const struct expression *expression, const struct zone *zone,
		      int64_t after_us, int64_t *ret_us)
{
	int64_t utc_s;
	int r = zone_to_utc(zone, expression->at_local_s, &utc_s);

	if (r < 0)
		return r;
	*ret_us = utc_s * USEC_PER_SEC;
	return *ret_us > after_us ? 0 : -ENOENT;
}

/* Local times grow; what a local time means in UTC may be before `after` while its hour comes for
 * the second time, and that was its occurrence. */
static int next_of_cron(const struct expression *expression, const struct zone *zone,
			int64_t after_us, int64_t *ret_us)
{
	int64_t after_s = floor_seconds(after_us), utc_s;
	int64_t local_s = after_s + zone_offset(zone, after_s);
	int r;

	do {
		r = cron_next(&expression->cron, local_s, &local_s);
		if (r < 0)
			return r;
		r = zone_to_utc(zone, local_s, &utc_s);
		local_s += CALENDAR_MINUTE_S;
	} while (r < 0 || utc_s * USEC_PER_SEC <= after_us);
	*ret_us = utc_s * USEC_PER_SEC;
	return 0;
}

int expression_next(const struct expression *expression, const struct zone *zone, int64_t base_us,
		    int64_t after_us, int64_t *ret_us)
{
	switch (expression->kind) {
	case EXPRESSION_RATE:
		return next_of_rate(expression, base_us, after_us, ret_us);
	case EXPRESSION_AT:
		return next_of_at(expression, zone, after_us, ret_us);
	default:
		return next_of_cron(expression, zone, after_us, ret_us);
	}
}
