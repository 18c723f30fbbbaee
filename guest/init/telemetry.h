/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The framing of _LAMBDA_TELEMETRY_LOG_FD: big-endian u32 type, u32 length, u64 time in
 * microseconds, then the message. */

#include "mayfly/buf.h"

#define TELEMETRY_HEADER_BYTES 16

struct telemetry_frame {
	uint32_t type;
	uint64_t time_us;
	struct slice message; /* borrowed from the input; at most `max` bytes */
	size_t consumed;
};

/* 1: a frame; 0: more bytes are needed; -EBADMSG: not a frame, or a longer one than `max`. */
int telemetry_parse(struct slice in, size_t max, struct telemetry_frame *ret) _must_use_;
