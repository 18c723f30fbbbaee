/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_invoke mayfly_functions mayfly_core mayfly_base

/* What is recorded of what ran, and when it is answered. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/invoke_harness.h"

static double draw(void *point)
{
	return *(const double *)point;
}

/* By the alias's weight; the next one draws anew. */
static void an_alias_is_drawn_once_for_each_invocation(void **state)
{
	const struct alias weighted = {
		.version = 1, .is_weighted = true, .additional_version = 2, .weight = 0.5
	};
	struct fixture *f = *state;
	struct asker a, b;
	double point = 0.7;

	f->invoker->draw = draw;
	f->invoker->draw_arg = &point;
	alias = &weighted;
	ask(f, &a, slice_from_string("{}"));
	point = 0.3;
	ask(f, &b, slice_from_string("{}"));
	assert_string_equal(invocation_executed_version(a.invocation), "1");
	assert_string_equal(invocation_executed_version(b.invocation), "2");
	bind(&a);
	/* The one that got no sandbox is placed again as it is. */
	invocation_demand_events.on_lost(&a.invocation->demand, "lost", false);
	assert_string_equal(invocation_executed_version(a.invocation), "1");
	give_up(&a);
	give_up(&b);
}

/* -- what ran -- */

static void answer(struct asker *asker, const char *payload)
{
	Mayfly__Guest__V1__GuestMessage message = MAYFLY__GUEST__V1__GUEST_MESSAGE__INIT;
	Mayfly__Guest__V1__ResponseStart start = MAYFLY__GUEST__V1__RESPONSE_START__INIT;
	Mayfly__Guest__V1__ResponseChunk chunk = MAYFLY__GUEST__V1__RESPONSE_CHUNK__INIT;
	Mayfly__Guest__V1__InvocationDone done = MAYFLY__GUEST__V1__INVOCATION_DONE__INIT;
	Mayfly__Guest__V1__Outcome outcome = MAYFLY__GUEST__V1__OUTCOME__INIT;
	struct demand *demand = &asker->invocation->demand;
	char *id = (char *)(uintptr_t)invocation_request_id(asker->invocation);

	start.request_id = chunk.request_id = done.request_id = id;
	message.kind_case = MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_RESPONSE_START;
	message.response_start = &start;
	invocation_demand_events.on_message(demand, &message);
	chunk.data = (ProtobufCBinaryData){ .len = strlen(payload),
					    .data = (uint8_t *)(uintptr_t)payload };
	message.kind_case = MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_RESPONSE_CHUNK;
	message.response_chunk = &chunk;
	invocation_demand_events.on_message(demand, &message);
	outcome.status = MAYFLY__GUEST__V1__STATUS__STATUS_OK;
	done.outcome = &outcome;
	done.max_memory_bytes = 36 * MIB + 1;
	message.kind_case = MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_INVOCATION_DONE;
	message.invocation_done = &done;
	invocation_demand_events.on_message(demand, &message);
}

static void the_answer_comes_after_the_record(void **state)
{
	struct fixture *f = *state;
	struct asker a;
	char id[UUID_BYTES];

	idle = records_late = true;
	ask(f, &a, slice_from_string("{\"a\":1}"));
	(void)snprintf(id, sizeof(id), "%s", invocation_request_id(a.invocation));
	answer(&a, "\"four\"");
	assert_false(a.answered);
	assert_string_equal(recorded.request_id, id);
	assert_string_equal(recorded.tenant, "123456789012");
	assert_string_equal(recorded.function, "f");
	assert_string_equal(recorded.version, "$LATEST");
	assert_int_equal(recorded.result, LEDGER_OK);
	assert_int_equal(recorded.start, LEDGER_START_WARM);
	assert_int_equal(recorded.event_bytes, 7);
	assert_int_equal(recorded.answer_bytes, 6);
	assert_int_equal(recorded.streamed_bytes, 0);
	assert_int_equal(recorded.memory_mb, 128);
	assert_int_equal(recorded.max_memory_mb, 37);
	assert_int_equal(recorded.init_us, -1);
	assert_int_equal(recorded.restore_us, -1);
	assert_int_equal(recorded.billed_restore_ms, -1);
	assert_int_equal(recorded.billed_ms, billing_milliseconds(recorded.duration_us, 0));
	tell(held, NULL);
	assert_true(a.answered);
	assert_int_equal(a.code, ERROR_NONE);
}

static void an_answer_without_a_record_is_withheld(void **state)
{
	struct fixture *f = *state;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct asker a;

	idle = records_late = true;
	ask(f, &a, slice_from_string("{}"));
	answer(&a, "1");
	(void)error_set(&error, ERROR_INTERNAL, NULL, "too late");
	tell(held, &error);
	assert_int_equal(a.code, ERROR_INTERNAL);
	assert_string_equal(a.text, "too late");
}

static void a_lost_sandbox_is_recorded(void **state)
{
	struct fixture *f = *state;
	struct asker a;

	idle = true;
	ask(f, &a, slice_from_string("{}"));
	lose(&a);
	assert_int_equal(a.code, ERROR_NONE);
	assert_int_equal(recorded.result, LEDGER_SANDBOX_FAILURE);
	assert_int_equal(recorded.max_memory_mb, 0);
	assert_true(recorded.billed_ms >= 1);
	assert_true(recorded.answer_bytes > 0);
}

/* Tries of one event have one request id, and a record each. */
static void a_given_request_id_is_kept(void **state)
{
	static const char id[] = "6f1c9a3e-58d2-4d0b-9c11-0d3f6a7b8c9d";
	struct fixture *f = *state;
	struct asker a;
	uint64_t run;

	idle = true;
	ask(f, &a, slice_from_string("1"));
	answer(&a, "1");
	assert_int_equal(recorded.run, 0);
	ask_as(f, &a, slice_from_string("1"), INVOCATION_REQUEST_RESPONSE, id);
	answer(&a, "1");
	assert_string_equal(recorded.request_id, id);
	run = recorded.run;
	assert_true(run != 0);
	ask_as(f, &a, slice_from_string("1"), INVOCATION_REQUEST_RESPONSE, id);
	answer(&a, "1");
	assert_string_equal(recorded.request_id, id);
	assert_true(recorded.run != 0 && recorded.run != run);
}

/* Checked as any other, small and large; it does not run, nor does it count against a limit. */
static void an_event_is_checked_and_not_run(void **state)
{
	struct fixture *f = *state;
	struct asker a;

	ask_as(f, &a, slice_from_string("1"), INVOCATION_EVENT, NULL);
	assert_string_equal(invocation_function_name(a.invocation), "f");
	assert_string_equal(invocation_qualifier(a.invocation), "live");
	RUN_UNTIL(f, a.answered);
	assert_int_equal(a.code, ERROR_NONE);
	assert_int_equal(a.status_code, 202);
	f->large[INVOCATION_EVENT_MAX_BYTES - 1] = '"';
	ask_as(f, &a, slice_new(f->large, INVOCATION_EVENT_MAX_BYTES), INVOCATION_EVENT, NULL);
	RUN_UNTIL(f, a.answered);
	assert_int_equal(a.status_code, 202);
	ask_as(f, &a, slice_new(f->large, INVOCATION_EVENT_MAX_BYTES + 1), INVOCATION_EVENT, NULL);
	RUN_UNTIL(f, a.answered);
	assert_int_equal(a.code, ERROR_REQUEST_TOO_LARGE);
	assert_string_equal(a.text, "1048577 byte payload is too large for the Event invocation "
				    "type (limit 1048576 bytes)");
	ask_as(f, &a, slice_new(f->large, INVOCATION_EVENT_MAX_BYTES - 1), INVOCATION_EVENT, NULL);
	RUN_UNTIL(f, a.answered);
	assert_int_equal(a.code, ERROR_INVALID_REQUEST_CONTENT);
	assert_int_equal(f->invoker->total, 0);
	assert_int_equal(waiting_bytes(f), 0);
}

static void nothing_runs_without_a_ledger(void **state)
{
	struct fixture *f = *state;
	struct asker a;

	idle = ledger_fails = true;
	ask(f, &a, slice_from_string("{}"));
	RUN_UNTIL(f, a.answered);
	assert_int_equal(a.code, ERROR_UNAVAILABLE);
	assert_string_equal(a.text, "no ledger");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_alias_is_drawn_once_for_each_invocation),
		TEST(the_answer_comes_after_the_record),
		TEST(an_answer_without_a_record_is_withheld),
		TEST(a_lost_sandbox_is_recorded),
		TEST(a_given_request_id_is_kept),
		TEST(an_event_is_checked_and_not_run),
		TEST(nothing_runs_without_a_ledger),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
