/* SPDX-License-Identifier: Apache-2.0 */

/* How a layer and its versions are named. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/functions/layer.h"
#include "agent/functions/text.h"

/* Lambda's own words for what this file accepts. */
#define VERSION_ARN_PATTERN                                                                        \
	"(arn:(aws[a-zA-Z-]*)?:lambda:((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}):"   \
	"\\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:"               \
	"[a-zA-Z0-9-_]+)"
#define NAME_PATTERN                                                                               \
	"(arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\\d{12}:layer:[a-zA-Z0-9-_]+)|[a-zA-Z0-9-_]+"

/* arn, partition, lambda, region, account, layer, name, version */
#define PARTS_MIN 7
#define PARTS_MAX 8

struct part {
	const char *text; /* borrowed */
	size_t len;
};

char *layer_arn(const char *region, const char *tenant, const char *name, uint64_t version)
{
	char *arn;
	int r;

	if (version)
		r = asprintf(&arn, "arn:aws:lambda:%s:%s:layer:%s:%" PRIu64, region, tenant, name,
			     version);
	else
		r = asprintf(&arn, "arn:aws:lambda:%s:%s:layer:%s", region, tenant, name);
	return r < 0 ? NULL : arn;
}

static size_t split(const char *text, struct part parts[PARTS_MAX])
{
	size_t count = 0;

	for (;;) {
		size_t len = strcspn(text, ":");

		if (count == PARTS_MAX)
			return 0;
		parts[count++] = (struct part){ text, len };
		if (!text[len])
			return count;
		text += len + 1;
	}
}

static bool equals(struct part part, const char *text)
{
	return part.len == strlen(text) && memcmp(part.text, text, part.len) == 0;
}

static bool consists_of(struct part part, bool (*allowed)(char c), size_t max)
{
	for (size_t i = 0; i < part.len; i++)
		if (!allowed(part.text[i]))
			return false;
	return part.len > 0 && part.len <= max;
}

static bool is_partition_character(char c)
{
	return is_letter(c) || c == '-';
}

static bool is_region_character(char c)
{
	return is_lower(c) || is_digit(c) || c == '-';
}

static void copy(struct part part, char *to)
{
	memcpy(to, part.text, part.len);
	to[part.len] = 0;
}

/* Leading zeros count for nothing, as in Lambda's pattern; more than a number can be is none that
 * there is. */
static uint64_t parse_number(struct part part)
{
	uint64_t number = 0;

	for (size_t i = 0; i < part.len; i++) {
		uint64_t digit = (uint64_t)(part.text[i] - '0');
		if (number > (UINT64_MAX - digit) / 10)
			return UINT64_MAX;
		number = number * 10 + digit;
	}
	return number;
}

bool layer_parse_arn(const char *text, struct layer_reference *ret)
{
	struct part parts[PARTS_MAX];
	size_t count = strnlen(text, LAYER_ARN_MAX + 1) <= LAYER_ARN_MAX ? split(text, parts) : 0;

	if (count < PARTS_MIN || !equals(parts[0], "arn") || !equals(parts[2], "lambda") ||
	    !equals(parts[5], "layer"))
		return false;
	if (!consists_of(parts[1], is_partition_character, LAYER_REGION_BYTES) ||
	    !consists_of(parts[3], is_region_character, LAYER_REGION_BYTES - 1) ||
	    !consists_of(parts[4], is_digit, TENANT_ID_DIGITS) ||
	    parts[4].len != TENANT_ID_DIGITS ||
	    !consists_of(parts[6], is_name_character, LAYER_NAME_MAX))
		return false;
	if (count == PARTS_MAX && !consists_of(parts[7], is_digit, LAYER_ARN_MAX))
		return false;
	copy(parts[3], ret->region);
	copy(parts[4], ret->tenant);
	copy(parts[6], ret->name);
	ret->version = count == PARTS_MAX ? parse_number(parts[7]) : 0;
	return true;
}

static bool has_version(const char *arn)
{
	struct part parts[PARTS_MAX];

	return split(arn, parts) == PARTS_MAX;
}

int layer_parse_version_arn(const char *text, const char *field, struct layer_reference *ret,
			    struct error *error)
{
	if (layer_parse_arn(text, ret) && has_version(text))
		return 0;
	return text_refuse_pattern(error, field, field, text, VERSION_ARN_PATTERN);
}

static bool is_plain_name(const char *text)
{
	return consists_of((struct part){ text, strlen(text) }, is_name_character, LAYER_NAME_MAX);
}

int layer_parse_name(const char *text, const char *region, const char *tenant,
		     char ret[LAYER_NAME_MAX + 1], struct error *error)
{
	struct layer_reference reference;

	if (is_plain_name(text)) {
		(void)snprintf(ret, LAYER_NAME_MAX + 1, "%s", text);
		return 0;
	}
	if (strlen(text) > LAYER_NAME_MAX)
		return text_refuse_length(error, "layer_name", "layerName", text, LAYER_NAME_MAX);
	if (!layer_parse_arn(text, &reference) || has_version(text))
		return text_refuse_pattern(error, "layer_name", "layerName", text, NAME_PATTERN);
	if (strcmp(reference.region, region) != 0)
		return error_set(error, ERROR_NOT_FOUND, "layer_name",
				 "Layers from '%s' are not reachable in this region ('%s')",
				 reference.region, region);
	if (strcmp(reference.tenant, tenant) != 0)
		return error_set(error, ERROR_ACCESS_DENIED, "layer_name",
				 "Layers of account %s are not accessible to account %s.",
				 reference.tenant, tenant);
	(void)snprintf(ret, LAYER_NAME_MAX + 1, "%s", reference.name);
	return 0;
}

/* -- the layers of a function -- */

static int refuse_list(const char *arn, struct error *error)
{
	return error_set(error, ERROR_INVALID_PARAMETER, "layers",
			 "1 validation error detected: Value '[%.*s%s]' at 'layers' failed to "
			 "satisfy constraint: Member must satisfy constraint: [Member must have "
			 "length less than or equal to %d, Member must have length greater than "
			 "or equal to 1, Member must satisfy regular expression pattern: "
			 "%s, Member must not be null]",
			 shown_length(arn, SHOWN_BYTES), arn, shown_rest(arn, SHOWN_BYTES),
			 LAYER_ARN_MAX, VERSION_ARN_PATTERN);
}

static bool same_layer(const struct layer_reference *a, const struct layer_reference *b)
{
	return strcmp(a->region, b->region) == 0 && strcmp(a->tenant, b->tenant) == 0 &&
	       strcmp(a->name, b->name) == 0;
}

static int check_unlike(const char *const *arns, const struct layer_reference *references,
			size_t last, struct error *error)
{
	for (size_t i = 0; i < last; i++)
		if (same_layer(&references[i], &references[last]))
			return error_set(
				error, ERROR_INVALID_PARAMETER, "layers",
				"Two different versions of the same layer are not allowed to be "
				"referenced in the same function. %.*s and %.*s are versions of "
				"the "
				"same layer.",
				shown_length(arns[i], SHOWN_BYTES), arns[i],
				shown_length(arns[last], SHOWN_BYTES), arns[last]);
	return 0;
}

int layer_validate_list(const char *const *arns, size_t count, layer_check_fn *check, void *arg,
			struct layer_reference ret[LAYERS_OF_FUNCTION_MAX], struct error *error)
{
	if (count > LAYERS_OF_FUNCTION_MAX)
		return error_set(error, ERROR_INVALID_PARAMETER, "layers",
				 "Cannot reference more than %d layers.", LAYERS_OF_FUNCTION_MAX);
	for (size_t i = 0; i < count; i++) {
		if (!layer_parse_arn(arns[i], &ret[i]) || !has_version(arns[i]))
			return refuse_list(arns[i], error);
		int r = check(&ret[i], arns[i], arg, error);
		if (r == 0)
			r = check_unlike(arns, ret, i, error);
		if (r < 0)
			return r;
	}
	return 0;
}
