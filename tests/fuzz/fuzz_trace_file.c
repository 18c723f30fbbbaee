/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_cli mayfly_base

/* Input: a trace. What is accepted has a function, each with all minutes and their sum; what is not
 * says why. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/trace_file.h"

static void check(const struct trace *trace)
{
	if (trace->n == 0 || trace->minutes == 0 || trace->minutes > TRACE_MINUTES_MAX)
		abort();
	for (size_t i = 0; i < trace->n; i++) {
		const struct trace_function *function = &trace->functions[i];
		uint64_t total = 0;

		for (unsigned minute = 0; minute < trace->minutes; minute++)
			total += function->counts[minute];
		if (total != function->total || total == 0 ||
		    strlen(function->name) >= TRACE_NAME_BYTES)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	/* A copy, so that reading beyond its end is found out. */
	_cleanup_free_ uint8_t *copy = malloc(size ? size : 1);
	struct trace trace;

	if (!copy)
		return 0;
	if (size)
		memcpy(copy, data, size);
	if (trace_parse(slice_new(copy, size), 50, &trace, &error) == 0) {
		check(&trace);
		trace_free(&trace);
	} else if (error.code == ERROR_NONE) {
		abort();
	}
	return 0;
}
