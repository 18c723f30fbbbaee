/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the tenant verbs share: one tenant printed, and limits from the command line. */

#include "cli/messages.h"
#include "cli/verb.h"

int tenant_print(const struct context *context, const Mayfly__V1__Tenant *tenant) _must_use_;
json_t *tenant_json(const Mayfly__V1__Tenant *tenant);
const char *name_of_tenant_state(int value);

/* Options of the limits, for a verb's table. */
#define TENANT_LIMIT_OPTIONS                                                                       \
	{ "concurrent-executions", 0, OPTION_TEXT, "N", "how many invocations may run at once" },  \
		{ "code-storage-bytes", 0, OPTION_TEXT, "N", "how much code it may keep" },        \
		{ "waiting-events", 0, OPTION_TEXT, "N",                                           \
		  "how many asynchronous invocations may wait" },                                  \
		{ "provisioned-memory-mb", 0, OPTION_TEXT, "N",                                    \
		  "how much memory its provisioned concurrency may take" },                        \
	{                                                                                          \
		"weight", 0, OPTION_TEXT, "N",                                                     \
			"its part of a full node beside the others'; 1 to 1000, 100 by default"    \
	}

/* What it weighs; 100 when nothing was said. */
unsigned tenant_weight_of(const Mayfly__V1__Tenant *tenant);

/* *ret_given: at least one was. */
int tenant_limits_from_arguments(const struct arguments *arguments, Mayfly__V1__TenantLimits *ret,
				 bool *ret_given, struct error *e) _must_use_;
/* Those that were not given become as they are in `from`. */
void tenant_limits_fill(Mayfly__V1__TenantLimits *limits, const Mayfly__V1__TenantLimits *from);
