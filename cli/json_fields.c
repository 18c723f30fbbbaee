/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/json_fields.h"

#include "mayfly/clock.h"

void json_put_text(json_t *object, const char *name, const char *text)
{
	if (text && *text)
		(void)json_object_set_new(object, name, json_string(text));
}

void json_put_number(json_t *object, const char *name, uint64_t value)
{
	(void)json_object_set_new(object, name, json_integer((json_int_t)value));
}

void json_put_time(json_t *object, const char *name, int64_t realtime_us)
{
	char text[CLOCK_ISO8601_BYTES];

	if (realtime_us <= 0)
		return;
	clock_format_iso8601(realtime_us, text);
	json_put_text(object, name, text);
}
