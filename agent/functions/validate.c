/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/functions/function.h"
#include "agent/functions/text.h"
#include "mayfly/buf.h"

/* Broken constraints of shape are told together, as Lambda does: "2 validation errors detected:
 * ...; ...". The first names the field. */
struct violations {
	struct buf text;
	const char *field; /* constant */
	unsigned count;
	bool no_memory;
};

static void add_violation(struct violations *violations, const char *field, const char *format, ...)
	_printf_(3, 4);

static void add_violation(struct violations *violations, const char *field, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&text, format, ap) < 0)
		text = NULL;
	va_end(ap);
	if (!text ||
	    buf_append_format(&violations->text, "%s%s", violations->count ? "; " : "", text) < 0)
		violations->no_memory = true;
	if (violations->count++ == 0)
		violations->field = field;
}

static int report_violations(struct violations *violations, struct error *error)
{
	int r = 0;

	if (violations->no_memory)
		r = error_set_errno(error, ENOMEM, "Cannot tell what is wrong with the request");
	else if (violations->count)
		r = error_set(error, ERROR_INVALID_PARAMETER, violations->field,
			      "%u validation error%s detected: %s", violations->count,
			      violations->count == 1 ? "" : "s", buf_string(&violations->text));
	buf_free(&violations->text);
	return r;
}

static void check_range(struct violations *violations, const char *field, const char *path,
			unsigned value, unsigned min, unsigned max)
{
	if (value < min)
		add_violation(violations, field,
			      "Value '%u' at '%s' failed to satisfy constraint: Member must have "
			      "value greater than or equal to %u",
			      value, path, min);
	if (value > max)
		add_violation(violations, field,
			      "Value '%u' at '%s' failed to satisfy constraint: Member must have "
			      "value less than or equal to %u",
			      value, path, max);
}

/* Characters, not bytes: what Lambda counts. */
static size_t count_characters(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void check_length(struct violations *violations, const char *field, const char *path,
			 const char *value, size_t max)
{
	if (count_characters(value) > max)
		add_violation(violations, field,
			      "Value '%.*s%s' at '%s' failed to satisfy constraint: Member must "
			      "have length less than or equal to %zu",
			      shown_length(value, SHOWN_BYTES), value,
			      shown_rest(value, SHOWN_BYTES), path, max);
}

static void check_characters(struct violations *violations, const char *field, const char *path,
			     const char *value, bool (*allowed)(char c), const char *pattern)
{
	for (const char *c = value; *c; c++) {
		if (allowed(*c))
			continue;
		add_violation(violations, field,
			      "Value '%.*s%s' at '%s' failed to satisfy constraint: Member must "
			      "satisfy regular expression pattern: %s",
			      shown_length(value, SHOWN_BYTES), value,
			      shown_rest(value, SHOWN_BYTES), path, pattern);
		return;
	}
}

static bool is_handler_character(char c)
{
	return c != ' ' && !(c >= '\t' && c <= '\r');
}

static bool is_log_group_character(char c)
{
	return is_name_character(c) || c == '.' || c == '/' || c == '#';
}

static bool is_one_of(const char *value, const char *const *set)
{
	for (; *set; set++)
		if (strcmp(*set, value) == 0)
			return true;
	return false;
}

static void check_level(struct violations *violations, const char *field, const char *path,
			const char *value, const char *const *set, const char *shown)
{
	if (value && !is_one_of(value, set))
		add_violation(violations, field,
			      "Value '%.*s%s' at '%s' failed to satisfy constraint: Member must "
			      "satisfy enum value set: %s",
			      shown_length(value, SHOWN_BYTES), value,
			      shown_rest(value, SHOWN_BYTES), path, shown);
}

static void check_logging(struct violations *violations, const struct function_config *config)
{
	static const char *const application[] = { "TRACE", "DEBUG", "INFO", "WARN",
						   "ERROR", "FATAL", NULL };
	static const char *const system[] = { "DEBUG", "INFO", "WARN", NULL };

	if (config->log_format != LOG_TEXT && config->log_format != LOG_JSON)
		add_violation(violations, "logging_config.log_format",
			      "Value '%d' at 'loggingConfig.logFormat' failed to satisfy "
			      "constraint: Member must satisfy enum value set: [JSON, Text]",
			      (int)config->log_format);
	if (!config->log_group || !config->log_group[0])
		add_violation(violations, "logging_config.log_group",
			      "Value '' at 'loggingConfig.logGroup' failed to satisfy constraint: "
			      "Member must have length greater than or equal to 1");
	check_length(violations, "logging_config.log_group", "loggingConfig.logGroup",
		     config->log_group ? config->log_group : "", FUNCTION_LOG_GROUP_MAX);
	check_characters(violations, "logging_config.log_group", "loggingConfig.logGroup",
			 config->log_group ? config->log_group : "", is_log_group_character,
			 "[\\.\\-_/#A-Za-z0-9]+");
	check_level(violations, "logging_config.application_log_level",
		    "loggingConfig.applicationLogLevel", config->application_log_level, application,
		    "[TRACE, DEBUG, INFO, WARN, ERROR, FATAL]");
	check_level(violations, "logging_config.system_log_level", "loggingConfig.systemLogLevel",
		    config->system_log_level, system, "[DEBUG, INFO, WARN]");
}

/* [a-zA-Z]([a-zA-Z0-9_])+ */
static bool is_environment_key(const char *key)
{
	if (!is_letter(key[0]) || !key[1])
		return false;
	for (const char *c = key; *c; c++)
		if (!is_letter(*c) && !is_digit(*c) && *c != '_')
			return false;
	return true;
}

static void check_environment_keys(struct violations *violations,
				   const struct function_config *config)
{
	for (size_t i = 0; i < config->environment_count; i++) {
		const char *key = config->environment[i].key;

		if (is_environment_key(key))
			continue;
		add_violation(violations, "environment",
			      "Value '{%.*s%s=...}' at 'environment.variables' failed to satisfy "
			      "constraint: Map keys must satisfy constraint: [Member must satisfy "
			      "regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+]",
			      shown_length(key, SHOWN_BYTES), key, shown_rest(key, SHOWN_BYTES));
		return;
	}
}

static int check_shape(const struct function_config *config, struct error *error)
{
	struct violations violations = { 0 };

	check_length(&violations, "handler", "handler", config->handler, FUNCTION_HANDLER_MAX);
	check_characters(&violations, "handler", "handler", config->handler, is_handler_character,
			 "[^\\s]+");
	check_length(&violations, "description", "description", config->description,
		     FUNCTION_DESCRIPTION_MAX);
	check_range(&violations, "memory_size_mb", "memorySize", config->memory_size_mb,
		    FUNCTION_MEMORY_MIN_MB, FUNCTION_MEMORY_MAX_MB);
	check_range(&violations, "timeout_seconds", "timeout", config->timeout_seconds,
		    FUNCTION_TIMEOUT_MIN_S, FUNCTION_TIMEOUT_MAX_S);
	check_range(&violations, "ephemeral_storage_mb", "ephemeralStorage.size",
		    config->ephemeral_storage_mb, FUNCTION_EPHEMERAL_MIN_MB,
		    FUNCTION_EPHEMERAL_MAX_MB);
	check_environment_keys(&violations, config);
	if ((unsigned)config->snap_start > SNAP_START_LATEST)
		add_violation(&violations, "snap_start",
			      "Value '%d' at 'snapStart.applyOn' failed to satisfy constraint: "
			      "Member must satisfy enum value set: [PublishedVersions, None, "
			      "Latest]",
			      (int)config->snap_start);
	if ((unsigned)config->tenancy >= _TENANCY_MAX)
		add_violation(&violations, "tenancy_config",
			      "Value at 'tenancyConfig.tenantIsolationMode' failed to satisfy "
			      "constraint: Member must satisfy enum value set: [PER_TENANT]");
	check_logging(&violations, config);
	return report_violations(&violations, error);
}

/* What the runtime's own environment has, and what selects its behaviour from outside. */
static const char *const reserved_keys[] = {
	"AWS_ACCESS_KEY",
	"AWS_ACCESS_KEY_ID",
	"AWS_CONTAINER_AUTHORIZATION_TOKEN",
	"AWS_CONTAINER_CREDENTIALS_FULL_URI",
	"AWS_DEFAULT_REGION",
	"AWS_EXECUTION_ENV",
	"AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
	"AWS_LAMBDA_FUNCTION_NAME",
	"AWS_LAMBDA_FUNCTION_VERSION",
	"AWS_LAMBDA_INITIALIZATION_TYPE",
	"AWS_LAMBDA_LOG_FORMAT",
	"AWS_LAMBDA_LOG_GROUP_NAME",
	"AWS_LAMBDA_LOG_LEVEL",
	"AWS_LAMBDA_LOG_STREAM_NAME",
	"AWS_LAMBDA_MAX_CONCURRENCY",
	"AWS_LAMBDA_RUNTIME_API",
	"AWS_REGION",
	"AWS_SECRET_ACCESS_KEY",
	"AWS_SESSION_TOKEN",
	"LAMBDA_RUNTIME_DIR",
	"LAMBDA_TASK_ROOT",
	NULL,
};

static int check_reserved_keys(const struct function_config *config, struct error *error)
{
	_cleanup_buf_ struct buf used = BUF_INIT;

	for (size_t i = 0; i < config->environment_count; i++) {
		const char *key = config->environment[i].key;

		if (!is_one_of(key, reserved_keys))
			continue;
		if (buf_append_format(&used, "%s%s", used.len ? ", " : "", key) < 0)
			return error_set_errno(error, ENOMEM, "Cannot check the environment");
	}
	if (!used.len)
		return 0;
	return error_set(error, ERROR_INVALID_PARAMETER, "environment",
			 "Lambda was unable to configure your environment variables because the "
			 "environment variables you have provided contains reserved keys that are "
			 "currently not supported for modification. Reserved keys used in this "
			 "request: %.*s%s",
			 shown_length(buf_string(&used), 4 * SHOWN_BYTES), buf_string(&used),
			 shown_rest(buf_string(&used), 4 * SHOWN_BYTES));
}

DEFINE_CLEANUP(json_t, json_decref)

#define ENVIRONMENT_TOO_LARGE                                                                      \
	"Lambda was unable to configure your environment variables because the "                   \
	"environment variables you have provided exceeded the 4KB limit."

static int check_environment_size(const struct function_config *config, struct error *error)
{
	_cleanup_(json_decref_p) json_t *object = json_object();
	_cleanup_free_ char *text = NULL;
	int r;

	for (size_t i = 0; i < config->environment_count; i++) {
		const struct environment_variable *variable = &config->environment[i];

		if (json_object_get(object, variable->key))
			return error_set(error, ERROR_INVALID_PARAMETER, "environment",
					 "The environment variable %.*s%s is given twice.",
					 shown_length(variable->key, SHOWN_BYTES), variable->key,
					 shown_rest(variable->key, SHOWN_BYTES));
		if (json_object_set_new(object, variable->key, json_string(variable->value)) < 0)
			return error_set(error, ERROR_INVALID_PARAMETER, "environment",
					 "The value of the environment variable %.*s%s is not "
					 "valid UTF-8.",
					 shown_length(variable->key, SHOWN_BYTES), variable->key,
					 shown_rest(variable->key, SHOWN_BYTES));
	}
	text = object ? json_dumps(object, JSON_COMPACT) : NULL;
	if (!text)
		return error_set_errno(error, ENOMEM, "Cannot measure the environment");
	if (strlen(text) <= FUNCTION_ENVIRONMENT_BYTES)
		return 0;
	r = error_set(error, ERROR_INVALID_PARAMETER, "environment",
		      ENVIRONMENT_TOO_LARGE " String measured: %.*s%s",
		      shown_length(text, 4 * SHOWN_BYTES), text, shown_rest(text, 4 * SHOWN_BYTES));
	error_set_log(error, "%s", ENVIRONMENT_TOO_LARGE);
	return r;
}

static int check_needed(const struct function_config *config, struct error *error)
{
	const char *missing = !config->runtime[0] ? "runtime" : "handler";

	/* A custom runtime finds its own way; it gets the handler as _HANDLER. */
	if (config->runtime[0] &&
	    (config->handler[0] || strncmp(config->runtime, "provided", 8) == 0))
		return 0;
	return error_set(error, ERROR_INVALID_PARAMETER, missing,
			 "Runtime and Handler are mandatory parameters for functions created with "
			 "deployment packages.");
}

int function_validate_config(const struct function_config *config, struct error *error)
{
	int r;

	r = check_shape(config, error);
	if (r < 0)
		return r;
	r = check_needed(config, error);
	if (r < 0)
		return r;
	r = check_reserved_keys(config, error);
	if (r < 0)
		return r;
	r = check_environment_size(config, error);
	if (r < 0)
		return r;
	if (config->tenancy == TENANCY_PER_TENANT && config->snap_start != SNAP_START_NONE)
		return error_set(error, ERROR_INVALID_PARAMETER, "snap_start",
				 "SnapStart is not supported for functions with the tenant "
				 "isolation mode PER_TENANT.");
	if (config->log_format == LOG_TEXT &&
	    (config->application_log_level || config->system_log_level))
		return error_set(error, ERROR_INVALID_PARAMETER, "logging_config",
				 "ApplicationLogLevel and SystemLogLevel need LogFormat JSON.");
	return 0;
}

/* Names that Lambda has retired. */
static const char *const retired_runtimes[] = {
	"dotnetcore1.0",
	"dotnetcore2.0",
	"dotnetcore2.1",
	"dotnetcore3.1",
	"dotnet5.0",
	"dotnet7",
	"go1.x",
	"java8",
	"nodejs",
	"nodejs4.3",
	"nodejs4.3-edge",
	"nodejs6.10",
	"nodejs8.10",
	"nodejs10.x",
	"nodejs12.x",
	"nodejs14.x",
	"provided",
	"python2.7",
	"python3.6",
	"python3.7",
	"ruby2.5",
	"ruby2.7",
	NULL,
};

int function_validate_runtime(const char *runtime, const char *const *known, size_t count,
			      struct error *error)
{
	_cleanup_buf_ struct buf set = BUF_INIT;

	for (size_t i = 0; i < count; i++)
		if (strcmp(known[i], runtime) == 0)
			return 0;
	if (is_one_of(runtime, retired_runtimes))
		return error_set(
			error, ERROR_INVALID_PARAMETER, "runtime",
			"The runtime parameter of %s is no longer supported for creating or "
			"updating AWS Lambda functions. We recommend you use a supported "
			"runtime while creating or updating functions.",
			runtime);
	for (size_t i = 0; i < count; i++)
		if (buf_append_format(&set, "%s%s", i ? ", " : "", known[i]) < 0)
			return error_set_errno(error, ENOMEM, "Cannot check the runtime");
	return error_set(
		error, ERROR_INVALID_PARAMETER, "runtime",
		"Value %.*s%s at 'runtime' failed to satisfy constraint: Member must satisfy "
		"enum value set: [%s] or be a valid ARN",
		shown_length(runtime, SHOWN_BYTES), runtime, shown_rest(runtime, SHOWN_BYTES),
		buf_string(&set));
}
