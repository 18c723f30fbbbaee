/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mayfly.v1.WebhookService. Loop thread. */

#include "agent/tenants/webhook_secrets.h"
#include "rpc/rpc_server.h"

/* Borrows `tenants` until the server is freed. */
int webhook_service_register(struct rpc_server *server, struct tenants *tenants,
			     struct error *error) _must_use_;
