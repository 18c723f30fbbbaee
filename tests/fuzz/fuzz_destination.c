/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_functions mayfly_base

/* Input: where an outcome is to go. What is accepted is of one of three kinds, names this region
 * and tenant or a host, has no byte that could begin something else in a request, and comes out
 * the same when its own ARN is parsed. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/functions/destination.h"

#define REGION "eu-central-1"
#define TENANT "123456789012"

static void check_queue(const struct destination *destination, const char *text)
{
	_cleanup_free_ char *arn = destination_queue_arn(REGION, TENANT, destination->name);
	char name[DESTINATION_QUEUE_MAX + 1];

	if (!arn || strcmp(arn, text) != 0 || !destination_queue_name_is_valid(destination->name))
		abort();
	if (destination_parse_queue(destination->name, REGION, TENANT, name) < 0 ||
	    strcmp(name, destination->name) != 0)
		abort();
}

static void check_function(const struct destination *destination)
{
	_cleanup_free_ char *arn =
		function_arn(REGION, TENANT, destination->name, destination->qualifier);
	struct destination again;

	if (!arn || function_validate_name(destination->name, NULL) < 0)
		abort();
	if (destination_parse(arn, REGION, TENANT, &again) < 0 ||
	    memcmp(&again, destination, sizeof(again)) != 0)
		abort();
}

static void check_webhook(const struct destination *destination, const char *text)
{
	const char *scheme = destination->is_plain ? "http://" : "https://";
	const char *host = text + strlen(scheme);
	size_t len = strcspn(host, "/?");

	if (strncmp(text, scheme, strlen(scheme)) != 0 || len == 0 || memchr(host, '@', len))
		abort();
	for (; *text; text++)
		if (*text <= ' ' || *text > '~' || *text == '#' || *text == '\\')
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = calloc(1, size + 1);
	struct destination destination;

	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	if (destination_parse(text, REGION, TENANT, &destination) < 0)
		return 0;
	if (destination.kind == DESTINATION_QUEUE)
		check_queue(&destination, text);
	else if (destination.kind == DESTINATION_FUNCTION)
		check_function(&destination);
	else
		check_webhook(&destination, text);
	return 0;
}
