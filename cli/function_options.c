/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/function_options.h"

#include <errno.h>

#include "cli/output.h"
#include "cli/package.h"
#include "cli/shorthand.h"

static int parse_environment(const char *text, struct function_options *ret, struct error *e)
{
	int r = shorthand_parse("environment", text, &ret->environment_json, e);
	if (r < 0)
		return r;
	const json_t *variables = json_object_get(ret->environment_json, "Variables");
	if (!json_is_object(variables))
		return error_set(e, ERROR_INVALID_PARAMETER, "environment",
				 "--environment takes Variables={KEY=value,...}");

	size_t n = json_object_size(variables);
	ret->variables = calloc(n + 1, sizeof(*ret->variables));
	ret->pointers = calloc(n + 1, sizeof(*ret->pointers));
	if (!ret->variables || !ret->pointers)
		return error_set_errno(e, ENOMEM, "cannot read --environment");
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)variables, key, value)
	{
		if (!json_is_string(value))
			return error_set(e, ERROR_INVALID_PARAMETER, "environment",
					 "the value of the variable %s is not a text", key);
		Mayfly__V1__EnvironmentVariable *variable = &ret->variables[ret->n_variables];
		mayfly__v1__environment_variable__init(variable);
		variable->key = (char *)key;
		variable->value = (char *)json_string_value(value);
		ret->pointers[ret->n_variables++] = variable;
	}
	ret->has_environment = true;
	return 0;
}

static int parse_storage(const struct arguments *arguments, struct function_options *ret,
			 struct error *e)
{
	const char *text = argument(arguments, "ephemeral-storage");
	_cleanup_json_ json_t *object = NULL;
	if (!text)
		return 0;
	ret->has_storage = true;
	if (!strpbrk(text, "={"))
		return argument_number(arguments, "ephemeral-storage", UINT32_MAX, &ret->storage_mb,
				       e);

	int r = shorthand_parse("ephemeral-storage", text, &object, e);
	if (r < 0)
		return r;
	const json_t *size = json_object_get(object, "Size");
	if (json_is_integer(size))
		ret->storage_mb = (uint64_t)json_integer_value(size);
	else
		ret->storage_mb =
			json_is_string(size) ? strtoull(json_string_value(size), NULL, 10) : 0;
	if (ret->storage_mb == 0 || ret->storage_mb > UINT32_MAX)
		return error_set(e, ERROR_INVALID_PARAMETER, "ephemeral-storage",
				 "--ephemeral-storage takes a number of MB or Size=MB");
	return 0;
}

static int parse_snap_start(const char *text, struct function_options *ret, struct error *e)
{
	static const char *const values[] = { "", "None", "PublishedVersions", "Latest" };
	_cleanup_json_ json_t *object = NULL;
	const char *apply_on = text;

	if (strpbrk(text, "={")) {
		int r = shorthand_parse("snap-start", text, &object, e);
		if (r < 0)
			return r;
		apply_on = json_string_value(json_object_get(object, "ApplyOn"));
	}
	mayfly__v1__snap_start__init(&ret->snap_start);
	for (size_t i = 1; i < ARRAY_SIZE(values); i++)
		if (apply_on && strcmp(apply_on, values[i]) == 0)
			ret->snap_start.apply_on = (Mayfly__V1__SnapStartApplyOn)i;
	if (ret->snap_start.apply_on == 0)
		return error_set(e, ERROR_INVALID_PARAMETER, "snap-start",
				 "--snap-start takes ApplyOn=None, ApplyOn=PublishedVersions or "
				 "ApplyOn=Latest");
	ret->has_snap_start = true;
	return 0;
}

static int parse_log_format(const char *text, struct function_options *ret, struct error *e)
{
	if (strcmp(text, "JSON") == 0)
		ret->logging.log_format = MAYFLY__V1__LOG_FORMAT__LOG_FORMAT_JSON;
	else if (strcmp(text, "Text") == 0)
		ret->logging.log_format = MAYFLY__V1__LOG_FORMAT__LOG_FORMAT_TEXT;
	else
		return error_set(e, ERROR_INVALID_PARAMETER, "log-format",
				 "the log format is Text or JSON, not '%s'", text);
	ret->has_logging = true;
	return 0;
}

static int parse_logging(const char *text, struct function_options *ret, struct error *e)
{
	int r = shorthand_parse("logging-config", text, &ret->logging_json, e);
	if (r < 0)
		return r;
	const char *key;
	json_t *value;
	json_object_foreach(ret->logging_json, key, value)
	{
		char *word = (char *)json_string_value(value);
		if (!word)
			return error_set(e, ERROR_INVALID_PARAMETER, "logging-config",
					 "the value of %s is not a text", key);
		if (strcmp(key, "LogFormat") == 0) {
			r = parse_log_format(word, ret, e);
			if (r < 0)
				return r;
		} else if (strcmp(key, "LogGroup") == 0) {
			ret->logging.log_group = word;
		} else if (strcmp(key, "ApplicationLogLevel") == 0) {
			ret->logging.application_log_level = word;
		} else if (strcmp(key, "SystemLogLevel") == 0) {
			ret->logging.system_log_level = word;
		} else {
			return error_set(e, ERROR_INVALID_PARAMETER, "logging-config",
					 "--logging-config has no member %s", key);
		}
	}
	ret->has_logging = true;
	return 0;
}

static int parse_dead_letters(const char *text, struct function_options *ret, struct error *e)
{
	int r = shorthand_parse("dead-letter-config", text, &ret->dead_letters_json, e);
	const char *target;

	if (r < 0)
		return r;
	target = json_string_value(json_object_get(ret->dead_letters_json, "TargetArn"));
	if (!target || json_object_size(ret->dead_letters_json) != 1)
		return error_set(e, ERROR_INVALID_PARAMETER, "dead-letter-config",
				 "--dead-letter-config takes TargetArn=ARN");
	mayfly__v1__dead_letter_config__init(&ret->dead_letters);
	ret->dead_letters.target_arn = (char *)target;
	ret->has_dead_letters = true;
	return 0;
}

static int parse_numbers(const struct arguments *arguments, struct function_options *ret,
			 struct error *e)
{
	ret->has_memory = argument(arguments, "memory-size") != NULL;
	ret->has_timeout = argument(arguments, "timeout") != NULL;
	int r = argument_number(arguments, "memory-size", UINT32_MAX, &ret->memory_mb, e);
	if (r == 0)
		r = argument_number(arguments, "timeout", UINT32_MAX, &ret->timeout_s, e);
	if (r == 0)
		r = parse_storage(arguments, ret, e);
	return r;
}

int function_options_parse(const struct arguments *arguments, struct function_options *ret,
			   struct error *e)
{
	const char *environment = argument(arguments, "environment");
	const char *snap_start = argument(arguments, "snap-start");
	const char *log_format = argument(arguments, "log-format");
	const char *logging = argument(arguments, "logging-config");
	const char *dead_letters = argument(arguments, "dead-letter-config");

	mayfly__v1__logging_config__init(&ret->logging);
	ret->has_layers = argument(arguments, "layers") != NULL;
	int r = parse_numbers(arguments, ret, e);
	if (r == 0)
		r = argument_list(arguments, "layers", &ret->layers, &ret->n_layers, e);
	if (r == 0 && environment)
		r = parse_environment(environment, ret, e);
	if (r == 0 && snap_start)
		r = parse_snap_start(snap_start, ret, e);
	if (r == 0 && logging)
		r = parse_logging(logging, ret, e);
	if (r == 0 && log_format)
		r = parse_log_format(log_format, ret, e);
	if (r == 0 && dead_letters)
		r = parse_dead_letters(dead_letters, ret, e);
	return r;
}

int function_options_parse_tenancy(const struct arguments *arguments, struct function_options *ret,
				   struct error *e)
{
	const char *text = argument(arguments, "tenancy-config");
	_cleanup_json_ json_t *object = NULL;
	const char *mode = text;

	if (!text)
		return 0;
	if (strpbrk(text, "={")) {
		int r = shorthand_parse("tenancy-config", text, &object, e);
		if (r < 0)
			return r;
		mode = json_string_value(json_object_get(object, "TenantIsolationMode"));
	}
	if (!mode || strcmp(mode, "PER_TENANT") != 0)
		return error_set(e, ERROR_INVALID_PARAMETER, "tenancy-config",
				 "--tenancy-config takes TenantIsolationMode=PER_TENANT");
	mayfly__v1__tenancy_config__init(&ret->tenancy);
	ret->tenancy.tenant_isolation_mode =
		MAYFLY__V1__TENANT_ISOLATION_MODE__TENANT_ISOLATION_MODE_PER_TENANT;
	ret->has_tenancy = true;
	return 0;
}

int function_options_read_code(const struct arguments *arguments, struct function_options *ret,
			       struct error *e)
{
	const char *zip = argument(arguments, "zip");
	const char *zip_file = argument(arguments, "zip-file");
	const char *dir = argument(arguments, "dir");

	if ((zip != NULL) + (zip_file != NULL) + (dir != NULL) != 1)
		return error_set(e, ERROR_INVALID_PARAMETER, "zip",
				 "give the code with one of --zip, --zip-file and --dir");
	if (dir)
		return package_from_directory(dir, &ret->zip, e);
	return package_from_file(zip ? zip : zip_file, &ret->zip, e);
}

void function_options_clear(struct function_options *options)
{
	free(options->variables);
	free(options->pointers);
	argument_list_free(options->layers, options->n_layers);
	json_decref(options->environment_json);
	json_decref(options->logging_json);
	json_decref(options->dead_letters_json);
	buf_free(&options->zip);
}
