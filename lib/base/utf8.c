/* SPDX-License-Identifier: Apache-2.0 */
#include "mayfly/utf8.h"

#define REPLACEMENT "\xEF\xBF\xBD"

struct row {
	uint8_t lead_first, lead_last;
	uint8_t second_first, second_last;
	uint8_t length;
};

static const struct row table[] = {
	{ 0xC2, 0xDF, 0x80, 0xBF, 2 }, { 0xE0, 0xE0, 0xA0, 0xBF, 3 }, { 0xE1, 0xEC, 0x80, 0xBF, 3 },
	{ 0xED, 0xED, 0x80, 0x9F, 3 }, { 0xEE, 0xEF, 0x80, 0xBF, 3 }, { 0xF0, 0xF0, 0x90, 0xBF, 4 },
	{ 0xF1, 0xF3, 0x80, 0xBF, 4 }, { 0xF4, 0xF4, 0x80, 0x8F, 4 },
};

static size_t match_row(const struct row *row, const uint8_t *s, size_t len)
{
	if (len < row->length || s[1] < row->second_first || s[1] > row->second_last)
		return 0;
	for (size_t i = 2; i < row->length; i++)
		if ((s[i] & 0xC0) != 0x80)
			return 0;
	return row->length;
}

size_t utf8_sequence_length(const uint8_t *s, size_t len)
{
	if (len == 0)
		return 0;
	if (s[0] < 0x80)
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (s[0] >= table[i].lead_first && s[0] <= table[i].lead_last)
			return match_row(&table[i], s, len);
	return 0;
}

int utf8_append_clean(struct buf *to, struct slice text)
{
	size_t begin = 0;
	size_t at = 0;

	while (at < text.len) {
		size_t n = text.data[at] ? utf8_sequence_length(text.data + at, text.len - at) : 0;
		int r;

		if (n) {
			at += n;
			continue;
		}
		r = buf_append(to, text.data + begin, at - begin);
		if (r == 0)
			r = buf_append_string(to, REPLACEMENT);
		if (r < 0)
			return r;
		begin = ++at;
	}
	return buf_append(to, text.data + begin, at - begin);
}
