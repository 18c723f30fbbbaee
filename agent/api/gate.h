/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Callers say who they are by an access key in the metadata "authorization", on any way to the
 * node. Without one they are operators if they come by the unix socket, which lets nobody else
 * connect, or show a certificate; else they are nobody.
 *
 * The gate before every method: who calls, may they (agent/auth has the table), in which tenant,
 * and is that tenant there and active. It puts the tenant into a request that left it empty, so
 * that no service decides for itself. Loop thread. */

#include "agent/audit/trail.h"
#include "agent/tenants/tenants.h"
#include "rpc/rpc_server.h"

struct gate {
	const struct tenants *tenants; /* borrowed; set before the server starts */
	struct trail *trail;           /* borrowed */
	bool tcp_is_operator;          /* whoever calls by plain TCP without an access key */

	/* Refusals of callers who are not known, so that they cannot push all else out of the
	 * trail: those of this minute that were noted, and that were not. */
	int64_t minute;
	unsigned noted, left_out;
};

/* Makes `options` ask the gate, which outlives the server. */
void gate_guard(struct gate *gate, struct rpc_server_options *options);
