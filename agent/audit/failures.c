/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/audit/failures.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#define HASH_FUNCTION HASH_FNV
#include <uthash.h>

#include "mayfly/clock.h"
#include "mayfly/log.h"

#define KEY_BYTES 256

struct failed_caller {
	char key[KEY_BYTES];        /* share and principal, a newline between */
	struct audit_record record; /* the first that was left out; owned */
	unsigned noted;
	uint64_t left_out;
	UT_hash_handle hh;
};

/* -- what was left out -- */

static void note_rest(struct failures *failures, const struct failed_caller *caller)
{
	struct audit_record record = caller->record;
	char message[96];

	(void)snprintf(message, sizeof(message), "%" PRIu64 " more calls that failed in one minute",
		       caller->left_out);
	record.method = record.resource = "";
	record.message = message;
	trail_note(failures->trail, &record);
}

static void note_others(struct failures *failures)
{
	char message[96];

	(void)snprintf(message, sizeof(message),
		       "%" PRIu64 " more calls that failed in one minute, of further callers",
		       failures->others);
	const struct audit_record record = { .principal = "",
					     .access_key_id = "",
					     .tenant = "",
					     .method = "",
					     .resource = "",
					     .peer = "",
					     .result = error_kind(ERROR_ACCESS_DENIED)->name,
					     .message = message,
					     .share = AUDIT_SHARE_UNKNOWN };
	trail_note(failures->trail, &record);
}

void failures_end(struct failures *failures)
{
	struct failed_caller *caller, *next;

	timer_disarm(&failures->timer);
	HASH_ITER (hh, failures->callers, caller, next) {
		if (caller->left_out)
			note_rest(failures, caller);
		HASH_DEL(failures->callers, caller);
		trail_clear_record(&caller->record);
		free(caller);
	}
	if (failures->others)
		note_others(failures);
	failures->others = 0;
	failures->count = 0;
}

static void on_minute(void *arg)
{
	failures_end(arg);
}

/* -- noting -- */

static struct failed_caller *find(struct failures *failures, const struct audit_record *record)
{
	struct failed_caller *caller = NULL;
	char key[KEY_BYTES];

	(void)snprintf(key, sizeof(key), "%s\n%s", record->share, record->principal);
	HASH_FIND_STR(failures->callers, key, caller);
	if (caller || failures->count >= FAILURES_CALLERS_MAX)
		return caller;
	caller = calloc(1, sizeof(*caller));
	if (!caller)
		return NULL;
	(void)snprintf(caller->key, sizeof(caller->key), "%s", key);
	HASH_ADD_STR(failures->callers, key, caller);
	failures->count++;
	return caller;
}

/* The texts of the first one say who it was, from where, and how it ended. */
static void leave_out(struct failures *failures, struct failed_caller *caller,
		      const struct audit_record *record)
{
	if (caller->left_out == 0 && trail_copy_record(&caller->record, record) < 0) {
		failures->others++;
		return;
	}
	caller->left_out++;
}

void failures_note(struct failures *failures, const struct audit_record *record)
{
	int64_t now_us = clock_monotonic_us(), minute = now_us / USEC_PER_MINUTE;
	struct failed_caller *caller;

	if (minute != failures->minute)
		failures_end(failures);
	failures->minute = minute;
	caller = find(failures, record);
	if (caller && caller->noted < FAILURES_NOTED_MAX) {
		caller->noted++;
		trail_note(failures->trail, record);
		return;
	}
	if (caller)
		leave_out(failures, caller, record);
	else
		failures->others++;
	if (!failures->timer.source && failures->loop &&
	    timer_arm(&failures->timer, failures->loop, (minute + 1) * USEC_PER_MINUTE, on_minute,
		      failures) < 0)
		log_error("calls that failed are counted, but told only later");
}
