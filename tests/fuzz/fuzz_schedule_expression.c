/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_schedules mayfly_base

/* Input: a schedule expression. What is accepted has occurrences that grow, each on the minute or
 * as the rate says; what is refused says why. Nothing may be read beyond the end. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/schedules/expression.h"
#include "mayfly/clock.h"

#define OCCURRENCES 5

static struct zone *zone;

static void check(const struct expression *expression)
{
	int64_t at_us = 0, next_us;

	for (unsigned i = 0; i < OCCURRENCES; i++) {
		if (expression_next(expression, zone, 1, at_us, &next_us) < 0)
			return;
		if (next_us <= at_us ||
		    (expression->kind == EXPRESSION_CRON && next_us % (60 * USEC_PER_SEC) != 0))
			abort();
		at_us = next_us;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = malloc(size + 1);
	_cleanup_error_ struct error error = ERROR_INIT;
	struct expression expression;

	if (!zone && zone_load("UTC", &zone, NULL) < 0)
		abort();
	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	text[size] = 0;
	if (expression_parse(text, &expression, &error) == 0)
		check(&expression);
	else if (error.code == ERROR_NONE || !error.field)
		abort();
	return 0;
}
