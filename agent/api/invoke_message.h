/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What an invocation's answer says beside its payload, whichever way it is given. */

#include "agent/functions/function.h"
#include "agent/invoke/invocation.h"
#include "mayfly/v1/invoke.pb-c.h"
#include "rpc/rpc_server.h"

#define REQUEST_ID_BYTES 64

/* Copied from an invocation, which may be gone when a stream ends. */
struct invoke_outcome {
	char request_id[REQUEST_ID_BYTES];
	char executed_version[FUNCTION_QUALIFIER_MAX + 1];
	bool function_error;
	struct invocation_phases phases;
};

void invoke_outcome_set(struct invoke_outcome *outcome, const struct invocation *invocation,
			const struct invocation_result *result);

/* Puts it into the trailing metadata, the times up to now: the call's end must follow. */
void invoke_outcome_send(const struct invoke_outcome *outcome, struct rpc_call *call);

/* rpc_call_fail(); whom the function's policy alone let in learns nothing of its owner's budgets
 * and limits by it, nor what the function said in an INIT that failed. */
void invoke_fail(struct rpc_call *call, const struct error *error);
