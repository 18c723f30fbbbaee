/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/functions/function.h"

static void clear_environment(struct function_config *config)
{
	for (size_t i = 0; i < config->environment_count; i++) {
		free(config->environment[i].key);
		free(config->environment[i].value);
	}
	free(config->environment);
	config->environment = NULL;
	config->environment_count = 0;
}

static void clear_layers(struct function_config *config)
{
	for (size_t i = 0; i < config->layer_count; i++) {
		free(config->layers[i].arn);
		free(config->layers[i].content);
	}
	free(config->layers);
	config->layers = NULL;
	config->layer_count = 0;
}

void function_config_clear(struct function_config *config)
{
	clear_environment(config);
	clear_layers(config);
	free(config->runtime);
	free(config->handler);
	free(config->description);
	free(config->log_group);
	free(config->application_log_level);
	free(config->system_log_level);
	free(config->dead_letter_target);
	free(config->package_digest);
	free(config->code_digest);
	free(config->code_sha256);
	*config = (struct function_config){ 0 };
}

/* Replaces; NULL stays NULL. */
static int set_string(char **to, const char *from)
{
	char *copy = from ? strdup(from) : NULL;

	if (from && !copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

static int set_environment(struct function_config *config,
			   const struct environment_variable *environment, size_t count)
{
	struct function_config fresh = { 0 };

	fresh.environment = count ? calloc(count, sizeof(*fresh.environment)) : NULL;
	if (count && !fresh.environment)
		return -ENOMEM;
	fresh.environment_count = count;
	for (size_t i = 0; i < count; i++) {
		if (set_string(&fresh.environment[i].key, environment[i].key) < 0 ||
		    set_string(&fresh.environment[i].value, environment[i].value) < 0) {
			clear_environment(&fresh);
			return -ENOMEM;
		}
	}
	clear_environment(config);
	config->environment = fresh.environment;
	config->environment_count = fresh.environment_count;
	return 0;
}

int function_config_set_layers(struct function_config *config, const struct function_layer *layers,
			       size_t count)
{
	struct function_config fresh = { 0 };

	fresh.layers = count ? calloc(count, sizeof(*fresh.layers)) : NULL;
	if (count && !fresh.layers)
		return -ENOMEM;
	fresh.layer_count = count;
	for (size_t i = 0; i < count; i++) {
		fresh.layers[i].code_size_bytes = layers[i].code_size_bytes;
		fresh.layers[i].unzipped_bytes = layers[i].unzipped_bytes;
		if (set_string(&fresh.layers[i].arn, layers[i].arn) < 0 ||
		    set_string(&fresh.layers[i].content, layers[i].content) < 0) {
			clear_layers(&fresh);
			return -ENOMEM;
		}
	}
	clear_layers(config);
	config->layers = fresh.layers;
	config->layer_count = fresh.layer_count;
	return 0;
}

bool function_config_same_layers(const struct function_config *a, const struct function_config *b)
{
	bool same = a->layer_count == b->layer_count;

	for (size_t i = 0; same && i < a->layer_count; i++)
		same = strcmp(a->layers[i].arn, b->layers[i].arn) == 0;
	return same;
}

int function_config_copy(struct function_config *to, const struct function_config *from)
{
	struct function_config copy = *from;

	copy.runtime = copy.handler = copy.description = copy.log_group = NULL;
	copy.application_log_level = copy.system_log_level = NULL;
	copy.dead_letter_target = NULL;
	copy.package_digest = copy.code_digest = copy.code_sha256 = NULL;
	copy.environment = NULL;
	copy.environment_count = 0;
	copy.layers = NULL;
	copy.layer_count = 0;
	if (set_string(&copy.runtime, from->runtime) < 0 ||
	    set_string(&copy.handler, from->handler) < 0 ||
	    set_string(&copy.description, from->description) < 0 ||
	    set_string(&copy.log_group, from->log_group) < 0 ||
	    set_string(&copy.application_log_level, from->application_log_level) < 0 ||
	    set_string(&copy.system_log_level, from->system_log_level) < 0 ||
	    set_string(&copy.dead_letter_target, from->dead_letter_target) < 0 ||
	    set_string(&copy.package_digest, from->package_digest) < 0 ||
	    set_string(&copy.code_digest, from->code_digest) < 0 ||
	    set_string(&copy.code_sha256, from->code_sha256) < 0 ||
	    function_config_set_layers(&copy, from->layers, from->layer_count) < 0 ||
	    set_environment(&copy, from->environment, from->environment_count) < 0) {
		function_config_clear(&copy);
		return -ENOMEM;
	}
	*to = copy;
	return 0;
}

int function_config_set_defaults(struct function_config *config, const char *name)
{
	config->memory_size_mb = FUNCTION_MEMORY_DEFAULT_MB;
	config->timeout_seconds = FUNCTION_TIMEOUT_DEFAULT_S;
	config->ephemeral_storage_mb = FUNCTION_EPHEMERAL_DEFAULT_MB;
	if (asprintf(&config->log_group, "/aws/lambda/%s", name) < 0) {
		config->log_group = NULL;
		return -ENOMEM;
	}
	if (set_string(&config->runtime, "") < 0 || set_string(&config->handler, "") < 0 ||
	    set_string(&config->description, "") < 0)
		return -ENOMEM;
	return 0;
}

/* Text has no levels; JSON has INFO until told otherwise. Levels given with Text stay, so that
 * the validation can refuse them. */
static int apply_logging(struct function_config *config, const struct function_patch *patch)
{
	if (patch->log_format && config->log_format != *patch->log_format) {
		config->log_format = *patch->log_format;
		if (config->log_format == LOG_JSON &&
		    (set_string(&config->application_log_level, "INFO") < 0 ||
		     set_string(&config->system_log_level, "INFO") < 0))
			return -ENOMEM;
		if (config->log_format == LOG_TEXT) {
			(void)set_string(&config->application_log_level, NULL);
			(void)set_string(&config->system_log_level, NULL);
		}
	}
	if (patch->log_group && set_string(&config->log_group, patch->log_group) < 0)
		return -ENOMEM;
	if (patch->application_log_level &&
	    set_string(&config->application_log_level, patch->application_log_level) < 0)
		return -ENOMEM;
	if (patch->system_log_level &&
	    set_string(&config->system_log_level, patch->system_log_level) < 0)
		return -ENOMEM;
	return 0;
}

int function_config_apply(struct function_config *config, const struct function_patch *patch)
{
	if (patch->runtime && set_string(&config->runtime, patch->runtime) < 0)
		return -ENOMEM;
	if (patch->handler && set_string(&config->handler, patch->handler) < 0)
		return -ENOMEM;
	if (patch->description && set_string(&config->description, patch->description) < 0)
		return -ENOMEM;
	if (patch->has_environment &&
	    set_environment(config, patch->environment, patch->environment_count) < 0)
		return -ENOMEM;
	if (patch->memory_size_mb)
		config->memory_size_mb = *patch->memory_size_mb;
	if (patch->timeout_seconds)
		config->timeout_seconds = *patch->timeout_seconds;
	if (patch->ephemeral_storage_mb)
		config->ephemeral_storage_mb = *patch->ephemeral_storage_mb;
	if (patch->snap_start)
		config->snap_start = *patch->snap_start;
	if (patch->tenancy)
		config->tenancy = *patch->tenancy;
	if (patch->dead_letter_target &&
	    set_string(&config->dead_letter_target,
		       patch->dead_letter_target[0] ? patch->dead_letter_target : NULL) < 0)
		return -ENOMEM;
	return apply_logging(config, patch);
}
