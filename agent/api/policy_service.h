/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mayfly.v1.PolicyService: the resource policies of functions. Loop thread. */

#include "agent/api/api_context.h"
#include "agent/deploy/directory.h"
#include "rpc/rpc_server.h"

struct policy_service;

/* All but the result are borrowed until the server is freed. */
int policy_service_register(struct rpc_server *server, struct directory *directory,
			    const struct api_context *context, struct policy_service **ret,
			    struct error *error) _must_use_;

/* When the server is gone. Copes with NULL. */
struct policy_service *policy_service_free(struct policy_service *service);
DEFINE_CLEANUP(struct policy_service, policy_service_free)
