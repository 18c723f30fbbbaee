/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_events mayfly_queues mayfly_store mayfly_functions mayfly_core mayfly_base
// mayfly_pkg_sqlite mayfly_pkg_jansson

/* What is told of an event is made beside the loop, made again when memory is short, and takes room
 * that is there before the function runs. */

#include "tests/unit/event_harness.h"

#include <pthread.h>
#include <semaphore.h>

#include "agent/events/event_outcome.h"
#include "tests/unit/event_settings_put.h"

#define HOOK "https://hooks.example.com/x"
#define MIB  (1 << 20)

/* The records, as a double: what a test wants of them. */
static struct {
	size_t bytes;
	unsigned made, failing;
	bool waits; /* for the loop */
	sem_t begun, go_on;
	bool was_let_go;
	pthread_t thread;
} records;

uint64_t event_outcome_max_bytes(uint64_t event_bytes)
{
	return event_bytes > MIB ? event_bytes : MIB;
}

static bool wait_for(sem_t *semaphore)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += LIMIT_US / USEC_PER_SEC;
	return sem_timedwait(semaphore, &until) == 0;
}

int event_outcome_write(const struct event_outcome_facts *facts, struct buf *ret,
			uint64_t *ret_event_at, uint64_t *ret_event_bytes)
{
	_cleanup_free_ char *text = calloc(1, records.bytes + 1);

	assert_non_null(text);
	records.thread = pthread_self();
	if (records.waits) {
		(void)sem_post(&records.begun);
		records.was_let_go = wait_for(&records.go_on);
	}
	records.made++;
	if (records.made <= records.failing)
		return -ENOMEM;
	*ret_event_at = 0;
	*ret_event_bytes = facts->event.len;
	memset(text, 'x', records.bytes);
	return buf_append(ret, text, records.bytes);
}

int event_outcome_write_error(const struct event_outcome_facts *facts _unused_,
			      struct buf *ret _unused_)
{
	return 0;
}

static int set_up_records(void **state)
{
	memset(&records, 0, sizeof(records));
	records.bytes = 100;
	(void)sem_init(&records.begun, 0, 0);
	(void)sem_init(&records.go_on, 0, 0);
	return set_up(state);
}

static bool is_posted(void)
{
	return posts > 0;
}

static bool all_told(void)
{
	return all_ended() && gauges().delivering == 0;
}

static void take_post(void)
{
	struct webhook_post *post = posted;

	posted = NULL;
	post->done(post, WEBHOOK_TAKEN, "");
}

/* -- beside the loop -- */

static bool has_begun(void)
{
	return sem_trywait(&records.begun) == 0;
}

static void let_go_on(void *arg _unused_)
{
	(void)sem_post(&records.go_on);
}

static void test_the_loop_turns_meanwhile(void **state _unused_)
{
	struct event_queue_config config = config_of();

	records.waits = true;
	open_queue(&config);
	put_settings(HOOK, "");
	submit_of(TENANT, "1");
	turn_until(has_begun);
	assert_int_equal(posts, 0);
	assert_int_equal(count_stored(), 1); /* its end is not there before that is */
	/* Were it made in the loop, this would never be called. */
	loop_post(place->loop, let_go_on, NULL);
	turn_until(is_posted);
	assert_true(records.was_let_go);
	assert_false(pthread_equal(records.thread, pthread_self()));
	take_post();
	turn_until(all_told);
	assert_int_equal(count_stored(), 0);
}

static void test_without_memory_it_is_made_again(void **state _unused_)
{
	struct event_queue_config config = config_of();

	records.failing = 1;
	open_queue(&config);
	put_settings(HOOK, "");
	submit_of(TENANT, "1");
	turn_until(is_posted); /* after a second */
	assert_int_equal(records.made, 2);
	assert_int_equal(place->tried, 1); /* the function did not run again */
	assert_int_equal(posted->body.len, 100);
	take_post();
	turn_until(all_told);
	assert_int_equal(gauges().delivered, 1);
}

/* An agent that ends meanwhile leaves the event to the next one. */
static void test_an_end_before_it_is_made(void **state _unused_)
{
	struct event_queue_config config = config_of();

	records.waits = true;
	open_queue(&config);
	put_settings(HOOK, "");
	submit_of(TENANT, "1");
	turn_until(has_begun);
	(void)sem_post(&records.go_on);
	close_queue();
	assert_int_equal(count_stored(), 1);
	records.waits = false;
	open_queue(&config);
	turn_until(is_posted);
	take_post();
	turn_until(all_told);
	assert_int_equal(place->tried, 2);
}

/* -- room -- */

#define EVENTS 40
#define ROOM   20 /* records of a MiB */

static struct event_queue_config config_with_room(void)
{
	struct event_queue_config config = config_of();

	config.max_waiting_bytes = ROOM * MIB + 1000;
	config.max_webhooks = 1; /* the double keeps one post */
	records.bytes = MIB;
	return config;
}

static bool the_rest_is_held_up(void)
{
	return place->tried >= ROOM && gauges().running == 0 && gauges().delayed >= EVENTS - ROOM &&
	       gauges().delivering >= ROOM;
}

static bool take_until_all_told(void)
{
	if (posted)
		take_post();
	return place->tried == EVENTS && all_told();
}

static void test_no_try_without_room_for_its_outcome(void **state _unused_)
{
	struct event_queue_config config = config_with_room();

	open_queue(&config);
	put_settings(HOOK, "");
	for (unsigned i = 0; i < EVENTS; i++)
		submit_of(TENANT, "1");
	turn_until(the_rest_is_held_up);
	assert_int_equal(place->tried, ROOM);
	assert_int_equal(place->queue->outcome_bytes, ROOM * MIB);
	/* As outcomes are taken the others run; no try was lost. */
	turn_until(take_until_all_told);
	assert_int_equal(gauges().delivered, EVENTS);
	assert_int_equal(place->queue->outcome_bytes, 0);
	assert_int_equal(place->queue->bytes, 0);
}

static bool is_held_up_again(void)
{
	return gauges().delayed > 0;
}

/* What waits of the last agent's counts. */
static void test_room_is_what_the_last_agent_left(void **state _unused_)
{
	struct event_queue_config config = config_with_room();
	unsigned before;

	open_queue(&config);
	put_settings(HOOK, "");
	for (unsigned i = 0; i < EVENTS; i++)
		submit_of(TENANT, "1");
	turn_until(the_rest_is_held_up);
	close_queue();
	posted = NULL;
	before = place->tried;
	open_queue(&config);
	turn_until(is_held_up_again);
	assert_int_equal(place->tried, before);
	turn_until(take_until_all_told);
}

/* Whoever tells nobody needs no room. */
static void test_others_run(void **state _unused_)
{
	struct event_queue_config config = config_with_room();

	open_queue(&config);
	put_settings(HOOK, "");
	for (unsigned i = 0; i < EVENTS; i++)
		submit_of(TENANT, "1");
	turn_until(the_rest_is_held_up);
	place->answered = 0;
	submit_of(OTHER, "2"); /* has no settings */
	turn_until_tried(ROOM + 1);
	assert_string_equal(place->tries[ROOM].payload, "2");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_records, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_the_loop_turns_meanwhile),
		TEST(test_without_memory_it_is_made_again),
		TEST(test_an_end_before_it_is_made),
		TEST(test_no_try_without_room_for_its_outcome),
		TEST(test_room_is_what_the_last_agent_left),
		TEST(test_others_run),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
