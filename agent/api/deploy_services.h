/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The services that only ask the directory: functions, aliases, layers, tags. Loop thread. */

#include "agent/api/api_context.h"
#include "agent/deploy/directory.h"
#include "rpc/rpc_server.h"

struct deploy_services;

/* `directory` and `context` are borrowed until the server is freed; then free the services. *ret is
 * set on failure, too: the server may know some of them. */
int deploy_services_register(struct rpc_server *server, struct directory *directory,
			     const struct api_context *context, struct deploy_services **ret,
			     struct error *error) _must_use_;
/* Copes with NULL. */
struct deploy_services *deploy_services_free(struct deploy_services *services);
