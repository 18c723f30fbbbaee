/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/functions/text.h"

int text_refuse_pattern(struct error *error, const char *field, const char *path, const char *value,
			const char *pattern)
{
	return error_set(error, ERROR_INVALID_PARAMETER, field,
			 "1 validation error detected: Value '%.*s%s' at '%s' failed to satisfy "
			 "constraint: Member must satisfy regular expression pattern: %s",
			 shown_length(value, SHOWN_BYTES), value, shown_rest(value, SHOWN_BYTES),
			 path, pattern);
}

int text_refuse_length(struct error *error, const char *field, const char *path, const char *value,
		       size_t max)
{
	return error_set(error, ERROR_INVALID_PARAMETER, field,
			 "1 validation error detected: Value '%.*s%s' at '%s' failed to satisfy "
			 "constraint: Member must have length less than or equal to %zu",
			 shown_length(value, SHOWN_BYTES), value, shown_rest(value, SHOWN_BYTES),
			 path, max);
}
