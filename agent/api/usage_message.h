/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Usage in the words of usage.proto. Messages are made of malloc() and freed by
 * protobuf_c_message_free_unpacked(); NULL for lack of memory. */

#include "agent/account/account.h"
#include "agent/api/api_context.h"

#include <mayfly/v1/usage.pb-c.h>

/* `message` may be NULL: everything of the caller's. */
int usage_decode_filter(const struct api_context *context, const char *named, bool all_tenants,
			const Mayfly__V1__UsageFilter *message, struct ledger_filter *ret,
			struct error *error) _must_use_;

bool usage_filter_has(const struct ledger_filter *filter, const struct ledger_record *record);

Mayfly__V1__UsageRecord *usage_record_message(const struct ledger_record *record);
/* `prices` NULL: without cost. */
Mayfly__V1__UsageRow *usage_row_message(const struct ledger_row *row,
					const struct account_prices *prices);

/* It points to nothing. */
void usage_fill_prices(const struct account_prices *prices, Mayfly__V1__UsagePrices *ret);
