/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mayfly.v1.TagService: decodes a request, gives one command to the directory, encodes its
 * answer. Loop thread. */

#include "agent/api/api_context.h"
#include "agent/deploy/directory.h"
#include "rpc/rpc_server.h"

struct tag_service;

/* `directory` and `context` are borrowed until the server is freed; then free the service. */
int tag_service_register(struct rpc_server *server, struct directory *directory,
			 const struct api_context *context, struct tag_service **ret,
			 struct error *error) _must_use_;
struct tag_service *tag_service_free(struct tag_service *service);
