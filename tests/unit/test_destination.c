/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_functions mayfly_base

/* Where the outcome of an event may go, as it is written. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "agent/functions/destination.h"

#define REGION "us-east-1"
#define TENANT "123456789012"
#define SQS    "arn:aws:sqs:" REGION ":" TENANT ":"
#define LAMBDA "arn:aws:lambda:" REGION ":" TENANT ":function:"
#define X80    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static void test_what_is_taken(void **state _unused_)
{
	static const struct {
		const char *text;
		enum destination_kind kind;
		const char *name, *qualifier;
		bool is_plain;
	} good[] = {
		{ LAMBDA "f", DESTINATION_FUNCTION, "f", "", false },
		{ LAMBDA "f:live", DESTINATION_FUNCTION, "f", "live", false },
		{ LAMBDA "f:$LATEST", DESTINATION_FUNCTION, "f", "$LATEST", false },
		{ SQS "dead-letters_1", DESTINATION_QUEUE, "dead-letters_1", "", false },
		{ SQS X80, DESTINATION_QUEUE, X80, "", false },
		{ "https://h", DESTINATION_WEBHOOK, "", "", false },
		{ "https://hooks.example.com:8443/a/b?c=d&e=%20", DESTINATION_WEBHOOK, "", "",
		  false },
		{ "https://[2001:db8::1]:443/", DESTINATION_WEBHOOK, "", "", false },
		{ "https://host?q", DESTINATION_WEBHOOK, "", "", false },
		{ "http://host/", DESTINATION_WEBHOOK, "", "", true },
	};
	struct destination destination;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		if (destination_parse(good[i].text, REGION, TENANT, &destination) != 0)
			fail_msg("%s is refused", good[i].text);
		assert_int_equal(destination.kind, good[i].kind);
		assert_string_equal(destination.name, good[i].name);
		assert_string_equal(destination.qualifier, good[i].qualifier);
		assert_int_equal(destination.is_plain, good[i].is_plain);
	}
}

static void test_what_logs_show(void **state _unused_)
{
	static const char *const shown[][2] = {
		{ LAMBDA "f", LAMBDA "f" },
		{ "https://h", "https://h" },
		{ "https://h:8443/services/T0KEN", "https://h:8443/..." },
		{ "http://[2001:db8::1]?token=T0KEN", "http://[2001:db8::1]/..." },
		{ "https://user:T0KEN@host/", "https://..." },
		{ "https://T0KEN#", "https://..." },
		{ "https://", "https://..." },
		{ "http://a:b", "http://..." },
		{ "", "" },
	};
	char text[DESTINATION_SHOWN_BYTES], lengthy[2 * DESTINATION_SHOWN_BYTES];

	for (size_t i = 0; i < ARRAY_SIZE(shown); i++) {
		destination_show(shown[i][0], text);
		assert_string_equal(text, shown[i][1]);
	}
	memset(lengthy, 'x', sizeof(lengthy) - 1);
	lengthy[sizeof(lengthy) - 1] = 0;
	destination_show(lengthy, text);
	assert_int_equal(strlen(text), sizeof(text) - 1);
}

static void test_what_is_none(void **state _unused_)
{
	static const char *const bad[] = {
		"",
		"f",
		"arn:",
		"arn:aws:s3:::bucket",
		"arn:aws:sns:" REGION ":" TENANT ":t",
		"arn:aws:lambda:eu-west-1:" TENANT ":function:f",
		"arn:aws:lambda:" REGION ":210987654321:function:f",
		"arn:aws:lambda:" REGION ":" TENANT ":layer:f",
		LAMBDA,
		LAMBDA "f:",
		LAMBDA "a b",
		"arn:aws:sqs:eu-west-1:" TENANT ":q",
		"arn:aws:sqs:" REGION ":210987654321:q",
		SQS,
		SQS "q.fifo",
		SQS "a:b",
		SQS X80 "x",
		"HTTPS://host/",
		"https:/host",
		"https://",
		"https:///path",
		"https://:443/",
		"https://user@host/",
		"https://user:pw@host/",
		"https://host:0/",
		"https://host:65536/",
		"https://host:443443443443/",
		"https://host:x/",
		"https://host:/",
		"https://host#f",
		"https://host/a#f",
		"https://host\\@other/",
		"https://host/a b",
		"https://host/\r\nX: y",
		"https://host/\x80",
		"https://[::1/",
		"https://[]/",
		"https://[::1]x/",
		"https://[fe80::1%25eth0]/",
		"https://ho%73t/",
		"ftp://host/",
		"file:///etc/passwd",
		"https://" X80 X80 X80 "xxxxxxxxxxxxxx/",
	};
	struct destination destination;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (destination_parse(bad[i], REGION, TENANT, &destination) != -EINVAL)
			fail_msg("%s is taken", bad[i]);
}

static void test_lengths(void **state _unused_)
{
	char text[DESTINATION_MAX + 2] = "https://host/";
	struct destination destination;

	memset(text + strlen(text), 'x', sizeof(text) - strlen(text));
	text[DESTINATION_MAX] = 0;
	assert_int_equal(destination_parse(text, REGION, TENANT, &destination), 0);
	text[DESTINATION_MAX] = 'x';
	text[DESTINATION_MAX + 1] = 0;
	assert_int_equal(destination_parse(text, REGION, TENANT, &destination), -EINVAL);
}

static void test_queues(void **state _unused_)
{
	char name[DESTINATION_QUEUE_MAX + 1];

	assert_int_equal(destination_parse_queue("q", REGION, TENANT, name), 0);
	assert_string_equal(name, "q");
	assert_int_equal(destination_parse_queue(SQS "other", REGION, TENANT, name), 0);
	assert_string_equal(name, "other");
	assert_int_equal(destination_parse_queue("", REGION, TENANT, name), -EINVAL);
	assert_int_equal(destination_parse_queue("a b", REGION, TENANT, name), -EINVAL);
	assert_int_equal(destination_parse_queue("arn:aws:sqs:" REGION ":210987654321:q", REGION,
						 TENANT, name),
			 -EINVAL);
}

static void check_dead_letters(const char *target, const char *message)
{
	struct function_config config = { .dead_letter_target = (char *)target };
	_cleanup_error_ struct error error = ERROR_INIT;
	int r = destination_check_dead_letters(&config, REGION, TENANT, &error);

	if (!message) {
		assert_int_equal(r, 0);
		return;
	}
	assert_true(r < 0);
	assert_int_equal(error.code, ERROR_INVALID_PARAMETER);
	assert_string_equal(error.field, "dead_letter_config");
	assert_string_equal(error.message, message);
}

static void test_dead_letters(void **state _unused_)
{
	check_dead_letters(NULL, NULL);
	check_dead_letters(SQS "q", NULL);
	check_dead_letters(LAMBDA "f",
			   "The target ARN " LAMBDA "f is invalid: dead letters go to a "
			   "queue, " SQS "NAME.");
	check_dead_letters("https://host/",
			   "1 validation error detected: Value 'https://host/' at "
			   "'deadLetterConfig.targetArn' failed to satisfy constraint: Member must "
			   "satisfy regular expression pattern: "
			   "(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_taken), cmocka_unit_test(test_what_is_none),
		cmocka_unit_test(test_lengths),       cmocka_unit_test(test_queues),
		cmocka_unit_test(test_dead_letters),  cmocka_unit_test(test_what_logs_show),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
