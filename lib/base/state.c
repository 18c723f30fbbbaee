/* SPDX-License-Identifier: Apache-2.0 */

#include "mayfly/state.h"

const char *state_name(const struct state_table *table, unsigned state)
{
	return state < table->count ? table->names[state] : "invalid";
}

bool state_may_follow(const struct state_table *table, unsigned from, unsigned to)
{
	if (from >= table->count || to >= table->count)
		return false;
	return table->successors[from] & (UINT32_C(1) << to);
}
