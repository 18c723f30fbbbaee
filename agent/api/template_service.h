/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mayfly.v1.TemplateService: list, build, drop. Loop thread. */

#include "agent/api/template_feed.h"
#include "agent/image/runtime_catalogue.h"
#include "rpc/rpc_server.h"

struct template_service;

/* Borrows all until it is freed, which is after the server's shutdown and after the loop ended.
 * `catalogue` may be NULL: then the VM host judges runtime names. */
int template_service_register(struct rpc_server *server, struct template_feed *templates,
			      const struct runtime_catalogue *catalogue,
			      struct template_service **ret, struct error *error) _must_use_;
struct template_service *template_service_free(struct template_service *service);
DEFINE_CLEANUP(struct template_service, template_service_free)
