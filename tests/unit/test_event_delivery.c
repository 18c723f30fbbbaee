/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_events mayfly_queues mayfly_store mayfly_functions mayfly_core mayfly_base
// mayfly_pkg_sqlite mayfly_pkg_jansson

/* The outcomes of events on their way to destinations, and what the next agent finds of them. */

#include "tests/unit/event_harness.h"

#include <jansson.h>

#include "agent/events/event_delivery.h"
#include "agent/events/event_redrive.h"
#include "tests/unit/event_settings_put.h"
#include "tests/unit/killed_child.h"

#define QUEUE_ARN    "arn:aws:sqs:us-east-1:" TENANT ":"
#define FUNCTION_ARN "arn:aws:lambda:us-east-1:" TENANT ":function:"

static bool all_told(void)
{
	return all_ended() && gauges().delivering == 0;
}

static void send_and_wait(const char *payload)
{
	unsigned before = place->answered;

	submit_of(TENANT, payload);
	turn_until_answered(before + 1);
	turn_until(all_told);
}

/* -- what a queue has -- */

static struct {
	unsigned count;
	struct queue_message message; /* the last */
	char body[16384];
	char error_message[64];
	bool is_read;
} found;

static void on_read(const struct queue_message *messages, size_t count, bool more _unused_,
		    const struct error *error, void *arg _unused_)
{
	assert_null(error);
	found.is_read = true;
	found.count = (unsigned)count;
	if (count == 0)
		return;
	found.message = messages[count - 1];
	(void)snprintf(found.body, sizeof(found.body), "%.*s", (int)found.message.body.len,
		       (const char *)found.message.body.data);
	(void)snprintf(found.error_message, sizeof(found.error_message), "%s",
		       found.message.error_message);
}

static bool is_read(void)
{
	return found.is_read;
}

static unsigned look(const char *queue)
{
	struct queue_filter filter = { .tenant = TENANT };

	(void)snprintf(filter.queue, sizeof(filter.queue), "%s", queue);
	found.is_read = false;
	message_queues_read(place->queues, &filter, 50, 1 << 20, on_read, NULL);
	turn_until(is_read);
	return found.count;
}

static void check_record(const char *condition, int invoke_count, bool has_response)
{
	json_t *record = json_loads(found.body, 0, NULL);
	const json_t *context = json_object_get(record, "requestContext");

	assert_non_null(record);
	assert_string_equal(json_string_value(json_object_get(context, "condition")), condition);
	assert_int_equal(json_integer_value(json_object_get(context, "approximateInvokeCount")),
			 invoke_count);
	assert_string_equal(json_string_value(json_object_get(context, "functionArn")),
			    FUNCTION_ARN "f:live");
	assert_string_equal(json_string_value(json_object_get(context, "requestId")),
			    place->last_id);
	assert_int_equal(json_object_get(record, "responseContext") != NULL, has_response);
	assert_int_equal(json_object_get(record, "responsePayload") != NULL, has_response);
	json_decref(record);
}

/* -- ends -- */

static void test_success_and_failure_are_told(void **state _unused_)
{
	struct event_queue_config config = config_of();

	open_queue(&config);
	put_settings(QUEUE_ARN "good", QUEUE_ARN "bad");
	send_and_wait("{\"n\":1}");
	assert_int_equal(look("bad"), 0);
	assert_int_equal(look("good"), 1);
	check_record("Success", 1, true);
	place->manner = MANNER_FAILS;
	send_and_wait("{\"n\":2}");
	assert_int_equal(look("good"), 1);
	assert_int_equal(look("bad"), 1);
	check_record("RetriesExhausted", 3, true);
	assert_non_null(strstr(found.body, "\"functionError\":\"Unhandled\""));
	assert_int_equal(gauges().delivered, 2);
	assert_int_equal(counted[METRICS_EVENT_DROPPED], 1);
	assert_int_equal(count_stored(), 0);
}

static void test_dead_letters_beside_a_destination(void **state _unused_)
{
	struct event_queue_config config = config_of();

	function.config.dead_letter_target = (char *)QUEUE_ARN "dead";
	place->manner = MANNER_FAILS;
	open_queue(&config);
	put_settings("", QUEUE_ARN "bad");
	send_and_wait("{\"n\":1}");
	assert_int_equal(look("bad"), 1);
	assert_false(found.message.is_dead_letter);
	assert_int_equal(look("dead"), 1);
	assert_true(found.message.is_dead_letter);
	assert_string_equal(found.body, "{\"n\":1}");
	assert_string_equal(found.error_message, "no");
	assert_string_equal(found.message.request_id, place->last_id);
	place->manner = MANNER_SUCCEEDS;
	send_and_wait("{\"n\":2}");
	assert_int_equal(look("dead"), 1);
}

static void test_nothing_reserved_and_too_old(void **state _unused_)
{
	struct event_queue_config config = config_of();

	function.has_reserved_concurrency = true;
	function.reserved_concurrency = 0;
	config.policy.max_age_us = SECOND / 10;
	open_queue(&config);
	put_settings("", QUEUE_ARN "bad");
	send_and_wait("1");
	assert_int_equal(place->tried, 0);
	assert_int_equal(look("bad"), 1);
	check_record("ZeroReservedConcurrency", 0, false);
	function.has_reserved_concurrency = false;
	place->manner = MANNER_THROTTLES;
	send_and_wait("2");
	assert_int_equal(look("bad"), 2);
	check_record("EventAgeExceeded", 0, false);
}

static void test_a_deleted_function_tells_nobody(void **state _unused_)
{
	struct event_queue_config config = config_of();

	function.config.dead_letter_target = (char *)QUEUE_ARN "dead";
	place->manner = MANNER_HOLDS;
	open_queue(&config);
	submit_of(TENANT, "1");
	turn_until_tried(1);
	function_is_gone = true;
	finish(place->holding[0], MANNER_SUCCEEDS);
	turn_until(all_told);
	assert_int_equal(look("dead"), 0);
	assert_int_equal(counted[METRICS_EVENT_DROPPED], 0); /* its row would come back */
}

/* -- functions -- */

static bool was_tried(const char *name)
{
	for (unsigned i = 0; i < place->tried && i < ARRAY_SIZE(place->tries); i++)
		if (strcmp(place->tries[i].name, name) == 0)
			return true;
	return false;
}

static bool next_ran(void)
{
	return was_tried("next") && all_told();
}

static void test_a_function_is_told(void **state _unused_)
{
	struct event_queue_config config = config_of();

	open_queue(&config);
	put_settings(FUNCTION_ARN "next:7", "");
	submit_of(TENANT, "{\"n\":1}");
	turn_until(next_ran);
	assert_int_equal(place->tried, 2);
	assert_string_equal(place->tries[1].name, "next");
	assert_string_equal(place->tries[1].qualifier, "7");
	assert_non_null(strstr(place->tries[1].payload, "\"requestPayload\":{\"n\":1}"));
	assert_string_not_equal(place->tries[1].id, place->tries[0].id);
	assert_int_equal(gauges().succeeded, 2);
}

static bool is_dropped(void)
{
	return counted[METRICS_RECURSION_DROPPED] > 0 && all_told();
}

static void test_a_circle_ends(void **state _unused_)
{
	struct event_queue_config config = config_of();

	open_queue(&config);
	put_settings_of("f", FUNCTION_ARN "g:live", "");
	put_settings_of("g", FUNCTION_ARN "f:live", "");
	submit_of(TENANT, "1");
	turn_until(is_dropped);
	assert_int_equal(place->tried, EVENT_HOPS_MAX);
	assert_int_equal(counted[METRICS_RECURSION_DROPPED], 1);
	assert_string_equal(counted_last, "f"); /* that was not invoked */
	assert_int_equal(count_stored(), 0);
}

static const char *text_at(const json_t *record, const char *first, const char *second)
{
	const json_t *inner = json_object_get(json_object_get(record, first), second);

	return json_is_string(inner) ? json_string_value(inner) : "";
}

/* What the function that was not invoked would have got, by its failure destination and as a dead
 * letter. */
static void test_the_end_of_a_circle_is_told(void **state _unused_)
{
	struct event_queue_config config = config_of();
	json_t *record, *request;

	function.config.dead_letter_target = (char *)QUEUE_ARN "dead";
	open_queue(&config);
	put_settings_of("f", FUNCTION_ARN "g:live", QUEUE_ARN "lost");
	put_settings_of("g", FUNCTION_ARN "f:live", QUEUE_ARN "of-g");
	submit_of(TENANT, "1");
	turn_until(is_dropped);
	assert_int_equal(place->tried, EVENT_HOPS_MAX);
	assert_int_equal(look("of-g"), 0);
	assert_int_equal(look("lost"), 1);
	assert_string_equal(found.message.condition, "RecursiveInvocation");
	assert_string_equal(found.message.function, "f");
	assert_string_equal(found.message.qualifier, "live");
	record = json_loads(found.body, 0, NULL);
	assert_string_equal(text_at(record, "requestContext", "condition"), "RecursiveInvocation");
	assert_string_equal(text_at(record, "requestContext", "functionArn"),
			    FUNCTION_ARN "f:live");
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(record, "requestContext"),
						   "approximateInvokeCount")),
		0);
	assert_null(json_object_get(record, "responseContext"));
	request = json_object_get(record, "requestPayload");
	assert_string_equal(text_at(request, "requestContext", "functionArn"),
			    FUNCTION_ARN "g:live");
	json_decref(record);
	assert_int_equal(look("dead"), 1);
	assert_true(found.message.is_dead_letter);
	assert_string_equal(found.error_message, "RecursiveInvocation");
	assert_string_equal(found.message.function, "f");
	assert_non_null(strstr(found.body, "\"condition\":\"Success\""));
	assert_int_equal(counted[METRICS_RECURSION_DROPPED], 1);
	assert_int_equal(counted[METRICS_DESTINATION_FAILED], 0);
}

static bool all_are_dropped(void)
{
	return counted[METRICS_RECURSION_DROPPED] >= 3 && all_told();
}

/* One function more, whose own destinations lead back: nobody is told for ever. */
static void test_a_function_is_told_of_a_circle(void **state _unused_)
{
	struct event_queue_config config = config_of();

	open_queue(&config);
	put_settings_of("f", FUNCTION_ARN "g:live", FUNCTION_ARN "h:live");
	put_settings_of("g", FUNCTION_ARN "f:live", "");
	put_settings_of("h", FUNCTION_ARN "f:live", FUNCTION_ARN "f:live");
	submit_of(TENANT, "1");
	turn_until(all_are_dropped);
	assert_int_equal(place->tried, EVENT_HOPS_MAX + 1);
	assert_string_equal(place->tries[EVENT_HOPS_MAX].name, "h");
	/* The circle, h's outcome, and what would have told h of the end of that. */
	assert_int_equal(counted[METRICS_RECURSION_DROPPED], 3);
	assert_int_equal(count_stored(), 0);
}

/* Events keep their hops when the agent ends. */
static void test_a_circle_ends_across_agents(void **state _unused_)
{
	struct event_queue_config config = config_of();

	place->manner = MANNER_HOLDS;
	open_queue(&config);
	put_settings_of("f", FUNCTION_ARN "g:live", "");
	put_settings_of("g", FUNCTION_ARN "f:live", "");
	submit_of(TENANT, "1");
	for (unsigned i = 0; i < EVENT_HOPS_MAX; i++) {
		turn_until_tried(i + 1);
		close_queue();
		place->tried = i;
		place->manner = MANNER_HOLDS;
		open_queue(&config);
		turn_until_tried(i + 1);
		finish(place->holding[place->held - 1], MANNER_SUCCEEDS);
	}
	turn_until(is_dropped);
	assert_int_equal(place->tried, EVENT_HOPS_MAX);
}

/* -- webhooks -- */

static unsigned posts_wanted;
static bool are_posted(void)
{
	return posts >= posts_wanted;
}

static struct webhook_post *wait_post(unsigned count)
{
	posts_wanted = count;
	turn_until(are_posted);
	return posted;
}

static void test_a_webhook_is_told_and_told_again(void **state _unused_)
{
	struct event_queue_config config = config_of();
	struct webhook_post *post;
	char id[UUID_BYTES];

	open_queue(&config);
	put_settings("https://hooks.example.com/x", "");
	submit_of(TENANT, "{\"n\":1}");
	post = wait_post(1);
	assert_string_equal(post->url, "https://hooks.example.com/x");
	assert_string_equal(post->condition, "Success");
	memcpy(id, post->id, sizeof(id));
	post->done(post, WEBHOOK_AGAIN, "503");
	post = wait_post(2); /* after a second */
	assert_string_equal(post->id, id);
	assert_int_equal(gauges().delivering, 1);
	post->done(post, WEBHOOK_TAKEN, "");
	turn_until(all_told);
	assert_int_equal(counted[METRICS_DESTINATION_FAILED], 0);
	submit_of(TENANT, "{\"n\":2}");
	post = wait_post(3);
	post->done(post, WEBHOOK_REFUSED, "404");
	turn_until(all_told);
	assert_int_equal(counted[METRICS_DESTINATION_FAILED], 1);
	assert_int_equal(gauges().delivered, 1);
}

static struct {
	unsigned asked, failing;
	char tenant[EVENT_TENANT_BYTES], url[64];
} signing;

static int sign(const char *tenant, const char *url, struct webhook_keys *ret, void *arg _unused_)
{
	signing.asked++;
	(void)snprintf(signing.tenant, sizeof(signing.tenant), "%s", tenant);
	(void)snprintf(signing.url, sizeof(signing.url), "%s", url);
	*ret = (struct webhook_keys){ .count = signing.asked };
	return signing.asked <= signing.failing ? -ENOMEM : 0;
}

/* With what counts at the time of each try; without it there is none. */
static void test_posts_are_signed(void **state _unused_)
{
	struct event_queue_config config = config_of();
	struct webhook_post *post;

	memset(&signing, 0, sizeof(signing));
	signing.failing = 1;
	config.webhook_keys = sign;
	open_queue(&config);
	put_settings("https://hooks.example.com/x", "");
	submit_of(TENANT, "{}");
	post = wait_post(1);
	assert_int_equal(signing.asked, 2);
	assert_int_equal(post->keys.count, 2);
	assert_string_equal(signing.tenant, TENANT);
	assert_string_equal(signing.url, "https://hooks.example.com/x");
	post->done(post, WEBHOOK_AGAIN, "503");
	post = wait_post(2);
	assert_int_equal(post->keys.count, 3);
	post->done(post, WEBHOOK_TAKEN, "");
	turn_until(all_told);
}

static void test_what_nobody_takes_is_given_up(void **state _unused_)
{
	struct event_queue_config config = config_of();
	struct webhook_post *post;

	config.delivery_max_age_us = SECOND / 10;
	open_queue(&config);
	put_settings("https://hooks.example.com/x", "");
	submit_of(TENANT, "1");
	post = wait_post(1);
	post->done(post, WEBHOOK_AGAIN, "503");
	post = wait_post(2); /* the last, at the very end */
	post->done(post, WEBHOOK_AGAIN, "503");
	turn_until(all_told);
	assert_int_equal(posts, 2);
	assert_int_equal(counted[METRICS_DESTINATION_FAILED], 1);
}

static void test_webhooks_hold_nobody_up(void **state _unused_)
{
	struct event_queue_config config = config_of();
	struct webhook_post *first;

	config.max_webhooks = 1;
	open_queue(&config);
	put_settings("https://hooks.example.com/x", "");
	submit_of(TENANT, "1");
	submit_of(TENANT, "2");
	first = wait_post(1);
	put_settings(QUEUE_ARN "good", "");
	submit_of(TENANT, "3");
	turn_until_answered(3);
	while (look("good") == 0)
		;
	assert_int_equal(posts, 1); /* the other waits for its place */
	first->done(first, WEBHOOK_TAKEN, "");
	posted = wait_post(2);
	posted->done(posted, WEBHOOK_TAKEN, "");
	turn_until(all_told);
}

/* -- queues -- */

static void test_a_full_queue(void **state _unused_)
{
	struct event_queue_config config = config_of();

	config.delivery_max_age_us = SECOND / 10;
	queues_max_bytes = 100;
	function.config.dead_letter_target = (char *)QUEUE_ARN "dead";
	place->manner = MANNER_FAILS;
	open_queue(&config);
	send_and_wait("1");
	queues_max_bytes = 1 << 20;
	assert_int_equal(look("dead"), 0);
	assert_int_equal(counted[METRICS_DEAD_LETTER_FAILED], 1);
	assert_int_equal(counted[METRICS_DESTINATION_FAILED], 0);
}

static struct event_redrive_result redriven;
static enum error_code redrive_code;
static bool has_answered;

static void on_redriven(const struct event_redrive_result *result, const struct error *error,
			void *arg _unused_)
{
	redriven = *result;
	redrive_code = error ? error->code : ERROR_NONE;
	has_answered = true;
}

static bool is_answered(void)
{
	return has_answered;
}

static void redrive(const char *queue, const char *id, unsigned max)
{
	struct queue_filter filter = { .tenant = TENANT };

	(void)snprintf(filter.queue, sizeof(filter.queue), "%s", queue);
	(void)snprintf(filter.id, sizeof(filter.id), "%s", id);
	has_answered = false;
	assert_int_equal(event_redrive(place->queue, &filter, max, on_redriven, NULL), 0);
	assert_false(has_answered); /* never inside the call */
	turn_until(is_answered);
}

static void test_events_are_sent_again(void **state _unused_)
{
	struct event_queue_config config = config_of();
	unsigned before;

	function.config.dead_letter_target = (char *)QUEUE_ARN "dead";
	place->manner = MANNER_FAILS;
	open_queue(&config);
	put_settings("", QUEUE_ARN "bad");
	for (unsigned i = 0; i < 3; i++)
		submit_of(TENANT, "{ \"n\":1 }");
	turn_until_answered(3);
	turn_until(all_told);
	assert_int_equal(look("bad"), 3);
	assert_int_equal(look("dead"), 3);
	place->manner = MANNER_SUCCEEDS;
	before = place->tried;
	redrive("bad", "", 2);
	assert_int_equal(redriven.redriven, 2);
	assert_true(redriven.more);
	redrive("bad", "", 10);
	assert_int_equal(redriven.redriven, 1);
	assert_false(redriven.more);
	assert_int_equal(look("bad"), 0);
	turn_until_tried(before + 3);
	/* As it was when it came, out of a record as out of a dead letter. */
	assert_string_equal(place->tries[before].payload, "{ \"n\":1 }");
	assert_string_equal(place->tries[before].name, "f");
	assert_string_equal(place->tries[before].qualifier, "live");
	assert_int_equal(look("dead"), 3);
	redrive("dead", found.message.id, 1);
	assert_int_equal(redriven.redriven, 1);
	turn_until_tried(before + 4);
	assert_string_equal(place->tries[before + 3].payload, "{ \"n\":1 }");
	assert_int_equal(look("dead"), 2);
	redrive("dead", "00000000-0000-0000-0000-000000000000", 1);
	assert_int_equal(redrive_code, ERROR_NOT_FOUND);
	redrive("nothing", "", 10);
	assert_int_equal(redrive_code, ERROR_NONE);
	assert_int_equal(redriven.redriven + redriven.failed, 0);
}

/* -- the next agent -- */

static bool is_due_to_be_told(void)
{
	return posts == 1;
}

static void test_the_next_agent_delivers(void **state _unused_)
{
	struct event_queue_config config = config_of();
	struct webhook_post *post;
	char id[UUID_BYTES];

	open_queue(&config);
	put_settings("https://hooks.example.com/x", "");
	submit_of(TENANT, "{\"n\":1}");
	turn_until(is_due_to_be_told);
	memcpy(id, posted->id, sizeof(id));
	assert_int_equal(count_stored(), 0); /* it ended, and this is durable with it */
	for (unsigned i = 0; i < 3; i++) {
		close_queue();
		place->store = event_store_close(place->store);
		if (i == 2) /* of an agent whose clock was two days ahead */
			execute("UPDATE delivery SET ended_us = ended_us + 172800000000,"
				" due_us = due_us + 172800000000");
		open_store();
		posts = 0;
		open_queue(&config);
		assert_int_equal(gauges().delivering, 1);
		post = wait_post(1);
		assert_string_equal(post->id, id);
		assert_non_null(memmem(post->body.data, post->body.len, "\"n\":1", 5));
	}
	post->done(post, WEBHOOK_TAKEN, "");
	turn_until(all_told);
	assert_int_equal(place->tried, 1);
}

static void test_a_message_is_put_once(void **state _unused_)
{
	struct event_queue_config config = config_of();
	struct queue_message message = { .id = "12345678-0000-4000-8000-000000000000",
					 .tenant = TENANT,
					 .queue = "q",
					 .function = "f",
					 .body = slice_from_string("1") };
	struct queue_store *store;
	char path[96];

	open_queue(&config);
	close_queue();
	(void)snprintf(path, sizeof(path), "%s/queues.db", place->folder);
	assert_int_equal(queue_store_open(path, false, &store, NULL), 0);
	/* As when the agent ended before it had noted that the first was made. */
	assert_int_equal(queue_store_put(store, &message, 1 << 20, NULL), 0);
	assert_int_equal(queue_store_put(store, &message, 1 << 20, NULL), 0);
	struct queue_summary list[2];
	size_t count;
	assert_int_equal(queue_store_list(store, TENANT, list, 2, &count, NULL), 0);
	assert_int_equal(count, 1);
	assert_int_equal(list[0].messages, 1);
	struct queue_filter filter = { .tenant = TENANT, .queue = "q" };
	uint64_t deleted;
	assert_int_equal(queue_store_delete(store, &filter, &deleted, NULL), 0);
	assert_int_equal(deleted, 1);
	assert_int_equal(queue_store_list(store, TENANT, list, 2, &count, NULL), 0);
	assert_int_equal(count, 0);
	queue_store_close(store);
}

/* A child takes events that fail, until it is killed: each that it had answered is in the queue or
 * still on its way there when the next agent is done. */
static int64_t told_by_child;
static int child_pipe;

static void on_child_answer(const char *request_id _unused_, const struct error *error,
			    void *arg _unused_)
{
	if (error)
		_exit(1);
	say_done(child_pipe, (unsigned)++told_by_child);
}

static void work_until_killed(void *arg _unused_, unsigned first, int pipe_fd)
{
	struct event_queue_config config = config_of();

	told_by_child = (int64_t)first - 1;
	child_pipe = pipe_fd;
	config.max_waiting = 10000;
	config.max_waiting_bytes = 1 << 20;
	open_store();
	open_queue(&config);
	for (;;) {
		struct invocation_request request = { .tenant = TENANT,
						      .function_name = "f",
						      .qualifier = "live",
						      .payload = slice_from_string("1") };

		if (gauges().waiting < 8 &&
		    event_queue_submit(place->queue, &request, on_child_answer, NULL) < 0)
			_exit(1);
		if (sd_event_run(loop_event(place->loop), 1000) < 0)
			_exit(1);
	}
}

static int see(const struct queue_message *message _unused_, void *arg)
{
	++*(unsigned *)arg;
	return 0;
}

static void test_kill_loses_no_dead_letter(void **state _unused_)
{
	struct event_queue_config config = config_of();
	unsigned last = 0, in_queue = 0;

	function.config.dead_letter_target = (char *)QUEUE_ARN "dead";
	place->manner = MANNER_FAILS;
	place->store = event_store_close(place->store);
	config.max_waiting = 10000;
	config.max_waiting_bytes = 1 << 20;
	for (unsigned round = 0; round < 6; round++) {
		last = run_until_killed(work_until_killed, NULL, last + 1, 8, round * 50000);
	}
	open_store();
	open_queue(&config);
	place->answered = 1;
	turn_until(all_told);
	close_queue();
	struct queue_filter filter = { .tenant = TENANT, .queue = "dead" };
	struct queue_store *store;
	char path[96];
	(void)snprintf(path, sizeof(path), "%s/queues.db", place->folder);
	assert_int_equal(queue_store_open(path, false, &store, NULL), 0);
	assert_int_equal(queue_store_read(store, &filter, see, &in_queue, NULL), 0);
	queue_store_close(store);
	/* Those that were answered, and perhaps some whose answer was cut off. */
	assert_true(last > 0);
	assert_in_range(in_queue, last, last + 100);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_success_and_failure_are_told),
		TEST(test_dead_letters_beside_a_destination),
		TEST(test_nothing_reserved_and_too_old),
		TEST(test_a_deleted_function_tells_nobody),
		TEST(test_a_function_is_told),
		TEST(test_a_circle_ends),
		TEST(test_the_end_of_a_circle_is_told),
		TEST(test_a_function_is_told_of_a_circle),
		TEST(test_a_circle_ends_across_agents),
		TEST(test_a_webhook_is_told_and_told_again),
		TEST(test_posts_are_signed),
		TEST(test_what_nobody_takes_is_given_up),
		TEST(test_webhooks_hold_nobody_up),
		TEST(test_a_full_queue),
		TEST(test_events_are_sent_again),
		TEST(test_the_next_agent_delivers),
		TEST(test_a_message_is_put_once),
		TEST(test_kill_loses_no_dead_letter),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
