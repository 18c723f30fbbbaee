/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_functions mayfly_base
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/functions/function.h"

static void config_init(struct function_config *config)
{
	const struct function_patch patch = { .runtime = "python3.13", .handler = "app.handler" };

	assert_int_equal(function_config_set_defaults(config, "f"), 0);
	assert_int_equal(function_config_apply(config, &patch), 0);
}
#define _cleanup_config_ _cleanup_(function_config_clear)

static void test_defaults_are_valid(void **state _unused_)
{
	_cleanup_config_ struct function_config config = { 0 };
	_cleanup_error_ struct error error = ERROR_INIT;

	config_init(&config);
	assert_int_equal(function_validate_config(&config, &error), 0);
	assert_int_equal(config.memory_size_mb, 128);
	assert_int_equal(config.timeout_seconds, 3);
	assert_int_equal(config.ephemeral_storage_mb, 512);
	assert_int_equal(config.log_format, LOG_TEXT);
	assert_int_equal(config.snap_start, SNAP_START_NONE);
	assert_string_equal(config.log_group, "/aws/lambda/f");
	assert_string_equal(config.description, "");
	assert_null(config.application_log_level);
}

static unsigned numbers[] = { 0, 1, 127, 128, 129, 511, 512, 899, 900, 901, 10240, 10241 };

static void test_ranges(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		const unsigned n = numbers[i];
		const struct {
			struct function_patch patch;
			bool good;
			const char *field;
		} rows[] = {
			{ { .memory_size_mb = &n }, n >= 128 && n <= 10240, "memory_size_mb" },
			{ { .timeout_seconds = &n }, n >= 1 && n <= 900, "timeout_seconds" },
			{ { .ephemeral_storage_mb = &n },
			  n >= 512 && n <= 10240,
			  "ephemeral_storage_mb" },
		};

		for (size_t row = 0; row < ARRAY_SIZE(rows); row++) {
			_cleanup_config_ struct function_config config = { 0 };
			_cleanup_error_ struct error error = ERROR_INIT;

			config_init(&config);
			assert_int_equal(function_config_apply(&config, &rows[row].patch), 0);
			assert_int_equal(function_validate_config(&config, &error) == 0,
					 rows[row].good);
			if (!rows[row].good)
				assert_string_equal(error.field, rows[row].field);
		}
	}
}

/* Checks one patch of a good config; `message` NULL: it stays good. */
static void check(const struct function_patch *patch, const char *field, const char *message)
{
	_cleanup_config_ struct function_config config = { 0 };
	_cleanup_error_ struct error error = ERROR_INIT;
	int r;

	config_init(&config);
	assert_int_equal(function_config_apply(&config, patch), 0);
	r = function_validate_config(&config, &error);
	if (!message) {
		if (r < 0)
			fail_msg("refused: %s", error_text(&error));
		return;
	}
	assert_int_equal(r, -EINVAL);
	assert_int_equal(error.code, ERROR_INVALID_PARAMETER);
	assert_string_equal(error.field, field);
	assert_string_equal(error_text(&error), message);
}

#define TEN     "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static void test_messages(void **state _unused_)
{
	const unsigned little = 64, none = 0;
	const enum snap_start odd_snap_start = (enum snap_start)9;
	const enum log_format odd_format = (enum log_format)7, text = LOG_TEXT, json = LOG_JSON;
	const struct {
		struct function_patch patch;
		const char *field;
		const char *message;
	} rows[] = {
		{ { .memory_size_mb = &little },
		  "memory_size_mb",
		  "1 validation error detected: Value '64' at 'memorySize' failed to satisfy "
		  "constraint: Member must have value greater than or equal to 128" },
		{ { .memory_size_mb = &little, .timeout_seconds = &none },
		  "memory_size_mb",
		  "2 validation errors detected: Value '64' at 'memorySize' failed to satisfy "
		  "constraint: Member must have value greater than or equal to 128; Value '0' at "
		  "'timeout' failed to satisfy constraint: Member must have value greater than or "
		  "equal to 1" },
		{ { .handler = "app handler" },
		  "handler",
		  "1 validation error detected: Value 'app handler' at 'handler' failed to satisfy "
		  "constraint: Member must satisfy regular expression pattern: [^\\s]+" },
		{ { .handler = HUNDRED TEN TEN TEN },
		  "handler",
		  "1 validation error detected: Value '" HUNDRED TEN TEN TEN
		  "' at 'handler' failed "
		  "to satisfy constraint: Member must have length less than or equal to 128" },
		{ { .description = HUNDRED HUNDRED HUNDRED },
		  "description",
		  "1 validation error detected: Value '" HUNDRED HUNDRED TEN TEN TEN TEN TEN
		  "012345...' at 'description' failed to satisfy constraint: Member must have "
		  "length less than or equal to 256" },
		{ { .snap_start = &odd_snap_start },
		  "snap_start",
		  "1 validation error detected: Value '9' at 'snapStart.applyOn' failed to satisfy "
		  "constraint: Member must satisfy enum value set: [PublishedVersions, None, "
		  "Latest]" },
		{ { .log_format = &odd_format },
		  "logging_config.log_format",
		  "1 validation error detected: Value '7' at 'loggingConfig.logFormat' failed to "
		  "satisfy constraint: Member must satisfy enum value set: [JSON, Text]" },
		{ { .log_group = "a b" },
		  "logging_config.log_group",
		  "1 validation error detected: Value 'a b' at 'loggingConfig.logGroup' failed to "
		  "satisfy constraint: Member must satisfy regular expression pattern: "
		  "[\\.\\-_/#A-Za-z0-9]+" },
		{ { .log_group = "" },
		  "logging_config.log_group",
		  "1 validation error detected: Value '' at 'loggingConfig.logGroup' failed to "
		  "satisfy constraint: Member must have length greater than or equal to 1" },
		{ { .log_format = &json, .application_log_level = "LOUD" },
		  "logging_config.application_log_level",
		  "1 validation error detected: Value 'LOUD' at "
		  "'loggingConfig.applicationLogLevel' "
		  "failed to satisfy constraint: Member must satisfy enum value set: [TRACE, "
		  "DEBUG, "
		  "INFO, WARN, ERROR, FATAL]" },
		{ { .log_format = &json, .system_log_level = "ERROR" },
		  "logging_config.system_log_level",
		  "1 validation error detected: Value 'ERROR' at 'loggingConfig.systemLogLevel' "
		  "failed to satisfy constraint: Member must satisfy enum value set: [DEBUG, INFO, "
		  "WARN]" },
		{ { .log_format = &text, .system_log_level = "INFO" },
		  "logging_config",
		  "ApplicationLogLevel and SystemLogLevel need LogFormat JSON." },
		{ { .runtime = "" },
		  "runtime",
		  "Runtime and Handler are mandatory parameters for functions created with "
		  "deployment packages." },
		{ { .handler = "" },
		  "handler",
		  "Runtime and Handler are mandatory parameters for functions created with "
		  "deployment packages." },
		{ { .handler = "", .runtime = "provided.al2023" }, NULL, NULL },
		{ { .handler = HUNDRED TEN TEN "12345678" }, NULL, NULL },
		{ { .log_format = &json, .application_log_level = "FATAL" }, NULL, NULL },
		{ { .log_group = "/my/group-1.x_y#z" }, NULL, NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check(&rows[i].patch, rows[i].field, rows[i].message);
}

static void test_description_counts_characters(void **state _unused_)
{
	char text[2 * 257 + 1] = "";
	const struct function_patch patch = { .description = text };

	for (int i = 0; i < 256; i++)
		(void)memcpy(text + strlen(text), "\xc3\xa4", 3);
	check(&patch, NULL, NULL);
}

static struct function_patch environment_patch(struct environment_variable *variables, size_t count)
{
	return (struct function_patch){ .has_environment = true,
					.environment = variables,
					.environment_count = count };
}

static void test_environment_keys(void **state _unused_)
{
	static const char *const good[] = { "ab", "A1", "a_", "Path", "LD_LIBRARY_PATH", "TZ" };
	static const char *const bad[] = { "", "a", "1a", "_a", "a-b", "a b", "a=b", "\xc3\xa4" };
	char message[512];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct environment_variable variable = { (char *)(uintptr_t)good[i], (char *)"v" };
		const struct function_patch patch = environment_patch(&variable, 1);

		check(&patch, NULL, NULL);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct environment_variable variable = { (char *)(uintptr_t)bad[i], (char *)"v" };
		const struct function_patch patch = environment_patch(&variable, 1);

		(void)snprintf(
			message, sizeof(message),
			"1 validation error detected: Value '{%s=...}' at "
			"'environment.variables' failed to satisfy constraint: Map keys must "
			"satisfy constraint: [Member must satisfy regular expression pattern: "
			"[a-zA-Z]([a-zA-Z0-9_])+]",
			bad[i]);
		check(&patch, "environment", message);
	}
}

static void test_reserved_and_repeated_keys(void **state _unused_)
{
	struct environment_variable variables[] = {
		{ (char *)"AWS_REGION", (char *)"x" },
		{ (char *)"MINE", (char *)"x" },
		{ (char *)"LAMBDA_TASK_ROOT", (char *)"x" },
	};
	struct environment_variable twice[] = {
		{ (char *)"MINE", (char *)"x" },
		{ (char *)"MINE", (char *)"y" },
	};
	const struct function_patch reserved = environment_patch(variables, 3);
	const struct function_patch repeated = environment_patch(twice, 2);

	check(&reserved, "environment",
	      "Lambda was unable to configure your environment variables because the environment "
	      "variables you have provided contains reserved keys that are currently not supported "
	      "for modification. Reserved keys used in this request: AWS_REGION, "
	      "LAMBDA_TASK_ROOT");
	check(&repeated, "environment", "The environment variable MINE is given twice.");
}

/* {"KEY":"..."} is ten bytes around the value. */
static void test_environment_size(void **state _unused_)
{
	char value[8192];
	struct environment_variable variable = { (char *)"KEY", value };
	const struct function_patch patch = environment_patch(&variable, 1);
	_cleanup_config_ struct function_config config = { 0 };
	_cleanup_error_ struct error error = ERROR_INIT;

	memset(value, 'x', sizeof(value));
	value[4096 - 10] = 0;
	check(&patch, NULL, NULL);
	value[4096 - 10] = 'x';
	value[4096 - 9] = 0;
	config_init(&config);
	assert_int_equal(function_config_apply(&config, &patch), 0);
	assert_int_equal(function_validate_config(&config, &error), -EINVAL);
	assert_string_equal(error.field, "environment");
	assert_ptr_equal(
		strstr(error_text(&error),
		       "Lambda was unable to configure your environment variables because "
		       "the environment variables you have provided exceeded the 4KB limit. "
		       "String measured: {\"KEY\":\"xxx"),
		error_text(&error));
	assert_string_equal(error_log_text(&error),
			    "Lambda was unable to configure your environment variables because the "
			    "environment variables you have provided exceeded the 4KB limit.");
	/* It must fit into a reply's metadata. */
	assert_true(strlen(error_text(&error)) < 2048);
}

static void test_runtimes(void **state _unused_)
{
	static const char *const known[] = { "nodejs20.x", "python3.13" };
	_cleanup_error_ struct error unknown = ERROR_INIT, retired = ERROR_INIT;

	assert_int_equal(function_validate_runtime("python3.13", known, 2, NULL), 0);
	assert_int_equal(function_validate_runtime("cobol85", known, 2, &unknown), -EINVAL);
	assert_string_equal(unknown.field, "runtime");
	assert_string_equal(error_text(&unknown),
			    "Value cobol85 at 'runtime' failed to satisfy constraint: Member must "
			    "satisfy enum value set: [nodejs20.x, python3.13] or be a valid ARN");
	assert_int_equal(function_validate_runtime("python2.7", known, 2, &retired), -EINVAL);
	assert_string_equal(
		error_text(&retired),
		"The runtime parameter of python2.7 is no longer supported for creating "
		"or updating AWS Lambda functions. We recommend you use a supported "
		"runtime while creating or updating functions.");
}

static void test_log_levels_follow_the_format(void **state _unused_)
{
	const enum log_format json = LOG_JSON, text = LOG_TEXT;
	const struct function_patch to_json = { .log_format = &json };
	const struct function_patch loud = { .log_format = &json,
					     .application_log_level = "ERROR" };
	const struct function_patch to_text = { .log_format = &text };
	_cleanup_config_ struct function_config config = { 0 };

	config_init(&config);
	assert_int_equal(function_config_apply(&config, &to_json), 0);
	assert_string_equal(config.application_log_level, "INFO");
	assert_string_equal(config.system_log_level, "INFO");
	assert_int_equal(function_config_apply(&config, &loud), 0);
	assert_string_equal(config.application_log_level, "ERROR");
	assert_int_equal(function_config_apply(&config, &to_json), 0);
	assert_string_equal(config.application_log_level, "ERROR");
	assert_int_equal(function_config_apply(&config, &to_text), 0);
	assert_null(config.application_log_level);
	assert_null(config.system_log_level);
}

static void test_environment_is_replaced_whole(void **state _unused_)
{
	struct environment_variable first[] = { { (char *)"AA", (char *)"1" },
						{ (char *)"BB", (char *)"2" } };
	struct environment_variable second[] = { { (char *)"CC", (char *)"3" } };
	const struct function_patch set = environment_patch(first, 2);
	const struct function_patch replace = environment_patch(second, 1);
	const struct function_patch clear = environment_patch(NULL, 0);
	const struct function_patch keep = { .description = "d" };
	_cleanup_config_ struct function_config config = { 0 };

	config_init(&config);
	assert_int_equal(function_config_apply(&config, &set), 0);
	assert_int_equal(config.environment_count, 2);
	assert_int_equal(function_config_apply(&config, &keep), 0);
	assert_int_equal(config.environment_count, 2);
	assert_int_equal(function_config_apply(&config, &replace), 0);
	assert_int_equal(config.environment_count, 1);
	assert_string_equal(config.environment[0].key, "CC");
	assert_int_equal(function_config_apply(&config, &clear), 0);
	assert_int_equal(config.environment_count, 0);
}

/* Every cell of both tables: what the setter allows is what is listed here. */
static void test_every_transition(void **state _unused_)
{
	static const char *const states[] = { "Pending Active", "Pending Failed", "Active Inactive",
					      "Inactive Pending" };
	static const char *const updates[] = { "Successful InProgress", "Failed InProgress",
					       "InProgress Successful", "InProgress Failed" };
	unsigned allowed = 0;
	char cell[64];

	for (unsigned from = 0; from < function_states.count; from++)
		for (unsigned to = 0; to < function_states.count; to++) {
			struct function *function = calloc(1, sizeof(*function));
			bool listed = false;
			int r;

			(void)snprintf(cell, sizeof(cell), "%s %s", function_state_name(from),
				       function_state_name(to));
			for (size_t i = 0; i < ARRAY_SIZE(states); i++)
				listed = listed || strcmp(states[i], cell) == 0;
			function->state = (enum function_state)from;
			r = function_set_state(function, (enum function_state)to, "why", "Code");
			assert_int_equal(r, listed ? 0 : -EINVAL);
			assert_int_equal(function->state, listed ? to : from);
			assert_int_equal(function->revision_id[0] != 0, listed);
			allowed += listed;
			function_free(function);
		}
	for (unsigned from = 0; from < update_statuses.count; from++)
		for (unsigned to = 0; to < update_statuses.count; to++) {
			struct function *function = calloc(1, sizeof(*function));
			bool listed = false;
			int r;

			(void)snprintf(cell, sizeof(cell), "%s %s", update_status_name(from),
				       update_status_name(to));
			for (size_t i = 0; i < ARRAY_SIZE(updates); i++)
				listed = listed || strcmp(updates[i], cell) == 0;
			function->update_status = (enum update_status)from;
			r = function_set_update_status(function, (enum update_status)to, NULL,
						       NULL);
			assert_int_equal(r, listed ? 0 : -EINVAL);
			assert_int_equal(function->update_status, listed ? to : from);
			allowed += listed;
			function_free(function);
		}
	assert_int_equal(allowed, 8);
}

static void test_copy_is_deep(void **state _unused_)
{
	struct environment_variable variables[] = { { (char *)"AA", (char *)"1" } };
	const struct function_patch patch = environment_patch(variables, 1);
	struct function *from = calloc(1, sizeof(*from)), *to = NULL;

	from->tenant = strdup("123456789012");
	from->name = strdup("f");
	config_init(&from->config);
	assert_int_equal(function_config_apply(&from->config, &patch), 0);
	from->update = calloc(1, sizeof(*from->update));
	assert_int_equal(function_config_copy(from->update, &from->config), 0);
	from->update->memory_size_mb = 999;
	from->generation = 7;
	assert_int_equal(function_copy(from, &to), 0);
	assert_int_equal(function_visible_config(to)->memory_size_mb, 999);
	function_free(from);
	assert_string_equal(to->name, "f");
	assert_string_equal(to->config.environment[0].value, "1");
	assert_string_equal(to->update->environment[0].key, "AA");
	assert_int_equal(to->generation, 7);
	assert_null(to->state_reason);
	assert_null(function_free(to));
	assert_null(function_free(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults_are_valid),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_description_counts_characters),
		cmocka_unit_test(test_environment_keys),
		cmocka_unit_test(test_reserved_and_repeated_keys),
		cmocka_unit_test(test_environment_size),
		cmocka_unit_test(test_runtimes),
		cmocka_unit_test(test_log_levels_follow_the_format),
		cmocka_unit_test(test_environment_is_replaced_whole),
		cmocka_unit_test(test_every_transition),
		cmocka_unit_test(test_copy_is_deep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
