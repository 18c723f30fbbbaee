/* SPDX-License-Identifier: Apache-2.0 */

#include "mayfly/buf.h"

#include <errno.h>
#include <stdarg.h>

struct slice slice_place(uint8_t **at, struct slice bytes)
{
	struct slice copy = slice_new(*at, bytes.len);

	if (bytes.len > 0)
		memcpy(*at, bytes.data, bytes.len);
	(*at)[bytes.len] = 0;
	*at += bytes.len + 1;
	return copy;
}

bool slice_equals_string(struct slice s, const char *string)
{
	return s.len == strlen(string) && memcmp(s.data, string, s.len) == 0;
}

int buf_reserve(struct buf *b, size_t more)
{
	size_t need;
	if (__builtin_add_overflow(b->len, more, &need) || need >= SIZE_MAX - 1)
		return -EMSGSIZE;
	if (b->max && need > b->max)
		return -EMSGSIZE;
	if (need + 1 <= b->capacity)
		return 0;

	size_t capacity = b->capacity ? b->capacity : 64;
	while (capacity < need + 1)
		capacity = capacity > SIZE_MAX / 2 ? need + 1 : capacity * 2;
	uint8_t *data = realloc(b->data, capacity);
	if (!data)
		return -ENOMEM;
	b->data = data;
	b->capacity = capacity;
	return 0;
}

int buf_append(struct buf *b, const void *data, size_t len)
{
	int r = buf_reserve(b, len);
	if (r < 0)
		return r;
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = 0;
	return 0;
}

int buf_append_string(struct buf *b, const char *s)
{
	return buf_append(b, s, strlen(s));
}

int buf_append_format(struct buf *b, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	int need = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	if (need < 0)
		return -EINVAL;

	int r = buf_reserve(b, (size_t)need);
	if (r < 0)
		return r;
	va_start(ap, format);
	(void)vsnprintf((char *)b->data + b->len, (size_t)need + 1, format, ap);
	va_end(ap);
	b->len += (size_t)need;
	return 0;
}

void buf_consume(struct buf *b, size_t len)
{
	if (len >= b->len) {
		b->len = 0;
		return;
	}
	memmove(b->data, b->data + len, b->len - len);
	b->len -= len;
}

struct slice buf_slice(const struct buf *b)
{
	return slice_new(b->data, b->len);
}

const char *buf_string(const struct buf *b)
{
	return b->len > 0 ? (const char *)b->data : "";
}

uint8_t *buf_take(struct buf *b, size_t *ret_len)
{
	uint8_t *data = b->data;
	if (ret_len)
		*ret_len = b->len;
	*b = BUF_INIT_MAX(b->max);
	return data;
}

void buf_reset(struct buf *b)
{
	b->len = 0;
}

void buf_free(struct buf *b)
{
	free(b->data);
	*b = BUF_INIT_MAX(b->max);
}
