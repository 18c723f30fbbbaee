/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Callers say who they are by an access key in the metadata "authorization", on any way to the
 * node; it counts whatever else they show. Without one they are operators if they come by the unix
 * socket, which lets nobody else connect, or show a certificate of the operators' authority; users
 * of a tenant if they show one of the tenants' authority that names them; else they are nobody. Who
 * shows a certificate that is revoked or expired is refused, an access key or not.
 *
 * The gate before every method: who calls, may they (agent/auth has the table; where it refuses,
 * the policy of the function may let them), in which tenant, and is that tenant there and active.
 * It puts the tenant into a request that left it empty, so that no service decides for itself. Loop
 * thread. */

#include <sys/queue.h>

#include "agent/audit/failures.h"
#include "agent/auth/access.h"
#include "agent/deploy/directory.h"
#include "agent/tenants/tenants.h"
#include "rpc/rpc_server.h"

/* Of rpc_tls_files.client_ca. */
enum { GATE_OPERATORS, GATE_TENANTS };

#define GATE_GRANTED_PLACES 256

struct gate_rates;

/* A call that a policy let in, and when the like was noted last. */
struct gate_granted {
	uint64_t hash;
	int64_t minute;
};

struct gate {
	const struct tenants *tenants;     /* borrowed; set before the server starts */
	const struct directory *directory; /* borrowed; NULL: no function grants anything */
	struct trail *trail;               /* borrowed */
	bool tcp_is_operator;              /* whoever calls by plain TCP without an access key */
	const char *trust_domain;          /* of tenants' certificates; borrowed */
	struct loop *loop;                 /* borrowed */

	/* What a tenant may ask for in a second, by enum access_rate; 0: without a limit. Set as
	 * those above. */
	unsigned per_second[ACCESS_RATE_COUNT];
	struct gate_rates *rates; /* owned; by tenant */

	LIST_HEAD(, gate_call) streams; /* open ones */
	struct timer expiry;            /* of what opened them */

	struct failures failures; /* its loop and trail are set with those above */
	struct gate_granted granted[GATE_GRANTED_PLACES];
};

/* Makes `options` ask the gate, which outlives the server. */
void gate_guard(struct gate *gate, struct rpc_server_options *options);

/* Whether a call was let in by the function's policy alone: what is its owner's, and not the
 * function's answer, is not for this caller. False without a gate. */
bool gate_is_granted(struct rpc_call *call);

/* Ends the open streams of those who would not be let in now: after a change of keys, tenants or
 * revocation lists. It looks by itself when a key or a certificate expires. */
void gate_look_again(struct gate *gate);

/* When the server is gone, and before its trail. */
void gate_stop(struct gate *gate);
