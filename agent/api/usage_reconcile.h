/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* UsageService.Reconcile. Loop thread. */

#include "agent/account/account.h"
#include "rpc/rpc_server.h"

void usage_reconcile(struct account *account, struct rpc_call *call);
