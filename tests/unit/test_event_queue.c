/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_events mayfly_store mayfly_functions mayfly_core mayfly_base mayfly_pkg_sqlite

/* Asynchronous invocations: what follows from the outcome of a try, whose turn it is, the file, and
 * the way of events. The invoker and the directory are doubles, which the linker takes before the
 * real ones. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/resource.h>

#include "agent/events/event_internal.h"
#include "agent/events/event_settings.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"
#include "tests/unit/killed_child.h"

#define TENANT   "123456789012"
#define OTHER    "210987654321"
#define SECOND   USEC_PER_SEC
#define LIMIT_US (30 * USEC_PER_SEC)
#define ID_LEN   36

/* -- policy -- */

static const struct event_policy lambda = {
	.max_retries = EVENT_RETRIES_DEFAULT,
	.retry_first_us = EVENT_RETRY_FIRST_DEFAULT,
	.delay_first_us = EVENT_DELAY_FIRST_DEFAULT,
	.delay_max_us = EVENT_DELAY_MAX_DEFAULT,
	.max_age_us = EVENT_MAX_AGE_DEFAULT,
};

static void test_a_function_error_is_tried_again_twice(void **state _unused_)
{
	struct event_record record = { .received_us = 5 * SECOND, .delays = 7 };
	int64_t now_us = 100 * SECOND;

	assert_int_equal(event_decide(&lambda, &record, EVENT_FAILED, now_us), EVENT_GOES_ON);
	assert_int_equal(record.due_us, now_us + 60 * SECOND);
	assert_int_equal(record.delays, 0);
	assert_int_equal(event_decide(&lambda, &record, EVENT_FAILED, now_us), EVENT_GOES_ON);
	assert_int_equal(record.due_us, now_us + 120 * SECOND);
	assert_int_equal(event_decide(&lambda, &record, EVENT_FAILED, now_us),
			 EVENT_RETRIES_EXHAUSTED);
	assert_int_equal(record.errors, 3);
}

static void test_no_retries(void **state _unused_)
{
	struct event_policy policy = lambda;
	struct event_record record = { 0 };

	policy.max_retries = 0;
	assert_int_equal(event_decide(&policy, &record, EVENT_FAILED, SECOND),
			 EVENT_RETRIES_EXHAUSTED);
}

static void test_a_throttle_uses_no_try_up(void **state _unused_)
{
	static const int64_t waits_s[] = { 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300 };
	struct event_record record = { .errors = 1 };
	int64_t now_us = SECOND;

	for (size_t i = 0; i < ARRAY_SIZE(waits_s); i++) {
		assert_int_equal(event_decide(&lambda, &record, EVENT_HELD_UP, now_us),
				 EVENT_GOES_ON);
		assert_int_equal(record.due_us - now_us, waits_s[i] * SECOND);
		now_us = record.due_us;
	}
	assert_int_equal(record.errors, 1);
}

static void test_the_greatest_age(void **state _unused_)
{
	struct event_record record = { .received_us = 0, .delays = 20 };
	int64_t end_us = lambda.max_age_us;

	assert_int_equal(event_decide(&lambda, &record, EVENT_HELD_UP, end_us - 10 * SECOND),
			 EVENT_GOES_ON);
	assert_int_equal(record.due_us, end_us);
	assert_int_equal(event_decide(&lambda, &record, EVENT_FAILED, end_us - SECOND),
			 EVENT_GOES_ON);
	assert_int_equal(record.due_us, end_us);
	assert_false(event_is_too_old(&lambda, &record, end_us - 1));
	assert_true(event_is_too_old(&lambda, &record, end_us));
	assert_int_equal(event_decide(&lambda, &record, EVENT_HELD_UP, end_us), EVENT_AGE_EXCEEDED);
	assert_int_equal(event_decide(&lambda, &record, EVENT_SUCCEEDED, end_us), EVENT_SUCCESS);
}

static void test_ends(void **state _unused_)
{
	struct event_record record = { 0 };

	assert_int_equal(event_decide(&lambda, &record, EVENT_SUCCEEDED, 1), EVENT_SUCCESS);
	assert_int_equal(event_decide(&lambda, &record, EVENT_NO_RIGHT, 1),
			 EVENT_ZERO_RESERVED_CONCURRENCY);
	assert_int_equal(event_decide(&lambda, &record, EVENT_NO_FUNCTION, 1), EVENT_FUNCTION_GONE);
	assert_int_equal(record.errors, 0);
	assert_string_equal(event_end_name(EVENT_ZERO_RESERVED_CONCURRENCY),
			    "ZeroReservedConcurrency");
	assert_string_equal(event_end_name(EVENT_RETRIES_EXHAUSTED), "RetriesExhausted");
	assert_string_equal(event_end_name(EVENT_AGE_EXCEEDED), "EventAgeExceeded");
}

/* -- the shelf -- */

static void test_tenants_take_turns(void **state _unused_)
{
	struct shelf_item items[] = { { "a", 3, NULL }, { "a", 1, NULL }, { "a", 2, NULL },
				      { "b", 4, NULL }, { "b", 5, NULL }, { "c", 99, NULL } };
	static const unsigned order[] = { 1, 3, 2, 4, 0 };
	struct event_shelf shelf = { 0 };

	assert_int_equal(event_shelf_reserve(&shelf, ARRAY_SIZE(items)), 0);
	assert_int_equal(event_shelf_next_us(&shelf), INT64_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		event_shelf_put(&shelf, &items[i]);
	assert_int_equal(event_shelf_next_us(&shelf), 1);
	assert_null(event_shelf_take(&shelf, 0));
	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		assert_ptr_equal(event_shelf_take(&shelf, 10), &items[order[i]]);
	assert_null(event_shelf_take(&shelf, 10));
	assert_int_equal(event_shelf_next_us(&shelf), 99);
	assert_ptr_equal(event_shelf_take(&shelf, 99), &items[5]);
	event_shelf_free(&shelf);
}

static void test_the_earliest_comes_first(void **state _unused_)
{
	struct shelf_item items[500];
	struct event_shelf shelf = { 0 };
	int64_t last = -1;

	for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
		items[i] = (struct shelf_item){ "a", (int64_t)(i * 7919 % 500), NULL };
		assert_int_equal(event_shelf_reserve(&shelf, i + 1), 0);
		event_shelf_put(&shelf, &items[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
		int64_t now = event_shelf_next_us(&shelf);
		struct shelf_item *item = event_shelf_take(&shelf, now);

		assert_non_null(item);
		assert_int_equal(item->due_us, now);
		assert_true(now > last);
		last = now;
	}
	event_shelf_free(&shelf);
}

/* -- the invoker and the directory -- */

struct
try {
	struct invocation_request request;
	char id[UUID_BYTES];
	char payload[64];
};

enum manner {
	MANNER_SUCCEEDS,
	MANNER_FAILS,
	MANNER_THROTTLES,
	MANNER_UNAVAILABLE,
	MANNER_HOLDS,
};

/* What a test has around it. */
struct place {
	char folder[64];
	char path[96];
	struct loop *loop;
	struct event_store *store;
	struct event_queue *queue;
	enum manner manner;
	unsigned good_after; /* tries that go as `manner` says; 0: all */
	bool suspended;
	struct try tries[64];
	unsigned tried;
	unsigned running, most_running;
	unsigned held;
	struct invocation *holding[64];
	unsigned answered, refused;
	char last_id[UUID_BYTES];
	char message[256];
};

struct invocation {
	struct invocation_request request;
	char id[UUID_BYTES];
	struct place *place;
};

static struct place *place;
static struct function function = { .tenant = (char *)TENANT,
				    .name = (char *)"f",
				    .state = FUNCTION_ACTIVE };
static bool function_is_gone;

const struct function *directory_find(const struct directory *d _unused_,
				      const char *tenant _unused_, const char *name _unused_)
{
	return function_is_gone ? NULL : &function;
}

const struct function *directory_find_qualified(const struct directory *d _unused_,
						const char *tenant _unused_,
						const char *name _unused_,
						const char *qualifier _unused_)
{
	return function_is_gone ? NULL : &function;
}

static directory_listener *listener;
static void *listener_arg;

int directory_add_listener(struct directory *d _unused_, directory_listener *fn, void *arg)
{
	listener = fn;
	listener_arg = arg;
	return 0;
}

void function_version_name(uint64_t version, char out[FUNCTION_VERSION_BYTES])
{
	if (version == 0)
		(void)snprintf(out, FUNCTION_VERSION_BYTES, "$LATEST");
	else
		(void)snprintf(out, FUNCTION_VERSION_BYTES, "%llu", (unsigned long long)version);
}

const char *invocation_request_id(const struct invocation *invocation)
{
	return invocation->id;
}

const char *invocation_tenant(const struct invocation *invocation)
{
	return invocation->request.tenant;
}

const char *invocation_function_name(const struct invocation *invocation)
{
	return invocation->request.function_name;
}

const char *invocation_qualifier(const struct invocation *invocation)
{
	return invocation->request.qualifier ? invocation->request.qualifier : "";
}

static void finish(struct invocation *invocation, enum manner manner)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct invocation_result result = { .status_code = 200, .function_error = "" };

	if (function_is_gone)
		(void)error_set(&error, ERROR_NOT_FOUND, NULL, "Function not found");
	else if (manner == MANNER_THROTTLES)
		(void)error_set(&error, ERROR_TOO_MANY_REQUESTS, NULL, "Rate Exceeded.");
	else if (manner == MANNER_UNAVAILABLE)
		(void)error_set(&error, ERROR_UNAVAILABLE, NULL, "stopping");
	else if (manner == MANNER_FAILS)
		result.function_error = "Unhandled";
	if (error.code)
		result.error = &error;
	for (unsigned i = 0; i < place->held; i++)
		if (place->holding[i] == invocation)
			place->holding[i] = NULL;
	if (invocation->request.type != INVOCATION_EVENT)
		place->running--;
	invocation->request.events->on_done(invocation, &result, invocation->request.user);
	free(invocation);
}

static void record_try(const struct invocation *invocation)
{
	struct try *try = &place->tries[place->tried++ % ARRAY_SIZE(place->tries)];
	struct slice payload = invocation->request.payload;

	try->request = invocation->request;
	memcpy(try->id, invocation->id, sizeof(try->id));
	(void)snprintf(try->payload, sizeof(try->payload), "%.*s", (int)payload.len,
		       (const char *)payload.data);
}

static void run(void *arg)
{
	struct invocation *invocation = arg;
	bool good = place->good_after > 0 && place->tried >= place->good_after;

	if (invocation->request.type == INVOCATION_EVENT) {
		finish(invocation, MANNER_SUCCEEDS);
		return;
	}
	record_try(invocation);
	if (place->manner == MANNER_HOLDS && !good)
		place->holding[place->held++] = invocation;
	else
		finish(invocation, good ? MANNER_SUCCEEDS : place->manner);
}

int invoker_submit(struct invoker *invoker _unused_, const struct invocation_request *request,
		   struct invocation **ret)
{
	struct invocation *invocation = calloc(1, sizeof(*invocation));

	assert_non_null(invocation);
	invocation->request = *request;
	if (request->request_id)
		memcpy(invocation->id, request->request_id, sizeof(invocation->id));
	else
		uuid_generate(invocation->id);
	if (request->type != INVOCATION_EVENT && ++place->running > place->most_running)
		place->most_running = place->running;
	*ret = invocation;
	loop_post(place->loop, run, invocation);
	return 0;
}

/* -- a queue -- */

static bool may_run(const char *tenant _unused_, void *arg _unused_)
{
	return !place->suspended;
}

static struct event_queue_config config_of(void)
{
	return (struct event_queue_config){
		.store = place->store,
		.loop = place->loop,
		.policy = { .max_retries = 2,
			    .retry_first_us = 1000,
			    .delay_first_us = 1000,
			    .delay_max_us = 2000,
			    .max_age_us = 3600 * SECOND },
		.max_running = 4,
		.max_waiting = 50,
		.max_waiting_bytes = 1000,
		.may_run = may_run,
	};
}

static void open_store(void)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	if (event_store_open(place->path, false, &place->store, &error) < 0)
		fail_msg("%s", error_text(&error));
}

static void open_queue(const struct event_queue_config *config)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	assert_int_equal(loop_new(2, &place->loop), 0);
	struct event_queue_config copy = *config;
	copy.loop = place->loop;
	copy.store = place->store;
	if (event_queue_new(&copy, &place->queue, &error) < 0)
		fail_msg("%s", error_text(&error));
}

static void close_queue(void)
{
	if (place->loop)
		loop_end_jobs(place->loop);
	place->queue = event_queue_free(place->queue);
	place->loop = loop_free(place->loop);
	for (unsigned i = 0; i < place->held; i++)
		free(place->holding[i]);
	place->held = place->running = 0;
}

static int set_up(void **state)
{
	place = calloc(1, sizeof(*place));
	assert_non_null(place);
	(void)snprintf(place->folder, sizeof(place->folder), "/tmp/mayfly-events-XXXXXX");
	assert_non_null(mkdtemp(place->folder));
	(void)snprintf(place->path, sizeof(place->path), "%s/events.db", place->folder);
	function.has_reserved_concurrency = false;
	function_is_gone = false;
	open_store();
	*state = place;
	return 0;
}

static int tear_down(void **state _unused_)
{
	close_queue();
	place->store = event_store_close(place->store);
	assert_int_equal(fs_remove_tree(place->folder), 0);
	free(place);
	return 0;
}

static struct event_gauges gauges(void)
{
	struct event_gauges gauges;

	event_queue_gauges(place->queue, &gauges);
	return gauges;
}

static void on_answer(const char *request_id, const struct error *error, void *arg _unused_)
{
	place->answered++;
	assert_int_equal(strlen(request_id), ID_LEN);
	memcpy(place->last_id, request_id, UUID_BYTES);
	if (!error)
		return;
	place->refused++;
	(void)snprintf(place->message, sizeof(place->message), "%s", error_text(error));
}

static void submit_of(const char *tenant, const char *payload)
{
	struct invocation_request request = { .tenant = tenant,
					      .function_name = "f",
					      .qualifier = "live",
					      .payload = slice_from_string(payload) };

	assert_int_equal(event_queue_submit(place->queue, &request, on_answer, NULL), 0);
}

static void turn_until(bool (*condition)(void))
{
	int64_t end_us = clock_monotonic_us() + LIMIT_US;

	while (!condition()) {
		assert_true(clock_monotonic_us() < end_us);
		assert_true(sd_event_run(loop_event(place->loop), 100000) >= 0);
	}
}

static bool all_ended(void)
{
	struct event_gauges now = gauges();

	return place->answered > 0 && now.waiting + now.running == 0;
}

static unsigned wanted;
static bool are_answered(void)
{
	return place->answered >= wanted;
}

static void turn_until_answered(unsigned count)
{
	wanted = count;
	turn_until(are_answered);
}

static bool are_tried(void)
{
	return place->tried >= wanted;
}

static void turn_until_tried(unsigned count)
{
	wanted = count;
	turn_until(are_tried);
}

static int count_one(const struct event_record *record _unused_, void *arg)
{
	++*(unsigned *)arg;
	return 0;
}

static unsigned count_stored(void)
{
	unsigned count = 0;

	assert_int_equal(event_store_each(place->store, count_one, &count, NULL), 0);
	return count;
}

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

static void limit_files(rlim_t bytes)
{
	struct rlimit limit;

	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes ? bytes : limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
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

/* -- settings -- */

static unsigned settled;
static enum error_code settled_code;

static void on_settled(const struct event_settings *settings _unused_, const struct error *error,
		       void *arg _unused_)
{
	settled++;
	settled_code = error ? error->code : ERROR_NONE;
}

static bool are_settled(void)
{
	return settled >= wanted;
}

static void turn_until_settled(unsigned count)
{
	wanted = count;
	turn_until(are_settled);
}

static void put(const char *qualifier, const struct event_settings *settings)
{
	struct event_settings_key key = { .tenant = TENANT, .function = "f" };

	(void)snprintf(key.qualifier, sizeof(key.qualifier), "%s", qualifier);
	settled = 0;
	assert_int_equal(event_settings_put(place->queue, &key, settings, on_settled, NULL, NULL),
			 0);
	turn_until_settled(1);
	assert_int_equal(settled_code, ERROR_NONE);
}

static const struct event_settings *found(const char *qualifier)
{
	return event_settings_find(place->queue, TENANT, "f", qualifier);
}

static void test_settings_of_what_was_invoked(void **state _unused_)
{
	const struct event_settings one = { .has_max_retries = true, .max_retries = 1 };
	struct event_queue_config config = config_of();

	place->manner = MANNER_FAILS;
	open_queue(&config);
	put("other", &(struct event_settings){ .has_max_retries = true });
	put("live", &one);
	submit_of(TENANT, "1");
	turn_until(all_ended);
	assert_int_equal(place->tried, 2);
}

static void test_settings_are_kept_and_deleted(void **state _unused_)
{
	const struct event_settings both = {
		.has_max_retries = true, .has_max_age = true, .max_retries = 1, .max_age_s = 77
	};
	struct event_settings_key key = { .tenant = TENANT, .function = "f", .qualifier = "live" };
	_cleanup_error_ struct error error = ERROR_INIT;
	struct event_queue_config config = config_of();

	open_queue(&config);
	put("live", &both);
	put("$LATEST", &(struct event_settings){ .has_max_age = true, .max_age_s = 60 });
	close_queue();
	open_queue(&config);
	assert_true(found("live")->has_max_retries && found("live")->has_max_age);
	assert_int_equal(found("live")->max_retries, 1);
	assert_int_equal(found("live")->max_age_s, 77);
	assert_true(found("live")->modified_us > 0);
	assert_false(found("")->has_max_retries);
	assert_int_equal(found("")->max_age_s, 60);
	assert_null(found("other"));
	settled = 0;
	assert_int_equal(event_settings_delete(place->queue, &key, on_settled, NULL, &error), 0);
	assert_true(event_settings_put(place->queue, &key, &both, on_settled, NULL, &error) < 0);
	assert_int_equal(error.code, ERROR_CONFLICT);
	turn_until_settled(1);
	assert_null(found("live"));
	assert_non_null(found(""));
	close_queue();
	open_queue(&config);
	assert_null(found("live"));
	assert_non_null(found(""));
}

static bool are_written(void)
{
	return !place->queue->writer.batch && !place->queue->writer.first;
}

static void test_settings_go_with_the_function(void **state _unused_)
{
	const struct event_settings settings = { .has_max_retries = true };
	const struct function version = { .tenant = (char *)TENANT,
					  .name = (char *)"f",
					  .version = 3 };
	struct event_queue_config config = config_of();

	open_queue(&config);
	put("3", &settings);
	put("live", &settings);
	listener(&version, DIRECTORY_DELETED, listener_arg);
	assert_null(found("3"));
	assert_non_null(found("live"));
	listener(&function, DIRECTORY_CHANGED, listener_arg);
	assert_non_null(found("live"));
	listener(&function, DIRECTORY_DELETED, listener_arg);
	assert_null(found("live"));
	turn_until(are_written);
	close_queue();
	open_queue(&config);
	assert_null(found("3"));
	assert_null(found("live"));
	/* A function that went while nobody could write it down. */
	put("live", &settings);
	close_queue();
	function_is_gone = true;
	open_queue(&config);
	assert_null(found("live"));
}

static void test_a_full_disk_refuses_settings(void **state _unused_)
{
	const struct event_settings settings = { .has_max_retries = true };
	struct event_settings_key key = { .tenant = TENANT, .function = "f", .qualifier = "live" };
	struct event_queue_config config = config_of();

	open_queue(&config);
	settled = 0;
	limit_files(1);
	assert_int_equal(event_settings_put(place->queue, &key, &settings, on_settled, NULL, NULL),
			 0);
	turn_until_settled(1);
	limit_files(0);
	assert_int_not_equal(settled_code, ERROR_NONE);
	assert_null(found("live"));
}

/* -- the file -- */

static struct event_op sample(unsigned n)
{
	struct event_op op = { .change = EVENT_ADD,
			       .record = { .tenant = TENANT,
					   .function = "f",
					   .qualifier = "live",
					   .received_us = n,
					   .due_us = n + 1,
					   .bytes = 9 },
			       .body = { .payload = slice_from_string("\"payload\""),
					 .client_context = slice_from_string("{}"),
					 .trace_id = "Root=1" } };

	(void)snprintf(op.record.request_id, sizeof(op.record.request_id),
		       "%08x-0000-4000-8000-000000000000", n);
	return op;
}

static void apply(struct event_op *op)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	if (event_store_apply(place->store, op, &error) < 0)
		fail_msg("%s", error_text(&error));
}

static int copy_record(const struct event_record *record, void *arg)
{
	*(struct event_record *)arg = *record;
	return 0;
}

static void test_all_of_an_event_is_kept(void **state _unused_)
{
	struct event_op op = sample(17);
	struct event_record record = { 0 };
	struct event_op *slot = &op;

	apply(slot);
	op.change = EVENT_UPDATE;
	op.record.due_us = 99;
	op.record.errors = 1;
	op.record.delays = 2;
	apply(slot);
	place->store = event_store_close(place->store);
	open_store();
	assert_int_equal(event_store_each(place->store, copy_record, &record, NULL), 0);
	assert_memory_equal(&record, &op.record, sizeof(record));
	struct event_op read = { .change = EVENT_READ, .record = record };
	apply(&read);
	assert_non_null(read.memory);
	assert_string_equal(read.body.trace_id, "Root=1");
	assert_int_equal(read.body.payload.len, 9);
	assert_memory_equal(read.body.payload.data, "\"payload\"", 9);
	assert_int_equal(read.body.client_context.len, 2);
	event_op_forget_body(&read);
	read.change = EVENT_DELETE;
	apply(&read);
	read.change = EVENT_READ;
	apply(&read);
	assert_null(read.memory);
	assert_int_equal(count_stored(), 0);
	/* Its number is not given again. */
	struct event_op next = sample(18);
	apply(&next);
	assert_true(next.record.sequence > record.sequence);
}

static void add_until_killed(void *arg _unused_, unsigned first, int pipe_fd)
{
	struct event_store *store;

	if (event_store_open(place->path, false, &store, NULL) < 0)
		_exit(1);
	for (unsigned n = first;; n++) {
		struct event_op op = sample(n);

		if (event_store_apply(store, &op, NULL) < 0)
			_exit(1);
		say_done(pipe_fd, n);
	}
}

static void test_what_was_acknowledged_survives_kill(void **state _unused_)
{
	unsigned last = 0;

	place->store = event_store_close(place->store);
	for (unsigned round = 0; round < 5; round++) {
		last = run_until_killed(add_until_killed, NULL, last + 1, 10, round * 20000);
		open_store();
		/* At most one more, whose acknowledgement was not sent. */
		unsigned count = count_stored();
		assert_in_range(count, last, last + round + 1);
		place->store = event_store_close(place->store);
	}
	open_store();
}

static void test_a_foreign_file_is_refused(void **state _unused_)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct event_store *store;
	sqlite3 *connection;

	assert_int_equal(sqlite3_open(place->path, &connection), SQLITE_OK);
	assert_int_equal(sqlite3_exec(connection, "PRAGMA user_version = 2", NULL, NULL, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_close(connection), SQLITE_OK);
	assert_true(event_store_open(place->path, false, &store, &error) < 0);
	assert_non_null(strstr(error_text(&error), "has version 2"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_function_error_is_tried_again_twice),
		cmocka_unit_test(test_no_retries),
		cmocka_unit_test(test_a_throttle_uses_no_try_up),
		cmocka_unit_test(test_the_greatest_age),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_tenants_take_turns),
		cmocka_unit_test(test_the_earliest_comes_first),
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
		cmocka_unit_test_setup_teardown(test_no_more_than_there_is_room_for, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_a_full_disk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_next_agent_goes_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_stop_leaves_what_did_not_run, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_settings_of_what_was_invoked, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_settings_are_kept_and_deleted, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_settings_go_with_the_function, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_a_full_disk_refuses_settings, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_all_of_an_event_is_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_was_acknowledged_survives_kill, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_a_foreign_file_is_refused, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
