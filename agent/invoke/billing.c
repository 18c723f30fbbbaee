/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/invoke/billing.h"

#include "mayfly/clock.h"

uint64_t billing_milliseconds(int64_t duration_us, int64_t init_us)
{
	int64_t us = (duration_us > 0 ? duration_us : 0) + (init_us > 0 ? init_us : 0);
	int64_t ms = us / USEC_PER_MSEC + (us % USEC_PER_MSEC > 0);

	return ms > 0 ? (uint64_t)ms : 1;
}

int64_t billing_stream_bytes(int64_t streamed_bytes)
{
	return streamed_bytes > BILLING_STREAM_FREE_BYTES
		       ? streamed_bytes - BILLING_STREAM_FREE_BYTES
		       : 0;
}
