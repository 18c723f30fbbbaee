/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is told of an event that ended (Lambda developer guide, "Capturing records of asynchronous
 * invocations"; "Adding a dead-letter queue"). Pure; any thread. */

#include "agent/store/event_store.h"

#define EVENT_ERROR_MESSAGE_MAX 1024

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

/* Appends the record, as JSON; *ret_event_at and *ret_event_bytes say where in it the event lies,
 * byte for byte as it came. 0, -ENOMEM or -EMSGSIZE. */
int event_outcome_write(const struct event_outcome_facts *facts, struct buf *ret,
			uint64_t *ret_event_at, uint64_t *ret_event_bytes) _must_use_;

/* Appends the first EVENT_ERROR_MESSAGE_MAX bytes, or fewer for a whole character, of what the
 * function said went wrong; else the condition. */
int event_outcome_write_error(const struct event_outcome_facts *facts, struct buf *ret) _must_use_;
