/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For tests of asynchronous invocations: a queue on a real store, with the invoker and the
 * directory as doubles, which the linker takes before the real ones. Brings <cmocka.h>. */

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

#define TENANT   "123456789012"
#define OTHER    "210987654321"
#define SECOND   USEC_PER_SEC
#define LIMIT_US (30 * USEC_PER_SEC)
#define ID_LEN   36

/* -- the invoker and the directory -- */

struct attempt {
	struct invocation_request request;
	char id[UUID_BYTES];
	char name[EVENT_FUNCTION_BYTES];
	char qualifier[EVENT_QUALIFIER_BYTES];
	char payload[512];
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
	struct message_queues *queues;
	enum manner manner;
	unsigned good_after; /* tries that go as `manner` says; 0: all */
	bool suspended;
	struct attempt tries[64];
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
	struct buf response;
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

/* What was counted of events. */
static unsigned counted[_METRICS_EVENT_MAX];
static char counted_last[EVENT_FUNCTION_BYTES];

void invoker_count_event(struct invoker *invoker _unused_, const char *tenant _unused_,
			 const char *name, enum metrics_event event)
{
	counted[event]++;
	(void)snprintf(counted_last, sizeof(counted_last), "%s", name);
}

/* The webhooks: posts that a test answers. */
static struct webhook_post *posted;
static unsigned posts;

void webhooks_submit(struct webhooks *webhooks _unused_, struct webhook_post *post)
{
	posted = post;
	posts++;
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

struct buf invocation_take_payload(struct invocation *invocation)
{
	struct buf payload = invocation->response;

	invocation->response = BUF_INIT;
	return payload;
}

static void _unused_ finish(struct invocation *invocation, enum manner manner)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct invocation_result result = { .status_code = 200,
					    .function_error = "",
					    .executed_version = "$LATEST",
					    .payload = slice_from_string("{\"ok\":true}") };

	if (function_is_gone)
		(void)error_set(&error, ERROR_NOT_FOUND, NULL, "Function not found");
	else if (manner == MANNER_THROTTLES)
		(void)error_set(&error, ERROR_TOO_MANY_REQUESTS, NULL, "Rate Exceeded.");
	else if (manner == MANNER_UNAVAILABLE)
		(void)error_set(&error, ERROR_UNAVAILABLE, NULL, "stopping");
	else if (manner == MANNER_FAILS) {
		result.function_error = "Unhandled";
		result.payload = slice_from_string("{\"errorMessage\":\"no\"}");
	}
	assert_int_equal(buf_append(&invocation->response, result.payload.data, result.payload.len),
			 0);
	result.payload = buf_slice(&invocation->response);
	if (error.code)
		result.error = &error;
	for (unsigned i = 0; i < place->held; i++)
		if (place->holding[i] == invocation)
			place->holding[i] = NULL;
	if (invocation->request.type != INVOCATION_EVENT)
		place->running--;
	invocation->request.events->on_done(invocation, &result, invocation->request.user);
	buf_free(&invocation->response);
	free(invocation);
}

static void _unused_ record_try(const struct invocation *invocation)
{
	struct attempt *try = &place->tries[place->tried++ % ARRAY_SIZE(place->tries)];
	struct slice payload = invocation->request.payload;

	try->request = invocation->request;
	memcpy(try->id, invocation->id, sizeof(try->id));
	(void)snprintf(try->name, sizeof(try->name), "%s", invocation->request.function_name);
	(void)snprintf(try->qualifier, sizeof(try->qualifier), "%s",
		       invocation_qualifier(invocation));
	(void)snprintf(try->payload, sizeof(try->payload), "%.*s", (int)payload.len,
		       (const char *)payload.data);
}

static void _unused_ run(void *arg)
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

static bool _unused_ may_run(const char *tenant _unused_, void *arg _unused_)
{
	return !place->suspended;
}

static struct event_queue_config _unused_ config_of(void)
{
	return (struct event_queue_config){
		.store = place->store,
		.loop = place->loop,
		.policy = { .max_retries = 2,
			    .retry_first_us = 1000,
			    .delay_first_us = 1000,
			    .delay_max_us = 2000,
			    .max_age_us = 3600 * SECOND },
		.region = "us-east-1",
		.delivery_max_age_us = 3600 * SECOND,
		.max_webhooks = 2,
		.max_running = 4,
		.max_waiting = 50,
		.max_waiting_bytes = 1000,
		.percent_of_tenant = 100,
		.may_run = may_run,
	};
}

static void _unused_ open_store(void)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	if (event_store_open(place->path, false, &place->store, &error) < 0)
		fail_msg("%s", error_text(&error));
}

static uint64_t queues_max_bytes = 1 << 20;

static void _unused_ open_queues(void)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	char path[96];
	struct message_queues_config config = { .path = path,
						.max_tenant_bytes = queues_max_bytes };

	(void)snprintf(path, sizeof(path), "%s/queues.db", place->folder);
	if (message_queues_open(&config, place->loop, &place->queues, &error) < 0)
		fail_msg("%s", error_text(&error));
}

static void _unused_ open_queue(const struct event_queue_config *config)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	assert_int_equal(loop_new(2, &place->loop), 0);
	struct event_queue_config copy = *config;
	copy.loop = place->loop;
	copy.store = place->store;
	open_queues();
	copy.queues = place->queues;
	if (event_queue_new(&copy, &place->queue, &error) < 0)
		fail_msg("%s", error_text(&error));
}

static void _unused_ close_queue(void)
{
	if (place->loop)
		loop_end_jobs(place->loop);
	place->queue = event_queue_free(place->queue);
	place->queues = message_queues_close(place->queues);
	place->loop = loop_free(place->loop);
	for (unsigned i = 0; i < place->held; i++)
		free(place->holding[i]);
	place->held = place->running = 0;
}

static int _unused_ set_up(void **state)
{
	place = calloc(1, sizeof(*place));
	assert_non_null(place);
	(void)snprintf(place->folder, sizeof(place->folder), "/tmp/mayfly-events-XXXXXX");
	assert_non_null(mkdtemp(place->folder));
	(void)snprintf(place->path, sizeof(place->path), "%s/events.db", place->folder);
	function.has_reserved_concurrency = false;
	function.config.dead_letter_target = NULL;
	function_is_gone = false;
	memset(counted, 0, sizeof(counted));
	posted = NULL;
	posts = 0;
	open_store();
	*state = place;
	return 0;
}

static int _unused_ tear_down(void **state _unused_)
{
	close_queue();
	place->store = event_store_close(place->store);
	assert_int_equal(fs_remove_tree(place->folder), 0);
	free(place);
	return 0;
}

static struct event_gauges _unused_ gauges(void)
{
	struct event_gauges gauges;

	event_queue_gauges(place->queue, &gauges);
	return gauges;
}

static void _unused_ on_answer(const char *request_id, const struct error *error,
			       void *arg _unused_)
{
	place->answered++;
	assert_int_equal(strlen(request_id), ID_LEN);
	memcpy(place->last_id, request_id, UUID_BYTES);
	if (!error)
		return;
	place->refused++;
	(void)snprintf(place->message, sizeof(place->message), "%s", error_text(error));
}

static void _unused_ submit_of(const char *tenant, const char *payload)
{
	struct invocation_request request = { .tenant = tenant,
					      .function_name = "f",
					      .qualifier = "live",
					      .payload = slice_from_string(payload) };

	assert_int_equal(event_queue_submit(place->queue, &request, on_answer, NULL), 0);
}

static void _unused_ turn_until(bool (*condition)(void))
{
	int64_t end_us = clock_monotonic_us() + LIMIT_US;

	while (!condition()) {
		assert_true(clock_monotonic_us() < end_us);
		assert_true(sd_event_run(loop_event(place->loop), 100000) >= 0);
	}
}

static bool _unused_ all_ended(void)
{
	struct event_gauges now = gauges();

	return place->answered > 0 && now.waiting + now.running == 0;
}

static unsigned wanted;
static bool _unused_ are_answered(void)
{
	return place->answered >= wanted;
}

static void _unused_ turn_until_answered(unsigned count)
{
	wanted = count;
	turn_until(are_answered);
}

static bool _unused_ are_tried(void)
{
	return place->tried >= wanted;
}

static void _unused_ turn_until_tried(unsigned count)
{
	wanted = count;
	turn_until(are_tried);
}

/* Of the store, while it is closed. */
static void _unused_ execute(const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(place->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static int _unused_ count_one(const struct event_record *record _unused_, void *arg)
{
	++*(unsigned *)arg;
	return 0;
}

static unsigned _unused_ count_stored(void)
{
	unsigned count = 0;

	assert_int_equal(event_store_each(place->store, count_one, &count, NULL), 0);
	return count;
}

static void _unused_ limit_files(rlim_t bytes)
{
	struct rlimit limit;

	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes ? bytes : limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}
