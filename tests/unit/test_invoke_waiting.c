/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_invoke mayfly_functions mayfly_core mayfly_base

/* Who may wait for a sandbox, and how much of it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/invoke_harness.h"

static void more_than_the_bound_is_refused(void **state)
{
	struct fixture *f = *state;
	struct asker a, b, c;

	ask(f, &a, large(f));
	/* Counted from the first moment, not when its JSON was read. */
	ask(f, &b, large(f));
	assert_has_no_room(f, &b);
	RUN_UNTIL(f, is_waiting(&a));
	assert_int_equal(waiting_bytes(f), LARGE_BYTES);
	ask(f, &b, large(f));
	assert_refused(f, &b);
	/* There is room for a small one. */
	ask(f, &c, slice_from_string("{}"));
	assert_true(is_waiting(&c));
	assert_int_equal(waiting_bytes(f), LARGE_BYTES + 2);
	give_up(&a);
	give_up(&c);
}

/* Whichever comes first; and the pool is told, so that nothing starts for nobody. */
static void none_waits_beyond_its_own_deadline_or_the_node_s(void **state)
{
	struct fixture *f = *state;
	struct invocation_request request = { .function_name = "f",
					      .payload = slice_from_string("{}"),
					      .deadline_us = clock_monotonic_us() + 20000,
					      .events = &events };
	struct asker a = { 0 }, b;

	request.user = &a;
	assert_int_equal(invoker_submit(f->invoker, &request, &a.invocation), 0);
	assert_true(is_waiting(&a));
	RUN_UNTIL(f, a.answered);
	assert_int_equal(a.code, ERROR_DEADLINE_EXCEEDED);
	assert_true(clock_monotonic_us() >= request.deadline_us);
	assert_int_equal(cancelled, 1);
	f->invoker->max_wait_us = 20000;
	ask(f, &b, slice_from_string("{}"));
	assert_true(is_waiting(&b));
	RUN_UNTIL(f, b.answered);
	assert_int_equal(b.code, ERROR_UNAVAILABLE);
	assert_int_equal(cancelled, 2);
}

static void a_small_one_over_the_bound_leaves_the_queue(void **state)
{
	static char small[8192];
	struct fixture *f = *state;
	struct asker a[256], b;
	size_t count = 0;

	memset(small, ' ', sizeof(small));
	small[0] = '1';
	ask(f, &b, large(f));
	RUN_UNTIL(f, is_waiting(&b));
	while (waiting_bytes(f) + sizeof(small) <= 8 * MIB) {
		assert_true(count < ARRAY_SIZE(a));
		ask(f, &a[count], slice_new(small, sizeof(small)));
		assert_true(is_waiting(&a[count++]));
	}
	assert_int_equal(waiting_bytes(f), 8 * MIB);
	assert_int_equal(cancelled, 0);
	give_up(&b);
	ask(f, &b, large(f));
	RUN_UNTIL(f, is_waiting(&b));
	struct asker over;
	ask(f, &over, slice_new(small, sizeof(small)));
	assert_refused(f, &over);
	assert_int_equal(cancelled, 1);
	/* What a sandbox takes at once does not wait. */
	idle = true;
	ask(f, &over, slice_new(small, sizeof(small)));
	assert_non_null(over.invocation->sandbox);
	lose(&over);
	give_up(&b);
	while (count > 0)
		give_up(&a[--count]);
}

/* -- other tenants -- */

#define OTHER "999999999999"

static void ask_as_other(struct fixture *f, struct asker *asker, struct slice payload)
{
	ask_for(f, asker, OTHER, payload, INVOCATION_REQUEST_RESPONSE, NULL);
}

static unsigned in_use(const struct fixture *f)
{
	struct concurrency_usage usage;

	invoker_tenant_concurrency(f->invoker, "123456789012", &usage);
	return usage.in_use;
}

/* As if there had been no room when it came: not bound, not recorded, not counted. */
static void who_waits_leaves_for_another_tenant(void **state)
{
	static char medium[2 * MIB];
	struct fixture *f = *state;
	struct invoker_gauges gauges;
	struct asker a, b, c;

	memset(medium, ' ', sizeof(medium));
	medium[0] = '1';
	ask(f, &a, slice_from_string("{}"));
	ask(f, &b, large(f));
	RUN_UNTIL(f, is_waiting(&b));
	assert_int_equal(in_use(f), 2);
	invocation_abandon(b.invocation); /* nobody listens: all the same */
	recorded.request_id[0] = '\0';
	ask_as_other(f, &c, slice_new(medium, sizeof(medium)));
	/* The pool has forgotten it already, so that no sandbox can be bound to it. */
	assert_int_equal(cancelled, 1);
	assert_false(b.answered);
	assert_false(is_waiting(&b));
	assert_has_no_room(f, &b);
	assert_int_equal(in_use(f), 1);
	assert_int_equal(admitted, 1);
	assert_string_equal(recorded.request_id, "");
	RUN_UNTIL(f, is_waiting(&c));
	assert_true(is_waiting(&a));
	assert_int_equal(waiting_bytes(f), 2 * MIB + 2);
	invoker_gauges(f->invoker, &gauges);
	assert_int_equal(gauges.waiting_displaced, 1);
	assert_int_equal(gauges.waiting_refused, 0);
	assert_int_equal(gauges.throttles, 0); /* of limits */
	give_up(&a);
	give_up(&c);
}

static void places_are_limited_too(void **state)
{
	struct fixture *f = *state;
	struct asker a, b, c, d;

	make_invoker_with(f, 0, 2);
	ask(f, &a, slice_from_string("{}"));
	ask(f, &b, slice_from_string("{}"));
	ask(f, &c, slice_from_string("{}"));
	assert_has_no_room(f, &c);
	assert_int_equal(cancelled, 1);
	ask_as_other(f, &d, slice_from_string("{}"));
	assert_has_no_room(f, &b);
	ask_as_other(f, &c, slice_from_string("{}"));
	assert_has_no_room(f, &c);
	assert_true(is_waiting(&a) && is_waiting(&d));
	give_up(&a);
	give_up(&d);
}

/* A part of the room is checked at once; who is behind that never is, nor gets to the pool. */
static void who_is_to_be_checked_leaves_too(void **state)
{
	static char medium[2 * MIB];
	struct fixture *f = *state;
	struct asker a, b, c, d;

	memset(medium, ' ', sizeof(medium));
	medium[0] = '1';
	ask(f, &a, slice_from_string("{}"));
	ask(f, &b, slice_new(medium, sizeof(medium)));
	ask(f, &c, slice_new(f->large, 5 * MIB)); /* no JSON, which nobody finds out */
	ask_as_other(f, &d, slice_new(medium, sizeof(medium)));
	assert_int_equal(waiting_bytes(f), 2 * sizeof(medium) + 2);
	assert_has_no_room(f, &c);
	RUN_UNTIL(f, is_waiting(&b) && is_waiting(&d));
	assert_int_equal(cancelled, 0);
	assert_int_equal(acquired, 3);
	assert_int_equal(in_use(f), 2);
	give_up(&a);
	give_up(&b);
	give_up(&d);
}

/* The check cannot be stopped, and its bytes are there until it ends. */
static void who_is_being_checked_stays(void **state)
{
	struct fixture *f = *state;
	struct asker a, b, c;

	ask(f, &a, slice_from_string("{}"));
	ask(f, &b, large(f));
	ask_as_other(f, &c, large(f));
	assert_has_no_room(f, &c);
	RUN_UNTIL(f, is_waiting(&b));
	ask_as_other(f, &c, large(f));
	assert_has_no_room(f, &b);
	RUN_UNTIL(f, is_waiting(&c));
	give_up(&a);
	give_up(&c);
}

/* One that was to be queued is not: its caller is told, and has not been told otherwise. */
static void an_event_that_is_to_be_checked_leaves_too(void **state)
{
	struct fixture *f = *state;
	struct asker a, b, c[7];
	size_t i;

	f->large[MIB - 1] = '"';
	ask(f, &a, slice_from_string("{}"));
	for (i = 0; i < ARRAY_SIZE(c); i++)
		ask_as(f, &c[i], slice_new(f->large, MIB), INVOCATION_EVENT, NULL);
	ask_for(f, &b, OTHER, slice_new(f->large, MIB), INVOCATION_EVENT, NULL);
	assert_has_no_room(f, &c[ARRAY_SIZE(c) - 1]);
	for (i = 0; i + 1 < ARRAY_SIZE(c); i++) {
		RUN_UNTIL(f, c[i].answered);
		assert_int_equal(c[i].status_code, 202);
	}
	RUN_UNTIL(f, b.answered);
	assert_int_equal(b.status_code, 202);
	give_up(&a);
}

/* What has a sandbox, be it since this moment, is none of those who wait. */
static void who_is_bound_stays(void **state)
{
	struct fixture *f = *state;
	struct asker a, b, c;

	ask(f, &a, slice_from_string("{}"));
	ask(f, &b, large(f));
	RUN_UNTIL(f, is_waiting(&b));
	bind(&b);
	ask_as_other(f, &c, large(f));
	RUN_UNTIL(f, is_waiting(&c));
	assert_int_equal(cancelled, 0);
	assert_true(is_waiting(&a));
	/* Its sandbox is lost before it saw the event: it waits again, if there is room. */
	invocation_demand_events.on_lost(&b.invocation->demand, "lost", false);
	assert_true(b.answered);
	assert_has_no_room(f, &b);
	give_up(&a);
	give_up(&c);
}

/* What waits for a sandbox counts, and so does what is read in a job. */
static void who_is_over_the_limit_does_not_wait(void **state)
{
	struct fixture *f = *state;
	struct invoker_gauges gauges;
	struct concurrency_usage usage;
	struct asker a, b, c;

	make_invoker(f, 2);
	ask(f, &a, slice_from_string("{}"));
	assert_true(is_waiting(&a));
	ask(f, &b, large(f));
	RUN_UNTIL(f, is_waiting(&b));
	ask(f, &c, slice_from_string("{}"));
	assert_refused(f, &c);
	assert_string_equal(c.reason, THROTTLE_TENANT);
	ask(f, &c, large(f));
	assert_refused(f, &c);
	/* An answer gives the place back, of whatever kind it is. */
	give_up(&a);
	ask(f, &a, slice_from_string("{}"));
	assert_true(is_waiting(&a));
	bind(&a);
	ask(f, &c, slice_from_string("{}"));
	assert_refused(f, &c);
	lose(&a);
	ask(f, &a, slice_from_string("no JSON"));
	RUN_UNTIL(f, a.answered);
	assert_int_equal(a.code, ERROR_INVALID_REQUEST_CONTENT);
	ask(f, &c, slice_from_string("{}"));
	assert_true(is_waiting(&c));
	invoker_tenant_concurrency(f->invoker, "123456789012", &usage);
	assert_int_equal(usage.in_use, 2);
	give_up(&b);
	give_up(&c);
	invoker_tenant_concurrency(f->invoker, "123456789012", &usage);
	assert_int_equal(usage.in_use, 0);
	/* The large one was refused for its bytes, before any limit. */
	invoker_gauges(f->invoker, &gauges);
	assert_int_equal(gauges.throttles, 2);
}

static void a_sandbox_makes_room(void **state)
{
	struct fixture *f = *state;
	struct asker a, b;

	ask(f, &a, large(f));
	RUN_UNTIL(f, is_waiting(&a));
	bind(&a);
	assert_int_equal(waiting_bytes(f), 0);
	ask(f, &b, large(f));
	RUN_UNTIL(f, is_waiting(&b));
	lose(&a);
	assert_int_equal(waiting_bytes(f), LARGE_BYTES);
	give_up(&b);
}

static void what_is_no_event_is_let_go(void **state)
{
	struct fixture *f = *state;
	struct asker a;

	f->large[0] = '{';
	ask(f, &a, large(f));
	assert_int_equal(waiting_bytes(f), LARGE_BYTES);
	RUN_UNTIL(f, a.answered);
	assert_int_equal(a.code, ERROR_INVALID_REQUEST_CONTENT);
	assert_int_equal(waiting_bytes(f), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(more_than_the_bound_is_refused),
		TEST(none_waits_beyond_its_own_deadline_or_the_node_s),
		TEST(a_small_one_over_the_bound_leaves_the_queue),
		TEST(who_waits_leaves_for_another_tenant),
		TEST(places_are_limited_too),
		TEST(who_is_to_be_checked_leaves_too),
		TEST(who_is_being_checked_stays),
		TEST(an_event_that_is_to_be_checked_leaves_too),
		TEST(who_is_bound_stays),
		TEST(who_is_over_the_limit_does_not_wait),
		TEST(a_sandbox_makes_room),
		TEST(what_is_no_event_is_let_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
