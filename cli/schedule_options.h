/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the verbs of schedules share: a schedule's settings from the command line, and how one is
 * printed. */

#include <jansson.h>

#include "cli/verb.h"
#include "mayfly/buf.h"

#define SCHEDULE_NAME_OPTIONS                                                                      \
	{                                                                                          \
		"name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME"                      \
	}

#define SCHEDULE_SETTING_OPTIONS                                                                   \
	{ "schedule-expression", 0, OPTION_TEXT, "EXPRESSION",                                     \
	  "rate(5 minutes), cron(0 8 ? * MON-FRI *) or at(2027-01-01T00:00:00)" },                 \
		{ "function", 0, OPTION_TEXT, "FUNCTION",                                          \
		  "in any name form, a qualifier with it" },                                       \
		{ "schedule-expression-timezone", 0, OPTION_TEXT, "ZONE",                          \
		  "such as Europe/Berlin; UTC by default" },                                       \
		{ "input", 0, OPTION_FILE, "JSON|@FILE", "the function's event" },                 \
		{ "description", 0, OPTION_TEXT, "TEXT", "for people" },                           \
		{ "state", 0, OPTION_CHOICE, "ENABLED|DISABLED", "whether it fires" },             \
		{ "start-date", 0, OPTION_TEXT, "TIME",                                            \
		  "not before then: 2026-11-25 or 2026-11-25T13:00Z; none: no more" },             \
		{ "end-date", 0, OPTION_TEXT, "TIME", "not after then, likewise" },                \
		{ "flexible-time-window", 0, OPTION_TEXT, "MINUTES",                               \
		  "fires at some moment of so many; 0: on time" },                                 \
		{ "action-after-completion", 0, OPTION_CHOICE, "NONE|DELETE",                      \
		  "when there is no occurrence any more" },                                        \
		{ "maximum-event-age-in-seconds", 0, OPTION_TEXT, "SECONDS",                       \
		  "60 to 86400: how late an occurrence may become an event" },                     \
	{                                                                                          \
		"maximum-retry-attempts", 0, OPTION_TEXT, "N",                                     \
			"0 to 185: how often it is tried again until then"                         \
	}

/* Start zeroed, end with schedule_settings_clear(). Its messages refer to each other: must not
 * move. */
struct schedule_settings {
	Mayfly__V1__FlexibleTimeWindow window;
	Mayfly__V1__ScheduleTarget target;
	Mayfly__V1__ScheduleRetryPolicy retry_policy;
	struct buf input;
};

/* What is named on the command line, over what is in `request`, whose nested messages are NULL or
 * somebody else's and are left as they are. */
int schedule_settings_apply(const struct arguments *arguments, struct schedule_settings *settings,
			    Mayfly__V1__UpdateScheduleRequest *request, struct error *e) _must_use_;
void schedule_settings_clear(struct schedule_settings *settings);
#define _cleanup_schedule_settings_ _cleanup_(schedule_settings_clear)

json_t *schedule_json(const Mayfly__V1__Schedule *schedule);
int schedule_print(const struct context *context, const Mayfly__V1__Schedule *schedule) _must_use_;
const char *name_of_schedule_state(int value);
