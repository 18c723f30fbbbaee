/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/function_message.h"

#include <errno.h>

static char *borrow(const char *text)
{
	return (char *)(uintptr_t)(text ? text : "");
}

static int encode_environment(const struct function_config *config, struct function_message *to)
{
	size_t count = config->environment_count;

	if (!count)
		return 0;
	to->variables = calloc(count, sizeof(*to->variables));
	to->pointers = calloc(count, sizeof(*to->pointers));
	if (!to->variables || !to->pointers)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		mayfly__v1__environment_variable__init(&to->variables[i]);
		to->variables[i].key = config->environment[i].key;
		to->variables[i].value = config->environment[i].value;
		to->pointers[i] = &to->variables[i];
	}
	to->message.environment = to->pointers;
	to->message.n_environment = count;
	return 0;
}

static void encode_layers(const struct function_config *config, struct function_message *to)
{
	for (size_t i = 0; i < config->layer_count; i++) {
		mayfly__v1__function_layer__init(&to->layers[i]);
		to->layers[i].arn = config->layers[i].arn;
		to->layers[i].code_size_bytes = config->layers[i].code_size_bytes;
		to->layer_pointers[i] = &to->layers[i];
	}
	to->message.layers = to->layer_pointers;
	to->message.n_layers = config->layer_count;
}

void function_message_add_tags(const struct function *function, struct function_tags *memory,
			       struct function_message *to)
{
	for (size_t i = 0; i < function->tags.count; i++) {
		mayfly__v1__function__tags_entry__init(&memory->tags[i]);
		memory->tags[i].key = function->tags.tags[i].key;
		memory->tags[i].value = function->tags.tags[i].value;
		memory->pointers[i] = &memory->tags[i];
	}
	to->message.tags = memory->pointers;
	to->message.n_tags = function->tags.count;
}

/* The protocol's enums have an unspecified zero before ours. */
static void encode_config(const struct function_config *config, struct function_message *to)
{
	Mayfly__V1__Function *message = &to->message;

	message->runtime = borrow(config->runtime);
	message->handler = borrow(config->handler);
	message->description = borrow(config->description);
	message->memory_size_mb = config->memory_size_mb;
	message->timeout_seconds = config->timeout_seconds;
	message->ephemeral_storage_mb = config->ephemeral_storage_mb;
	message->code_size_bytes = config->code_size_bytes;
	message->code_sha256 = borrow(config->code_sha256);

	mayfly__v1__snap_start__init(&to->snap_start);
	to->snap_start.apply_on = (Mayfly__V1__SnapStartApplyOn)(config->snap_start + 1);
	message->snap_start = &to->snap_start;

	if (config->tenancy != TENANCY_SHARED) {
		mayfly__v1__tenancy_config__init(&to->tenancy);
		to->tenancy.tenant_isolation_mode =
			(Mayfly__V1__TenantIsolationMode)config->tenancy;
		message->tenancy_config = &to->tenancy;
	}

	mayfly__v1__logging_config__init(&to->logging);
	to->logging.log_format = (Mayfly__V1__LogFormat)(config->log_format + 1);
	to->logging.log_group = borrow(config->log_group);
	to->logging.application_log_level = borrow(config->application_log_level);
	to->logging.system_log_level = borrow(config->system_log_level);
	message->logging_config = &to->logging;
	encode_layers(config, to);

	mayfly__v1__dead_letter_config__init(&to->dead_letters);
	to->dead_letters.target_arn = borrow(config->dead_letter_target);
	message->dead_letter_config = config->dead_letter_target ? &to->dead_letters : NULL;
}

static void encode_states(const struct function *function, Mayfly__V1__Function *message)
{
	message->state = (Mayfly__V1__FunctionState)(function->state + 1);
	message->state_reason = borrow(function->state_reason);
	message->state_reason_code = borrow(function->state_reason_code);
	/* As Lambda: there is no update to speak of while it is being created. */
	if (function->state == FUNCTION_PENDING)
		return;
	message->last_update_status = (Mayfly__V1__LastUpdateStatus)(function->update_status + 1);
	message->last_update_status_reason = borrow(function->update_reason);
	message->last_update_status_reason_code = borrow(function->update_reason_code);
}

int function_message_encode(const struct function *function, const char *region,
			    const char *qualifier, struct function_message *to)
{
	const struct function_config *config = function_visible_config(function);
	Mayfly__V1__Function *message = &to->message;

	*to = (struct function_message){ 0 };
	mayfly__v1__function__init(message);
	to->arn = function_arn(region, function->tenant, function->name, qualifier);
	if (!to->arn)
		return -ENOMEM;
	message->tenant = function->tenant;
	message->function_name = function->name;
	message->function_arn = to->arn;
	function_version_name(function->version, to->version);
	message->version = to->version;
	message->revision_id = borrow(function->revision_id);
	message->last_modified_us = function->last_modified_us;
	encode_config(config, to);
	encode_states(function, message);
	/* A function template is what serves, once it is there. */
	to->snap_start.optimized =
		function_config_has_snap_start(&function->config, function->version) &&
		function->state == FUNCTION_ACTIVE && !function->update;
	return encode_environment(config, to);
}

void function_message_clear(struct function_message *message)
{
	free(message->variables);
	free(message->pointers);
	free(message->arn);
}

static const char *given(const char *text)
{
	return text[0] ? text : NULL;
}

static int decode_environment(size_t count, Mayfly__V1__EnvironmentVariable *const *variables,
			      struct decoded_patch *to)
{
	to->patch.has_environment = true;
	if (!count)
		return 0;
	to->environment = calloc(count, sizeof(*to->environment));
	if (!to->environment)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		to->environment[i] =
			(struct environment_variable){ variables[i]->key, variables[i]->value };
	to->patch.environment = to->environment;
	to->patch.environment_count = count;
	return 0;
}

/* A number that the enum does not have passes as it is, for the validation to refuse. */
static void decode_snap_start(const Mayfly__V1__SnapStart *from, struct decoded_patch *to)
{
	if (!from ||
	    from->apply_on == MAYFLY__V1__SNAP_START_APPLY_ON__SNAP_START_APPLY_ON_UNSPECIFIED)
		return;
	to->snap_start = (enum snap_start)(from->apply_on - 1);
	to->patch.snap_start = &to->snap_start;
}

/* The protocol's unspecified zero is what a function without a TenancyConfig has; in one that is
 * given, it is as wrong as an unknown number. */
static void decode_tenancy(const Mayfly__V1__TenancyConfig *from, struct decoded_patch *to)
{
	if (!from)
		return;
	to->tenancy = from->tenant_isolation_mode ? (enum tenancy)from->tenant_isolation_mode
						  : _TENANCY_MAX;
	to->patch.tenancy = &to->tenancy;
}

static void decode_logging(const Mayfly__V1__LoggingConfig *from, struct decoded_patch *to)
{
	if (!from)
		return;
	to->patch.log_group = given(from->log_group);
	to->patch.application_log_level = given(from->application_log_level);
	to->patch.system_log_level = given(from->system_log_level);
	if (from->log_format == MAYFLY__V1__LOG_FORMAT__LOG_FORMAT_UNSPECIFIED)
		return;
	to->log_format = (enum log_format)(from->log_format - 1);
	to->patch.log_format = &to->log_format;
}

static void decode_layers(size_t count, char *const *arns, struct decoded_patch *to)
{
	to->patch.has_layers = true;
	to->patch.layer_arns = (const char *const *)arns;
	to->patch.layer_count = count;
}

static int decode_tags(size_t count, Mayfly__V1__CreateFunctionRequest__TagsEntry *const *tags,
		       struct decoded_patch *to)
{
	if (!count)
		return 0;
	to->tags = calloc(count, sizeof(*to->tags));
	if (!to->tags)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		to->tags[i] = (struct tag){ tags[i]->key, tags[i]->value };
	to->tag_count = count;
	return 0;
}

static void decode_dead_letters(const Mayfly__V1__DeadLetterConfig *from, struct decoded_patch *to)
{
	if (from)
		to->patch.dead_letter_target = from->target_arn;
}

int decode_create(const Mayfly__V1__CreateFunctionRequest *request, struct decoded_patch *to)
{
	struct function_patch *patch = &to->patch;

	*to = (struct decoded_patch){ 0 };
	patch->runtime = request->runtime;
	patch->handler = request->handler;
	patch->description = request->description;
	patch->memory_size_mb = request->_memory_size_mb_case ? &request->memory_size_mb : NULL;
	patch->timeout_seconds = request->_timeout_seconds_case ? &request->timeout_seconds : NULL;
	patch->ephemeral_storage_mb =
		request->_ephemeral_storage_mb_case ? &request->ephemeral_storage_mb : NULL;
	decode_snap_start(request->snap_start, to);
	decode_tenancy(request->tenancy_config, to);
	decode_logging(request->logging_config, to);
	decode_dead_letters(request->dead_letter_config, to);
	decode_layers(request->n_layers, request->layers, to);
	if (decode_tags(request->n_tags, request->tags, to) < 0)
		return -ENOMEM;
	return decode_environment(request->n_environment, request->environment, to);
}

int decode_update(const Mayfly__V1__UpdateFunctionConfigurationRequest *request,
		  struct decoded_patch *to)
{
	struct function_patch *patch = &to->patch;

	/* Optional fields are oneofs of one; their case is 0 when not given. */
	*to = (struct decoded_patch){ 0 };
	patch->runtime = request->_runtime_case ? request->runtime : NULL;
	patch->handler = request->_handler_case ? request->handler : NULL;
	patch->description = request->_description_case ? request->description : NULL;
	patch->memory_size_mb = request->_memory_size_mb_case ? &request->memory_size_mb : NULL;
	patch->timeout_seconds = request->_timeout_seconds_case ? &request->timeout_seconds : NULL;
	patch->ephemeral_storage_mb =
		request->_ephemeral_storage_mb_case ? &request->ephemeral_storage_mb : NULL;
	decode_snap_start(request->snap_start, to);
	decode_logging(request->logging_config, to);
	decode_dead_letters(request->dead_letter_config, to);
	if (request->layers)
		decode_layers(request->layers->n_arns, request->layers->arns, to);
	if (!request->environment)
		return 0;
	return decode_environment(request->environment->n_variables,
				  request->environment->variables, to);
}

void decoded_patch_clear(struct decoded_patch *patch)
{
	free(patch->environment);
	free(patch->tags);
}
