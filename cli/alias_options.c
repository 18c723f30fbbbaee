/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/alias_options.h"

#include <errno.h>
#include <stdlib.h>

#include "cli/messages.h"
#include "cli/output.h"
#include "cli/shorthand.h"

#define WEIGHTS "AdditionalVersionWeights"

int alias_name(const struct arguments *arguments, char **ret, struct error *e)
{
	/* With --function-name the only operand would be the function's. */
	const char *name = argument(arguments, "name");

	if (!name)
		name = operand(arguments, 1);
	if (!*name)
		return error_set(e, ERROR_INVALID_PARAMETER, "name", "the alias's NAME is missing");
	*ret = (char *)name;
	return 0;
}

/* A number of JSON, or the text that the shorthand makes of it. */
static bool read_weight(const json_t *value, double *ret)
{
	const char *text = json_string_value(value);
	char *end = NULL;

	if (json_is_number(value)) {
		*ret = json_number_value(value);
		return true;
	}
	if (!text || !*text)
		return false;
	*ret = strtod(text, &end);
	return *end == '\0';
}

static int fill_weights(struct alias_routing *routing, const json_t *weights, struct error *e)
{
	size_t count = json_object_size(weights), i = 0;
	const char *version;
	json_t *value;

	routing->weights = calloc(count + 1, sizeof(*routing->weights));
	routing->pointers = calloc(count + 1, sizeof(*routing->pointers));
	if (!routing->weights || !routing->pointers)
		return error_set_errno(e, ENOMEM, "cannot read --routing-config");
	json_object_foreach((json_t *)(uintptr_t)weights, version, value)
	{
		mayfly__v1__alias_routing_configuration__additional_version_weights_entry__init(
			&routing->weights[i]);
		routing->weights[i].key = (char *)version;
		if (!read_weight(value, &routing->weights[i].value))
			return error_set(e, ERROR_INVALID_PARAMETER, "routing-config",
					 "the weight of version %s is no number", version);
		routing->pointers[i] = &routing->weights[i];
		i++;
	}
	routing->message.additional_version_weights = routing->pointers;
	routing->message.n_additional_version_weights = count;
	return 0;
}

int alias_routing_parse(const struct arguments *arguments, struct alias_routing *routing,
			Mayfly__V1__AliasRoutingConfiguration **ret_message, struct error *e)
{
	const char *text = argument(arguments, "routing-config");
	const json_t *weights;

	if (!text)
		return 0;
	mayfly__v1__alias_routing_configuration__init(&routing->message);
	int r = shorthand_parse("routing-config", text, &routing->json, e);
	if (r < 0)
		return r;
	weights = json_object_get(routing->json, WEIGHTS);
	if (json_object_size(routing->json) != (weights ? 1 : 0) ||
	    (weights && !json_is_object(weights)))
		return error_set(e, ERROR_INVALID_PARAMETER, "routing-config",
				 "--routing-config takes " WEIGHTS "={VERSION=WEIGHT}, not '%s'",
				 text);
	r = fill_weights(routing, weights, e);
	if (r == 0)
		*ret_message = &routing->message;
	return r;
}

void alias_routing_clear(struct alias_routing *routing)
{
	free(routing->weights);
	free(routing->pointers);
	json_decref(routing->json);
}

const char *alias_routing_text(const Mayfly__V1__Alias *alias, char *out, size_t bytes)
{
	const Mayfly__V1__AliasRoutingConfiguration *routing = alias->routing_config;

	*out = '\0';
	if (routing && routing->n_additional_version_weights > 0)
		(void)snprintf(out, bytes, "%s=%g", routing->additional_version_weights[0]->key,
			       routing->additional_version_weights[0]->value);
	return out;
}

int alias_print(const struct context *context, const Mayfly__V1__Alias *alias)
{
	char routing[TEXT_BYTES];

	if (context->json)
		return output_json(json_from_alias(alias));
	output_field("Name", "%s", alias->name);
	output_field("ARN", "%s", alias->alias_arn);
	output_field("Version", "%s", alias->function_version);
	if (*alias_routing_text(alias, routing, sizeof(routing)))
		output_field("Additional", "%s", routing);
	if (*alias->description)
		output_field("Description", "%s", alias->description);
	output_field("Revision", "%s", alias->revision_id);
	return 0;
}
