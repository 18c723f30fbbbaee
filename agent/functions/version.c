/* SPDX-License-Identifier: Apache-2.0 */

/* Published versions: their numbers, and what makes one of $LATEST. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/functions/function.h"
#include "agent/functions/text.h"
#include "mayfly/id.h"

#define CREATING_REASON "The function is being created."
#define CREATING_CODE   "Creating"

void function_version_name(uint64_t version, char out[FUNCTION_VERSION_BYTES])
{
	if (version)
		(void)snprintf(out, FUNCTION_VERSION_BYTES, "%" PRIu64, version);
	else
		(void)snprintf(out, FUNCTION_VERSION_BYTES, "%s", FUNCTION_LATEST);
}

bool function_version_parse(const char *text, uint64_t *ret)
{
	uint64_t version = 0;

	if (strcmp(text, FUNCTION_LATEST) == 0) {
		*ret = 0;
		return true;
	}
	/* No name of a version begins with a zero, nor is there one so large. */
	if (text[0] == '0' || text[0] == 0 || strlen(text) >= FUNCTION_VERSION_BYTES - 1)
		return false;
	for (; *text; text++) {
		if (!is_digit(*text))
			return false;
		version = version * 10 + (uint64_t)(*text - '0');
	}
	*ret = version;
	return true;
}

bool function_config_has_snap_start(const struct function_config *config, uint64_t version)
{
	return config->snap_start == SNAP_START_LATEST ||
	       (config->snap_start == SNAP_START_PUBLISHED_VERSIONS && version > 0);
}

static int set_text(char **to, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

static int fill(struct function *to, const struct function *latest, const char *description)
{
	const struct function_config *source = function_visible_config(latest);

	if (set_text(&to->tenant, latest->tenant) < 0 || set_text(&to->name, latest->name) < 0 ||
	    set_text(&to->source_description, source->description) < 0 ||
	    set_text(&to->state_reason, CREATING_REASON) < 0 ||
	    set_text(&to->state_reason_code, CREATING_CODE) < 0 ||
	    function_config_copy(&to->config, source) < 0)
		return -ENOMEM;
	return description && description[0] ? set_text(&to->config.description, description) : 0;
}

int function_publish(const struct function *latest, uint64_t version, const char *description,
		     struct function **ret)
{
	_cleanup_(function_free_p) struct function *to = calloc(1, sizeof(*to));

	if (!to || fill(to, latest, description) < 0)
		return -ENOMEM;
	to->version = version;
	to->state = FUNCTION_PENDING;
	to->update_status = UPDATE_SUCCESSFUL;
	uuid_generate(to->revision_id);
	*ret = TAKE_PTR(to);
	return 0;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool has_variable(const struct function_config *config,
			 const struct environment_variable *variable)
{
	for (size_t i = 0; i < config->environment_count; i++)
		if (same_text(config->environment[i].key, variable->key))
			return same_text(config->environment[i].value, variable->value);
	return false;
}

/* Whatever their order; keys are there once. */
static bool same_environment(const struct function_config *a, const struct function_config *b)
{
	if (a->environment_count != b->environment_count)
		return false;
	for (size_t i = 0; i < a->environment_count; i++)
		if (!has_variable(b, &a->environment[i]))
			return false;
	return true;
}

bool function_is_published(const struct function *latest, const struct function *version)
{
	const struct function_config *a = function_visible_config(latest), *b = &version->config;

	return same_text(a->description, version->source_description) &&
	       same_text(a->runtime, b->runtime) && same_text(a->handler, b->handler) &&
	       a->memory_size_mb == b->memory_size_mb && a->timeout_seconds == b->timeout_seconds &&
	       same_environment(a, b) && a->ephemeral_storage_mb == b->ephemeral_storage_mb &&
	       a->snap_start == b->snap_start && a->log_format == b->log_format &&
	       same_text(a->log_group, b->log_group) &&
	       same_text(a->application_log_level, b->application_log_level) &&
	       same_text(a->system_log_level, b->system_log_level) &&
	       same_text(a->dead_letter_target, b->dead_letter_target) &&
	       same_text(a->code_sha256, b->code_sha256) && function_config_same_layers(a, b);
}
