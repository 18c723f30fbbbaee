/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mayfly.v1.UsageService: sums, single records, new records, reconciliation. Loop thread. */

#include "agent/account/account.h"
#include "agent/api/api_context.h"
#include "rpc/rpc_server.h"

#include <mayfly/v1/budget.pb-c.h>

struct pool; /* agent/pool/pool.h */
struct usage_service;

/* All is borrowed until the service is freed; it is the account's one listener. Freed after the
 * server's shutdown, before the account. */
int usage_service_register(struct rpc_server *server, struct account *account, struct pool *pool,
			   const struct api_context *context, struct usage_service **ret,
			   struct error *error) _must_use_;
/* To all who watch the tenant's or the function's usage. Borrowed during the call. */
void usage_service_tell_budget(struct usage_service *service, const Mayfly__V1__Budget *budget,
			       bool hard);
/* Ends all Watch calls, so that a shutdown need not wait for their clients. */
void usage_service_stop(struct usage_service *service);
struct usage_service *usage_service_free(struct usage_service *service);
DEFINE_CLEANUP(struct usage_service, usage_service_free)
