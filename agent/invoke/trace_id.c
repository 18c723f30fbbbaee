/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/invoke/trace_id.h"

#include <stdio.h>
#include <string.h>

#include "mayfly/clock.h"
#include "mayfly/id.h"

#define ROOT_BYTES   12
#define PARENT_BYTES 8

void trace_id_generate(int64_t realtime_us, char out[TRACE_ID_BYTES])
{
	uint8_t random[ROOT_BYTES + PARENT_BYTES];
	char hex[2 * sizeof(random) + 1];

	random_bytes(random, sizeof(random));
	hex_encode(random, sizeof(random), hex);
	(void)snprintf(out, TRACE_ID_BYTES, "Root=1-%08x-%.24s;Parent=%.16s;Sampled=0",
		       (unsigned)(realtime_us / USEC_PER_SEC), hex, hex + (size_t)2 * ROOT_BYTES);
}

int trace_id_check(const char *trace_id, struct error *error)
{
	size_t len = strlen(trace_id);

	if (len > TRACE_ID_MAX_BYTES)
		return error_set(error, ERROR_INVALID_PARAMETER, "trace_id",
				 "A trace id must have at most %d bytes.", TRACE_ID_MAX_BYTES);
	for (size_t i = 0; i < len; i++)
		if (trace_id[i] < ' ' || trace_id[i] > '~')
			return error_set(error, ERROR_INVALID_PARAMETER, "trace_id",
					 "A trace id must be printable ASCII.");
	return 0;
}
