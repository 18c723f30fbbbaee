/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mayfly.v1.InvokeService: decode, one invocation or one event taken, encode. Loop thread. */

#include "agent/api/api_context.h"
#include "agent/events/event_queue.h"
#include "agent/invoke/invocation.h"
#include "rpc/rpc_server.h"

struct invoke_service;

/* Borrows the invoker, the queue and the context until it is freed, which is after the server's
 * shutdown. */
int invoke_service_register(struct rpc_server *server, struct invoker *invoker,
			    struct event_queue *queue, const struct api_context *context,
			    struct invoke_service **ret, struct error *error) _must_use_;
struct invoke_service *invoke_service_free(struct invoke_service *service);
DEFINE_CLEANUP(struct invoke_service, invoke_service_free)
