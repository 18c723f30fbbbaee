/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_functions mayfly_base

/* Input: a layer's name or an ARN. What is accepted must come out the same when its own ARN is
 * parsed, and nothing may be read beyond the end. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/functions/layer.h"

#define REGION "eu-central-1"
#define TENANT "123456789012"

static void check(const struct layer_reference *reference)
{
	_cleanup_free_ char *arn = layer_arn(reference->region, reference->tenant, reference->name,
					     reference->version);
	struct layer_reference again;

	if (!arn || !tenant_id_is_valid(reference->tenant) || !layer_parse_arn(arn, &again) ||
	    strcmp(again.region, reference->region) != 0 ||
	    strcmp(again.tenant, reference->tenant) != 0 ||
	    strcmp(again.name, reference->name) != 0 || again.version != reference->version)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = malloc(size + 1);
	_cleanup_error_ struct error error = ERROR_INIT;
	struct layer_reference reference;
	char name[LAYER_NAME_MAX + 1];

	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	text[size] = 0;
	if (layer_parse_arn(text, &reference))
		check(&reference);
	if (layer_parse_version_arn(text, "arn", &reference, &error) < 0 && !error.field)
		abort();
	error_clear(&error);
	if (layer_parse_name(text, REGION, TENANT, name, &error) == 0) {
		if (layer_parse_name(name, REGION, TENANT, name, NULL) < 0)
			abort();
	} else if (error.code == ERROR_NONE || !error.field) {
		abort();
	}
	return 0;
}
