/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of this room share. Loop thread. */

#include "agent/account/account.h"
#include "agent/invoke/invocation.h"
#include "agent/invoke/metering.h"
#include "agent/invoke/phases.h"
#include "agent/invoke/trace_id.h"
#include "agent/invoke/waiting_room.h"
#include "agent/logs/log_lines.h"

TAILQ_HEAD(invocation_list, invocation);

struct invoker {
	struct loop *loop;
	struct directory *directory;
	struct pool *pool;
	struct concurrency *concurrency;
	struct metrics *metrics;
	struct metering *metering;
	bool starting; /* it takes what the directory had before */
	struct account *account;
	char *region;
	char *default_tenant;
	double (*draw)(void *arg);
	void *draw_arg;
	int64_t max_wait_us;
	uint64_t max_waiting_bytes;
	struct waiting_room *room;
	struct invocation_list checks; /* large events that are to be checked */
	uint64_t checking_bytes;       /* of those that are being checked */
	unsigned running;              /* invocations that exist */
	uint64_t total;
	uint64_t function_errors;
	uint64_t cold_starts;
};

struct invocation {
	struct demand demand; /* first: the pool's callbacks know only it */
	struct invoker *invoker;
	struct invocation_request request; /* what it points to is borrowed */
	bool abandoned;
	char id[UUID_BYTES];
	char trace_id[TRACE_ID_BYTES]; /* made here, as the request had none */
	char *tenant;
	char *function_name;
	char qualifier[FUNCTION_QUALIFIER_MAX + 1]; /* as invoked; "": none */
	char *arn;                                  /* as invoked */
	char version_name[FUNCTION_VERSION_BYTES];  /* of the one that it runs */
	struct phase_stamps stamps;
	int64_t timeout_us;
	struct timer wait_timer; /* while it waits in the pool */
	struct waiter waiter;    /* in the room from then on, or from before its event is checked */
	struct concurrency_grant grant;
	bool spilled_over; /* its version has provisioned places, none was free */
	bool retried;
	struct account_entry *entry; /* for its record; owned until that is handed over */

	struct sandbox *sandbox;    /* bound, or NULL */
	struct sandbox_facts facts; /* as bound; its strings are the sandbox's */
	int64_t bound_at_us;        /* realtime, of START */
	bool start_written;
	bool reported;       /* its code ran, and REPORT says so */
	int64_t duration_us; /* of REPORT */
	char sandbox_id[HEX_ID_BYTES];
	bool congested;
	bool response_started;
	bool response_too_large;
	uint64_t response_bytes;
	struct buf response;
	struct buf log_result;

	/* The answer. */
	struct error error;
	unsigned status_code;
	bool function_error;
	char *error_type;
	struct buf error_body; /* of a streamed response that failed */

	bool to_check; /* on the invoker's list */
	TAILQ_ENTRY(invocation) check_link;
	struct job check; /* of a large event */
};

/* admission.c */

/* Resolves and checks all but the payload's syntax; a negative errno with invocation->error. */
int admission_check(struct invocation *invocation) _must_use_;
/* Counts it as running until its end. A negative errno with invocation->error: a limit is met. */
int admission_take(struct invocation *invocation) _must_use_;
/* The function, if it can be invoked now. Borrowed until the loop turns. */
int admission_find(struct invocation *invocation, const struct function **ret) _must_use_;
/* JSON or not. Any thread. */
int admission_parse_payload(struct slice payload, struct error *error) _must_use_;

/* invoker.c */
/* Goes on with one whose large event was checked. */
void invocation_checked(struct invocation *invocation);

/* event_check.c */
/* Has the event checked when it is its turn; then follows invocation_checked(). It is in the
 * waiting room. */
void event_check_begin(struct invocation *invocation);
/* It is not to be checked any more. False: its turn has come, or there was none to come. */
bool event_check_cancel(struct invocation *invocation);

/* invocation.c */
extern const struct demand_events invocation_demand_events;
/* It waits, with its event, until it has a sandbox or ends, unless it does already; others may have
 * to leave for it. A negative errno with invocation->error when there is no room. */
int invocation_enter_room(struct invocation *invocation) _must_use_;
/* The room's news; `arg` is the invoker. */
void invocation_on_displaced(struct waiter *waiter, void *arg);
/* Asks the pool. A negative errno with invocation->error: it is to be finished. */
int invocation_place(struct invocation *invocation);
/* The bound sandbox cannot go on: Sandbox.Failure for the function, the sandbox ends, `reason` is
 * for the node's log. Finishes. */
void invocation_fail_sandbox(struct invocation *invocation, const char *reason);
/* The same, because the guest broke the protocol. */
void invocation_protocol_error(struct invocation *invocation, const char *what);
/* Gives the answer, then frees. Never to be called from within invoker_submit(). */
void invocation_finish(struct invocation *invocation);
/* When the loop turns: an answer that is known before invoker_submit() returned comes after it. */
void invocation_finish_later(struct invocation *invocation);

/* response.c */
void response_set_overdue(struct invocation *invocation);
void response_on_message(struct invocation *invocation,
			 const Mayfly__Guest__V1__GuestMessage *message);
/* The function's error: type and JSON body. */
void response_set_error(struct invocation *invocation, const char *type, struct slice body);
/* {"errorType":…,"errorMessage":"RequestId: … Error: …"} */
void response_set_platform_error(struct invocation *invocation, const char *type,
				 const char *message);

/* report.c: the platform's lines in the function's log. */
struct report {
	enum line_status status;
	const char *error_type;
	const char *crash; /* message of a crash, or NULL */
	uint64_t max_memory_bytes;
	int64_t failed_init_us; /* of an INIT repeated in vain; 0: none */
};
/* START, once the guest may have seen the event: one that another sandbox gets after all leaves no
 * line. */
void report_write_start(struct invocation *invocation);
/* With it the entry's record, in the same figures. */
void report_write_end(struct invocation *invocation, const struct report *report);

/* invocation.c: lines, counters, the sandbox's release (`end_reason` NULL: it may go on); the
 * answer once the record is durable. */
void invocation_complete(struct invocation *invocation, const struct report *report,
			 const char *end_reason);
