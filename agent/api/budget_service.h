/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mayfly.v1.BudgetService: see the proto. What a limit's reaching brings is told from here: a
 * record in the audit log, and a message to those who watch usage. Loop thread. */

#include "agent/account/account.h"
#include "agent/api/api_context.h"
#include "agent/api/usage_service.h"
#include "agent/audit/trail.h"
#include "rpc/rpc_server.h"

struct budget_service;

/* All borrowed until the service is freed; `trail` and `usage` may be NULL. */
int budget_service_register(struct rpc_server *server, struct account *account, struct trail *trail,
			    struct usage_service *usage, const struct api_context *context,
			    struct budget_service **ret, struct error *error) _must_use_;
/* After the server, before the account. Copes with NULL. */
struct budget_service *budget_service_free(struct budget_service *service);
DEFINE_CLEANUP(struct budget_service, budget_service_free)
