/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/deploy/record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/deploy/record_environment.h"
#include "agent/deploy/record_layer.h"
#include "agent/deploy/record_policy.h"
#include "agent/deploy/record_tags.h"
#include "mayfly/id.h"
#include "mayfly/store/v1/function.pb-c.h"

/* An optional field is there when its case is its number; protobuf-c's own name for that is longer
 * than a line. */
#define RESERVED_IS_SET 40 /* of StoredFunction */

typedef Mayfly__Store__V1__StoredFunction stored_function;
typedef Mayfly__Store__V1__StoredConfig stored_config;
typedef Mayfly__Store__V1__StoredVariable stored_variable;
typedef Mayfly__Store__V1__StoredEnvironment stored_environment;

static void stored_function_free(stored_function *stored)
{
	mayfly__store__v1__stored_function__free_unpacked(stored, NULL);
}
DEFINE_CLEANUP(stored_function, stored_function_free)

void record_key(const char *tenant, const char *name, uint64_t version, char out[RECORD_KEY_BYTES])
{
	char number[FUNCTION_VERSION_BYTES];

	function_version_name(version, number);
	(void)snprintf(out, RECORD_KEY_BYTES, RECORD_PREFIX "%s/%s%s%s", tenant, name,
		       version ? ":" : "", version ? number : "");
}

void record_versions_prefix(const char *tenant, const char *name, char out[RECORD_KEY_BYTES])
{
	(void)snprintf(out, RECORD_KEY_BYTES, RECORD_PREFIX "%s/%s:", tenant, name);
}

/* protobuf-c packs from these pointers and does not change what they point to. */
static char *borrow(const char *text)
{
	return text ? (char *)(uintptr_t)text : (char *)(uintptr_t) "";
}

/* A config's message, with its variables in memory of its own. */
struct config_message {
	stored_config message;
	stored_variable *variables;
	stored_variable **pointers;
	struct buf sealed;
	struct record_layers layers;
};

static void config_message_clear(struct config_message *config)
{
	free(config->variables);
	free(config->pointers);
	buf_free(&config->sealed);
	record_layers_clear(&config->layers);
}

static int encode_environment(const struct function_config *from, const struct function *whose,
			      const struct master_key *key, struct config_message *to)
{
	int r;

	if (!from->environment_count)
		return 0;
	to->variables = calloc(from->environment_count, sizeof(*to->variables));
	to->pointers = calloc(from->environment_count, sizeof(*to->pointers));
	if (!to->variables || !to->pointers)
		return -ENOMEM;
	for (size_t i = 0; i < from->environment_count; i++) {
		mayfly__store__v1__stored_variable__init(&to->variables[i]);
		to->variables[i].key = from->environment[i].key;
		to->variables[i].value = from->environment[i].value;
		to->pointers[i] = &to->variables[i];
	}
	r = record_seal_environment(key, whose->tenant, whose->name, to->pointers,
				    from->environment_count, &to->sealed);
	to->message.sealed_environment =
		(ProtobufCBinaryData){ .len = to->sealed.len, .data = to->sealed.data };
	return r;
}

static int encode_config(const struct function_config *from, const struct function *whose,
			 const struct master_key *key, struct config_message *to)
{
	stored_config *message = &to->message;

	mayfly__store__v1__stored_config__init(message);
	message->runtime = borrow(from->runtime);
	message->handler = borrow(from->handler);
	message->description = borrow(from->description);
	message->memory_size_mb = from->memory_size_mb;
	message->timeout_seconds = from->timeout_seconds;
	message->ephemeral_storage_mb = from->ephemeral_storage_mb;
	message->snap_start = (Mayfly__Store__V1__StoredSnapStart)from->snap_start;
	message->tenancy = (Mayfly__Store__V1__StoredTenancy)from->tenancy;
	message->log_format = (Mayfly__Store__V1__StoredLogFormat)from->log_format;
	message->log_group = borrow(from->log_group);
	message->application_log_level = borrow(from->application_log_level);
	message->system_log_level = borrow(from->system_log_level);
	message->dead_letter_target = borrow(from->dead_letter_target);
	message->package_digest = borrow(from->package_digest);
	message->code_sha256 = borrow(from->code_sha256);
	message->code_size_bytes = from->code_size_bytes;
	message->code_digest = borrow(from->code_digest);
	message->unzipped_bytes = from->unzipped_bytes;
	if (record_layers_encode(from, &to->layers, message) < 0)
		return -ENOMEM;
	return encode_environment(from, whose, key, to);
}

static int pack(const stored_function *message, struct buf *ret)
{
	int r = buf_reserve(ret, mayfly__store__v1__stored_function__get_packed_size(message));

	if (r < 0)
		return r;
	ret->len = mayfly__store__v1__stored_function__pack(message, ret->data);
	return 0;
}

int record_encode(const struct function *function, const char *upload_id,
		  const struct master_key *key, struct buf *ret)
{
	_cleanup_(config_message_clear) struct config_message config = { 0 };
	_cleanup_(config_message_clear) struct config_message update = { 0 };
	_cleanup_(record_clear_policy) struct policy_message policy = { 0 };
	_cleanup_(record_tags_clear) struct record_tags tags = { 0 };
	stored_function message = MAYFLY__STORE__V1__STORED_FUNCTION__INIT;

	int r = encode_config(&function->config, function, key, &config);

	if (r >= 0 && function->update)
		r = encode_config(function->update, function, key, &update);
	if (r >= 0)
		r = record_fill_policy(function->policy, &policy);
	if (r >= 0)
		r = record_tags_encode(&function->tags, &tags, &message);
	if (r < 0)
		return r;
	message.tenant = function->tenant;
	message.name = function->name;
	message.config = &config.message;
	message.update = function->update ? &update.message : NULL;
	/* The stored enums have an unspecified zero before ours. */
	message.state = (Mayfly__Store__V1__StoredState)(function->state + 1);
	message.state_reason = borrow(function->state_reason);
	message.state_reason_code = borrow(function->state_reason_code);
	message.update_status =
		(Mayfly__Store__V1__StoredUpdateStatus)(function->update_status + 1);
	message.update_reason = borrow(function->update_reason);
	message.update_reason_code = borrow(function->update_reason_code);
	message.revision_id = borrow(function->revision_id);
	message.last_modified_us = function->last_modified_us;
	message.upload_id = borrow(upload_id);
	if (function->has_reserved_concurrency)
		message._reserved_concurrency_case = RESERVED_IS_SET;
	message.reserved_concurrency = function->reserved_concurrency;
	message.provisioned_concurrency = function->provisioned;
	message.provisioned_us = function->provisioned_us;
	message.version = function->version;
	message.source_description = borrow(function->source_description);
	message.policy = policy.pointers;
	message.n_policy = policy.count;
	return pack(&message, ret);
}

/* "" is an absent value where NULL means absent. */
static int decode_optional(char **to, const char *from)
{
	*to = from[0] ? strdup(from) : NULL;
	return from[0] && !*to ? -ENOMEM : 0;
}

static int decode_string(char **to, const char *from)
{
	*to = strdup(from);
	return *to ? 0 : -ENOMEM;
}

static int decode_variables(stored_variable *const *from, size_t count, struct function_config *to)
{
	if (!count)
		return 0;
	to->environment = calloc(count, sizeof(*to->environment));
	if (!to->environment)
		return -ENOMEM;
	to->environment_count = count;
	for (size_t i = 0; i < count; i++)
		if (decode_string(&to->environment[i].key, from[i]->key) < 0 ||
		    decode_string(&to->environment[i].value, from[i]->value) < 0)
			return -ENOMEM;
	return 0;
}

static int decode_environment(const stored_config *from, const stored_function *whose,
			      const struct master_key *key, struct function_config *to)
{
	struct slice sealed =
		slice_new(from->sealed_environment.data, from->sealed_environment.len);
	stored_environment *environment;
	int r;

	if (sealed.len == 0)
		return decode_variables(from->environment, from->n_environment, to);
	r = record_open_environment(key, whose->tenant, whose->name, sealed, &environment);
	if (r < 0)
		return r;
	r = decode_variables(environment->variables, environment->n_variables, to);
	mayfly__store__v1__stored_environment__free_unpacked(environment, NULL);
	return r;
}

static int decode_config(const stored_config *from, const stored_function *whose,
			 const struct master_key *key, struct function_config *to)
{
	to->memory_size_mb = from->memory_size_mb;
	to->timeout_seconds = from->timeout_seconds;
	to->ephemeral_storage_mb = from->ephemeral_storage_mb;
	to->snap_start = (enum snap_start)from->snap_start;
	to->tenancy = (enum tenancy)from->tenancy;
	to->log_format = (enum log_format)from->log_format;
	to->code_size_bytes = from->code_size_bytes;
	to->unzipped_bytes = from->unzipped_bytes;
	if (decode_string(&to->runtime, from->runtime) < 0 ||
	    decode_string(&to->handler, from->handler) < 0 ||
	    decode_string(&to->description, from->description) < 0 ||
	    decode_string(&to->log_group, from->log_group) < 0 ||
	    decode_optional(&to->application_log_level, from->application_log_level) < 0 ||
	    decode_optional(&to->system_log_level, from->system_log_level) < 0 ||
	    decode_optional(&to->dead_letter_target, from->dead_letter_target) < 0 ||
	    decode_optional(&to->package_digest, from->package_digest) < 0 ||
	    decode_optional(&to->code_digest, from->code_digest) < 0 ||
	    decode_optional(&to->code_sha256, from->code_sha256) < 0)
		return -ENOMEM;
	int r = record_layers_decode(from, to);
	return r < 0 ? r : decode_environment(from, whose, key, to);
}

static bool is_sound(const stored_function *message)
{
	return message && message->config && tenant_id_is_valid(message->tenant) &&
	       function_validate_name(message->name, NULL) == 0 &&
	       message->state >= MAYFLY__STORE__V1__STORED_STATE__STORED_STATE_PENDING &&
	       (unsigned)message->state <= function_states.count &&
	       message->update_status >=
		       MAYFLY__STORE__V1__STORED_UPDATE_STATUS__STORED_UPDATE_STATUS_SUCCESSFUL &&
	       (unsigned)message->update_status <= update_statuses.count &&
	       strlen(message->revision_id) == UUID_BYTES - 1;
}

static int decode_texts(const stored_function *from, struct function *to)
{
	if (decode_string(&to->tenant, from->tenant) < 0 ||
	    decode_string(&to->name, from->name) < 0 ||
	    decode_optional(&to->state_reason, from->state_reason) < 0 ||
	    decode_optional(&to->state_reason_code, from->state_reason_code) < 0 ||
	    decode_optional(&to->update_reason, from->update_reason) < 0 ||
	    decode_optional(&to->update_reason_code, from->update_reason_code) < 0)
		return -ENOMEM;
	return from->version ? decode_string(&to->source_description, from->source_description) : 0;
}

static int decode_function(const stored_function *from, const struct master_key *key,
			   struct function *to)
{
	int r = record_decode_policy(from->policy, from->n_policy, &to->policy);

	if (r < 0)
		return r;
	to->state = (enum function_state)(from->state - 1);
	to->update_status = (enum update_status)(from->update_status - 1);
	to->version = from->version;
	to->last_modified_us = from->last_modified_us;
	to->has_reserved_concurrency = from->_reserved_concurrency_case != 0;
	if (to->has_reserved_concurrency)
		to->reserved_concurrency = from->reserved_concurrency;
	to->provisioned = from->provisioned_concurrency;
	to->provisioned_us = from->provisioned_us;
	memcpy(to->revision_id, from->revision_id, UUID_BYTES);
	if (decode_texts(from, to) < 0 || record_tags_decode(from, &to->tags) < 0)
		return -ENOMEM;
	r = decode_config(from->config, from, key, &to->config);
	if (r < 0 || !from->update)
		return r;
	to->update = calloc(1, sizeof(*to->update));
	return to->update ? decode_config(from->update, from, key, to->update) : -ENOMEM;
}

int record_decode(struct slice bytes, const struct master_key *key, struct function **ret,
		  char **ret_upload_id, struct error *error)
{
	_cleanup_(stored_function_free_p) stored_function *message =
		mayfly__store__v1__stored_function__unpack(NULL, bytes.len, bytes.data);
	_cleanup_(function_free_p) struct function *function = NULL;
	_cleanup_free_ char *upload_id = NULL;
	int r;

	if (!is_sound(message))
		return error_set(error, ERROR_INTERNAL, NULL,
				 "A function's record in the registry is damaged.");
	function = calloc(1, sizeof(*function));
	if (!function || decode_string(&upload_id, message->upload_id) < 0)
		return error_set_errno(error, ENOMEM, "Cannot read a function's record");
	r = decode_function(message, key, function);
	if (r == -EBADMSG)
		return error_set(
			error, ERROR_INTERNAL, NULL,
			"The environment of a function was sealed with another master key, "
			"or is damaged.");
	if (r == -EUCLEAN)
		return error_set(error, ERROR_INTERNAL, NULL,
				 "The policy in a function's record is damaged.");
	if (r < 0)
		return error_set_errno(error, r, "Cannot read a function's record");
	*ret = TAKE_PTR(function);
	*ret_upload_id = TAKE_PTR(upload_id);
	return 0;
}

/* -- numbering -- */

void numbering_key(const char *tenant, const char *name, char out[RECORD_KEY_BYTES])
{
	(void)snprintf(out, RECORD_KEY_BYTES, NUMBERING_PREFIX "%s/%s", tenant, name);
}

int numbering_encode(const struct numbering *numbering, struct buf *ret)
{
	Mayfly__Store__V1__StoredNumbering message = MAYFLY__STORE__V1__STORED_NUMBERING__INIT;
	int r;

	message.tenant = borrow(numbering->tenant);
	message.name = borrow(numbering->name);
	message.last_version = numbering->last_version;
	r = buf_reserve(ret, mayfly__store__v1__stored_numbering__get_packed_size(&message));
	if (r < 0)
		return r;
	ret->len = mayfly__store__v1__stored_numbering__pack(&message, ret->data);
	return 0;
}

int numbering_decode(struct slice bytes, struct numbering *ret, struct error *error)
{
	Mayfly__Store__V1__StoredNumbering *message =
		mayfly__store__v1__stored_numbering__unpack(NULL, bytes.len, bytes.data);
	bool sound = message && tenant_id_is_valid(message->tenant) &&
		     function_validate_name(message->name, NULL) == 0 && message->last_version > 0;

	if (sound) {
		(void)snprintf(ret->tenant, sizeof(ret->tenant), "%s", message->tenant);
		(void)snprintf(ret->name, sizeof(ret->name), "%s", message->name);
		ret->last_version = message->last_version;
	}
	if (message)
		mayfly__store__v1__stored_numbering__free_unpacked(message, NULL);
	return sound ? 0
		     : error_set(error, ERROR_INTERNAL, NULL,
				 "A record of version numbers in the registry is damaged.");
}
