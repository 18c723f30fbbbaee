/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mayfly.v1.EventService: how events of functions are tried. Loop thread. */

#include "agent/api/api_context.h"
#include "agent/deploy/directory.h"
#include "agent/events/event_queue.h"
#include "rpc/rpc_server.h"

struct event_service;

/* Borrows all until it is freed, which is after the server's shutdown. `plain_webhooks`: http://
 * may be a destination. */
int event_service_register(struct rpc_server *server, struct directory *directory,
			   struct event_queue *queue, const struct api_context *context,
			   bool plain_webhooks, struct event_service **ret,
			   struct error *error) _must_use_;
struct event_service *event_service_free(struct event_service *service);
DEFINE_CLEANUP(struct event_service, event_service_free)
