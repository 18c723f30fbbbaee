/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The memory budget. Loop thread. */

#include <stdbool.h>
#include <stdint.h>

#include "mayfly/error.h"

struct pool;
struct version;

/* Of the machine. */
uint64_t memory_total_bytes(void);

/* 1: a sandbox of that cost may start; 0: not yet (what can be evicted for it is on its way out, or
 * sandboxes are busy); a negative errno with `error`: never. Only demands evict. */
int memory_make_room(struct version *version, bool for_demand, struct error *error);

/* Whether a sandbox of that cost may start once those that are ending are gone. */
bool memory_will_fit(const struct pool *pool, uint64_t cost_bytes);
