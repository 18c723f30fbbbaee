/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/schedules/occurrence.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "agent/core/digest.h"
#include "agent/schedules/calendar.h"
#include "mayfly/clock.h"

/* What attributes can come to, beyond the input. */
#define EVENT_MAX_BYTES (4U * SCHEDULE_INPUT_MAX_BYTES)

/* -- when -- */

int occurrence_next(const struct timetable *timetable, int64_t after_us, int64_t *ret_us)
{
	const struct schedule *schedule = timetable->schedule;
	bool is_once = timetable->expression.kind == EXPRESSION_AT;
	int r;

	if (!is_once && schedule->start_us > after_us)
		after_us = schedule->start_us - 1;
	r = expression_next(&timetable->expression, timetable->zone, schedule->base_us, after_us,
			    ret_us);
	if (r == 0 && !is_once && schedule->end_us > 0 && *ret_us > schedule->end_us)
		return -ENOENT;
	return r;
}

/* Of many: goes back twice as far each time until there is one, and on from there. */
static int64_t find_last(const struct timetable *timetable, int64_t found_us, int64_t until_us)
{
	int64_t back_us = CALENDAR_MINUTE_S * USEC_PER_SEC, next_us;

	while (until_us - back_us > found_us) {
		if (occurrence_next(timetable, until_us - back_us, &next_us) == 0 &&
		    next_us <= until_us) {
			found_us = next_us;
			break;
		}
		back_us *= 2;
	}
	while (occurrence_next(timetable, found_us, &next_us) == 0 && next_us <= until_us)
		found_us = next_us;
	return found_us;
}

int occurrence_last(const struct timetable *timetable, int64_t after_us, int64_t until_us,
		    int64_t *ret_us, unsigned *ret_before)
{
	int64_t next_us;
	int r = occurrence_next(timetable, after_us, ret_us);

	*ret_before = 0;
	if (r < 0 || *ret_us > until_us)
		return -ENOENT;
	while (occurrence_next(timetable, *ret_us, &next_us) == 0 && next_us <= until_us) {
		if (++*ret_before == OCCURRENCE_COUNT_MAX) {
			*ret_us = find_last(timetable, next_us, until_us);
			break;
		}
		*ret_us = next_us;
	}
	return 0;
}

/* -- what is drawn once and for all -- */

static struct digest digest_of(const struct schedule *schedule, int64_t occurrence_us)
{
	char text[TENANT_ID_BYTES + SCHEDULE_NAME_MAX + 64];
	struct digest digest;
	int n = snprintf(text, sizeof(text), "%s/%s/%016llx/%lld", schedule->tenant, schedule->name,
			 (unsigned long long)schedule->generation, (long long)occurrence_us);

	/* OpenSSL without SHA-256 is none, and the same event twice is worse than an end. */
	if (digest_bytes(text, (size_t)n, &digest) < 0)
		abort();
	return digest;
}

int64_t occurrence_due(const struct schedule *schedule, int64_t occurrence_us)
{
	int64_t window_us = schedule->window_minutes * CALENDAR_MINUTE_S * USEC_PER_SEC;
	struct digest digest;
	uint64_t drawn;

	if (window_us == 0)
		return occurrence_us;
	digest = digest_of(schedule, occurrence_us);
	/* Other bytes than the request id has, which callers see. */
	memcpy(&drawn, digest.bytes + 16, sizeof(drawn));
	return occurrence_us + (int64_t)(drawn % (uint64_t)window_us);
}

/* RFC 9562, version 8: bits of our own. */
void occurrence_request_id(const struct schedule *schedule, int64_t occurrence_us,
			   char ret[UUID_BYTES])
{
	struct digest digest = digest_of(schedule, occurrence_us);
	uint8_t *b = digest.bytes;

	b[6] = (uint8_t)((b[6] & 0x0f) | 0x80);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	(void)snprintf(ret, UUID_BYTES,
		       "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
		       b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
		       b[13], b[14], b[15]);
}

/* -- which event -- */

struct attributes {
	char time[CALENDAR_TEXT_BYTES];
	char id[UUID_BYTES];
	char attempt[12];
	char *arn;
};

/* What begins with one, and its value; NULL: nothing does. */
static const char *find_attribute(const char *text, const struct attributes *attributes,
				  size_t *ret_len)
{
	const struct {
		const char *name;
		const char *value;
	} all[] = {
		{ "<aws.scheduler.schedule-arn>", attributes->arn },
		{ "<aws.scheduler.scheduled-time>", attributes->time },
		{ "<aws.scheduler.execution-id>", attributes->id },
		{ "<aws.scheduler.attempt-number>", attributes->attempt },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		*ret_len = strlen(all[i].name);
		if (strncmp(text, all[i].name, *ret_len) == 0)
			return all[i].value;
	}
	return NULL;
}

static int replace(const char *input, const struct attributes *attributes, struct buf *ret)
{
	int r = 0;

	while (*input && r == 0) {
		size_t len = strcspn(input + 1, "<") + 1;
		const char *value = NULL;

		if (*input == '<')
			value = find_attribute(input, attributes, &len);
		if (!value && *input == '<')
			len = strcspn(input + 1, "<") + 1;
		r = value ? buf_append_string(ret, value) : buf_append(ret, input, len);
		input += len;
	}
	return r;
}

/* As a function sees it that EventBridge Scheduler invokes without an input. */
static int own_event(const struct schedule *schedule, const char *region,
		     const struct attributes *attributes, struct buf *ret)
{
	json_t *event =
		json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:[s],s:s}", "version", "0", "id",
			  attributes->id, "detail-type", "Scheduled Event", "source",
			  "aws.scheduler", "account", schedule->tenant, "time", attributes->time,
			  "region", region, "resources", attributes->arn, "detail", "{}");
	_cleanup_free_ char *text = event ? json_dumps(event, JSON_COMPACT) : NULL;

	json_decref(event);
	return text ? buf_append_string(ret, text) : -ENOMEM;
}

int occurrence_event(const struct schedule *schedule, const char *region, int64_t occurrence_us,
		     unsigned attempt, struct buf *ret)
{
	_cleanup_free_ char *arn = schedule_arn(schedule, region);
	struct attributes attributes = { .arn = arn };

	if (!arn)
		return -ENOMEM;
	calendar_format(occurrence_us / USEC_PER_SEC, attributes.time);
	occurrence_request_id(schedule, occurrence_us, attributes.id);
	(void)snprintf(attributes.attempt, sizeof(attributes.attempt), "%u", attempt);
	ret->max = EVENT_MAX_BYTES;
	return schedule->input[0] ? replace(schedule->input, &attributes, ret)
				  : own_event(schedule, region, &attributes, ret);
}

int occurrence_check_input(const struct schedule *schedule, const char *region, struct error *error)
{
	_cleanup_buf_ struct buf event = BUF_INIT;
	json_error_t where;
	json_t *json;
	int r = occurrence_event(schedule, region, 0, SCHEDULE_RETRIES_MAX + 1, &event);

	if (r == -EMSGSIZE)
		return error_set(error, ERROR_INVALID_PARAMETER, "target.input",
				 "The Input of the target is larger than %u bytes when its "
				 "attributes have values.",
				 EVENT_MAX_BYTES);
	if (r < 0)
		return error_set_errno(error, r, "Cannot check the input");
	json = json_loadb((const char *)event.data, event.len,
			  JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &where);
	/* As an event's: a number beyond a double is JSON all the same. */
	if (json || json_error_code(&where) == json_error_numeric_overflow) {
		json_decref(json);
		return 0;
	}
	return error_set(error, ERROR_INVALID_PARAMETER, "target.input",
			 "The Input of the target is not valid JSON: %s, at [line: %d, column: %d]",
			 where.text, where.line, where.column);
}
