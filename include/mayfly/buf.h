/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Bytes with their length: a borrowed slice and an owned, growing buffer with a cap.
 * No thread-safety of its own: the owner's thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "mayfly/cleanup.h"

/* Borrowed; valid as long as whatever it points into. */
struct slice {
	const uint8_t *data;
	size_t len;
};

#define SLICE_INIT ((struct slice){ 0 })

static inline struct slice slice_new(const void *data, size_t len)
{
	return (struct slice){ .data = data, .len = len };
}

static inline struct slice slice_from_string(const char *s)
{
	return slice_new(s, s ? strlen(s) : 0);
}

/* Copies the bytes and a NUL to *at, which goes on behind them: for several in one piece of memory,
 * which is the caller's and large enough. */
struct slice slice_place(uint8_t **at, struct slice bytes);
static inline const char *slice_place_string(uint8_t **at, const char *s)
{
	return (const char *)slice_place(at, slice_from_string(s)).data;
}

bool slice_equals_string(struct slice s, const char *string) _pure_;

/* Owned. `data` always has a NUL behind `len` once anything was appended, so text may be read
 * as a C string. Appends beyond `max` (0: no cap) fail with -EMSGSIZE and change nothing. */
struct buf {
	uint8_t *data;
	size_t len;
	size_t capacity;
	size_t max;
};

#define BUF_INIT        ((struct buf){ 0 })
#define BUF_INIT_MAX(m) ((struct buf){ .max = (m) })

/* All return 0, -ENOMEM or -EMSGSIZE. */
int buf_reserve(struct buf *b, size_t more) _must_use_;
int buf_append(struct buf *b, const void *data, size_t len) _must_use_;
int buf_append_string(struct buf *b, const char *s) _must_use_;
int buf_append_format(struct buf *b, const char *format, ...) _printf_(2, 3) _must_use_;

/* Drops the first `len` bytes (at most all). */
void buf_consume(struct buf *b, size_t len);

/* The bytes; borrowed until the buffer changes. */
struct slice buf_slice(const struct buf *b);

/* The text, "" when empty; borrowed until the buffer changes. */
const char *buf_string(const struct buf *b);

/* Hands the bytes to the caller (free()), leaving an empty buffer with the same cap. `ret_len` may
 * be NULL. */
uint8_t *buf_take(struct buf *b, size_t *ret_len);

/* Empties, keeping the memory. */
void buf_reset(struct buf *b);

void buf_free(struct buf *b);

#define _cleanup_buf_ _cleanup_(buf_free)
