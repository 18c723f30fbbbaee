/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The framing of the guest channel: a 32-bit little-endian length, then that many bytes
 * (proto/mayfly/guest/v1/guest.proto). */

#include "mayfly/buf.h"

#define FRAME_HEADER_BYTES 4
#define FRAME_MAX_BYTES    (1U << 20)

/* Writes a header for `len` bytes of body to out[4]. `len` must be at most FRAME_MAX_BYTES. */
void frame_put_header(uint8_t out[FRAME_HEADER_BYTES], uint32_t len);

/* Looks for a whole frame at the start of `in`. Returns 1 and sets *ret_body (borrowed from
 * `in`) and *ret_consumed; 0 when more bytes are needed; -EBADMSG when the length is over
 * FRAME_MAX_BYTES. */
int frame_parse(struct slice in, struct slice *ret_body, size_t *ret_consumed) _must_use_;
