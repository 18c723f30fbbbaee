/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/account/account_internal.h"

#define PICOS_PER_UNIT      1000000000000ULL
#define MB_MS_PER_GB_SECOND (1024 * 1000)
#define BYTES_PER_GB        (1LL << 30)
#define MB_PER_GB           1024

const struct account_prices *account_prices(const struct account *account)
{
	return &account->config.prices;
}

/* What `count` things cost of which `per` have the price. */
static unsigned __int128 part(int64_t count, uint64_t price_pico, int64_t per)
{
	return ((unsigned __int128)count * price_pico + (uint64_t)per / 2) / (uint64_t)per;
}

static unsigned __int128 running(const struct account_prices *prices, const int64_t *figures)
{
	int64_t provisioned = figures[LEDGER_PROVISIONED_MB_MS];

	if (prices->provisioned_run_gb_second_pico == 0)
		provisioned = 0;
	return part(figures[LEDGER_MB_MS] - provisioned, prices->gb_second_pico,
		    MB_MS_PER_GB_SECOND) +
	       part(provisioned, prices->provisioned_run_gb_second_pico, MB_MS_PER_GB_SECOND);
}

struct account_money account_cost(const struct account_prices *prices,
				  const int64_t figures[_LEDGER_FIGURES])
{
	unsigned __int128 picos = part(figures[LEDGER_INVOCATIONS], prices->request_pico, 1);

	picos += running(prices, figures);
	picos += part(figures[LEDGER_ALLOCATED_MB_MS], prices->provisioned_gb_second_pico,
		      MB_MS_PER_GB_SECOND);
	picos += part(figures[LEDGER_STORAGE_MB_MS], prices->storage_gb_second_pico,
		      MB_MS_PER_GB_SECOND);
	picos += part(figures[LEDGER_OVER_BYTES], prices->stream_gb_pico, BYTES_PER_GB);
	picos += part(figures[LEDGER_CACHED_MB_MS], prices->cache_gb_second_pico,
		      MB_MS_PER_GB_SECOND);
	picos += part(figures[LEDGER_RESTORED_MB], prices->restore_gb_pico, MB_PER_GB);
	return (struct account_money){ .units = (uint64_t)(picos / PICOS_PER_UNIT),
				       .picos = (uint64_t)(picos % PICOS_PER_UNIT) };
}
