/* SPDX-License-Identifier: Apache-2.0 */

#include "environment.h"

#include <errno.h>
#include <stdio.h>

#include "process.h"
#include "runtime_api.h"

#define STRINGIFY_(x) #x
#define STRINGIFY(x)  STRINGIFY_(x)

struct pair {
	const char *key;
	const char *value;
};

void environment_clear(struct environment *environment)
{
	for (size_t i = 0; i < environment->len; i++)
		free(environment->entries[i]);
	*environment = (struct environment){ 0 };
}

static size_t find(const struct environment *environment, const char *key)
{
	size_t len = strlen(key);
	size_t i = 0;

	while (i < environment->len && (strncmp(environment->entries[i], key, len) != 0 ||
					environment->entries[i][len] != '='))
		i++;
	return i;
}

const char *environment_get(const struct environment *environment, const char *key)
{
	size_t i = find(environment, key);

	return i < environment->len ? environment->entries[i] + strlen(key) + 1 : NULL;
}

int environment_set(struct environment *environment, const char *key, const char *value)
{
	size_t i = find(environment, key);
	char *entry;

	if (i == ENVIRONMENT_MAX)
		return -E2BIG;
	/* Not by printf, which a clone under emulation would translate for this alone. */
	size_t key_len = strlen(key), value_len = strlen(value);
	entry = malloc(key_len + value_len + 2);
	if (!entry)
		return -ENOMEM;
	memcpy(entry, key, key_len);
	entry[key_len] = '=';
	memcpy(entry + key_len + 1, value, value_len + 1);
	if (i == environment->len)
		environment->len++;
	free(environment->entries[i]);
	environment->entries[i] = entry;
	return 0;
}

static int set_all(struct environment *environment, const struct pair *pairs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int r = pairs[i].value ? environment_set(environment, pairs[i].key, pairs[i].value)
				       : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

int environment_set_base(struct environment *environment, int runtime_kind)
{
	static const struct pair common[] = {
		{ "PATH", "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin" },
		{ "LD_LIBRARY_PATH",
		  "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:"
		  "/var/task/lib:/opt/lib" },
		{ "LANG", "en_US.UTF-8" },
		{ "TZ", ":UTC" },
		{ "PWD", "/var/task" },
		{ "SHLVL", "0" },
		{ "LAMBDA_TASK_ROOT", "/var/task" },
		{ "LAMBDA_RUNTIME_DIR", "/var/runtime" },
		{ "AWS_LAMBDA_RUNTIME_API", RUNTIME_API_ADDRESS ":" STRINGIFY(RUNTIME_API_PORT) },
		{ "AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR" },
		{ "AWS_XRAY_DAEMON_ADDRESS", "169.254.100.1:2000" },
		{ "_AWS_XRAY_DAEMON_ADDRESS", "169.254.100.1" },
		{ "_AWS_XRAY_DAEMON_PORT", "2000" },
	};
	static const struct pair python[] = {
		{ "PYTHONPATH", "/var/runtime" },
		{ "LC_CTYPE", "C.UTF-8" },
	};
	static const struct pair nodejs[] = {
		{ "NODE_PATH", "/opt/nodejs/node20/node_modules:/opt/nodejs/node_modules:"
			       "/var/runtime/node_modules:/var/runtime:/var/task" },
	};
	int r = set_all(environment, common, ARRAY_SIZE(common));

	if (r == 0 && runtime_kind == (int)RUNTIME(PYTHON))
		r = set_all(environment, python, ARRAY_SIZE(python));
	if (r == 0 && runtime_kind == (int)RUNTIME(NODEJS))
		r = set_all(environment, nodejs, ARRAY_SIZE(nodejs));
	if (r == 0 && runtime_kind != (int)RUNTIME(PROVIDED))
		r = environment_set(environment, "_LAMBDA_TELEMETRY_LOG_FD",
				    STRINGIFY(PROCESS_TELEMETRY_FD));
	return r;
}

static const char *initialization_type(int type)
{
	switch (type) {
	case INIT_TYPE(SNAP_START):
		return "snap-start";
	case INIT_TYPE(PROVISIONED_CONCURRENCY):
		return "provisioned-concurrency";
	default:
		return "on-demand";
	}
}

static int set_reserved(struct environment *environment, int runtime_kind,
			const initialize_message *initialize)
{
	char memory[16], execution[96];
	bool provided = runtime_kind == (int)RUNTIME(PROVIDED);
	bool json = initialize->log_format == MAYFLY__GUEST__V1__LOG_FORMAT__LOG_FORMAT_JSON;
	/* The log stream of a clone is not known when a SnapStart function initialises. */
	bool streams = initialize->initialization_type != INIT_TYPE(SNAP_START);

	(void)snprintf(memory, sizeof(memory), "%u", initialize->memory_mb);
	(void)snprintf(execution, sizeof(execution), "AWS_Lambda_%s", initialize->runtime_name);
	const struct pair pairs[] = {
		{ "_HANDLER", initialize->handler },
		{ "AWS_REGION", initialize->region },
		{ "AWS_DEFAULT_REGION", initialize->region },
		{ "AWS_EXECUTION_ENV", provided ? NULL : execution },
		{ "AWS_LAMBDA_FUNCTION_NAME", initialize->function_name },
		{ "AWS_LAMBDA_FUNCTION_VERSION", initialize->function_version },
		{ "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory },
		{ "AWS_LAMBDA_INITIALIZATION_TYPE",
		  initialization_type((int)initialize->initialization_type) },
		{ "AWS_LAMBDA_LOG_GROUP_NAME", streams ? initialize->log_group_name : NULL },
		{ "AWS_LAMBDA_LOG_STREAM_NAME", streams ? initialize->log_stream_name : NULL },
		{ "AWS_LAMBDA_LOG_FORMAT", json ? "JSON" : NULL },
		{ "AWS_LAMBDA_LOG_LEVEL", json && *initialize->application_log_level
						  ? initialize->application_log_level
						  : NULL },
	};
	return set_all(environment, pairs, ARRAY_SIZE(pairs));
}

int environment_set_function(struct environment *environment, int runtime_kind,
			     const initialize_message *initialize)
{
	int r = environment_set_base(environment, runtime_kind);

	for (size_t i = 0; r == 0 && i < initialize->n_environment; i++) {
		const Mayfly__Guest__V1__EnvironmentVariable *v = initialize->environment[i];
		if (*v->key)
			r = environment_set(environment, v->key, v->value);
	}
	return r < 0 ? r : set_reserved(environment, runtime_kind, initialize);
}

bool environment_needs_restart(const initialize_message *initialize)
{
	static const char *const prefixes[] = {
		"PYTHON",   "NODE_", "LD_", "LC_", "LANG",   "MALLOC_", "GLIBC_",
		"OPENSSL_", "SSL_",  "UV_", "V8_", "GCONV_", "LOCPATH", "AWS_LAMBDA_EXEC_WRAPPER",
	};

	for (size_t i = 0; i < initialize->n_environment; i++)
		for (size_t k = 0; k < ARRAY_SIZE(prefixes); k++)
			if (strncmp(initialize->environment[i]->key, prefixes[k],
				    strlen(prefixes[k])) == 0)
				return true;
	return false;
}

int environment_join(const struct environment *environment, struct buf *ret)
{
	for (size_t i = 0; i < environment->len; i++) {
		const char *entry = environment->entries[i];
		int r = buf_append(ret, entry, strlen(entry) + 1);
		if (r < 0)
			return r;
	}
	return 0;
}
