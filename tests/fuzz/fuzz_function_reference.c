/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_functions mayfly_base

/* Input: a reference, and behind a NUL a qualifier. What is accepted must be a valid name, must
 * come out the same when its own ARN is parsed, and nothing may be read beyond the end. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/functions/function.h"

#define REGION "eu-central-1"
#define TENANT "123456789012"

static void check(const struct function_reference *reference)
{
	_cleanup_free_ char *arn =
		function_arn(REGION, TENANT, reference->name, reference->qualifier);
	struct function_reference again;

	if (!arn || function_validate_name(reference->name, NULL) < 0)
		abort();
	/* A qualifier given apart may have a $ anywhere; within an ARN only as $LATEST. */
	if (strchr(reference->qualifier, '$') || strlen(arn) > FUNCTION_REFERENCE_MAX)
		return;
	if (function_parse_reference(arn, NULL, REGION, TENANT, &again, NULL) < 0 ||
	    strcmp(again.name, reference->name) != 0 ||
	    strcmp(again.qualifier, reference->qualifier) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = malloc(size + 2);
	_cleanup_error_ struct error error = ERROR_INIT;
	struct function_reference reference;
	const char *qualifier;

	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	text[size] = text[size + 1] = 0;
	qualifier = text + strlen(text) + 1;
	if (function_parse_reference(text, qualifier, REGION, TENANT, &reference, &error) == 0)
		check(&reference);
	else if (error.code == ERROR_NONE || !error.field)
		abort();
	return 0;
}
