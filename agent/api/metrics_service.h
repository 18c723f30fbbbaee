/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mayfly.v1.MetricsService: see the proto. Loop thread. */

#include "agent/account/account.h"
#include "agent/api/api_context.h"
#include "agent/core/loop.h"
#include "agent/events/event_queue.h"
#include "agent/invoke/invocation.h"
#include "agent/pool/pool.h"
#include "rpc/rpc_server.h"

struct metrics_service;

struct metrics_service_config {
	const struct api_context *context; /* borrowed, as all here, until the service is freed */
	struct loop *loop;
	const struct invoker *invoker;
	const struct event_queue *events;
	const struct pool *pool;
	const struct account *account;
};

int metrics_service_register(struct rpc_server *server, const struct metrics_service_config *config,
			     struct metrics_service **ret, struct error *error) _must_use_;
/* Ends all watches, so that a shutdown need not wait for their clients. */
void metrics_service_stop(struct metrics_service *service);
/* After the server's shutdown. Copes with NULL. */
struct metrics_service *metrics_service_free(struct metrics_service *service);
DEFINE_CLEANUP(struct metrics_service, metrics_service_free)
