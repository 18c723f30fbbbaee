/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_events mayfly_queues mayfly_store mayfly_functions mayfly_core mayfly_base
// mayfly_pkg_sqlite

/* The way of an asynchronous invocation: tries, waits, ends, and what the next agent finds. */

#include "tests/unit/event_harness.h"

static void test_success(void **state _unused_)
{
	struct event_queue_config config = config_of();

	open_queue(&config);
	submit_of(TENANT, "{\"n\":1}");
	assert_int_equal(place->answered, 0); /* never inside the call */
	turn_until(all_ended);
	assert_int_equal(place->refused, 0);
	assert_int_equal(place->tried, 1);
	assert_string_equal(place->tries[0].payload, "{\"n\":1}");
	assert_string_equal(place->tries[0].id, place->last_id);
	assert_int_equal(gauges().received, 1);
	assert_int_equal(gauges().succeeded, 1);
	assert_int_equal(gauges().dropped, 0);
	assert_int_equal(count_stored(), 0);
}

static void test_errors_are_tried_three_times_with_one_id(void **state _unused_)
{
	struct event_queue_config config = config_of();

	place->manner = MANNER_FAILS;
	open_queue(&config);
	submit_of(TENANT, "7");
	turn_until(all_ended);
	assert_int_equal(place->tried, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_string_equal(place->tries[i].id, place->last_id);
	assert_int_equal(gauges().retried, 2);
	assert_int_equal(gauges().dropped, 1);
	assert_int_equal(gauges().succeeded, 0);
	assert_int_equal(count_stored(), 0);
}

static void test_throttles_go_on_until_it_runs(void **state _unused_)
{
	struct event_queue_config config = config_of();

	place->manner = MANNER_THROTTLES;
	place->good_after = 6; /* more than there are tries after errors */
	open_queue(&config);
	submit_of(TENANT, "7");
	turn_until(all_ended);
	assert_int_equal(place->tried, 7);
	assert_int_equal(gauges().delayed, 6);
	assert_int_equal(gauges().succeeded, 1);
}

static void test_throttles_end_with_the_greatest_age(void **state _unused_)
{
	struct event_queue_config config = config_of();

	config.policy.max_age_us = SECOND / 10;
	place->manner = MANNER_UNAVAILABLE;
	open_queue(&config);
	submit_of(TENANT, "7");
	turn_until(all_ended);
	assert_int_equal(gauges().dropped, 1);
	assert_int_equal(count_stored(), 0);
}

static void test_nothing_reserved(void **state _unused_)
{
	struct event_queue_config config = config_of();

	function.has_reserved_concurrency = true;
	function.reserved_concurrency = 0;
	open_queue(&config);
	submit_of(TENANT, "7");
	turn_until(all_ended);
	assert_int_equal(place->tried, 0);
	assert_int_equal(gauges().dropped, 1);
}

static void test_a_deleted_function(void **state _unused_)
{
	struct event_queue_config config = config_of();

	place->manner = MANNER_HOLDS;
	open_queue(&config);
	submit_of(TENANT, "7");
	turn_until_tried(1);
	function_is_gone = true;
	finish(place->holding[0], MANNER_SUCCEEDS);
	turn_until(all_ended);
	assert_int_equal(place->tried, 1);
	assert_int_equal(gauges().dropped, 1);
	assert_int_equal(count_stored(), 0);
}

static bool is_delayed(void)
{
	return gauges().delayed > 3;
}

static void test_a_suspended_tenant_waits(void **state _unused_)
{
	struct event_queue_config config = config_of();

	place->suspended = true;
	open_queue(&config);
	submit_of(TENANT, "7");
	turn_until(is_delayed);
	assert_int_equal(place->tried, 0);
	place->suspended = false;
	turn_until(all_ended);
	assert_int_equal(gauges().succeeded, 1);
}

static void test_so_many_at_once_and_in_turn(void **state _unused_)
{
	struct event_queue_config config = config_of();
	unsigned of_other = 0;

	config.max_running = 2;
	place->manner = MANNER_HOLDS;
	open_queue(&config);
	for (unsigned i = 0; i < 8; i++)
		submit_of(TENANT, "1");
	turn_until_tried(2);
	submit_of(OTHER, "2");
	submit_of(OTHER, "2");
	turn_until_answered(10);
	place->manner = MANNER_SUCCEEDS;
	finish(place->holding[0], MANNER_SUCCEEDS);
	finish(place->holding[1], MANNER_SUCCEEDS);
	turn_until(all_ended);
	assert_int_equal(place->tried, 10);
	assert_int_equal(place->most_running, 2);
	/* Those who came last did not wait for all of the others. */
	for (unsigned i = 2; i < 6; i++)
		of_other += strcmp(place->tries[i].payload, "2") == 0;
	assert_int_equal(of_other, 2);
}

static void test_no_more_than_there_is_room_for(void **state _unused_)
{
	struct event_queue_config config = config_of();

	config.max_waiting = 3;
	config.max_waiting_bytes = 10;
	place->manner = MANNER_HOLDS;
	open_queue(&config);
	submit_of(TENANT, "\"345678\"");
	submit_of(TENANT, "123"); /* 11 bytes in all */
	submit_of(TENANT, "1");
	submit_of(TENANT, "1");
	submit_of(TENANT, ""); /* the fourth */
	turn_until_answered(5);
	assert_int_equal(place->refused, 2);
	assert_string_equal(place->message, "Rate Exceeded.");
	assert_int_equal(gauges().received, 3);
	assert_int_equal(count_stored(), 3);
}

static unsigned three_of_other(const char *tenant, void *arg _unused_)
{
	return strcmp(tenant, OTHER) == 0 ? 3 : UINT_MAX;
}

static void test_no_tenant_takes_all_the_room(void **state _unused_)
{
	struct event_queue_config config = config_of();

	config.max_waiting = 4;
	config.max_waiting_bytes = 1000;
	config.percent_of_tenant = 50;
	place->manner = MANNER_HOLDS;
	open_queue(&config);
	submit_of(TENANT, "1");
	submit_of(TENANT, "1");
	submit_of(TENANT, "1"); /* half is what it may have */
	turn_until_answered(3);
	assert_int_equal(place->refused, 1);
	assert_string_equal(place->message, "Rate Exceeded.");
	submit_of(OTHER, "1");
	submit_of(OTHER, "1");
	turn_until_answered(5);
	assert_int_equal(place->refused, 1);
	/* What was taken before counts after a start, too. */
	turn_until_tried(4);
	close_queue();
	config.waiting_of_tenant = three_of_other;
	config.max_waiting = 6;
	open_queue(&config);
	submit_of(OTHER, "1"); /* its own limit */
	submit_of(OTHER, "1");
	submit_of(TENANT, "1"); /* the half of six */
	submit_of(TENANT, "1");
	turn_until_answered(9);
	assert_int_equal(place->refused, 3);
	assert_int_equal(count_stored(), 6);
	turn_until_tried(8);
	close_queue();
	/* And room that became free is there again. */
	place->manner = MANNER_SUCCEEDS;
	open_queue(&config);
	turn_until(all_ended);
	submit_of(OTHER, "1");
	submit_of(TENANT, "1");
	turn_until_answered(11);
	assert_int_equal(place->refused, 3);
}

static void test_one_event_may_be_too_large_for_a_tenant(void **state _unused_)
{
	struct event_queue_config config = config_of();

	config.percent_of_tenant = 1; /* 10 of 1,000 bytes, and no event */
	config.waiting_of_tenant = three_of_other;
	open_queue(&config);
	submit_of(OTHER, "\"3456789\"");
	submit_of(OTHER, "\"34567890\"");
	submit_of(TENANT, "1");
	turn_until_answered(3);
	assert_int_equal(place->refused, 2);
}

static void test_a_full_disk(void **state _unused_)
{
	struct event_queue_config config = config_of();

	place->manner = MANNER_HOLDS;
	open_queue(&config);
	submit_of(TENANT, "1");
	turn_until_tried(1);
	limit_files(1);
	submit_of(TENANT, "2"); /* is refused: it would not be kept */
	turn_until_answered(2);
	assert_int_equal(place->refused, 1);
	finish(place->holding[0], MANNER_SUCCEEDS); /* and this is written down later */
	assert_int_equal(gauges().succeeded, 0);
	limit_files(0);
	turn_until(all_ended);
	assert_int_equal(gauges().succeeded, 1);
	assert_int_equal(gauges().received, 1);
	assert_int_equal(count_stored(), 0);
}

static bool has_failed_once(void)
{
	return gauges().retried == 1;
}

static void test_the_next_agent_goes_on(void **state _unused_)
{
	struct event_queue_config config = config_of();
	char id[UUID_BYTES];

	config.policy.retry_first_us = SECOND / 5;
	place->manner = MANNER_FAILS;
	open_queue(&config);
	submit_of(TENANT, "5");
	turn_until(has_failed_once);
	memcpy(id, place->last_id, sizeof(id));
	close_queue();
	place->store = event_store_close(place->store);
	open_store();
	open_queue(&config);
	turn_until(all_ended);
	/* What the first agent tried counts, if it had written it down. */
	assert_in_range(place->tried, 3, 4);
	for (unsigned i = 0; i < place->tried; i++) {
		assert_string_equal(place->tries[i].id, id);
		assert_string_equal(place->tries[i].payload, "5");
	}
}

/* What an agent leaves whose clock was two days ahead. */
static void test_what_is_of_the_future_does_not_wait_for_it(void **state _unused_)
{
	struct event_queue_config config = config_of();

	config.policy.retry_first_us = 3600 * SECOND;
	place->manner = MANNER_FAILS;
	open_queue(&config);
	submit_of(TENANT, "5");
	turn_until(has_failed_once);
	close_queue();
	place->store = event_store_close(place->store);
	execute("UPDATE event SET received_us = received_us + 172800000000,"
		" due_us = due_us + 172800000000");
	open_store();
	config.policy.retry_first_us = 1000;
	place->manner = MANNER_THROTTLES;
	open_queue(&config);
	turn_until(is_delayed);
	/* And its age is that of one that was taken at the start. */
	assert_true(gauges().oldest_age_us > 0);
	place->manner = MANNER_SUCCEEDS;
	turn_until(all_ended);
	assert_int_equal(gauges().succeeded, 1);
}

static void test_a_stop_leaves_what_did_not_run(void **state _unused_)
{
	struct event_queue_config config = config_of();

	place->manner = MANNER_HOLDS;
	open_queue(&config);
	submit_of(TENANT, "1");
	submit_of(TENANT, "2");
	turn_until_tried(2);
	submit_of(TENANT, "3");
	event_queue_stop(place->queue);
	finish(place->holding[0], MANNER_SUCCEEDS);
	finish(place->holding[1], MANNER_UNAVAILABLE); /* as a pool that ends */
	turn_until_answered(3);
	loop_exit_when_idle(place->loop, 0);
	assert_int_equal(loop_run(place->loop), 0);
	assert_int_equal(place->tried, 2);
	assert_int_equal(gauges().succeeded, 1);
	assert_int_equal(gauges().delayed, 0);
	assert_int_equal(count_stored(), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_success, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_errors_are_tried_three_times_with_one_id,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_throttles_go_on_until_it_runs, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_throttles_end_with_the_greatest_age, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_nothing_reserved, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_deleted_function, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_suspended_tenant_waits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_so_many_at_once_and_in_turn, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_no_tenant_takes_all_the_room, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_one_event_may_be_too_large_for_a_tenant,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_more_than_there_is_room_for, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_a_full_disk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_next_agent_goes_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_is_of_the_future_does_not_wait_for_it,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_stop_leaves_what_did_not_run, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
