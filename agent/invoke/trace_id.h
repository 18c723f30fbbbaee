/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* X-Amzn-Trace-Id, which every function sees: the caller's, or one made here. Any thread. */

#include <stdint.h>

#include "mayfly/error.h"

#define TRACE_ID_BYTES     80   /* of one made here, with NUL */
#define TRACE_ID_MAX_BYTES 1024 /* of a caller's */

/* "Root=1-<time>-<random>;Parent=<random>;Sampled=0": nobody collects traces. */
void trace_id_generate(int64_t realtime_us, char out[TRACE_ID_BYTES]);

/* A caller's becomes a header in the guest. */
int trace_id_check(const char *trace_id, struct error *error) _must_use_;
