/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A trace: how often each of some functions was invoked in each minute. Two forms, told apart by
 * the first line: that of the Azure Functions data set
 * (HashOwner,HashApp,HashFunction,Trigger,1,...,1440 and a row for each function), or rows alone:
 * NAME,COUNT,COUNT,... A line that begins with # is a remark. Every row has the same number of
 * minutes. */

#include <stddef.h>
#include <stdint.h>

#include "mayfly/buf.h"
#include "mayfly/error.h"

#define TRACE_MINUTES_MAX    1440U
#define TRACE_FUNCTIONS_MAX  100000U
#define TRACE_PER_MINUTE_MAX 1000000U
#define TRACE_NAME_BYTES     65 /* longer ones are cut */
#define TRACE_FILE_MAX_BYTES (1ULL << 30)

struct trace_function {
	char name[TRACE_NAME_BYTES];
	uint32_t *counts; /* owned; one for each minute */
	uint64_t total;
};

struct trace {
	struct trace_function *functions; /* owned */
	size_t n, capacity;
	unsigned minutes;
};

/* Takes the first `max_functions` rows that have any invocation; later rows are checked and left
 * out. On failure the error says in which line, and nothing is left to free. */
int trace_parse(struct slice text, size_t max_functions, struct trace *ret,
		struct error *e) _must_use_;
int trace_read(const char *path, size_t max_functions, struct trace *ret,
	       struct error *e) _must_use_;
void trace_free(struct trace *trace);
#define _cleanup_trace_ _cleanup_(trace_free)

/* When the invocations of one minute are, in microseconds of it: evenly spread random moments, in
 * order, the same for the same seed. `out` has room for `count`. */
void trace_spread(uint32_t count, uint64_t seed, int64_t *out);
