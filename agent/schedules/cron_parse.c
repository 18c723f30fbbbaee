/* SPDX-License-Identifier: Apache-2.0 */

/* The six fields of a cron expression. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/schedules/cron.h"

#define FIELDS          6
#define VALUES_MAX      (CRON_YEAR_MAX - CRON_YEAR_MIN + 1)
#define NUMBER_DIGITS   4
#define WEEKDAY_NTH_MAX 5

struct field {
	const char *name;
	unsigned min, max;
	const char *const *words; /* for min and on; NULL: numbers alone */
	bool no_wrap;             /* 2030-2020 makes no sense */
	bool no_steps;
};

static const char *const month_words[] = { "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL",
					   "AUG", "SEP", "OCT", "NOV", "DEC", NULL };
static const char *const weekday_words[] = {
	"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", NULL
};

enum { MINUTES, HOURS, DAY_OF_MONTH, MONTH, DAY_OF_WEEK, YEAR };

static const struct field fields[FIELDS] = {
	[MINUTES] = { .name = "Minutes", .min = 0, .max = 59 },
	[HOURS] = { .name = "Hours", .min = 0, .max = 23 },
	[DAY_OF_MONTH] = { .name = "Day-of-month", .min = 1, .max = 31 },
	[MONTH] = { .name = "Month", .min = 1, .max = 12, .words = month_words },
	[DAY_OF_WEEK] = { .name = "Day-of-week",
			  .min = 1,
			  .max = 7,
			  .words = weekday_words,
			  .no_steps = true },
	[YEAR] = { .name = "Year", .min = CRON_YEAR_MIN, .max = CRON_YEAR_MAX, .no_wrap = true },
};

/* One field while it is read. */
struct reading {
	const struct field *field;
	const char *at;
	char *reason;
	/* Value min + n. */
	bool values[VALUES_MAX];
};

static int refuse(struct reading *reading, const char *why)
{
	(void)snprintf(reading->reason, CRON_REASON_BYTES, "%s: %s.", reading->field->name, why);
	return -EINVAL;
}

static int refuse_range(struct reading *reading)
{
	const struct field *field = reading->field;

	(void)snprintf(reading->reason, CRON_REASON_BYTES, "%s: values are %u to %u%s%s%s%s.",
		       field->name, field->min, field->max, field->words ? " or " : "",
		       field->words ? field->words[0] : "", field->words ? " to " : "",
		       field->words ? field->words[field->max - field->min] : "");
	return -EINVAL;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_end(char c)
{
	return c == 0 || c == ',';
}

static int take_number(struct reading *reading, unsigned *ret)
{
	size_t digits = 0;

	*ret = 0;
	for (; is_digit(*reading->at) && digits < NUMBER_DIGITS; reading->at++, digits++)
		*ret = *ret * 10 + (unsigned)(*reading->at - '0');
	return digits == 0 || is_digit(*reading->at) ? refuse_range(reading) : 0;
}

static int take_value(struct reading *reading, unsigned *ret)
{
	const struct field *field = reading->field;
	int r;

	for (unsigned i = 0; field->words && field->words[i]; i++)
		if (strncasecmp(reading->at, field->words[i], 3) == 0) {
			reading->at += 3;
			*ret = field->min + i;
			return 0;
		}
	r = take_number(reading, ret);
	if (r < 0)
		return r;
	return *ret < field->min || *ret > field->max ? refuse_range(reading) : 0;
}

static int take_step(struct reading *reading, unsigned *ret)
{
	const struct field *field = reading->field;
	unsigned span = field->max - field->min + 1;

	*ret = 1;
	if (*reading->at != '/')
		return 0;
	if (field->no_steps)
		return refuse(reading, "there are no steps (/)");
	reading->at++;
	if (take_number(reading, ret) < 0 || *ret == 0 || *ret > span)
		return refuse(reading, "a step (/) is a number from 1 to the size of the field");
	return 0;
}

/* From one to another, which may be before it: then by way of the end. */
static void set_range(struct reading *reading, unsigned first, unsigned last, unsigned step)
{
	const struct field *field = reading->field;
	unsigned span = field->max - field->min + 1;
	unsigned length = last >= first ? last - first : span - first + last;

	for (unsigned i = 0; i <= length; i += step)
		reading->values[(first - field->min + i) % span] = true;
}

/* The rest of "n", "n-m", "n/s", "n-m/s". */
static int take_range(struct reading *reading, unsigned first)
{
	unsigned last = first, step;
	bool is_range = *reading->at == '-';
	int r = 0;

	if (is_range) {
		reading->at++;
		r = take_value(reading, &last);
	}
	if (r < 0)
		return r;
	if (last < first && reading->field->no_wrap)
		return refuse(reading, "a range ends after it begins");
	if (*reading->at == '/' && !is_range)
		last = reading->field->max;
	r = take_step(reading, &step);
	if (r < 0)
		return r;
	if (!is_end(*reading->at))
		return refuse(reading, "there is something behind a value that is no part of it");
	set_range(reading, first, last, step);
	return 0;
}

static int take_all(struct reading *reading)
{
	unsigned step;
	int r;

	reading->at++;
	r = take_step(reading, &step);
	if (r < 0)
		return r;
	if (!is_end(*reading->at))
		return refuse(reading, "* stands alone, or before a step (/)");
	set_range(reading, reading->field->min, reading->field->max, step);
	return 0;
}

/* -- what only days have -- */

/* "L" and "LW", and "nW". */
static int take_day_of_month(struct reading *reading, struct cron *cron)
{
	unsigned day;
	int r;

	if (*reading->at == 'L' || *reading->at == 'l') {
		reading->at++;
		if (*reading->at == 'W' || *reading->at == 'w') {
			reading->at++;
			cron->last_workday = true;
		} else {
			cron->last_day = true;
		}
		return is_end(*reading->at) ? 0 : refuse(reading, "L stands alone, or before W");
	}
	r = take_value(reading, &day);
	if (r < 0)
		return r;
	if (*reading->at != 'W' && *reading->at != 'w')
		return take_range(reading, day);
	reading->at++;
	cron->near_days |= UINT32_C(1) << day;
	return is_end(*reading->at) ? 0 : refuse(reading, "W stands behind one day");
}

/* "L", "nL" and "n#m". */
static int take_day_of_week(struct reading *reading, struct cron *cron)
{
	unsigned weekday, nth;
	int r;

	if (*reading->at == 'L' || *reading->at == 'l') {
		reading->at++;
		cron->weekdays |= 1U << 7; /* the last of the week */
		return is_end(*reading->at) ? 0
					    : refuse(reading, "L stands alone, or behind a day");
	}
	r = take_value(reading, &weekday);
	if (r < 0)
		return r;
	if (*reading->at == 'L' || *reading->at == 'l') {
		reading->at++;
		cron->last_weekdays |= (uint8_t)(1U << weekday);
		return is_end(*reading->at) ? 0
					    : refuse(reading, "L stands alone, or behind a day");
	}
	if (*reading->at != '#')
		return take_range(reading, weekday);
	reading->at++;
	if (take_number(reading, &nth) < 0 || nth < 1 || nth > WEEKDAY_NTH_MAX ||
	    !is_end(*reading->at))
		return refuse(reading, "# stands between one day and a number from 1 to 5");
	cron->nth_weekdays[nth] |= (uint8_t)(1U << weekday);
	return 0;
}

static int take_item(struct reading *reading, unsigned which, struct cron *cron)
{
	unsigned value;
	int r;

	if (*reading->at == '*')
		return take_all(reading);
	if (*reading->at == '?')
		return refuse(reading, "? stands alone, for a day-of-month or a day-of-week");
	if (which == DAY_OF_MONTH)
		return take_day_of_month(reading, cron);
	if (which == DAY_OF_WEEK)
		return take_day_of_week(reading, cron);
	r = take_value(reading, &value);
	return r < 0 ? r : take_range(reading, value);
}

static uint64_t bits_of(const struct reading *reading)
{
	uint64_t bits = 0;

	for (unsigned i = reading->field->min; i <= reading->field->max; i++)
		if (reading->values[i - reading->field->min])
			bits |= UINT64_C(1) << i;
	return bits;
}

static void keep(const struct reading *reading, unsigned which, struct cron *cron)
{
	switch (which) {
	case MINUTES:
		cron->minutes = bits_of(reading);
		break;
	case HOURS:
		cron->hours = (uint32_t)bits_of(reading);
		break;
	case DAY_OF_MONTH:
		cron->days = (uint32_t)bits_of(reading);
		break;
	case MONTH:
		cron->months = (uint16_t)bits_of(reading);
		break;
	case DAY_OF_WEEK:
		cron->weekdays |= (uint8_t)bits_of(reading);
		break;
	default:
		for (unsigned i = 0; i < VALUES_MAX; i++)
			if (reading->values[i])
				cron->years[i / 64] |= UINT64_C(1) << (i % 64);
	}
}

static int parse_field(const char *text, unsigned which, struct cron *cron, char *reason)
{
	struct reading reading = { .field = &fields[which], .at = text, .reason = reason };
	int r;

	for (;;) {
		r = take_item(&reading, which, cron);
		if (r < 0)
			return r;
		if (*reading.at == 0)
			break;
		reading.at++;
	}
	keep(&reading, which, cron);
	return 0;
}

static int refuse_count(char *reason)
{
	(void)snprintf(reason, CRON_REASON_BYTES,
		       "cron() has six fields: minutes, hours, day-of-month, month, day-of-week "
		       "and year.");
	return -EINVAL;
}

/* Into texts of their own, which end at blanks. */
static int split(const char *text, char ret[FIELDS][CRON_FIELD_BYTES], char *reason)
{
	static const char blanks[] = " \t";
	unsigned count = 0;

	for (text += strspn(text, blanks); *text; text += strspn(text, blanks)) {
		size_t len = strcspn(text, blanks);

		if (count == FIELDS || len >= CRON_FIELD_BYTES)
			return refuse_count(reason);
		memcpy(ret[count], text, len);
		ret[count++][len] = 0;
		text += len;
	}
	return count == FIELDS ? 0 : refuse_count(reason);
}

int cron_parse(const char *text, struct cron *ret, char reason[CRON_REASON_BYTES])
{
	char texts[FIELDS][CRON_FIELD_BYTES];
	bool no_day, no_weekday;
	int r = split(text, texts, reason);

	if (r < 0)
		return r;
	*ret = (struct cron){ 0 };
	no_day = strcmp(texts[DAY_OF_MONTH], "?") == 0;
	no_weekday = strcmp(texts[DAY_OF_WEEK], "?") == 0;
	for (unsigned i = 0; i < FIELDS && r == 0; i++)
		if (!(i == DAY_OF_MONTH && no_day) && !(i == DAY_OF_WEEK && no_weekday))
			r = parse_field(texts[i], i, ret, reason);
	if (r < 0)
		return r;
	ret->by_weekday = no_day;
	if (no_day != no_weekday)
		return 0;
	(void)snprintf(reason, CRON_REASON_BYTES,
		       "Day-of-month or day-of-week must be ?, and only one of them.");
	return -EINVAL;
}
