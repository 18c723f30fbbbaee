/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/logs/log_name.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/logs/log_store.h"
#include "mayfly/clock.h"
#include "mayfly/hash.h"

#define ENCODED_MAX 200 /* leaves room for a hash or a part number */

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_' || c == '.';
}

void log_name_encode(const char *name, char out[NAME_MAX + 1])
{
	size_t n = 0;

	for (const char *c = name; *c; c++) {
		if (n + 3 > ENCODED_MAX) {
			(void)snprintf(out + n, NAME_MAX + 1 - n, "~%016" PRIx64,
				       hash_fnv1a(HASH_FNV1A_INIT, slice_from_string(name)));
			return;
		}
		if (is_plain(*c) && !(*c == '.' && c == name))
			out[n++] = *c;
		else
			n += (size_t)snprintf(out + n, 4, "%%%02X", (uint8_t)*c);
	}
	out[n] = '\0';
}

bool log_file_name(const char *stream, unsigned part, char out[NAME_MAX + 1])
{
	char encoded[NAME_MAX + 1];
	int n;

	log_name_encode(stream, encoded);
	n = snprintf(out, NAME_MAX + 1, "%s~%06u", encoded, part);
	return n > 0 && n <= NAME_MAX;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool log_file_stream(const char *file, char *out, size_t out_bytes)
{
	const char *end = strrchr(file, '~');
	size_t n = 0;

	if (!end || end == file || end[1] == '\0' ||
	    strspn(end + 1, "0123456789") != strlen(end + 1))
		return false;
	for (const char *c = file; c < end; c++) {
		char decoded = *c;

		if (*c == '%') {
			int high = end - c > 2 ? hex_value(c[1]) : -1;
			int low = high >= 0 ? hex_value(c[2]) : -1;

			if (low < 0 || (high == 0 && low == 0))
				return false;
			decoded = (char)(high * 16 + low);
			c += 2;
		}
		if (n + 1 >= out_bytes)
			return false;
		out[n++] = decoded;
	}
	out[n] = '\0';
	return true;
}

void log_group_name(const char *function_name, const char *configured,
		    char out[LOG_GROUP_NAME_MAX + 1])
{
	if (configured && configured[0] != '\0')
		(void)snprintf(out, LOG_GROUP_NAME_MAX + 1, "%s", configured);
	else
		(void)snprintf(out, LOG_GROUP_NAME_MAX + 1, "/aws/lambda/%s", function_name);
}

void log_stream_name(int64_t realtime_us, const char *function_name, const char *version,
		     const char *sandbox_id, const char *configured_group,
		     char out[LOG_STREAM_NAME_BYTES])
{
	time_t seconds = (time_t)(realtime_us / USEC_PER_SEC);
	char own[LOG_GROUP_NAME_MAX + 1];
	char date[16];
	struct tm tm;

	(void)gmtime_r(&seconds, &tm);
	(void)strftime(date, sizeof(date), "%Y/%m/%d", &tm);
	/* The usual group named in full is the usual form still. */
	log_group_name(function_name, NULL, own);
	if (!configured_group || configured_group[0] == '\0' || strcmp(configured_group, own) == 0)
		(void)snprintf(out, LOG_STREAM_NAME_BYTES, "%s/[%s]%s", date, version, sandbox_id);
	else
		(void)snprintf(out, LOG_STREAM_NAME_BYTES, "%s/%s[%s][%s]", date, function_name,
			       version, sandbox_id);
}
