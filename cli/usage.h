/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the verbs of usage share: which records, and their figures as text and JSON. */

#include "cli/output.h"
#include "cli/verb.h"

/* The options of a filter, for the tables of the verbs. */
#define USAGE_FILTER_OPTIONS                                                                       \
	{ "version", 0, OPTION_TEXT, "VERSION", "only this version" },                             \
		{ "all-tenants", 0, OPTION_FLAG, NULL, "of every tenant, for the operator" },      \
		{ "month", 0, OPTION_TEXT, "YYYY-MM", "of this month, UTC" },                      \
		{ "from", 0, OPTION_TEXT, "TIME",                                                  \
		  "from then on: 2026-11-25 or 2026-11-25T13:00Z" },                               \
		{ "to", 0, OPTION_TEXT, "TIME", "before then" },                                   \
	{                                                                                          \
		"since", 0, OPTION_TEXT, "DURATION", "only so far back: 30m, 2h, 7d"               \
	}

/* The first operand is a function or absent. What it points to is borrowed of `arguments`. */
int usage_filter(const struct arguments *arguments, Mayfly__V1__UsageFilter *ret,
		 struct error *e) _must_use_;

/* "0.00002083", all digits that are not trailing zeros, at least two. */
#define USAGE_MONEY_BYTES 40
const char *usage_money(const Mayfly__V1__Money *money, char out[USAGE_MONEY_BYTES]);

/* New, the caller's; NULL when memory is short. */
json_t *usage_row_json(const Mayfly__V1__UsageRow *row);
json_t *usage_prices_json(const Mayfly__V1__UsagePrices *prices);
json_t *usage_record_json(const Mayfly__V1__UsageRecord *record);

const char *usage_result_name(int value);
