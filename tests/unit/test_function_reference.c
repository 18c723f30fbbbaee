/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_functions mayfly_base
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "agent/functions/function.h"

#define REGION  "eu-central-1"
#define TENANT  "123456789012"
#define ARN     "arn:aws:lambda:" REGION ":" TENANT ":function:"
#define TEN     "abcdefghij"
#define SIXTY   TEN TEN TEN TEN TEN TEN
#define NAME_64 SIXTY "abcd"
#define NAME_65 SIXTY "abcde"

struct accepted {
	const char *text;
	const char *qualifier;
	const char *name;
	const char *expected_qualifier;
};

static const struct accepted accepted[] = {
	{ "f", NULL, "f", "" },
	{ "f", "", "f", "" },
	{ "f", "$LATEST", "f", "$LATEST" },
	{ "my-Function_1", "7", "my-Function_1", "7" },
	{ "f:prod", NULL, "f", "prod" },
	{ "f:$LATEST", NULL, "f", "$LATEST" },
	{ "f:prod", "prod", "f", "prod" },
	{ "function:f", NULL, "f", "" },
	{ "function:f:1", NULL, "f", "1" },
	{ "function", NULL, "function", "" },
	{ "function:$LATEST", NULL, "function", "$LATEST" },
	{ TENANT ":function:f", NULL, "f", "" },
	{ TENANT ":function:f:q", NULL, "f", "q" },
	{ TENANT ":f", NULL, "f", "" },
	{ TENANT, NULL, TENANT, "" },
	{ TENANT ":$LATEST", NULL, TENANT, "$LATEST" },
	{ REGION ":" TENANT ":function:f", NULL, "f", "" },
	{ REGION, NULL, REGION, "" },
	{ ARN "f", NULL, "f", "" },
	{ ARN "f:2", NULL, "f", "2" },
	{ ARN "f:$LATEST", "$LATEST", "f", "$LATEST" },
	{ ARN "function", NULL, "function", "" },
	{ "arn:aws-cn:lambda:" REGION ":" TENANT ":function:f", NULL, "f", "" },
	{ "arn", NULL, "arn", "" },
	{ NAME_64, NULL, NAME_64, "" },
	{ "f", "$latest", "f", "$latest" },
};

static void test_accepted_forms(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(accepted); i++) {
		const struct accepted *row = &accepted[i];
		_cleanup_error_ struct error error = ERROR_INIT;
		struct function_reference reference;

		if (function_parse_reference(row->text, row->qualifier, REGION, TENANT, &reference,
					     &error) < 0)
			fail_msg("'%s': %s", row->text, error_text(&error));
		assert_string_equal(reference.name, row->name);
		assert_string_equal(reference.qualifier, row->expected_qualifier);
		assert_int_equal(reference.has_qualifier, row->expected_qualifier[0] != 0);
	}
}

struct refused {
	const char *text;
	const char *qualifier;
	enum error_code code;
	const char *field;
	const char *message; /* part of it */
};

#define BAD_NAME      ERROR_INVALID_PARAMETER, "function_name", "'functionName' failed to satisfy"
#define BAD_QUALIFIER ERROR_INVALID_PARAMETER, "qualifier", "at 'qualifier' failed to satisfy"

static const struct refused refused[] = {
	{ "", NULL, BAD_NAME },
	{ "*", NULL, BAD_NAME },
	{ "my function", NULL, BAD_NAME },
	{ "f.g", NULL, BAD_NAME },
	{ "f/../g", NULL, BAD_NAME },
	{ "f:", NULL, BAD_NAME },
	{ ":f", NULL, BAD_NAME },
	{ "f:$LATES", NULL, BAD_NAME },
	{ "f:$latest", NULL, BAD_NAME },
	{ "$LATEST", NULL, BAD_NAME },
	{ "a:b:c", NULL, BAD_NAME },
	{ "f\xc3\xa4", NULL, BAD_NAME },
	{ ARN "f:1:2", NULL, BAD_NAME },
	{ ARN "f:1:2:3:4", NULL, BAD_NAME },
	{ ARN, NULL, BAD_NAME },
	{ "arn:aws:lambda", NULL, BAD_NAME },
	{ "arn:aws:lambda:" REGION ":" TENANT, NULL, BAD_NAME },
	{ "arn:aws:lambda:" REGION ":" TENANT ":f", NULL, BAD_NAME },
	{ "arn:aws:lambda::" TENANT ":function:f", NULL, BAD_NAME },
	{ "arn:aws:lambda:" REGION "::function:f", NULL, BAD_NAME },
	{ "arn:aws:lambda:function:f", NULL, BAD_NAME },
	{ "arn:aws:lambda:" REGION ":12345:function:f", NULL, BAD_NAME },
	{ "arn:aws:lambda:Europe:" TENANT ":function:f", NULL, BAD_NAME },
	{ "arn:aws:s3:" REGION ":" TENANT ":function:f", NULL, BAD_NAME },
	{ "arn:gcp:lambda:" REGION ":" TENANT ":function:f", NULL, BAD_NAME },
	{ "arn:aws:lambda:" REGION ":" TENANT ":layer:f", NULL, BAD_NAME },
	{ SIXTY SIXTY SIXTY, NULL, ERROR_INVALID_PARAMETER, "function_name",
	  "Member must have length less than or equal to 170" },
	{ "f", "a b", BAD_QUALIFIER },
	{ "f", "a:b", BAD_QUALIFIER },
	{ "f", SIXTY SIXTY TEN, ERROR_INVALID_PARAMETER, "qualifier",
	  "Member must have length less than or equal to 128" },
	{ "f:" SIXTY SIXTY TEN, NULL, ERROR_INVALID_PARAMETER, "function_name",
	  "Member must have length less than or equal to 128" },
	{ "f:1", "2", ERROR_INVALID_PARAMETER, "qualifier",
	  "The derived qualifier from the function name does not match the specified qualifier." },
	{ NAME_65, NULL, ERROR_NOT_FOUND, "function_name", "Function not found: " ARN NAME_65 },
	{ "arn:aws:lambda:us-east-1:" TENANT ":function:f", NULL, ERROR_NOT_FOUND, "function_name",
	  "Functions from 'us-east-1' are not reachable in this region ('" REGION "')" },
	{ "arn:aws:lambda:us-gov-west-1:" TENANT ":function:f", NULL, ERROR_NOT_FOUND,
	  "function_name", "Functions from 'us-gov-west-1'" },
	{ "arn:aws:lambda:us-iso-east-1:" TENANT ":function:f", NULL, ERROR_NOT_FOUND,
	  "function_name", "Functions from 'us-iso-east-1'" },
	{ "arn:aws:lambda:us-isob-east-1:" TENANT ":function:f", NULL, ERROR_NOT_FOUND,
	  "function_name", "Functions from 'us-isob-east-1'" },
	{ "arn:aws:lambda:us-foo-east-1:" TENANT ":function:f", NULL, BAD_NAME },
	{ "arn:aws:lambda:us-east-12:" TENANT ":function:f", NULL, BAD_NAME },
	{ "arn:aws:lambda:eusc-de-east-1:" TENANT ":function:f", NULL, ERROR_NOT_FOUND,
	  "function_name", "Functions from 'eusc-de-east-1'" },
	{ "999999999999:function:f", NULL, ERROR_ACCESS_DENIED, "function_name",
	  "Functions of account 999999999999" },
	{ "arn:aws:lambda:" REGION ":999999999999:function:f", NULL, ERROR_ACCESS_DENIED,
	  "function_name", "Functions of account 999999999999" },
};

static void test_refused_forms(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		const struct refused *row = &refused[i];
		_cleanup_error_ struct error error = ERROR_INIT;
		struct function_reference reference = { .name = "untouched" };

		if (function_parse_reference(row->text, row->qualifier, REGION, TENANT, &reference,
					     &error) == 0)
			fail_msg("'%s' was accepted as '%s'", row->text, reference.name);
		if (error.code != row->code || strcmp(error.field, row->field) != 0 ||
		    !strstr(error_text(&error), row->message))
			fail_msg("'%s': code %d, field %s: %s", row->text, error.code, error.field,
				 error_text(&error));
		assert_string_equal(reference.name, "untouched");
	}
}

static void test_the_pattern_is_lambdas(void **state _unused_)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct function_reference reference;

	assert_int_equal(function_parse_reference("*", NULL, REGION, TENANT, &reference, &error),
			 -EINVAL);
	assert_string_equal(
		error_text(&error),
		"1 validation error detected: Value '*' at 'functionName' failed to satisfy "
		"constraint: Member must satisfy regular expression pattern: "
		"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-"
		"\\d{1}:)?(\\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?");
}

static void test_plain_names(void **state _unused_)
{
	static const char *const bad[] = { "", "a b", "a:b", "a.b", "$LATEST", NAME_65 };

	assert_int_equal(function_validate_name("f", NULL), 0);
	assert_int_equal(function_validate_name(NAME_64, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_error_ struct error error = ERROR_INIT;

		assert_int_equal(function_validate_name(bad[i], &error), -EINVAL);
		assert_string_equal(error.field, "function_name");
	}
	assert_true(tenant_id_is_valid(TENANT));
	assert_false(tenant_id_is_valid(""));
	assert_false(tenant_id_is_valid("12345678901"));
	assert_false(tenant_id_is_valid("1234567890123"));
	assert_false(tenant_id_is_valid("12345678901a"));
}

static void test_arn(void **state _unused_)
{
	_cleanup_free_ char *plain = function_arn(REGION, TENANT, "f", NULL);
	_cleanup_free_ char *empty = function_arn(REGION, TENANT, "f", "");
	_cleanup_free_ char *qualified = function_arn(REGION, TENANT, "f", "$LATEST");

	assert_string_equal(plain, ARN "f");
	assert_string_equal(empty, ARN "f");
	assert_string_equal(qualified, ARN "f:$LATEST");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted_forms),
		cmocka_unit_test(test_refused_forms),
		cmocka_unit_test(test_the_pattern_is_lambdas),
		cmocka_unit_test(test_plain_names),
		cmocka_unit_test(test_arn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
