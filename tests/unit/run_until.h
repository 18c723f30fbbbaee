/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For tests with a loop of their own, in a fixture that has it as `loop`. After <cmocka.h>. */

#include "agent/core/loop.h"
#include "mayfly/clock.h"

/* Turns the loop until it is so, for LIMIT_US of the test's at most. */
#define RUN_UNTIL(f, condition)                                                                    \
	do {                                                                                       \
		int64_t limit_us = clock_monotonic_us() + LIMIT_US;                                \
		while (!(condition) && clock_monotonic_us() < limit_us)                            \
			assert_true(sd_event_run(loop_event((f)->loop), 10000) >= 0);              \
		assert_true(condition);                                                            \
	} while (0)
