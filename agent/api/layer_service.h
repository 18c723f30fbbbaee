/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mayfly.v1.LayerService: decodes a request, gives one command to the directory, encodes its
 * answer. Loop thread. */

#include "agent/api/api_context.h"
#include "agent/deploy/directory.h"
#include "rpc/rpc_server.h"

struct layer_service;

/* `directory` and `context` are borrowed until the server is freed; then free the service. */
int layer_service_register(struct rpc_server *server, struct directory *directory,
			   const struct api_context *context, struct layer_service **ret,
			   struct error *error) _must_use_;
struct layer_service *layer_service_free(struct layer_service *service);
