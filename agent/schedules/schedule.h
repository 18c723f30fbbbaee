/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a schedule is: pure values and rules, no I/O. Limits and messages are Amazon EventBridge
 * Scheduler's (CreateSchedule API reference). A struct schedule owns its strings. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/functions/function.h"
#include "agent/functions/tenant.h"
#include "agent/schedules/expression.h"
#include "mayfly/buf.h"
#include "mayfly/id.h"

#define SCHEDULE_NAME_MAX           64
#define SCHEDULE_DESCRIPTION_MAX    512 /* characters */
#define SCHEDULE_CLIENT_TOKEN_MAX   64
#define SCHEDULE_INPUT_MAX_BYTES    262144
#define SCHEDULE_WINDOW_MAX_MINUTES 1440
#define SCHEDULE_AGE_MIN_S          60
#define SCHEDULE_AGE_MAX_S          86400 /* the default, too */
#define SCHEDULE_RETRIES_MAX        185   /* the default, too */

struct schedule {
	char tenant[TENANT_ID_BYTES];
	char name[SCHEDULE_NAME_MAX + 1];
	char *description;
	char *expression;
	char timezone[ZONE_NAME_MAX + 1];
	int64_t start_us; /* Unix time, as all; 0: none */
	int64_t end_us;
	bool disabled;
	unsigned window_minutes; /* 0: it fires on time */
	bool delete_after_completion;
	struct function_reference target;
	char *input; /* "": EventBridge Scheduler's own event */
	size_t input_bytes;
	unsigned max_age_s;
	unsigned max_retries;
	char client_token[SCHEDULE_CLIENT_TOKEN_MAX + 1]; /* of its creation */
	int64_t created_us;
	int64_t modified_us;
	int64_t base_us;     /* from which a rate counts */
	uint64_t generation; /* another after each change */
};

struct schedule *schedule_free(struct schedule *schedule);
DEFINE_CLEANUP(struct schedule, schedule_free)

/* What a caller asks for; all borrowed, no text is NULL. */
struct schedule_request {
	const char *tenant;
	const char *name;
	const char *description;
	const char *expression;
	const char *timezone; /* "": UTC */
	int64_t start_us;
	int64_t end_us;
	bool disabled;
	bool is_flexible;
	unsigned window_minutes;
	bool delete_after_completion;
	const char *target; /* any name form */
	const char *input;
	const unsigned *max_age_s;   /* NULL: the default */
	const unsigned *max_retries; /* likewise */
	const char *client_token;
};

/* Refuses what breaks a rule that can be seen without the zone: `error` names the field. */
int schedule_new(const struct schedule_request *request, const char *region, struct schedule **ret,
		 struct error *error) _must_use_;

int schedule_validate_name(const char *name, struct error *error) _must_use_;

/* Whether what may be asked for is the same in both. */
bool schedule_is_equal(const struct schedule *a, const struct schedule *b);

/* "Schedule X does not exist." and "Schedule X already exists." */
int schedule_set_not_found(const char *name, struct error *error);
int schedule_set_exists(const char *name, struct error *error);

/* arn:aws:scheduler:REGION:TENANT:schedule/default/NAME; the caller frees. */
char *schedule_arn(const struct schedule *schedule, const char *region);
