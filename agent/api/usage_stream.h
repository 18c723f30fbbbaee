/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The streams of UsageService: Export, page by page, and Watch. Loop thread. */

#include <sys/queue.h>

#include "agent/account/account.h"
#include "rpc/rpc_server.h"

#include <mayfly/v1/budget.pb-c.h>

/* `after`: the record to begin behind. On failure the call is still the caller's. */
int usage_export_start(struct account *account, struct rpc_call *call,
		       const struct ledger_filter *filter, uint64_t after,
		       struct error *error) _must_use_;

struct usage_watch_list {
	LIST_HEAD(, usage_watch) watches; /* each until its call ends */
	unsigned count;
};

int usage_watch_start(struct usage_watch_list *list, struct rpc_call *call,
		      const struct ledger_filter *filter, struct error *error) _must_use_;
void usage_watch_list_put(struct usage_watch_list *list, const struct ledger_record *record);
void usage_watch_list_put_budget(struct usage_watch_list *list, const Mayfly__V1__Budget *budget,
				 bool hard);
/* Ends the calls with status OK. */
void usage_watch_list_stop(struct usage_watch_list *list);
