/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_events mayfly_base mayfly_pkg_jansson

/* What is told of an event that ended. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>

#include "agent/events/event_outcome.h"

#define ARN "arn:aws:lambda:us-east-1:123456789012:function:f:live"

static const struct event_record record = {
	.request_id = "12345678-0000-4000-8000-000000000000",
	.tenant = "123456789012",
	.function = "f",
	.qualifier = "live",
};

static struct event_outcome_facts facts_of(const char *event)
{
	return (struct event_outcome_facts){
		.record = &record,
		.event = slice_from_string(event),
		.function_arn = ARN,
		.condition = "RetriesExhausted",
		.invoke_count = 3,
		.now_us = 1764038400123456, /* 2025-11-25T02:40:00.123456Z */
		.has_response = true,
		.status_code = 200,
		.executed_version = "7",
		.function_error = "Unhandled",
		.response = slice_from_string("{\"errorMessage\":\"no\"}"),
	};
}

static void check(const struct event_outcome_facts *facts, const char *expected)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	uint64_t at, bytes;

	assert_int_equal(event_outcome_write(facts, &text, &at, &bytes), 0);
	assert_string_equal(buf_string(&text), expected);
	json_t *json = json_loadb(buf_string(&text), text.len, JSON_DECODE_INT_AS_REAL, NULL);
	assert_non_null(json);
	json_decref(json);
	assert_true(at + bytes <= text.len);
	if (facts->event.len > 0) {
		assert_int_equal(bytes, facts->event.len);
		assert_memory_equal(text.data + at, facts->event.data, bytes);
	}
}

static void test_a_failure(void **state _unused_)
{
	struct event_outcome_facts facts =
		facts_of(" {\"n\": 1.50, \"big\": 123456789012345678901}\n");

	check(&facts, "{\"version\":\"1.0\",\"timestamp\":\"2025-11-25T02:40:00.123Z\","
		      "\"requestContext\":{\"requestId\":\"12345678-0000-4000-8000-000000000000\","
		      "\"functionArn\":\"" ARN "\",\"condition\":\"RetriesExhausted\","
		      "\"approximateInvokeCount\":3},"
		      "\"requestPayload\": {\"n\": 1.50, \"big\": 123456789012345678901}\n,"
		      "\"responseContext\":{\"statusCode\":200,\"executedVersion\":\"7\","
		      "\"functionError\":\"Unhandled\"},"
		      "\"responsePayload\":{\"errorMessage\":\"no\"}}");
}

static void test_a_success(void **state _unused_)
{
	struct event_outcome_facts facts = facts_of("");

	facts.condition = "Success";
	facts.invoke_count = 1;
	facts.function_error = "";
	facts.response = slice_from_string("null");
	check(&facts, "{\"version\":\"1.0\",\"timestamp\":\"2025-11-25T02:40:00.123Z\","
		      "\"requestContext\":{\"requestId\":\"12345678-0000-4000-8000-000000000000\","
		      "\"functionArn\":\"" ARN "\",\"condition\":\"Success\","
		      "\"approximateInvokeCount\":1},\"requestPayload\":{},"
		      "\"responseContext\":{\"statusCode\":200,\"executedVersion\":\"7\"},"
		      "\"responsePayload\":null}");
}

static void test_nothing_ran(void **state _unused_)
{
	struct event_outcome_facts facts = facts_of("[1]");

	facts.condition = "ZeroReservedConcurrency";
	facts.invoke_count = 0;
	facts.has_response = false;
	check(&facts, "{\"version\":\"1.0\",\"timestamp\":\"2025-11-25T02:40:00.123Z\","
		      "\"requestContext\":{\"requestId\":\"12345678-0000-4000-8000-000000000000\","
		      "\"functionArn\":\"" ARN "\",\"condition\":\"ZeroReservedConcurrency\","
		      "\"approximateInvokeCount\":0},\"requestPayload\":[1]}");
}

/* A custom runtime may answer with anything; the record is JSON all the same. */
static void test_an_answer_that_is_not_json(void **state _unused_)
{
	static const char *const answers[] = { "", "plain \"text\"", "{\"a\":", "\xff\xfe", "1 2" };
	struct event_outcome_facts facts = facts_of("1");

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		_cleanup_buf_ struct buf text = BUF_INIT;
		uint64_t at, bytes;

		facts.response = slice_from_string(answers[i]);
		assert_int_equal(event_outcome_write(&facts, &text, &at, &bytes), 0);
		json_t *json =
			json_loadb(buf_string(&text), text.len, JSON_DECODE_INT_AS_REAL, NULL);
		assert_true(json_is_string(json_object_get(json, "responsePayload")));
		json_decref(json);
	}
}

/* As a record, with what is in the responsePayload; NULL: it is not there. */
static json_t *write_record(const struct event_outcome_facts *facts, size_t *ret_len)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	uint64_t at, bytes;

	assert_int_equal(event_outcome_write(facts, &text, &at, &bytes), 0);
	assert_int_equal(bytes, facts->event.len);
	assert_memory_equal(text.data + at, facts->event.data, bytes);
	assert_true(text.len <= event_outcome_max_bytes(facts->event.len));
	*ret_len = text.len;
	return json_loadb(buf_string(&text), text.len, JSON_ALLOW_NUL, NULL);
}

/* Answers up to what makes a record of 1 MiB are in it, larger ones are not. */
static void test_an_answer_that_is_too_large(void **state _unused_)
{
	static char answer[EVENT_OUTCOME_MAX_BYTES];
	struct event_outcome_facts facts = facts_of("[1]");
	size_t frame, len;
	json_t *written;

	memset(answer, '1', sizeof(answer));
	answer[0] = answer[1] = '"';
	facts.response = slice_new(answer, 2);
	written = write_record(&facts, &len);
	json_decref(written);
	frame = len - 2;
	for (size_t over = 0; over < 2; over++) {
		facts.response.len = EVENT_OUTCOME_MAX_BYTES - frame + over;
		answer[1] = '1';
		answer[facts.response.len - 1] = '"';
		written = write_record(&facts, &len);
		assert_non_null(written);
		assert_int_equal(json_object_get(written, "responsePayload") != NULL, !over);
		assert_non_null(json_object_get(written, "responseContext"));
		assert_true(over || len == EVENT_OUTCOME_MAX_BYTES);
		json_decref(written);
		answer[facts.response.len - 1] = '1';
	}
	/* Six times as long in the record. */
	memset(answer, 1, sizeof(answer));
	for (size_t i = 0; i < 2; i++) {
		facts.response.len = i ? EVENT_OUTCOME_MAX_BYTES / 2 : 100000;
		written = write_record(&facts, &len);
		assert_int_equal(json_object_get(written, "responsePayload") != NULL, !i);
		json_decref(written);
	}
}

/* The event is never left out: it may be sent again. */
static void test_an_event_that_is_as_large_as_may_be(void **state _unused_)
{
	static char event[EVENT_OUTCOME_MAX_BYTES];
	struct event_outcome_facts facts = facts_of("");
	json_t *written;
	size_t len;

	memset(event, ' ', sizeof(event));
	event[0] = '1';
	facts.event = slice_new(event, sizeof(event));
	written = write_record(&facts, &len);
	assert_true(json_is_integer(json_object_get(written, "requestPayload")));
	assert_null(json_object_get(written, "responsePayload"));
	assert_non_null(json_object_get(written, "responseContext"));
	json_decref(written);
}

static void check_error(const struct event_outcome_facts *facts, const char *expected)
{
	_cleanup_buf_ struct buf text = BUF_INIT;

	assert_int_equal(event_outcome_write_error(facts, &text), 0);
	assert_string_equal(buf_string(&text), expected);
}

static void test_error_messages(void **state _unused_)
{
	struct event_outcome_facts facts = facts_of("1");
	char answer[2200], message[2048], expected[1025];

	check_error(&facts, "no");
	facts.response = slice_from_string("no JSON");
	check_error(&facts, "RetriesExhausted");
	facts.response = slice_from_string("{\"errorMessage\":1}");
	check_error(&facts, "RetriesExhausted");
	facts.has_response = false;
	check_error(&facts, "RetriesExhausted");

	/* The first KiB, and no half of the character that would be beyond. */
	memset(message, 'x', 1500);
	memcpy(message + 1023, "\xc3\xa4", 2);
	message[1500] = 0;
	(void)snprintf(answer, sizeof(answer), "{\"errorMessage\":\"%s\"}", message);
	memset(expected, 'x', 1023);
	expected[1023] = 0;
	facts.has_response = true;
	facts.response = slice_from_string(answer);
	check_error(&facts, expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_failure),
		cmocka_unit_test(test_a_success),
		cmocka_unit_test(test_nothing_ran),
		cmocka_unit_test(test_an_answer_that_is_not_json),
		cmocka_unit_test(test_an_answer_that_is_too_large),
		cmocka_unit_test(test_an_event_that_is_as_large_as_may_be),
		cmocka_unit_test(test_error_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
