/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mayfly.v1.QueueService: queues of tenants, where the outcomes of events are. Loop thread. */

#include "agent/api/api_context.h"
#include "agent/events/event_queue.h"
#include "rpc/rpc_server.h"

struct queue_service;

/* All is borrowed until the server is freed; then *ret is. */
int queue_service_register(struct rpc_server *server, struct message_queues *queues,
			   struct event_queue *events, const struct api_context *context,
			   struct queue_service **ret, struct error *error) _must_use_;
/* Copes with NULL. */
struct queue_service *queue_service_free(struct queue_service *service);
