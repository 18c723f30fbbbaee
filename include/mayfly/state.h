/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* State machines as tables: names and a constant matrix of what may follow what. */

#include <stdbool.h>
#include <stdint.h>

struct state_table {
	const char *noun;           /* "sandbox" */
	const char *const *names;   /* [count] */
	const uint32_t *successors; /* [count]; bit n set: state n may follow */
	unsigned count;             /* at most 32 */
};

const char *state_name(const struct state_table *table, unsigned state);

bool state_may_follow(const struct state_table *table, unsigned from, unsigned to);
