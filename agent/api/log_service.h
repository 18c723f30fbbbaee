/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mayfly.v1.LogService: pages of events, and tails. Loop thread. */

#include "agent/api/api_context.h"
#include "agent/deploy/directory.h"
#include "agent/logs/log_store.h"
#include "rpc/rpc_server.h"

struct log_service;

struct log_service_config {
	const struct api_context *context; /* borrowed, as all here, until the service is freed */
	struct log_store *logs;
	struct directory *directory;
};

/* Freed after the server's shutdown, before the log store is closed. */
int log_service_register(struct rpc_server *server, const struct log_service_config *config,
			 struct log_service **ret, struct error *error) _must_use_;
/* Ends all tails, so that a shutdown need not wait for their clients. */
void log_service_stop(struct log_service *service);
struct log_service *log_service_free(struct log_service *service);
DEFINE_CLEANUP(struct log_service, log_service_free)
