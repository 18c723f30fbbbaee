/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/utf8.h"

#define REPLACEMENT       "\xef\xbf\xbd"
#define REPLACEMENT_BYTES 3

/* Bytes of the character at the start, or 0: overlong forms, surrogates, beyond U+10FFFF, NUL. */
static size_t character_bytes(const uint8_t *s, size_t len)
{
	uint32_t value;
	size_t need;

	if (s[0] != 0 && s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	need = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (len < need)
		return 0;
	value = s[0] & (0x7fU >> need);
	for (size_t i = 1; i < need; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (s[i] & 0x3f);
	}
	if ((need == 3 && value < 0x800) || (need == 4 && value < 0x10000) || value > 0x10ffff ||
	    (value >= 0xd800 && value <= 0xdfff))
		return 0;
	return need;
}

char *utf8_from_bytes(struct slice bytes)
{
	size_t worst = bytes.len * REPLACEMENT_BYTES + 1;
	char *out = malloc(worst);
	char *end = out;

	if (!out)
		return NULL;
	for (size_t i = 0; i < bytes.len;) {
		size_t n = character_bytes(bytes.data + i, bytes.len - i);

		memcpy(end, n > 0 ? (const char *)bytes.data + i : REPLACEMENT,
		       n > 0 ? n : REPLACEMENT_BYTES);
		end += n > 0 ? n : REPLACEMENT_BYTES;
		i += n > 0 ? n : 1;
	}
	*end = '\0';
	/* Nearly always it was a third of the worst case. */
	char *fitted = realloc(out, (size_t)(end - out) + 1);
	return fitted ? fitted : out;
}
