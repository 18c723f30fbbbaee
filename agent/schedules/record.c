/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/schedules/record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "mayfly/store/v1/schedule.pb-c.h"

typedef Mayfly__Store__V1__StoredSchedule stored_schedule;

static void stored_schedule_free(stored_schedule *stored)
{
	mayfly__store__v1__stored_schedule__free_unpacked(stored, NULL);
}
DEFINE_CLEANUP(stored_schedule, stored_schedule_free)

void schedule_record_key(const char *prefix, const char *tenant, const char *name,
			 char out[SCHEDULE_KEY_BYTES])
{
	(void)snprintf(out, SCHEDULE_KEY_BYTES, "%s%s/%s", prefix, tenant, name);
}

static int refuse(struct error *error)
{
	return error_set(error, ERROR_INTERNAL, NULL,
			 "A schedule's record in the registry is damaged.");
}

/* -- what was asked for -- */

static void fill(stored_schedule *message, const struct schedule *schedule)
{
	message->tenant = (char *)(uintptr_t)schedule->tenant;
	message->name = (char *)(uintptr_t)schedule->name;
	message->description = schedule->description;
	message->expression = schedule->expression;
	message->timezone = (char *)(uintptr_t)schedule->timezone;
	message->start_us = schedule->start_us;
	message->end_us = schedule->end_us;
	message->disabled = schedule->disabled;
	message->window_minutes = schedule->window_minutes;
	message->delete_after_completion = schedule->delete_after_completion;
	message->function = (char *)(uintptr_t)schedule->target.name;
	message->qualifier = (char *)(uintptr_t)schedule->target.qualifier;
	message->input = schedule->input;
	message->max_age_s = schedule->max_age_s;
	message->max_retries = schedule->max_retries;
	message->created_us = schedule->created_us;
	message->modified_us = schedule->modified_us;
	message->base_us = schedule->base_us;
	message->generation = schedule->generation;
	message->client_token = (char *)(uintptr_t)schedule->client_token;
}

int schedule_record_encode(const struct schedule *schedule, struct buf *ret)
{
	stored_schedule message = MAYFLY__STORE__V1__STORED_SCHEDULE__INIT;
	int r;

	fill(&message, schedule);
	r = buf_reserve(ret, mayfly__store__v1__stored_schedule__get_packed_size(&message));
	if (r < 0)
		return r;
	ret->len = mayfly__store__v1__stored_schedule__pack(&message, ret->data);
	return 0;
}

static struct schedule_request request_of(const stored_schedule *message)
{
	return (struct schedule_request){
		.tenant = message->tenant,
		.name = message->name,
		.description = message->description,
		.expression = message->expression,
		.timezone = message->timezone,
		.start_us = message->start_us,
		.end_us = message->end_us,
		.disabled = message->disabled,
		.is_flexible = message->window_minutes > 0,
		.window_minutes = message->window_minutes,
		.delete_after_completion = message->delete_after_completion,
		.target = message->function,
		.input = message->input,
		.max_age_s = &message->max_age_s,
		.max_retries = &message->max_retries,
		.client_token = message->client_token,
	};
}

/* The rules of a request hold for what was one, the region apart. */
int schedule_record_decode(struct slice bytes, struct schedule **ret, struct error *error)
{
	_cleanup_(stored_schedule_free_p) stored_schedule *message =
		mayfly__store__v1__stored_schedule__unpack(NULL, bytes.len, bytes.data);
	_cleanup_(schedule_free_p) struct schedule *schedule = NULL;
	struct schedule_request request;

	if (!message || !tenant_id_is_valid(message->tenant) ||
	    strlen(message->qualifier) > FUNCTION_QUALIFIER_MAX)
		return refuse(error);
	request = request_of(message);
	if (schedule_new(&request, "", &schedule, NULL) < 0)
		return refuse(error);
	(void)snprintf(schedule->target.qualifier, sizeof(schedule->target.qualifier), "%s",
		       message->qualifier);
	schedule->target.has_qualifier = message->qualifier[0] != 0;
	schedule->created_us = message->created_us;
	schedule->modified_us = message->modified_us;
	schedule->base_us = message->base_us;
	schedule->generation = message->generation;
	*ret = TAKE_PTR(schedule);
	return 0;
}

/* -- how far it is -- */

int schedule_record_encode_mark(const struct schedule_mark *mark, struct buf *ret)
{
	Mayfly__Store__V1__StoredScheduleMark message =
		MAYFLY__STORE__V1__STORED_SCHEDULE_MARK__INIT;
	int r;

	message.generation = mark->generation;
	message.done_us = mark->done_us;
	message.fired_us = mark->fired_us;
	r = buf_reserve(ret, mayfly__store__v1__stored_schedule_mark__get_packed_size(&message));
	if (r < 0)
		return r;
	ret->len = mayfly__store__v1__stored_schedule_mark__pack(&message, ret->data);
	return 0;
}

int schedule_record_decode_mark(struct slice bytes, struct schedule_mark *ret, struct error *error)
{
	Mayfly__Store__V1__StoredScheduleMark *message =
		mayfly__store__v1__stored_schedule_mark__unpack(NULL, bytes.len, bytes.data);

	if (!message)
		return refuse(error);
	*ret = (struct schedule_mark){
		.generation = message->generation,
		.done_us = message->done_us,
		.fired_us = message->fired_us,
	};
	mayfly__store__v1__stored_schedule_mark__free_unpacked(message, NULL);
	return 0;
}
