/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_functions mayfly_base

/* The rules of layers and tags: names, ARNs, what a version may say of itself, what a function may
 * have. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/functions/layer.h"

#define REGION "eu-central-1"
#define TENANT "123456789012"
#define ARN    "arn:aws:lambda:" REGION ":" TENANT ":layer:"
#define N10    "nnnnnnnnnn"
#define N100   N10 N10 N10 N10 N10 N10 N10 N10 N10 N10

static void arns_are_taken_apart(void **state)
{
	static const char *const bad[] = {
		"",
		"layer",
		"arn:aws:lambda:" REGION ":" TENANT ":function:f",
		"arn:aws:s3:" REGION ":" TENANT ":layer:l:1",
		"arn:aws:lambda::" TENANT ":layer:l:1",
		"arn::lambda:" REGION ":" TENANT ":layer:l:1",
		"arn:aws:lambda:" REGION ":12345678901:layer:l:1",
		"arn:aws:lambda:" REGION ":1234567890123:layer:l:1",
		ARN,
		ARN ":1",
		ARN "l:",
		ARN "l:x",
		ARN "l:1:2",
		ARN "l l:1",
		ARN "l:-1",
		ARN "l:1 ",
		ARN N100 N10 N10 N10 N10 "n:1",
	};
	struct layer_reference reference;

	(void)state;
	assert_true(layer_parse_arn(ARN "my-Layer_1:17", &reference));
	assert_string_equal(reference.region, REGION);
	assert_string_equal(reference.tenant, TENANT);
	assert_string_equal(reference.name, "my-Layer_1");
	assert_int_equal(reference.version, 17);
	assert_true(layer_parse_arn(ARN "l", &reference));
	assert_int_equal(reference.version, 0);
	assert_true(layer_parse_arn(ARN "l:007", &reference));
	assert_int_equal(reference.version, 7);
	assert_true(layer_parse_arn(ARN "l:99999999999999999999999", &reference));
	assert_true(reference.version == UINT64_MAX);
	assert_true(layer_parse_arn(ARN N100 N10 N10 N10 N10 ":1", &reference));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (layer_parse_arn(bad[i], &reference))
			fail_msg("%s", bad[i]);
}

static void arns_are_made(void **state)
{
	_cleanup_free_ char *layer = layer_arn(REGION, TENANT, "l", 0);
	_cleanup_free_ char *version = layer_arn(REGION, TENANT, "l", 3);

	(void)state;
	assert_string_equal(layer, ARN "l");
	assert_string_equal(version, ARN "l:3");
}

static void assert_name(const char *text, enum error_code code, const char *message)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	char name[LAYER_NAME_MAX + 1];
	int r = layer_parse_name(text, REGION, TENANT, name, &error);

	assert_int_equal(error.code, code);
	if (code) {
		assert_true(r < 0);
		assert_string_equal(error.field, "layer_name");
		assert_non_null(strstr(error.message, message));
	} else {
		assert_string_equal(name, message);
	}
}

static void names_are_plain_or_arns(void **state)
{
	(void)state;
	assert_name("l", ERROR_NONE, "l");
	assert_name(ARN "l", ERROR_NONE, "l");
	assert_name("", ERROR_INVALID_PARAMETER, "'layerName' failed to satisfy constraint");
	assert_name("l:1", ERROR_INVALID_PARAMETER, "regular expression pattern: (arn:");
	assert_name(ARN "l:1", ERROR_INVALID_PARAMETER, "regular expression pattern: (arn:");
	assert_name(N100 N10 N10 N10 N10 "n", ERROR_INVALID_PARAMETER,
		    "Member must have length less than or equal to 140");
	assert_name("arn:aws:lambda:us-east-1:" TENANT ":layer:l", ERROR_NOT_FOUND, "us-east-1");
	assert_name("arn:aws:lambda:" REGION ":210987654321:layer:l", ERROR_ACCESS_DENIED,
		    "210987654321");
}

static void assert_values(const struct layer_values *values, const char *field, const char *message)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	if (!field) {
		assert_int_equal(layer_validate_values(values, &error), 0);
		return;
	}
	assert_true(layer_validate_values(values, &error) < 0);
	assert_string_equal(error.field, field);
	assert_non_null(strstr(error.message, message));
}

static void what_is_published_has_limits(void **state)
{
	static const char *const both[] = { "x86_64", "arm64" }, *const other[] = { "mips" };
	static const char *const runtimes[] = { "python3.13", "nodejs20.x" };
	static const char *const unknown[] = { "python3.13", "cobol" };
	const char *many[LAYER_RUNTIMES_MAX + 1];
	char text[LAYER_LICENSE_MAX + 2];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = "python3.13";
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	assert_values(&(struct layer_values){ 0 }, NULL, NULL);
	assert_values(&(struct layer_values){ "d", "MIT", runtimes, 2, both, 2 }, NULL, NULL);
	assert_values(&(struct layer_values){ .description = text }, "description",
		      "length less than or equal to 256");
	assert_values(&(struct layer_values){ .description = text + 257 }, NULL, NULL);
	assert_values(&(struct layer_values){ .license_info = text }, "license_info",
		      "length less than or equal to 512");
	assert_values(&(struct layer_values){ .license_info = text + 1 }, NULL, NULL);
	assert_values(&(struct layer_values){ .runtimes = many, .runtime_count = 16 },
		      "compatible_runtimes", "Member must have length less than or equal to 15");
	assert_values(&(struct layer_values){ .runtimes = unknown, .runtime_count = 2 },
		      "compatible_runtimes",
		      "Value '[python3.13, cobol]' at 'compatibleRuntimes' failed to satisfy "
		      "constraint: Member must satisfy enum value set: [");
	assert_values(&(struct layer_values){ .architectures = other, .architecture_count = 1 },
		      "compatible_architectures",
		      "Value '[mips]' at 'compatibleArchitectures' failed to satisfy constraint: "
		      "Member must satisfy constraint: [Member must satisfy enum value set: "
		      "[x86_64, arm64]]");
}

static void filters_ask_what_a_version_says(void **state)
{
	static const char *const runtimes[] = { "python3.13" };
	static const char *const architectures[] = { "arm64" };
	const struct layer_values values = { NULL, NULL, runtimes, 1, architectures, 1 };
	_cleanup_(layer_version_free_p) struct layer_version *version = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;

	(void)state;
	assert_int_equal(layer_version_new(TENANT, "l", &values, &version), 0);
	assert_true(layer_version_suits(version, "", ""));
	assert_true(layer_version_suits(version, "python3.13", "arm64"));
	assert_false(layer_version_suits(version, "python3.12", ""));
	assert_false(layer_version_suits(version, "", "x86_64"));
	assert_int_equal(layer_validate_filter("python3.13", "x86_64", &error), 0);
	assert_true(layer_validate_filter("", "mips", &error) < 0);
	assert_string_equal(error.field, "compatible_architecture");
	error_clear(&error);
	assert_true(layer_validate_filter("cobol", "", &error) < 0);
	assert_string_equal(error.field, "compatible_runtime");
}

static int check_one(const struct layer_reference *reference, const char *arn, void *arg,
		     struct error *error)
{
	unsigned *asked = arg;

	assert_non_null(arn);
	(*asked)++;
	return strcmp(reference->name, "gone") == 0
		       ? error_set(error, ERROR_INVALID_PARAMETER, "layers", "%s is gone", arn)
		       : 0;
}

static void assert_list(const char *const *arns, size_t count, const char *message, unsigned asked)
{
	struct layer_reference references[LAYERS_OF_FUNCTION_MAX];
	_cleanup_error_ struct error error = ERROR_INIT;
	unsigned seen = 0;
	int r = layer_validate_list(arns, count, check_one, &seen, references, &error);

	assert_int_equal(r == 0, message == NULL);
	if (message && !strstr(error.message, message))
		fail_msg("%s", error.message);
	assert_int_equal(seen, asked);
}

static void a_function_has_few_and_different_layers(void **state)
{
	static const char *const good[] = { ARN "a:1", ARN "b:1", ARN "c:1",
					    ARN "d:1", ARN "e:1", ARN "f:1" };
	static const char *const same[] = { ARN "a:1", ARN "b:1", ARN "a:2" };
	static const char *const gone[] = { ARN "gone:1", "no arn" };
	static const char *const shapeless[] = { ARN "a:1", ARN "b", ARN "c:1" };

	(void)state;
	assert_list(good, 0, NULL, 0);
	assert_list(good, 5, NULL, 5);
	assert_list(good, 6, "Cannot reference more than 5 layers.", 0);
	assert_list(same, 3,
		    "Two different versions of the same layer are not allowed to be referenced in "
		    "the same function. " ARN "a:1 and " ARN "a:2 are versions of the same layer.",
		    3);
	assert_list(gone, 2, "gone:1 is gone", 1);
	assert_list(shapeless, 3,
		    "1 validation error detected: Value '[" ARN "b]' at 'layers' failed to satisfy "
		    "constraint: Member must satisfy constraint: [Member must have length less "
		    "than or equal to 2048,",
		    1);
}

/* -- tags -- */

static void tags_lie_over_each_other(void **state)
{
	static const struct tag first[] = { { (char *)"b", (char *)"1" },
					    { (char *)"a", (char *)"2" } };
	static const struct tag second[] = { { (char *)"b", (char *)"3" },
					     { (char *)"c", (char *)"" } };
	static const char *const keys[] = { "a", "none" };
	struct tag_set set = { 0 }, copy = { 0 };

	(void)state;
	assert_int_equal(tag_set_put(&set, first, 2), 0);
	assert_int_equal(tag_set_put(&set, second, 2), 0);
	assert_int_equal(set.count, 3);
	assert_string_equal(set.tags[0].key, "a");
	assert_string_equal(set.tags[1].value, "3");
	assert_int_equal(tag_set_copy(&copy, &set), 0);
	tag_set_remove(&set, keys, 2);
	assert_int_equal(set.count, 2);
	assert_string_equal(set.tags[0].key, "b");
	assert_int_equal(copy.count, 3);
	tag_set_clear(&set);
	tag_set_clear(&copy);
}

static void assert_tag(const char *key, const char *value, const char *message)
{
	const struct tag tag = { (char *)(uintptr_t)key, (char *)(uintptr_t)value };
	_cleanup_error_ struct error error = ERROR_INIT;
	int r = tags_validate(&tag, 1, &error);

	assert_int_equal(r == 0, message == NULL);
	if (message) {
		assert_string_equal(error.field, "tags");
		assert_non_null(strstr(error.message, message));
	}
}

static void tags_have_limits(void **state)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct tag_set set = { 0 };
	char text[TAG_VALUE_MAX + 2], key[16];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	assert_tag("k", "", NULL);
	assert_tag("k", text + 1, NULL);
	assert_tag("k", text, "less than or equal to 256");
	assert_tag(text + sizeof(text) - 1 - TAG_KEY_MAX, "", NULL);
	assert_tag(text + sizeof(text) - 2 - TAG_KEY_MAX, "", "less than or equal to 128");
	assert_tag("", "v", "greater than or equal to 1");
	assert_tag("aws:x", "v", "aws: prefixed tag key names are not allowed");
	assert_tag("AWS:x", "v", "aws: prefixed tag key names are not allowed");
	assert_tag("awsome", "v", NULL);
	for (unsigned i = 0; i <= TAGS_MAX; i++) {
		const struct tag tag = { key, key };
		assert_int_equal(tag_set_validate(&set, &error), 0);
		(void)snprintf(key, sizeof(key), "k%u", i);
		assert_int_equal(tag_set_put(&set, &tag, 1), 0);
	}
	assert_true(tag_set_validate(&set, &error) < 0);
	assert_string_equal(error.message, "Number of tags exceeds resource tag limit.");
	tag_set_clear(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arns_are_taken_apart),
		cmocka_unit_test(arns_are_made),
		cmocka_unit_test(names_are_plain_or_arns),
		cmocka_unit_test(what_is_published_has_limits),
		cmocka_unit_test(filters_ask_what_a_version_says),
		cmocka_unit_test(a_function_has_few_and_different_layers),
		cmocka_unit_test(tags_lie_over_each_other),
		cmocka_unit_test(tags_have_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
