/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mayfly.v1.AccessKeyService. Loop thread. */

#include "agent/tenants/keys.h"
#include "rpc/rpc_server.h"

/* Borrows `tenants` until the server is freed. */
int access_key_service_register(struct rpc_server *server, struct tenants *tenants,
				struct error *error) _must_use_;
