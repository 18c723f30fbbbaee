/* SPDX-License-Identifier: Apache-2.0 */

/* How much may wait to be written. A tenant may have at most so many times what it leaves free: the
 * fuller it is, the less (dynamic thresholds, as switches share their buffers: Choudhury and Hahne,
 * 1998). So one alone has four fifths, and whatever others write, there is room for who has
 * little. */

#include "agent/logs/log_internal.h"

#define TIMES_FREE 4

bool log_room_has(const struct log_tenant *tenant, uint64_t bytes)
{
	const struct log_store *store = tenant->store;
	uint64_t taken = store->waiting_bytes + bytes;

	return taken <= store->waiting_max_bytes &&
	       tenant->waiting_bytes + bytes <= TIMES_FREE * (store->waiting_max_bytes - taken);
}

void log_room_take(struct log_tenant *tenant, uint64_t bytes)
{
	tenant->waiting_bytes += bytes;
	tenant->store->waiting_bytes += bytes;
}

void log_room_give_back(struct log_tenant *tenant, uint64_t bytes)
{
	tenant->waiting_bytes -= bytes;
	tenant->store->waiting_bytes -= bytes;
}
