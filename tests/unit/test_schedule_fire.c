/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_schedules mayfly_events mayfly_store mayfly_functions mayfly_core mayfly_base
// mayfly_pkg_sqlite

/* When schedules fire, what they put, and what becomes of occurrences that cannot. */

#include "agent/schedules/due_heap.h"
#include "agent/schedules/occurrence.h"
#include "tests/unit/schedule_harness.h"

static struct schedule_request later(const char *name, const char *expression)
{
	struct schedule_request request = request_of(name, expression);

	request.start_us = now_us + MINUTE;
	return request;
}

static void must_create(const struct schedule_request *request)
{
	if (change(schedules_create, request) != ERROR_NONE)
		fail_msg("%s", changed_message);
}

static bool are_all_ended(void)
{
	struct event_gauges now = gauges();

	return now.waiting + now.running == 0;
}

static void test_fires_again_and_again(void **state _unused_)
{
	struct schedules_gauges now;
	char first[UUID_BYTES];

	open_all();
	create("tick", "rate(5 minutes)");
	/* A rate begins at once. */
	turn_until_fired(1);
	turn_until(are_all_ended);
	turn_until_tried(1);
	memcpy(first, place->tries[0].id, sizeof(first));
	assert_int_equal(view_of("tick").fired_us, START_S * SECOND);
	assert_int_equal(view_of("tick").next_us, (START_S + 300) * SECOND);
	/* Not before its time. */
	advance_to((START_S + 299) * SECOND);
	for (unsigned i = 0; i < 20; i++)
		assert_true(sd_event_run(loop_event(place->loop), 1000) >= 0);
	assert_int_equal(schedule_gauges().fired, 1);
	for (unsigned i = 1; i <= 5; i++) {
		advance_to((START_S + 300 * i) * SECOND);
		turn_until_fired(1 + i);
		turn_until_tried(1 + i);
		assert_string_not_equal(place->tries[i].id, first);
	}
	now = schedule_gauges();
	assert_true(now.fired == 6 && now.missed == 0 && now.failed == 0 && now.retried == 0);
	assert_int_equal(now.lag_us, 0);
	assert_int_equal(now.count, 1);
}

static void test_event_of_its_own(void **state _unused_)
{
	struct schedule_request request = later("own", "at(2100-01-01T00:01:00)");
	char text[1024];
	struct buf event = BUF_INIT;
	struct schedule *schedule;

	assert_int_equal(schedule_new(&request, REGION, &schedule, NULL), 0);
	schedule->generation = 7;
	assert_int_equal(occurrence_event(schedule, REGION, (START_S + 60) * SECOND, 1, &event), 0);
	char id[UUID_BYTES];
	occurrence_request_id(schedule, (START_S + 60) * SECOND, id);
	(void)snprintf(text, sizeof(text),
		       "{\"version\":\"0\",\"id\":\"%s\",\"detail-type\":\"Scheduled Event\","
		       "\"source\":\"aws.scheduler\",\"account\":\"" TENANT
		       "\",\"time\":\"2100-01-01T00:01:00Z\",\"region\":\"" REGION
		       "\",\"resources\":[\"arn:aws:scheduler:" REGION ":" TENANT
		       ":schedule/default/own\"],\"detail\":\"{}\"}",
		       id);
	assert_string_equal(buf_string(&event), text);
	buf_free(&event);

	/* Attributes within an input; all else stays. */
	free(schedule->input);
	schedule->input = strdup("<<aws.scheduler.scheduled-time>|<aws.scheduler.attempt-number>|"
				 "<aws.scheduler.execution-id>|<aws.scheduler.schedule-arn>|"
				 "<aws.scheduler.other>|<");
	assert_int_equal(occurrence_event(schedule, REGION, (START_S + 60) * SECOND, 3, &event), 0);
	(void)snprintf(text, sizeof(text),
		       "<2100-01-01T00:01:00Z|3|%s|arn:aws:scheduler:" REGION ":" TENANT
		       ":schedule/default/own|<aws.scheduler.other>|<",
		       id);
	assert_string_equal(buf_string(&event), text);
	buf_free(&event);
	schedule_free(schedule);
}

static void test_input_reaches_the_function(void **state _unused_)
{
	struct schedule_request request = later("input", "rate(1 hour)");
	const struct invocation_request *put;

	open_all();
	request.input = "{\"n\": <aws.scheduler.attempt-number>}";
	must_create(&request);
	place->manner = MANNER_HOLDS;
	advance_to(now_us + MINUTE);
	turn_until_tried(1);
	assert_string_equal(place->tries[0].payload, "{\"n\": 1}");
	put = &place->holding[0]->request;
	assert_string_equal(put->tenant, TENANT);
	assert_string_equal(put->function_name, "f");
	assert_string_equal(put->qualifier, "live");
}

static bool is_gone(void)
{
	return schedule_gauges().count == 0;
}

static void test_once(void **state _unused_)
{
	struct schedule_request request = request_of("once", "at(2100-01-01T00:10:00)");

	open_all();
	must_create(&request);
	request.name = "goes";
	request.delete_after_completion = true;
	must_create(&request);
	advance_to((START_S + 600) * SECOND);
	turn_until_fired(2);
	turn_until_tried(2);
	turn_until(are_all_ended);
	/* One stays, and has no more; the other is gone, for the next agent too. */
	assert_int_equal(view_of("once").next_us, 0);
	assert_int_equal(view_of("once").fired_us, (START_S + 600) * SECOND);
	assert_null(view_of("goes").schedule);
	close_all();
	open_all();
	assert_int_equal(schedule_gauges().count, 1);
	assert_null(view_of("goes").schedule);
	advance_to((START_S + 6000) * SECOND);
	assert_int_equal(delete ("once"), ERROR_NONE);
	assert_true(is_gone());
	assert_int_equal(place->tried, 2);
}

/* One that is a little late fires at once. */
static void test_once_and_late(void **state _unused_)
{
	struct schedule_request request = request_of("late", "at(2099-12-31T23:59:50)");

	open_all();
	must_create(&request);
	turn_until_fired(1);
	turn_until_tried(1);
	assert_int_equal(schedule_gauges().lag_us, 10 * SECOND);
}

static void test_end_date(void **state _unused_)
{
	struct schedule_request request = request_of("ends", "rate(1 minute)");

	open_all();
	request.start_us = now_us + MINUTE;
	request.end_us = now_us + 2 * MINUTE;
	request.delete_after_completion = true;
	must_create(&request);
	assert_int_equal(view_of("ends").next_us, now_us + MINUTE);
	advance_to(now_us + MINUTE);
	turn_until_fired(1);
	assert_int_equal(view_of("ends").next_us, now_us + MINUTE);
	advance_to(now_us + MINUTE);
	turn_until_fired(2);
	assert_true(is_gone());
}

static void test_disabled(void **state _unused_)
{
	struct schedule_request request = request_of("a", "rate(1 minute)");

	open_all();
	request.disabled = true;
	must_create(&request);
	assert_int_equal(view_of("a").next_us, 0);
	advance_to(now_us + 10 * MINUTE);
	assert_int_equal(schedule_gauges().fired + schedule_gauges().missed, 0);
	/* It begins anew. */
	request.disabled = false;
	assert_int_equal(change(schedules_update, &request), ERROR_NONE);
	turn_until_fired(1);
	assert_int_equal(view_of("a").fired_us, now_us);
	assert_int_equal(schedule_gauges().missed, 0);
	request.disabled = true;
	assert_int_equal(change(schedules_update, &request), ERROR_NONE);
	advance_to(now_us + 10 * MINUTE);
	close_all();
	open_all();
	assert_int_equal(view_of("a").next_us, 0);
	assert_int_equal(schedule_gauges().fired + schedule_gauges().missed, 0);
}

/* -- what was missed -- */

/* Of all that passed while no agent ran the last one fires. */
static void test_missed_while_down(void **state _unused_)
{
	struct schedule_request request = later("a", "rate(1 minute)");

	open_all();
	must_create(&request);
	close_all();
	now_us += 30 * MINUTE + 20 * SECOND;
	open_all();
	turn_until_fired(1);
	assert_int_equal(schedule_gauges().missed, 29);
	assert_int_equal(schedule_gauges().lag_us, 20 * SECOND);
	assert_int_equal(view_of("a").fired_us, (START_S + 1800) * SECOND);
	assert_int_equal(view_of("a").next_us, (START_S + 1860) * SECOND);
	turn_until_tried(1);
}

/* A year of minutes is not walked through; no more than a hundred are counted. */
static void test_missed_for_long(void **state _unused_)
{
	struct schedule_request request = later("a", "cron(* 8 * * ? *)");

	open_all();
	must_create(&request);
	close_all();
	now_us = (START_S + 400 * 86400LL + 20 * 3600) * SECOND;
	open_all();
	turn_until_fired(1);
	assert_int_equal(schedule_gauges().missed, OCCURRENCE_COUNT_MAX);
	assert_int_equal(view_of("a").fired_us,
			 (START_S + 400 * 86400LL + 8 * 3600 + 59 * 60) * SECOND);
}

static void test_too_old(void **state _unused_)
{
	struct schedule_request request = later("a", "rate(1 hour)");
	unsigned age_s = 60;

	open_all();
	request.max_age_s = &age_s;
	must_create(&request);
	close_all();
	now_us += MINUTE + 61 * SECOND;
	open_all();
	turn_until_missed(1);
	assert_int_equal(schedule_gauges().fired, 0);
	assert_int_equal(view_of("a").fired_us, 0);
	assert_int_equal(view_of("a").next_us, (START_S + 3660) * SECOND);
}

static void test_suspended_tenants_do_not_fire(void **state _unused_)
{
	struct schedule_request request = later("a", "rate(1 minute)");

	open_all();
	must_create(&request);
	place->suspended = true;
	advance_to(now_us + MINUTE);
	turn_until_missed(1);
	advance_to(now_us + MINUTE);
	turn_until_missed(2);
	/* What passed meanwhile stays away. */
	place->suspended = false;
	close_all();
	open_all();
	assert_int_equal(schedule_gauges().fired, 0);
	advance_to(now_us + MINUTE);
	turn_until_fired(1);
	assert_int_equal(view_of("a").fired_us, now_us);
}

/* -- what the queue does not take -- */

static void count_of(uint64_t *failed, uint64_t *retried)
{
	*failed = schedule_gauges().failed;
	*retried = schedule_gauges().retried;
}

static bool are_retried(void)
{
	return schedule_gauges().retried >= wanted_count;
}

static bool are_failed(void)
{
	return schedule_gauges().failed >= wanted_count;
}

/* The queue is full: 1000 bytes. */
static void fill_queue(void)
{
	char payload[1000];

	memset(payload, '1', sizeof(payload) - 1);
	payload[sizeof(payload) - 1] = 0;
	place->manner = MANNER_HOLDS;
	submit_of(OTHER, payload);
	turn_until_answered(1);
	assert_int_equal(place->refused, 0);
}

static void test_tried_again(void **state _unused_)
{
	struct schedule_request request = later("a", "rate(1 day)");
	uint64_t failed, retried;

	open_all();
	must_create(&request);
	fill_queue();
	advance_to(now_us + MINUTE);
	for (unsigned i = 1; i <= 4; i++) {
		wanted_count = i;
		turn_until(are_retried);
		advance_to(now_us + (1LL << (i - 1)) * SECOND);
	}
	/* There is room again. */
	turn_until_tried(1);
	finish(place->holding[0], MANNER_SUCCEEDS);
	wanted_count = 5;
	while (schedule_gauges().fired == 0) {
		now_us += SECOND;
		advance_to(now_us);
		assert_true(sd_event_run(loop_event(place->loop), 1000) >= 0);
	}
	count_of(&failed, &retried);
	assert_int_equal(failed, 0);
	assert_true(retried >= 4);
	assert_int_equal(view_of("a").fired_us, (START_S + 60) * SECOND);
}

static void test_retries_end(void **state _unused_)
{
	struct schedule_request request = later("a", "rate(1 day)");
	unsigned retries = 1;

	open_all();
	request.max_retries = &retries;
	must_create(&request);
	fill_queue();
	advance_to(now_us + MINUTE);
	wanted_count = 1;
	turn_until(are_retried);
	advance_to(now_us + SECOND);
	turn_until(are_failed);
	assert_int_equal(schedule_gauges().retried, 1);
	/* The next day's is another. */
	while (view_of("a").next_us == (START_S + 60) * SECOND)
		assert_true(sd_event_run(loop_event(place->loop), 1000) >= 0);
	assert_int_equal(view_of("a").next_us, (START_S + 60 + 86400) * SECOND);
	assert_int_equal(view_of("a").fired_us, 0);
}

static void test_function_is_gone(void **state _unused_)
{
	struct schedule_request request = later("a", "rate(1 minute)");

	open_all();
	must_create(&request);
	function_is_gone = true;
	advance_to(now_us + MINUTE);
	wanted_count = 1;
	turn_until(are_failed);
	/* The schedule stays, and fires when there is such a function again. */
	function_is_gone = false;
	advance_to(now_us + MINUTE);
	turn_until_fired(1);
	assert_int_equal(schedule_gauges().retried, 0);
	assert_int_equal(view_of("a").fired_us, now_us);
}

/* -- once, whenever the agent ends -- */

static bool is_stored(void)
{
	return count_stored() > 0;
}

/* The event is durable and the mark is not: the next agent knows the event again. */
static void test_killed_between_event_and_mark(void **state _unused_)
{
	struct schedule_request request = later("a", "rate(1 minute)");
	char id[UUID_BYTES];

	open_all();
	must_create(&request);
	set_mood(ERROR_UNAVAILABLE);
	advance_to(now_us + MINUTE);
	turn_until(is_stored);
	for (unsigned i = 0; i < 50; i++) /* it is held meanwhile */
		assert_true(sd_event_run(loop_event(place->loop), 1000) >= 0);
	assert_int_equal(place->tried, 0);
	assert_int_equal(schedule_gauges().fired, 0);
	occurrence_request_id(view_of("a").schedule, now_us, id);
	close_all();

	set_mood(ERROR_NONE);
	open_all();
	assert_int_equal(view_of("a").fired_us, now_us);
	turn_until_tried(1);
	turn_until(are_all_ended);
	assert_string_equal(place->tries[0].id, id);
	advance_to(now_us + MINUTE);
	turn_until_tried(2);
	assert_int_equal(schedule_gauges().missed, 0);
}

/* The same with its last occurrence, with which the schedule goes. */
static void test_killed_between_event_and_end(void **state _unused_)
{
	struct schedule_request request = request_of("a", "at(2100-01-01T00:01:00)");

	open_all();
	request.delete_after_completion = true;
	must_create(&request);
	set_mood(ERROR_UNAVAILABLE);
	advance_to(now_us + MINUTE);
	turn_until(is_stored);
	close_all();
	set_mood(ERROR_NONE);
	open_all();
	assert_true(is_gone());
	turn_until_tried(1);
	turn_until(are_all_ended);
	close_all();
	open_all();
	assert_true(is_gone());
	assert_int_equal(place->tried, 1);
}

/* With the disk full it waits, and comes once. */
static void test_mark_is_tried_again(void **state _unused_)
{
	struct schedule_request request = later("a", "rate(1 hour)");

	open_all();
	must_create(&request);
	set_mood(ERROR_UNAVAILABLE);
	advance_to(now_us + MINUTE);
	turn_until(is_stored);
	/* A change waits until it is marked. */
	request.description = "changed";
	changed = 0;
	assert_int_equal(schedules_update(schedules, &request, on_changed, NULL, NULL), 0);
	for (unsigned i = 0; i < 20; i++)
		assert_true(sd_event_run(loop_event(place->loop), 1000) >= 0);
	assert_int_equal(changed, 0);
	set_mood(ERROR_NONE);
	now_us += SECOND;
	turn_until_fired(1);
	wanted = 1;
	turn_until(is_changed);
	assert_int_equal(changed_code, ERROR_NONE);
	assert_string_equal(view_of("a").schedule->description, "changed");
	assert_int_equal(view_of("a").fired_us, (START_S + 60) * SECOND);
	turn_until_tried(1);
	assert_int_equal(place->tried, 1);
}

/* Another hand has marked it: its event is the one that runs. */
static void test_another_hand(void **state _unused_)
{
	struct schedule_request request = later("a", "rate(1 minute)");

	open_all();
	must_create(&request);
	set_mood(ERROR_PRECONDITION_FAILED);
	advance_to(now_us + MINUTE);
	turn_until(is_stored);
	set_mood(ERROR_PRECONDITION_FAILED);
	while (count_stored() > 0)
		assert_true(sd_event_run(loop_event(place->loop), 1000) >= 0);
	for (unsigned i = 0; i < 20; i++)
		assert_true(sd_event_run(loop_event(place->loop), 1000) >= 0);
	assert_int_equal(place->tried, 0);
	assert_int_equal(schedule_gauges().fired, 0);
}

/* -- windows, clocks -- */

static void test_flexible_window(void **state _unused_)
{
	struct schedule_request request = later("a", "rate(1 hour)");
	struct schedule *schedule;
	int64_t due_us, sum_us = 0;

	request.is_flexible = true;
	request.window_minutes = 15;
	assert_int_equal(schedule_new(&request, REGION, &schedule, NULL), 0);
	for (unsigned i = 0; i < 1000; i++) {
		due_us = occurrence_due(schedule, i * MINUTE);
		assert_true(due_us >= i * MINUTE && due_us < (i + 15) * MINUTE);
		assert_int_equal(due_us, occurrence_due(schedule, i * MINUTE));
		sum_us += due_us - i * MINUTE;
	}
	assert_in_range(sum_us / 1000, 7 * MINUTE, 8 * MINUTE);
	schedule_free(schedule);

	open_all();
	must_create(&request);
	due_us = occurrence_due(view_of("a").schedule, view_of("a").next_us);
	advance_to(due_us - 1000);
	for (unsigned i = 0; i < 20; i++)
		assert_true(sd_event_run(loop_event(place->loop), 1000) >= 0);
	advance_to(due_us);
	turn_until_fired(1);
	assert_int_equal(view_of("a").fired_us, (START_S + 60) * SECOND);
	assert_int_equal(schedule_gauges().lag_us, 0);
	/* Where several windows have passed, one fires. */
	advance_to(now_us + 600 * MINUTE);
	turn_until_fired(2);
	assert_in_range(schedule_gauges().missed, 8, 9);
}

/* Set back a little, the clock shows a time twice, and nothing comes twice; set back by far, what
 * comes again fires. */
static void test_clock_is_set_back(void **state _unused_)
{
	struct schedule_request request = later("a", "cron(* * * * ? *)");

	open_all();
	must_create(&request);
	advance_to(now_us + 2 * MINUTE);
	turn_until_fired(1);
	advance_to(now_us - 2 * MINUTE);
	advance_to(now_us + 2 * MINUTE);
	for (unsigned i = 0; i < 20; i++)
		assert_true(sd_event_run(loop_event(place->loop), 1000) >= 0);
	assert_int_equal(schedule_gauges().fired, 1);
	advance_to(now_us + 1000 * MINUTE);
	turn_until_fired(2);
	advance_to(now_us - 500 * MINUTE);
	assert_int_equal(view_of("a").next_us, now_us + MINUTE);
	advance_to(now_us + MINUTE);
	turn_until_fired(3);
}

/* -- many -- */

#define MANY 10000

static void test_heap(void **state _unused_)
{
	static struct due_item items[MANY];
	struct due_heap heap = { 0 };
	uint64_t seed = 1;
	size_t count = 0;
	int64_t last = -1;

	assert_null(due_heap_first(&heap));
	assert_int_equal(due_heap_reserve(&heap, MANY), 0);
	for (size_t i = 0; i < MANY; i++) {
		seed = seed * 6364136223846793005U + 1442695040888963407U;
		due_heap_put(&heap, &items[i], (int64_t)(seed >> 40));
	}
	for (size_t i = 0; i < MANY; i += 3) {
		seed = seed * 6364136223846793005U + 1442695040888963407U;
		due_heap_put(&heap, &items[i], (int64_t)(seed >> 40)); /* moves */
	}
	for (size_t i = 0; i < MANY; i += 7) {
		due_heap_remove(&heap, &items[i]);
		due_heap_remove(&heap, &items[i]);
	}
	for (struct due_item *item; (item = due_heap_first(&heap)); count++) {
		assert_true(item->due_us >= last);
		last = item->due_us;
		due_heap_remove(&heap, item);
	}
	assert_int_equal(count, MANY - (MANY + 6) / 7);
	due_heap_free(&heap);
}

/* Ten thousand at one minute: each becomes one event, and the next agent takes them all up. */
static void test_many(void **state _unused_)
{
	struct event_queue_config events = config_of();
	char name[32];

	events.max_waiting = 2 * MANY;
	events.max_waiting_bytes = 1U << 30;
	events.max_running = 64;
	open_queue(&events);
	struct schedules_config config = schedules_config_of();
	config.max_per_tenant = MANY;
	open_with(&config);
	changed = 0;
	for (unsigned i = 0; i < MANY; i++) {
		struct schedule_request request = request_of(name, "cron(0 12 * * ? *)");

		(void)snprintf(name, sizeof(name), "s%u", i);
		request.timezone = i % 2 ? "Europe/Berlin" : "Asia/Kolkata";
		assert_int_equal(schedules_create(schedules, &request, on_changed, NULL, NULL), 0);
	}
	wanted = MANY;
	turn_until(is_changed);
	assert_int_equal(changed_code, ERROR_NONE);
	assert_int_equal(schedules_count(schedules, TENANT), MANY);
	advance_to((START_S + 11 * 3600) * SECOND);
	turn_until_fired(MANY);
	turn_until_tried(MANY);
	assert_int_equal(schedule_gauges().missed, 0);
	close_all();
	open_all();
	assert_int_equal(schedule_gauges().count, MANY);
	assert_int_equal(view_of("s4711").next_us, (START_S + 86400 + 11 * 3600) * SECOND);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_schedules, tear_down_schedules)
	const struct CMUnitTest tests[] = {
		TEST(test_fires_again_and_again),
		TEST(test_event_of_its_own),
		TEST(test_input_reaches_the_function),
		TEST(test_once),
		TEST(test_once_and_late),
		TEST(test_end_date),
		TEST(test_disabled),
		TEST(test_missed_while_down),
		TEST(test_missed_for_long),
		TEST(test_too_old),
		TEST(test_suspended_tenants_do_not_fire),
		TEST(test_tried_again),
		TEST(test_retries_end),
		TEST(test_function_is_gone),
		TEST(test_killed_between_event_and_mark),
		TEST(test_killed_between_event_and_end),
		TEST(test_mark_is_tried_again),
		TEST(test_another_hand),
		TEST(test_flexible_window),
		TEST(test_clock_is_set_back),
		TEST(test_heap),
		TEST(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
