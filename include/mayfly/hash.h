/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* FNV-1a of 64 bits: quick, the same on every machine, and no secret: whoever chooses the bytes can
 * find others with the same hash. */

#include <stdint.h>

#include "mayfly/buf.h"

#define HASH_FNV1A_INIT UINT64_C(14695981039346656037)

/* Goes on from a former hash, or HASH_FNV1A_INIT. Any thread. */
static inline uint64_t hash_fnv1a(uint64_t hash, struct slice bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		hash = (hash ^ bytes.data[i]) * UINT64_C(1099511628211);
	return hash;
}
