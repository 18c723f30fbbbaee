/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What an invocation is charged: whole milliseconds, begun ones in full, at least one. Since August
 * 2025 Lambda's INIT counts. Pure; any thread. */

#include <stdint.h>

#define BILLING_STREAM_FREE_BYTES 6291456

/* `init_us` 0: none. Times of the host's clock; negative ones count as 0. */
uint64_t billing_milliseconds(int64_t duration_us, int64_t init_us);

/* Of a streamed answer: what is above the 6 MiB that each has free. */
int64_t billing_stream_bytes(int64_t streamed_bytes);
