/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Characters and clipping, for this room's rules. */

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "mayfly/error.h"

/* Of a value shown in a message: an error must fit into the metadata of a reply. */
#define SHOWN_BYTES 256U

/* Independent of the locale, unlike <ctype.h>. */
static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static inline bool is_letter(char c)
{
	return is_lower(c) || (c >= 'A' && c <= 'Z');
}

/* [a-zA-Z0-9-_] */
static inline bool is_name_character(char c)
{
	return is_letter(c) || is_digit(c) || c == '-' || c == '_';
}

/* How many bytes of `text` to show: at most `max`, never half a UTF-8 character. */
static inline int shown_length(const char *text, size_t max)
{
	size_t len = strnlen(text, max + 1);

	if (len <= max)
		return (int)len;
	for (len = max; len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80; len--)
		;
	return (int)len;
}

/* What follows a clipped value. */
static inline const char *shown_rest(const char *text, size_t max)
{
	return strnlen(text, max + 1) > max ? "..." : "";
}

/* ValidationException in Lambda's words: `field` of the message, at `path` of Lambda's request. */
int text_refuse_pattern(struct error *error, const char *field, const char *path, const char *value,
			const char *pattern);
int text_refuse_length(struct error *error, const char *field, const char *path, const char *value,
		       size_t max);
