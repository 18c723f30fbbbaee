/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One InvokeStream call: the response's chunks on their way to a client that may be slow. Loop
 * thread. */

#include "agent/invoke/invocation.h"
#include "rpc/rpc_server.h"

/* Submits the request (its events and user are set here) and answers the call in the end. On
 * failure the call is still the caller's. */
int invoke_stream_start(struct invoker *invoker, struct rpc_call *call,
			struct invocation_request *request, struct error *error) _must_use_;
