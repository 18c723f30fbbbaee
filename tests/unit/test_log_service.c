/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_api mayfly_client mayfly_invoke mayfly_pool mayfly_logs mayfly_vm mayfly_image
// mayfly_deploy mayfly_store mayfly_functions mayfly_rpc mayfly_core mayfly_base

/* LogService over a real socket, with a real log store. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "agent/api/log_service.h"
#include "tests/unit/service_harness.h"

#define GROUP "/aws/lambda/f"
#define ARN   "arn:aws:lambda:" REGION ":" TENANT ":function:"

struct node {
	struct harness harness;
	struct log_store *logs;
	struct log_service *service;
};

/* -- a node -- */

static void stop_service(void *arg)
{
	struct node *node = arg;

	log_service_stop(node->service);
}

static int set_up(void **state)
{
	struct node *node = calloc(1, sizeof(*node));
	char path[128];
	const struct log_store_config logs = { .directory = path };

	harness_open(&node->harness);
	harness_open_functions(&node->harness);
	(void)snprintf(path, sizeof(path), "%s/logs", node->harness.folder);
	assert_int_equal(log_store_open(&logs, node->harness.loop, &node->logs, NULL), 0);
	const struct log_service_config config = { .context = &node->harness.context,
						   .logs = node->logs,
						   .directory = node->harness.directory };
	assert_int_equal(log_service_register(node->harness.server, &config, &node->service, NULL),
			 0);
	node->harness.stop = stop_service;
	node->harness.stop_arg = node;
	harness_serve(&node->harness);
	*state = node;
	return 0;
}

static int tear_down(void **state)
{
	struct node *node = *state;

	harness_end(&node->harness);
	node->service = log_service_free(node->service);
	node->logs = log_store_close(node->logs);
	harness_close(&node->harness);
	free(node);
	return 0;
}

/* -- writing -- */

/* `count` events "N" from `first` on, at N microseconds; or the one `text`. */
struct writing {
	struct node *node;
	const char *group;
	const char *stream;
	unsigned first, count;
	size_t text_bytes; /* filled up with spaces */
	struct slice text;
};

static void write_events(void *arg)
{
	const struct writing *writing = arg;
	_cleanup_(log_stream_close_p) struct log_stream *stream = NULL;
	_cleanup_free_ char *text = malloc(writing->text_bytes + 32);

	assert_int_equal(log_stream_open(writing->node->logs, TENANT, writing->group,
					 writing->stream, &stream),
			 0);
	if (writing->text.len > 0)
		log_stream_write(stream, 1, writing->text);
	for (unsigned i = writing->first; i < writing->first + writing->count; i++) {
		int len = snprintf(text, 32, "%u", i);

		if ((size_t)len < writing->text_bytes) {
			memset(text + len, ' ', writing->text_bytes - (size_t)len);
			len = (int)writing->text_bytes;
		}
		log_stream_write(stream, i, slice_new(text, (size_t)len));
	}
}

static void write_numbers(struct node *node, const char *stream, unsigned first, unsigned count)
{
	struct writing writing = {
		.node = node, .group = GROUP, .stream = stream, .first = first, .count = count
	};

	on_loop(&node->harness, write_events, &writing);
}

static Mayfly__V1__GetLogEventsResponse *get_page(struct node *node,
						  Mayfly__V1__GetLogEventsRequest *request)
{
	Mayfly__V1__GetLogEventsResponse *response = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;

	if (!request->log_group_name[0] && !request->function_name[0])
		request->log_group_name = borrow(GROUP);
	if (client_log_get(node->harness.client, request, &response, &error) < 0)
		fail_msg("%s", error_text(&error));
	return response;
}

/* -- Get -- */

static void test_get(void **state)
{
	struct node *node = *state;
	Mayfly__V1__GetLogEventsRequest request = MAYFLY__V1__GET_LOG_EVENTS_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__GetLogEventsResponse *all = NULL, *one = NULL, *part = NULL;

	write_numbers(node, "two", 5, 3);
	write_numbers(node, "one", 2, 4);
	all = get_page(node, &request);
	assert_int_equal(all->n_events, 7);
	assert_string_equal(all->next_token, "");
	for (size_t i = 1; i < all->n_events; i++)
		assert_true(all->events[i - 1]->timestamp_us <= all->events[i]->timestamp_us);
	assert_string_equal(all->events[0]->message, "2");
	assert_string_equal(all->events[0]->log_stream_name, "one");
	assert_string_equal(all->events[6]->message, "7");
	assert_string_equal(all->events[6]->log_stream_name, "two");

	request.log_stream_name = borrow("one");
	one = get_page(node, &request);
	assert_int_equal(one->n_events, 4);
	request.start_time_us = 3;
	request.end_time_us = 5;
	part = get_page(node, &request);
	assert_int_equal(part->n_events, 2);
	assert_string_equal(part->events[0]->message, "3");
	assert_string_equal(part->events[1]->message, "4");
}

static void test_pages(void **state)
{
	struct node *node = *state;
	Mayfly__V1__GetLogEventsRequest request = MAYFLY__V1__GET_LOG_EVENTS_REQUEST__INIT;
	_cleanup_free_ char *token = strdup("");
	unsigned next = 1;

	write_numbers(node, "one", 1, 10);
	request.limit = 4;
	do {
		_cleanup_message_ Mayfly__V1__GetLogEventsResponse *page = NULL;

		request.next_token = token;
		page = get_page(node, &request);
		assert_true(page->n_events > 0 && page->n_events <= 4);
		for (size_t i = 0; i < page->n_events; i++)
			assert_int_equal(page->events[i]->timestamp_us, next++);
		free(token);
		token = strdup(page->next_token);
	} while (token[0]);
	assert_int_equal(next, 11);
}

/* A token is good for what is written or asked for later, too. */
static void test_pages_of_a_group_that_grows(void **state)
{
	struct node *node = *state;
	Mayfly__V1__GetLogEventsRequest request = MAYFLY__V1__GET_LOG_EVENTS_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__GetLogEventsResponse *first = NULL, *one = NULL, *rest = NULL,
							   *none = NULL;

	write_numbers(node, "one", 1, 4);
	request.limit = 2;
	first = get_page(node, &request);
	assert_int_equal(first->n_events, 2);
	write_numbers(node, "two", 3, 4);
	request.limit = 0;
	request.next_token = first->next_token;
	rest = get_page(node, &request);
	assert_int_equal(rest->n_events, 6);
	assert_int_equal(rest->events[0]->timestamp_us, 3);
	assert_int_equal(rest->events[5]->timestamp_us, 6);
	request.log_stream_name = borrow("one");
	one = get_page(node, &request);
	assert_int_equal(one->n_events, 2);
	request.next_token = borrow("9999.1");
	none = get_page(node, &request);
	assert_int_equal(none->n_events, 0);
	assert_string_equal(none->next_token, "");
}

/* A function may write any bytes; a protobuf string may not hold them. */
static void test_any_bytes(void **state)
{
	struct node *node = *state;
	static const char bytes[] = "a\xff\xc3\xa4\0\xed\xa0\x80z";
	Mayfly__V1__GetLogEventsRequest request = MAYFLY__V1__GET_LOG_EVENTS_REQUEST__INIT;
	struct writing writing = { .node = node,
				   .group = GROUP,
				   .stream = "s",
				   .text = slice_new(bytes, sizeof(bytes) - 1) };
	_cleanup_message_ Mayfly__V1__GetLogEventsResponse *page = NULL;

	on_loop(&node->harness, write_events, &writing);
	page = get_page(node, &request);
	assert_int_equal(page->n_events, 1);
	assert_string_equal(page->events[0]->message,
			    "a\xef\xbf\xbd\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd"
			    "\xef\xbf\xbd\xef\xbf\xbdz");
}

static void create_function(struct node *node, const char *name, const char *log_group)
{
	Mayfly__V1__CreateFunctionRequest request = MAYFLY__V1__CREATE_FUNCTION_REQUEST__INIT;
	Mayfly__V1__LoggingConfig logging = MAYFLY__V1__LOGGING_CONFIG__INIT;
	_cleanup_message_ Mayfly__V1__Function *function = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;

	logging.log_group = borrow(log_group);
	request.function_name = borrow(name);
	request.runtime = borrow("python3.13");
	request.handler = borrow("app.handler");
	request.zip_file = (ProtobufCBinaryData){ .len = 3, .data = (uint8_t *)borrow("zip") };
	if (log_group[0])
		request.logging_config = &logging;
	if (client_function_create(node->harness.client, &request, &function, &error) < 0)
		fail_msg("%s", error_text(&error));
}

static void test_group_of_function(void **state)
{
	struct node *node = *state;
	Mayfly__V1__GetLogEventsRequest request = MAYFLY__V1__GET_LOG_EVENTS_REQUEST__INIT;
	struct writing writing = {
		.node = node, .group = "mine", .stream = "s", .first = 1, .count = 2
	};
	_cleanup_message_ Mayfly__V1__GetLogEventsResponse *usual = NULL, *own = NULL;

	create_function(node, "f", "");
	create_function(node, "g", "mine");
	write_numbers(node, "s", 1, 3);
	on_loop(&node->harness, write_events, &writing);
	request.function_name = borrow(ARN "f");
	usual = get_page(node, &request);
	assert_int_equal(usual->n_events, 3);
	request.function_name = borrow("g");
	own = get_page(node, &request);
	assert_int_equal(own->n_events, 2);
}

static void test_refusals(void **state)
{
	struct node *node = *state;
	char long_name[LOG_GROUP_NAME_MAX + 2];
	const struct {
		const char *tenant, *function, *group, *token;
		int64_t start_us, end_us;
		unsigned limit;
		enum error_code code;
		const char *field;
	} rows[] = {
		{ "", "", "", "", 0, 0, 0, ERROR_INVALID_PARAMETER, "function_name" },
		{ "", "f", "g", "", 0, 0, 0, ERROR_INVALID_PARAMETER, "function_name" },
		{ "", "nobody", "", "", 0, 0, 0, ERROR_NOT_FOUND, "function_name" },
		{ "", "", "a b", "", 0, 0, 0, ERROR_INVALID_PARAMETER, "log_group_name" },
		{ "", "", long_name, "", 0, 0, 0, ERROR_INVALID_PARAMETER, "log_group_name" },
		{ "", "", "g", "what", 0, 0, 0, ERROR_INVALID_PARAMETER, "next_token" },
		{ "", "", "g", "1.2 ", 0, 0, 0, ERROR_INVALID_PARAMETER, "next_token" },
		{ "", "", "g", "1.99999999999999999999", 0, 0, 0, ERROR_INVALID_PARAMETER,
		  "next_token" },
		{ "", "", "g", "", -1, 0, 0, ERROR_INVALID_PARAMETER, "start_time_us" },
		{ "", "", "g", "", 0, -1, 0, ERROR_INVALID_PARAMETER, "end_time_us" },
		{ "", "", "g", "", 9, 8, 0, ERROR_INVALID_PARAMETER, "end_time_us" },
		{ "", "", "g", "", 0, 0, 10001, ERROR_INVALID_PARAMETER, "limit" },
		{ "999999999999", "", "g", "", 0, 0, 0, ERROR_NOT_FOUND, "tenant" },
	};

	memset(long_name, 'g', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		Mayfly__V1__GetLogEventsRequest request = MAYFLY__V1__GET_LOG_EVENTS_REQUEST__INIT;
		Mayfly__V1__GetLogEventsResponse *response = NULL;
		_cleanup_error_ struct error error = ERROR_INIT;

		request.tenant = borrow(rows[i].tenant);
		request.function_name = borrow(rows[i].function);
		request.log_group_name = borrow(rows[i].group);
		request.next_token = borrow(rows[i].token);
		request.start_time_us = rows[i].start_us;
		request.end_time_us = rows[i].end_us;
		request.limit = rows[i].limit;
		assert_true(client_log_get(node->harness.client, &request, &response, &error) < 0);
		assert_int_equal(error.code, rows[i].code);
		assert_string_equal(error.field, rows[i].field);
	}
}

/* -- Tail -- */

static struct client_stream *open_tail_of(struct node *node, const char *log_stream,
					  int64_t start_us)
{
	Mayfly__V1__TailLogsRequest request = MAYFLY__V1__TAIL_LOGS_REQUEST__INIT;
	struct client_stream *stream = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;

	request.log_group_name = borrow(GROUP);
	request.log_stream_name = borrow(log_stream);
	request.start_time_us = start_us;
	if (client_log_tail(node->harness.client, &request, &stream, &error) < 0)
		fail_msg("%s", error_text(&error));
	return stream;
}

static struct client_stream *open_tail(struct node *node, int64_t start_us)
{
	return open_tail_of(node, "", start_us);
}

static Mayfly__V1__LogEvent *next_event(struct client_stream *stream)
{
	Mayfly__V1__LogEvent *event = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;

	if (client_log_tail_next(stream, &event, &error) != 1)
		fail_msg("%s", error_text(&error));
	return event;
}

/* When it comes, all numbers up to it are there: in order, none twice. */
static void expect_numbers(struct client_stream *stream, unsigned first, unsigned count)
{
	for (unsigned i = first; i < first + count; i++) {
		_cleanup_message_ Mayfly__V1__LogEvent *event = next_event(stream);

		assert_int_equal(event->timestamp_us, i);
		assert_int_equal(strtoul(event->message, NULL, 10), i);
	}
}

/* A read comes after what was written before: from then on it is no news any more. */
static void wait_written(struct node *node)
{
	Mayfly__V1__GetLogEventsRequest request = MAYFLY__V1__GET_LOG_EVENTS_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__GetLogEventsResponse *page = NULL;

	request.limit = 1;
	page = get_page(node, &request);
	assert_int_equal(page->n_events, 1);
}

/* First more than a page of what was written, then what is written meanwhile and later. */
static void test_tail_history(void **state)
{
	struct node *node = *state;
	_cleanup_(client_stream_close_p) struct client_stream *stream = NULL;

	write_numbers(node, "s", 1, LOG_READ_MAX_EVENTS + 500);
	wait_written(node);
	stream = open_tail(node, 101);
	expect_numbers(stream, 101, 1);
	write_numbers(node, "s", LOG_READ_MAX_EVENTS + 501, 20);
	expect_numbers(stream, 102, LOG_READ_MAX_EVENTS - 102 + 521);
	write_numbers(node, "s", LOG_READ_MAX_EVENTS + 521, 5);
	expect_numbers(stream, LOG_READ_MAX_EVENTS + 521, 5);
}

/* Writes one number after the other, for as long as it takes. */
struct ticker {
	struct node *node;
	struct timer timer;
	unsigned next;
};

static void tick(void *arg)
{
	struct ticker *ticker = arg;
	struct writing writing = { .node = ticker->node,
				   .group = GROUP,
				   .stream = "s",
				   .first = ticker->next++,
				   .count = 1 };

	write_events(&writing);
	assert_int_equal(timer_arm(&ticker->timer, ticker->node->harness.loop,
				   clock_monotonic_us() + USEC_PER_MSEC, tick, ticker),
			 0);
}

static void stop_ticking(void *arg)
{
	struct ticker *ticker = arg;

	timer_disarm(&ticker->timer);
}

static void test_tail_from_now(void **state)
{
	struct node *node = *state;
	struct ticker ticker = { .node = node, .next = 11 };
	_cleanup_(client_stream_close_p) struct client_stream *stream = NULL;
	_cleanup_message_ Mayfly__V1__LogEvent *first = NULL;

	write_numbers(node, "s", 1, 10);
	wait_written(node);
	stream = open_tail(node, 0);
	on_loop(&node->harness, tick, &ticker);
	first = next_event(stream);
	assert_true(first->timestamp_us > 10);
	expect_numbers(stream, (unsigned)first->timestamp_us + 1, 20);
	on_loop(&node->harness, stop_ticking, &ticker);
}

/* What was written and what comes, of one stream alone; also of one that nobody wrote to yet. */
static void test_tail_of_one_stream(void **state)
{
	struct node *node = *state;
	_cleanup_(client_stream_close_p) struct client_stream *one = NULL, *later = NULL;

	write_numbers(node, "one", 1, 10);
	write_numbers(node, "other", 11, 10);
	write_numbers(node, "one", 21, 10);
	wait_written(node);
	one = open_tail_of(node, "one", 1);
	later = open_tail_of(node, "later", 1);
	expect_numbers(one, 1, 10);
	expect_numbers(one, 21, 10);
	write_numbers(node, "other", 31, 10);
	write_numbers(node, "later", 41, 10);
	write_numbers(node, "one", 51, 10);
	expect_numbers(one, 51, 10);
	expect_numbers(later, 41, 10);
}

#define FLOOD_EVENTS 4000
#define FLOOD_BATCH  500
#define FLOOD_BYTES  4096

/* A reader that stands still loses the oldest of what waits, and is told how many. */
static void test_tail_too_slow(void **state)
{
	struct node *node = *state;
	struct writing writing = { .node = node,
				   .group = GROUP,
				   .stream = "s",
				   .text_bytes = FLOOD_BYTES,
				   .count = FLOOD_BATCH };
	_cleanup_(client_stream_close_p) struct client_stream *stream = NULL;
	unsigned long dropped = 0, seen = 1;

	write_numbers(node, "s", 1, 1);
	stream = open_tail(node, 1);
	expect_numbers(stream, 1, 1);
	for (writing.first = 2; writing.first < FLOOD_EVENTS + 2; writing.first += FLOOD_BATCH) {
		on_loop(&node->harness, write_events, &writing);
		wait_written(node);
	}
	for (;;) {
		_cleanup_message_ Mayfly__V1__LogEvent *event = next_event(stream);

		if (strstr(event->message, "events were left out")) {
			dropped += strtoul(event->message, NULL, 10);
			continue;
		}
		seen++;
		assert_int_equal(event->timestamp_us, seen + dropped);
		if (event->timestamp_us == FLOOD_EVENTS + 1)
			break;
	}
	assert_true(dropped > 0);
	assert_int_equal(seen + dropped, FLOOD_EVENTS + 1);
}

/* Clients that go leave nothing behind; the sanitizer looks. */
static void test_tail_cancelled(void **state)
{
	struct node *node = *state;

	write_numbers(node, "s", 1, 2000);
	for (unsigned i = 0; i < 20; i++) {
		_cleanup_(client_stream_close_p) struct client_stream *stream = NULL;

		stream = open_tail(node, i % 2 ? 1 : 0);
		if (i % 4 == 1)
			expect_numbers(stream, 1, 10);
	}
}

static void test_tail_ends_with_the_node(void **state)
{
	struct node *node = *state;
	_cleanup_(client_stream_close_p) struct client_stream *stream = NULL;
	Mayfly__V1__LogEvent *event = NULL;

	write_numbers(node, "s", 1, 1);
	stream = open_tail(node, 1);
	expect_numbers(stream, 1, 1);
	on_loop(&node->harness, stop_service, node);
	assert_int_equal(client_log_tail_next(stream, &event, NULL), 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_get),
		TEST(test_pages),
		TEST(test_pages_of_a_group_that_grows),
		TEST(test_any_bytes),
		TEST(test_group_of_function),
		TEST(test_refusals),
		TEST(test_tail_history),
		TEST(test_tail_from_now),
		TEST(test_tail_of_one_stream),
		TEST(test_tail_too_slow),
		TEST(test_tail_cancelled),
		TEST(test_tail_ends_with_the_node),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
