/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What an invocation is charged: whole milliseconds, begun ones in full, at least one. Since August
 * 2025 Lambda's INIT counts. Pure; any thread. */

#include <stdint.h>

/* `init_us` 0: none. Times of the host's clock; negative ones count as 0. */
uint64_t billing_milliseconds(int64_t duration_us, int64_t init_us);
