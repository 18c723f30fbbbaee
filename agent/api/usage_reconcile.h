/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* UsageService.Reconcile. Loop thread. */

#include "agent/account/account.h"
#include "rpc/rpc_server.h"

struct pool; /* agent/pool/pool.h */

/* Of account and pool, which outlive the call. */
void usage_reconcile(struct account *account, struct pool *pool, struct rpc_call *call);
