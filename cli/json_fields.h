/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Members of JSON objects. What has no value is left out, as Lambda does: "", and a time of 0. */

#include <jansson.h>
#include <stdint.h>

void json_put_text(json_t *object, const char *name, const char *text);
void json_put_number(json_t *object, const char *name, uint64_t value);
/* "2025-11-25T02:26:54.123Z" */
void json_put_time(json_t *object, const char *name, int64_t realtime_us);
