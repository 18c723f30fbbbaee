/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mayfly.v1.AuditService. Loop thread. */

#include "agent/audit/trail.h"
#include "rpc/rpc_server.h"

/* Borrows `trail` until the server is freed. */
int audit_service_register(struct rpc_server *server, struct trail *trail,
			   struct error *error) _must_use_;
