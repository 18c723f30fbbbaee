/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mayfly.v1.TenantService. Loop thread. */

#include "agent/tenants/tenants.h"
#include "rpc/rpc_server.h"

struct tenant_service;

/* Borrows `tenants` until it is freed, which is after the server's shutdown. */
int tenant_service_register(struct rpc_server *server, struct tenants *tenants,
			    struct tenant_service **ret, struct error *error) _must_use_;
struct tenant_service *tenant_service_free(struct tenant_service *service);
