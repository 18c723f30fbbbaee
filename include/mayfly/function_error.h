/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The errors of functions: those that the platform and its runtimes report, each an answer with
 * `function_error` set and errorType in its body, after the event was given to the function. What
 * is refused or fails before is a `struct error` (error.h). This is the table behind
 * docs/errors.md; tests/style holds the names used in the code to it. Any thread. */

#include <stddef.h>

struct function_error_kind {
	const char *name;    /* errorType */
	const char *message; /* errorMessage, with ID for the request's; "" when it varies */
	const char *help;    /* when it happens */
};

/* NULL beyond the last. */
const struct function_error_kind *function_error_kind(size_t index);
