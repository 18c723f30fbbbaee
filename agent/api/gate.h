/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The gate before every method: who calls, may they (agent/auth has the table), in which tenant,
 * and is that tenant there and active. It puts the tenant into a request that left it empty, so
 * that no service decides for itself. Loop thread. */

#include "agent/tenants/tenants.h"
#include "rpc/rpc_server.h"

struct gate {
	const struct tenants *tenants; /* borrowed; set before the server starts */
};

/* Makes `options` ask the gate, which outlives the server. */
void gate_guard(struct gate *gate, struct rpc_server_options *options);
