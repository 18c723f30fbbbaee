/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/functions/alias.h"

#include <errno.h>
#include <string.h>

#include "agent/functions/policy.h"
#include "agent/functions/text.h"

#define NAME_PATTERN       "(?!^[0-9]+$)([a-zA-Z0-9-_]+)"
#define VERSION_PATTERN    "(\\$LATEST|[0-9]+)"
#define ADDITIONAL_PATTERN "[0-9]+"
#define VERSION_MAX        1024 /* Lambda's limit of a version's name */

struct alias *alias_free(struct alias *alias)
{
	if (!alias)
		return NULL;
	free(alias->name);
	free(alias->description);
	policy_free(alias->policy);
	free(alias);
	return NULL;
}

int alias_copy(const struct alias *from, struct alias **ret)
{
	_cleanup_(alias_free_p) struct alias *to = calloc(1, sizeof(*to));

	if (!to)
		return -ENOMEM;
	*to = *from;
	to->name = strdup(from->name);
	to->description = strdup(from->description);
	if (policy_copy(from->policy, &to->policy) < 0 || !to->name || !to->description)
		return -ENOMEM;
	*ret = TAKE_PTR(to);
	return 0;
}

static bool is_number(const char *text)
{
	return text[0] && strspn(text, "0123456789") == strlen(text);
}

int alias_validate_name(const char *name, struct error *error)
{
	bool good = name[0] && !is_number(name);

	if (strnlen(name, ALIAS_NAME_MAX + 1) > ALIAS_NAME_MAX)
		return text_refuse_length(error, "name", "name", name, ALIAS_NAME_MAX);
	for (const char *c = name; good && *c; c++)
		good = is_name_character(*c);
	return good ? 0 : text_refuse_pattern(error, "name", "name", name, NAME_PATTERN);
}

/* A number that no version can have stands for one that is not there. */
static int apply_version(struct alias *alias, const char *version, struct error *error)
{
	if (strnlen(version, VERSION_MAX + 1) > VERSION_MAX)
		return error_set(error, ERROR_INVALID_PARAMETER, "function_version",
				 "1 validation error detected: Value '%.*s...' at "
				 "'functionVersion' failed to satisfy constraint: Member must have "
				 "length less than or equal to %d",
				 shown_length(version, SHOWN_BYTES), version, VERSION_MAX);
	if (!is_number(version) && strcmp(version, FUNCTION_LATEST) != 0)
		return text_refuse_pattern(error, "function_version", "functionVersion", version,
					   VERSION_PATTERN);
	if (!function_version_parse(version, &alias->version))
		alias->version = UINT64_MAX;
	return 0;
}

/* Characters, not bytes: what Lambda counts. */
static int apply_description(struct alias *alias, const char *description, struct error *error)
{
	size_t count = 0;
	char *copy;

	for (const char *c = description; *c; c++)
		count += ((unsigned char)*c & 0xc0) != 0x80;
	if (count > FUNCTION_DESCRIPTION_MAX)
		return text_refuse_length(error, "description", "description", description,
					  FUNCTION_DESCRIPTION_MAX);
	copy = strdup(description);
	if (!copy)
		return error_set_errno(error, ENOMEM, "Cannot change the alias");
	free(alias->description);
	alias->description = copy;
	return 0;
}

static int refuse_weight(const struct alias_weight *weight, const char *constraint,
			 struct error *error)
{
	return error_set(error, ERROR_INVALID_PARAMETER, "routing_config",
			 "1 validation error detected: Value '{%.*s%s=%g}' at "
			 "'routingConfig.additionalVersionWeights' failed to satisfy constraint: "
			 "%s",
			 shown_length(weight->version, SHOWN_BYTES), weight->version,
			 shown_rest(weight->version, SHOWN_BYTES), weight->weight, constraint);
}

static int apply_routing(struct alias *alias, const struct alias_patch *patch, struct error *error)
{
	const struct alias_weight *weight = patch->weights;

	alias->is_weighted = patch->weight_count > 0;
	if (patch->weight_count > 1)
		return error_set(error, ERROR_INVALID_PARAMETER, "routing_config",
				 "Number of items in AdditionalVersionWeights cannot be greater "
				 "than 1");
	if (!alias->is_weighted)
		return 0;
	/* Written so that what is no number is refused too. */
	if (!(weight->weight >= 0.0 && weight->weight <= 1.0))
		return refuse_weight(
			weight,
			"Map value must satisfy constraint: [Member must have value less than or "
			"equal to 1.0, Member must have value greater than or equal to 0.0, "
			"Member must not be null]",
			error);
	if (!is_number(weight->version) || strlen(weight->version) > VERSION_MAX)
		return refuse_weight(
			weight,
			"Map keys must satisfy constraint: [Member must have length less than or "
			"equal to 1024, Member must have length greater than or equal to 1, "
			"Member must satisfy regular expression pattern: " ADDITIONAL_PATTERN "]",
			error);
	if (!function_version_parse(weight->version, &alias->additional_version))
		alias->additional_version = UINT64_MAX;
	alias->weight = weight->weight;
	return 0;
}

static int check_routing(const struct alias *alias, struct error *error)
{
	char version[FUNCTION_VERSION_BYTES];

	if (!alias->is_weighted)
		return 0;
	function_version_name(alias->version, version);
	if (alias->version == 0)
		return error_set(error, ERROR_INVALID_PARAMETER, "routing_config",
				 "$LATEST is not supported for an alias pointing to more than 1 "
				 "version");
	if (alias->version == alias->additional_version)
		return error_set(error, ERROR_INVALID_PARAMETER, "routing_config",
				 "Invalid function version %s. Function version %s is already "
				 "included in routing configuration.",
				 version, version);
	return 0;
}

int alias_apply(struct alias *alias, const struct alias_patch *patch, struct error *error)
{
	int r = 0;

	if (patch->version)
		r = apply_version(alias, patch->version, error);
	if (r == 0 && patch->description)
		r = apply_description(alias, patch->description, error);
	if (r == 0 && patch->has_routing)
		r = apply_routing(alias, patch, error);
	if (r == 0)
		r = check_routing(alias, error);
	uuid_generate(alias->revision_id);
	return r;
}

bool alias_leads_to(const struct alias *alias, uint64_t version)
{
	return alias->version == version ||
	       (alias->is_weighted && alias->additional_version == version);
}

uint64_t alias_choose(const struct alias *alias, double point)
{
	return alias->is_weighted && point < alias->weight ? alias->additional_version
							   : alias->version;
}
