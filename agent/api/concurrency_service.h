/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mayfly.v1.ConcurrencyService: reservations and what a tenant may use. Loop thread. */

#include "agent/api/api_context.h"
#include "agent/deploy/directory.h"
#include "agent/invoke/invocation.h"
#include "rpc/rpc_server.h"

struct concurrency_service;

/* Borrows all until it is freed, which is after the server's shutdown. */
int concurrency_service_register(struct rpc_server *server, struct directory *directory,
				 struct invoker *invoker, const struct api_context *context,
				 struct concurrency_service **ret, struct error *error) _must_use_;
struct concurrency_service *concurrency_service_free(struct concurrency_service *service);
DEFINE_CLEANUP(struct concurrency_service, concurrency_service_free)
