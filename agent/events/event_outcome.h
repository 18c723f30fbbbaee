/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is told of an event that ended (Lambda developer guide, "Capturing records of asynchronous
 * invocations"; "Adding a dead-letter queue"). Pure; any thread. */

#include "agent/store/event_store.h"

#define EVENT_ERROR_MESSAGE_MAX   1024
/* Of a record: what an event, a message of SQS and one of EventBridge may have in Lambda. One that
 * would be larger has no responsePayload ("If the combined size of the function request and
 * response payload exceeds the limit, Lambda will drop the payload", API reference, OnFailure). The
 * event stays: it may have to be sent again. */
#define EVENT_OUTCOME_MAX_BYTES   1048576
/* What a record has beside the event and the answer, at most. */
#define EVENT_OUTCOME_FRAME_BYTES 2048

struct event_outcome_facts {
	const struct event_record *record;
	struct slice event;
	const char *function_arn; /* with a qualifier */
	const char *condition;
	unsigned invoke_count; /* tries that ran */
	int64_t now_us;        /* Unix time */
	bool has_response;     /* the last try ran: what follows is its answer */
	unsigned status_code;
	const char *executed_version;
	const char *function_error; /* "" */
	struct slice response;
};

/* The most that the record of an event of so many bytes takes. */
uint64_t event_outcome_max_bytes(uint64_t event_bytes) _pure_;

/* Writes the record, as JSON, into an empty buffer; *ret_event_at and *ret_event_bytes say where in
 * it the event lies, byte for byte as it came. The answer may be megabytes that are looked through:
 * in jobs. 0 or -ENOMEM. */
int event_outcome_write(const struct event_outcome_facts *facts, struct buf *ret,
			uint64_t *ret_event_at, uint64_t *ret_event_bytes) _must_use_;

/* Appends the first EVENT_ERROR_MESSAGE_MAX bytes, or fewer for a whole character, of what the
 * function said went wrong; else the condition. As above. */
int event_outcome_write_error(const struct event_outcome_facts *facts, struct buf *ret) _must_use_;
