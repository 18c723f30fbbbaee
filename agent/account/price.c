/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/account/account_internal.h"

#define PICOS_PER_UNIT      1000000000000ULL
#define MB_MS_PER_GB_SECOND (1024 * 1000)

const struct account_prices *account_prices(const struct account *account)
{
	return &account->config.prices;
}

struct account_money account_cost(const struct account_prices *prices, uint64_t invocations,
				  uint64_t mb_ms)
{
	unsigned __int128 picos = (unsigned __int128)invocations * prices->request_pico;

	picos += ((unsigned __int128)mb_ms * prices->gb_second_pico + MB_MS_PER_GB_SECOND / 2) /
		 MB_MS_PER_GB_SECOND;
	return (struct account_money){ .units = (uint64_t)(picos / PICOS_PER_UNIT),
				       .picos = (uint64_t)(picos % PICOS_PER_UNIT) };
}
