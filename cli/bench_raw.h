/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The baseline: what QEMU alone needs, measured by the program mayfly-raw-qemu beside the agent. */

#include "cli/bench.h"

/* Runs it `n` times over: *ret becomes its JSON, with p50_ms and restores_per_second. When it is
 * not here, or we may not run it, *ret stays NULL and that is an error only if `wanted`. */
int bench_raw(struct bench *bench, uint64_t n, bool wanted, json_t **ret) _must_use_;
