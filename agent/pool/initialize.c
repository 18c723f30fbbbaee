/* SPDX-License-Identifier: Apache-2.0 */

/* What a guest is told of its function. */

#include <errno.h>

#include "agent/pool/pool_internal.h"

#define AHEAD_INIT_MS 130000U /* Lambda's limit, or the function's own if that is longer */

Mayfly__Guest__V1__RuntimeKind initialize_runtime_kind(const char *runtime)
{
	if (strncmp(runtime, "python", 6) == 0)
		return MAYFLY__GUEST__V1__RUNTIME_KIND__RUNTIME_KIND_PYTHON;
	if (strncmp(runtime, "nodejs", 6) == 0)
		return MAYFLY__GUEST__V1__RUNTIME_KIND__RUNTIME_KIND_NODEJS;
	return MAYFLY__GUEST__V1__RUNTIME_KIND__RUNTIME_KIND_PROVIDED;
}

/* One allocation: the pointers, then what they point to. */
static int fill_environment(const struct function_config *config,
			    Mayfly__Guest__V1__Initialize *message)
{
	size_t n = config->environment_count;
	Mayfly__Guest__V1__EnvironmentVariable **pointers;
	Mayfly__Guest__V1__EnvironmentVariable *variables;

	if (n == 0)
		return 0;
	pointers = calloc(n, sizeof(*pointers) + sizeof(*variables));
	if (!pointers)
		return -ENOMEM;
	variables = (Mayfly__Guest__V1__EnvironmentVariable *)(pointers + n);
	for (size_t i = 0; i < n; i++) {
		mayfly__guest__v1__environment_variable__init(&variables[i]);
		variables[i].key = config->environment[i].key;
		variables[i].value = config->environment[i].value;
		pointers[i] = &variables[i];
	}
	message->environment = pointers;
	message->n_environment = n;
	return 0;
}

/* Of an INIT that no invocation waits for. */
static unsigned ahead_limit_ms(const struct function_config *config)
{
	unsigned timeout_ms = config->timeout_seconds * 1000U;

	return timeout_ms > AHEAD_INIT_MS ? timeout_ms : AHEAD_INIT_MS;
}

/* protobuf-c's strings are not const; packing only reads them. */
static char *text(const char *s)
{
	return (char *)(uintptr_t)(s ? s : "");
}

int initialize_fill(const struct version *version, const char *log_stream_name,
		    struct initialize *ret)
{
	const struct function_config *config = &version->config;
	const struct pool_config *pool = &version->pool->config;
	Mayfly__Guest__V1__Initialize *m = &ret->message;
	bool snap_start = version_has_snap_start(version);

	mayfly__guest__v1__initialize__init(m);
	log_group_name(version->function_name, config->log_group, ret->group);
	m->function_name = version->function_name;
	m->function_version = text(version->number_name);
	m->function_arn = version->arn;
	m->handler = text(config->handler);
	m->memory_mb = config->memory_size_mb;
	m->timeout_ms = config->timeout_seconds * 1000U;
	m->init_timeout_ms = pool->init_timeout_ms;
	if (snap_start)
		m->init_timeout_ms = ahead_limit_ms(config);
	m->initialization_type =
		snap_start ? MAYFLY__GUEST__V1__INITIALIZATION_TYPE__INITIALIZATION_TYPE_SNAP_START
			   : MAYFLY__GUEST__V1__INITIALIZATION_TYPE__INITIALIZATION_TYPE_ON_DEMAND;
	m->region = text(pool->region);
	m->account_id = version->tenant;
	m->runtime_name = text(config->runtime);
	m->log_group_name = ret->group;
	m->log_stream_name = text(log_stream_name);
	m->log_format = config->log_format == LOG_JSON
				? MAYFLY__GUEST__V1__LOG_FORMAT__LOG_FORMAT_JSON
				: MAYFLY__GUEST__V1__LOG_FORMAT__LOG_FORMAT_TEXT;
	m->application_log_level = text(config->application_log_level);
	m->ephemeral_storage_mb = config->ephemeral_storage_mb;
	m->layered = config->layer_count > 0;
	return fill_environment(config, m);
}

void initialize_add_code(const struct sandbox *sandbox, struct initialize *initialize)
{
	const struct version_code *code = &sandbox->version->code;

	if (code->files && !sandbox->placed) {
		initialize->message.files = code->files->files;
		initialize->message.n_files = code->files->n_files;
		initialize->message.layer_files = code->files->layer_files;
		initialize->message.n_layer_files = code->files->n_layer_files;
	}
	if (code->files && code->bytecode) {
		initialize->message.bytecode = code->bytecode->bytecode;
		initialize->message.n_bytecode = code->bytecode->n_bytecode;
	}
}

void initialize_set_provisioned(const struct version *version, struct initialize *initialize)
{
	initialize->message.initialization_type =
		MAYFLY__GUEST__V1__INITIALIZATION_TYPE__INITIALIZATION_TYPE_PROVISIONED_CONCURRENCY;
	initialize->message.init_timeout_ms = ahead_limit_ms(&version->config);
}

void initialize_clear(struct initialize *initialize)
{
	free(initialize->message.environment);
	initialize->message.environment = NULL;
}
